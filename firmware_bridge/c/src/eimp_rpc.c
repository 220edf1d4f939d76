/* Requests in, replies out: sessions, sequence numbers and the table of commands. */
#include "eimp_internal.h"
#include "eimp_rpc_internal.h"

#define EMPTY_FRAME_BYTES EIMP_FRAME_BYTES(0u)

typedef struct entry {
    eimp_rpc_handler *handler;
    uint8_t bytes; /* of the fields that are always there */
    uint8_t tail;  /* 1: more may follow */
} entry;

#define ENTRY(NAME, name, id, bytes, tail) {eimp_do_##name, bytes, tail},
static const entry entries[] = {EIMP_COMMANDS(ENTRY)};

#define ID(NAME, name, id, bytes, tail) COMMAND_##NAME = id,
enum command { EIMP_COMMANDS(ID) COMMANDS_END };

void eimp_put_u8(eimp_out *out, uint32_t value) { *out->at++ = (uint8_t)value; }
void eimp_put_u16(eimp_out *out, uint32_t value) {
    eimp_put_u8(out, value);
    eimp_put_u8(out, value >> 8);
}
void eimp_put_u32(eimp_out *out, uint32_t value) {
    eimp_put_u16(out, value);
    eimp_put_u16(out, value >> 16);
}
void eimp_put_bytes(eimp_out *out, const void *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) *out->at++ = ((const uint8_t *)bytes)[i];
}

uint32_t eimp_rpc_start(const eimp_rpc *rpc) {
    const eimp_rpc_config *config = rpc->config;
    return config->counter ? config->counter(config->context) : 0;
}

void eimp_rpc_measure(eimp_rpc *rpc, uint32_t operation, uint32_t start) {
    eimp_rpc_operation *found = &rpc->operations[operation];
    found->last = eimp_rpc_start(rpc) - start;
    found->calls++;
    if (found->last > found->longest) found->longest = found->last;
}

size_t eimp_rpc_size(const eimp_rpc_config *config) {
    eimp_config made;
    if (config == NULL || config->head == NULL || config->send == NULL ||
        config->max_payload < EIMP_FRAME_MIN_PAYLOAD || config->max_payload > EIMP_FRAME_MAX_PAYLOAD) {
        return 0;
    }
    eimp_get_config(config->head, &made);
    return EIMP_RPC_BYTES(made.dim, (uint32_t)made.backbone_bytes, (uint32_t)config->max_payload);
}

int eimp_rpc_init(eimp_rpc *rpc, const eimp_rpc_config *config, void *buffer, size_t bytes) {
    const size_t needed = eimp_rpc_size(config);
    if (rpc == NULL || buffer == NULL || (uintptr_t)buffer % 4 || needed == 0) return EIMP_E_ARGUMENT;
    if (bytes < needed) return EIMP_E_CAPACITY;
    const uint32_t frame_bytes = EIMP_FRAME_BYTES((uint32_t)config->max_payload);
    *rpc = (eimp_rpc){.config = config, .stage = buffer};
    rpc->stage_bytes = (uint32_t)needed - 2u * frame_bytes;
    rpc->request = rpc->stage + rpc->stage_bytes;
    rpc->reply = rpc->request + frame_bytes;
    eimp_frame_parser_init(&rpc->parser, rpc->request, frame_bytes);
    return EIMP_OK;
}

void eimp_rpc_head_changed(eimp_rpc *rpc) { rpc->snapshot_open = 0; }

static void send(const eimp_rpc *rpc, uint8_t *frame, uint32_t length) {
    eimp_frame_send(frame, length, rpc->config->send, rpc->config->context);
}

/* A reply that is not kept: the last kept one is still needed when its request comes again. */
static void send_status(const eimp_rpc *rpc, uint8_t command, uint32_t sequence, int status) {
    uint8_t frame[EMPTY_FRAME_BYTES];
    eimp_out out = {frame};
    eimp_put_u8(&out, command);
    eimp_put_u16(&out, sequence);
    eimp_put_u8(&out, (uint32_t)status);
    send(rpc, frame, EIMP_FRAME_HEADER_BYTES);
}

static int do_command(eimp_rpc *rpc, uint32_t command, uint32_t length, eimp_out *out) {
    if (command == 0 || command >= COMMANDS_END) return EIMP_E_COMMAND;
    const entry *found = &entries[command - 1];
    if (length < found->bytes || (length > found->bytes && !found->tail)) return EIMP_E_LENGTH;
    return found->handler(rpc, rpc->request + EIMP_FRAME_HEADER_BYTES, length, out);
}

static void answer(eimp_rpc *rpc, uint32_t length) {
    const uint8_t *request = rpc->request;
    const uint32_t command = request[0], sequence = eimp_get_u16(request + 1);
    const uint32_t crc = eimp_get_u32(request + length); /* the frame's own, which lies behind it and was checked */
    const uint8_t replying = (uint8_t)(command | EIMP_FRAME_REPLY_BIT);
    if (command != COMMAND_HELLO) {
        if (!rpc->in_session) {
            send_status(rpc, replying, sequence, EIMP_E_SESSION);
            return;
        }
        const uint32_t ahead = (sequence - rpc->sequence) & 0xFFFFu;
        if (ahead == 0 && crc == rpc->request_crc) {
            rpc->repeated++;
            send(rpc, rpc->reply, rpc->reply_length);
            return;
        }
        if (ahead == 0 || ahead > 0x7FFFu) {
            send_status(rpc, replying, sequence, EIMP_E_STATE);
            return;
        }
    }
    eimp_out out = {rpc->reply + EIMP_FRAME_HEADER_BYTES};
    const int status = do_command(rpc, command, length - EIMP_FRAME_HEADER_BYTES, &out);
    /* hello says its version in an error as well */
    if (status != EIMP_OK && status != EIMP_E_VERSION) out.at = rpc->reply + EIMP_FRAME_HEADER_BYTES;
    rpc->reply_length = (uint32_t)(out.at - rpc->reply);
    rpc->request_crc = crc;
    rpc->sequence = (uint16_t)sequence;
    out.at = rpc->reply;
    eimp_put_u8(&out, replying);
    eimp_put_u16(&out, sequence);
    eimp_put_u8(&out, (uint32_t)status);
    send(rpc, rpc->reply, rpc->reply_length);
    if (rpc->reboot_due) {
        rpc->reboot_due = 0;
        rpc->config->reboot(rpc->config->context);
    }
}

void eimp_rpc_receive(eimp_rpc *rpc, uint8_t byte) {
    const int32_t length = eimp_frame_receive(&rpc->parser, byte);
    if (length < 0) {
        rpc->damaged++;
        send_status(rpc, EIMP_FRAME_DAMAGED, 0, EIMP_E_CORRUPT);
    } else if (length > 0) {
        rpc->frames++;
        /* Replies are for hosts: two devices on one line, or an echo, must not answer each other for ever. */
        if (!(rpc->request[0] & EIMP_FRAME_REPLY_BIT)) answer(rpc, (uint32_t)length);
    }
}

int eimp_do_hello(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const eimp_rpc_config *config = rpc->config;
    const char *name = config->name ? config->name : "";
    uint32_t name_bytes = 0;
    eimp_config head;
    (void)length;
    eimp_get_config(config->head, &head);
    while (name_bytes < EIMP_MAX_NAME_BYTES && name[name_bytes]) name_bytes++;
    rpc->in_session = request[0] == EIMP_PROTOCOL_MAJOR;
    eimp_put_u8(out, EIMP_PROTOCOL_MAJOR);
    eimp_put_u8(out, EIMP_PROTOCOL_MINOR);
    eimp_put_bytes(out, request + 2, 4);
    eimp_put_u32(out, (config->store ? EIMP_CAN_STORE : 0u) | (config->counter ? EIMP_CAN_COUNTER : 0u) |
                          (config->stack_bytes ? EIMP_CAN_STACK : 0u) |
                          (config->milliseconds ? EIMP_CAN_CLOCK : 0u) | (config->reboot ? EIMP_CAN_REBOOT : 0u) |
                          (config->resources ? EIMP_CAN_RESOURCES : 0u) |
                          (config->head->method ? EIMP_CAN_RIDGE : 0u));
    eimp_put_u16(out, config->max_payload);
    eimp_put_u32(out, head.dim);
    eimp_put_u8(out, config->counter ? config->counter_unit : EIMP_COUNT_NONE);
    eimp_put_bytes(out, name, name_bytes);
    return rpc->in_session ? EIMP_OK : EIMP_E_VERSION;
}
