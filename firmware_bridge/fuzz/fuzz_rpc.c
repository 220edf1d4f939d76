/* Commands: whatever a line brings, every reply can be read, a repeated request is answered in the same words and not
 * done again, and the head stays one that passes its own check.
 *
 * Input: flags (1: with a store, 2: the head was taught, 4: frames of 96 bytes, 8: counters, 16: the head has a second
 * moment), then steps. A step is a byte: what it does, below, and what that takes. */
#include <stdlib.h>
#include <string.h>

#include "eimp_rpc.h"
#include "flash_sim.h"
#include "fuzz_support.h"

#define LINE_BYTES 4096u
#define FLASH_SECTOR 2048u

enum step { STEP_RAW, STEP_REPEAT, STEP_DAMAGED, STEP_OUT_OF_ORDER, STEP_SNAPSHOT, STEP_STAGED, STEP_COMMAND, STEPS };

typedef struct host {
    eimp_rpc rpc;
    eimp_rpc_config config;
    eimp_store store;
    flash_sim flash;
    fuzz_head owner;
    eimp_frame_parser parser; /* of replies */
    uint32_t max_frame;
    uint8_t *parsed;
    uint8_t *request; /* the last one, as it went over the line */
    uint32_t request_bytes;
    uint8_t reply[LINE_BYTES]; /* to it, as it came */
    uint32_t reply_bytes;
    uint32_t replies;
    uint32_t ticks;
    uint16_t sequence;
    uint8_t rebooted;
} host;

static void take_reply(void *context, const uint8_t *bytes, uint32_t count) {
    host *to = context;
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_CHECK(to->reply_bytes < LINE_BYTES);
        to->reply[to->reply_bytes++] = bytes[i];
        const int32_t length = eimp_frame_receive(&to->parser, bytes[i]);
        FUZZ_CHECK(length >= 0);
        if (length > 0) {
            FUZZ_CHECK(to->parsed[0] & EIMP_FRAME_REPLY_BIT);
            FUZZ_CHECK((int8_t)to->parsed[3] <= EIMP_OK && (int8_t)to->parsed[3] >= EIMP_E_SESSION);
            to->replies++;
        }
    }
}

static void put_request(void *context, const uint8_t *bytes, uint32_t count) {
    host *to = context;
    FUZZ_CHECK(count <= LINE_BYTES - to->request_bytes);
    memcpy(to->request + to->request_bytes, bytes, count);
    to->request_bytes += count;
}

static uint32_t tick(void *context) { return ((host *)context)->ticks += 3; }
static void reboot(void *context) { ((host *)context)->rebooted = 1; }

/* Give the device bytes; how many replies came. Only the last ones are kept, as many as one request can have. */
static uint32_t give(host *self, const uint8_t *bytes, uint32_t count) {
    const uint32_t before = self->replies;
    self->reply_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] == 0 && self->reply_bytes > LINE_BYTES / 2) self->reply_bytes = 0;
        eimp_rpc_receive(&self->rpc, bytes[i]);
    }
    return self->replies - before;
}

/* Encode a request; payload of at most max_payload bytes. */
static void encode(host *self, uint8_t command, uint16_t sequence, const uint8_t *payload, uint32_t count) {
    uint8_t *frame = malloc(EIMP_FRAME_BYTES(count));
    FUZZ_CHECK(frame != NULL);
    frame[0] = command;
    frame[1] = (uint8_t)sequence;
    frame[2] = (uint8_t)(sequence >> 8);
    frame[3] = 0;
    if (count) memcpy(frame + EIMP_FRAME_HEADER_BYTES, payload, count);
    self->request_bytes = 0;
    eimp_frame_send(frame, EIMP_FRAME_HEADER_BYTES + count, put_request, self);
    free(frame);
}

/* A request in order; the status of its reply, or EIMP_OK for one that is never answered. */
static int ask(host *self, uint8_t command, const uint8_t *payload, uint32_t count) {
    encode(self, command, ++self->sequence, payload, count);
    const uint32_t replies = give(self, self->request, self->request_bytes);
    FUZZ_CHECK(replies == (command & EIMP_FRAME_REPLY_BIT ? 0u : 1u));
    return replies ? (int8_t)self->parsed[3] : EIMP_OK;
}

/* The same request again: the same reply, and nothing is done. */
static void repeat(host *self) {
    uint8_t *reply = malloc(LINE_BYTES);
    uint32_t size, again_size;
    const uint32_t reply_bytes = self->reply_bytes;
    FUZZ_CHECK(reply != NULL);
    memcpy(reply, self->reply, reply_bytes);
    if (self->request_bytes == 0 || self->rpc.in_session == 0) {
        free(reply);
        return;
    }
    uint8_t *before = fuzz_save(self->owner.head, &size);
    give(self, self->request, self->request_bytes);
    uint8_t *after = fuzz_save(self->owner.head, &again_size);
    FUZZ_CHECK(self->reply_bytes == reply_bytes && memcmp(self->reply, reply, reply_bytes) == 0);
    FUZZ_CHECK(size == again_size && memcmp(before, after, size) == 0);
    free(before);
    free(after);
    free(reply);
}

static void hello(host *self) {
    const uint8_t payload[6] = {EIMP_PROTOCOL_MAJOR, EIMP_PROTOCOL_MINOR, 1, 2, 3, 4};
    FUZZ_CHECK(ask(self, 1, payload, sizeof payload) == EIMP_OK);
}

/* Write the head's own snapshot back, changed a little, as a host would. */
static void write_snapshot(host *self, fuzz_input *input) {
    uint8_t payload[EIMP_FRAME_MAX_PAYLOAD];
    eimp_config config;
    uint32_t size;
    uint8_t *bytes = fuzz_save(self->owner.head, &size);
    eimp_get_config(self->owner.head, &config);
    for (uint8_t changes = fuzz_u8(input) % 8; changes > 0; changes--) {
        const uint32_t at = fuzz_u16(input) % size;
        bytes[at] = fuzz_u8(input);
    }
    fuzz_mend_snapshot(bytes, size);
    fuzz_put_u32(payload, size);
    fuzz_put_u32(payload + 4, eimp_crc32(0, bytes, size));
    fuzz_put_u32(payload + 8, config.dim);
    fuzz_put_u32(payload + 12, config.budget);
    payload[16] = FUZZ_BACKBONE_BYTES;
    payload[17] = 0;
    payload[18] = (uint8_t)config.max_proxies;
    payload[19] = 0;
    payload[20] = config.undo;
    int status = ask(self, 18, payload, 21);
    for (uint32_t done = 0, part; status == EIMP_OK && done < size; done += part) {
        part = size - done < 80 ? size - done : 80;
        fuzz_put_u32(payload, done);
        memcpy(payload + 4, bytes + done, part);
        status = ask(self, 19, payload, 4 + part);
    }
    if (status == EIMP_OK) (void)ask(self, 21, payload, 0);
    free(bytes);
}

/* Stage an embedding and use it: the command's first bytes are the checksum that it must have. */
static void staged(host *self, fuzz_input *input) {
    uint8_t embedding[2 + 2 * FUZZ_DIM] = {0, 0};
    uint8_t payload[4 + 33];
    const uint8_t what = fuzz_u8(input);
    fuzz_bytes(input, embedding + 2, 2 * FUZZ_DIM);
    if (what & 0x80) embedding[2] = 1; /* not all zeros */
    (void)ask(self, 3, embedding, sizeof embedding);
    fuzz_put_u32(payload, eimp_crc32(0, embedding + 2, 2 * FUZZ_DIM));
    if (what & 1) {
        const uint32_t length = 1 + what / 2 % 16;
        payload[4] = (uint8_t)length;
        fuzz_bytes(input, payload + 5, length);
        (void)ask(self, 4, payload, 5 + length);
    } else if (what & 2) {
        (void)ask(self, 5, payload, 4);
    } else {
        payload[4] = payload[5] = payload[7] = 0;
        payload[6] = what;
        (void)ask(self, 6, payload, 8);
    }
}

static void step(host *self, fuzz_input *input) {
    uint8_t payload[257];
    const uint8_t kind = fuzz_u8(input) % (STEPS + 3); /* commands more often than the rest */
    const int is_plain = kind != STEP_SNAPSHOT && kind != STEP_STAGED && kind != STEP_REPEAT;
    const uint8_t command = is_plain ? fuzz_u8(input) : 0;
    uint32_t count = is_plain ? fuzz_u8(input) : 0;
    if (count > self->config.max_payload) count = self->config.max_payload;
    if (count > input->left) count = (uint32_t)input->left;
    fuzz_bytes(input, payload, count);
    switch (kind) {
    case STEP_RAW:
        payload[count] = 0; /* whatever was begun ends here, and the next request is answered alone */
        (void)give(self, payload, count + 1);
        self->request_bytes = 0;
        break;
    case STEP_REPEAT: repeat(self); break;
    case STEP_DAMAGED:
        encode(self, command % 32, (uint16_t)(self->sequence + 1), payload, count);
        self->request[1 + command % (self->request_bytes - 2)] ^= (uint8_t)(1u << command % 8);
        (void)give(self, self->request, self->request_bytes);
        self->request_bytes = 0;
        break;
    case STEP_OUT_OF_ORDER:
        encode(self, command % 32, (uint16_t)(self->sequence + fuzz_u16(input)), payload, count);
        (void)give(self, self->request, self->request_bytes);
        self->request_bytes = 0;
        self->sequence = self->rpc.sequence;
        break;
    case STEP_SNAPSHOT: write_snapshot(self, input); break;
    case STEP_STAGED: staged(self, input); break;
    default: (void)ask(self, command % 32, payload, count); break;
    }
}

static const eimp_rpc_resources resources = {.arena_bytes = 1, .image_bytes = 2};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static host self;
    fuzz_input input = {data, size};
    const uint8_t flags = fuzz_u8(&input);
    memset(&self, 0, sizeof self);
    self.owner = fuzz_head_new((flags & 16) != 0);
    if (flags & 2) fuzz_teach(&self.owner, 9);
    flash_sim_init(&self.flash, 8, 0xFF, FLASH_SECTOR, 1);
    FUZZ_CHECK(eimp_store_mount(&self.store, &self.flash.config) == EIMP_OK);
    self.config = (eimp_rpc_config){.context = &self,
                                    .head = self.owner.head,
                                    .store = flags & 1 ? &self.store : NULL,
                                    .send = take_reply,
                                    .counter = flags & 8 ? tick : NULL,
                                    .stack_bytes = flags & 8 ? tick : NULL,
                                    .milliseconds = flags & 8 ? tick : NULL,
                                    .reboot = flags & 8 ? reboot : NULL,
                                    .resources = flags & 8 ? &resources : NULL,
                                    .name = "fuzz",
                                    .max_payload = flags & 4 ? 96 : 256,
                                    .counter_unit = EIMP_COUNT_INSTRUCTIONS};
    const size_t bytes = eimp_rpc_size(&self.config);
    uint32_t *buffer = malloc(bytes);
    self.max_frame = EIMP_FRAME_BYTES((uint32_t)self.config.max_payload);
    self.parsed = malloc(self.max_frame);
    self.request = malloc(LINE_BYTES);
    FUZZ_CHECK(buffer != NULL && self.parsed != NULL && self.request != NULL);
    eimp_frame_parser_init(&self.parser, self.parsed, self.max_frame);
    FUZZ_CHECK(eimp_rpc_init(&self.rpc, &self.config, buffer, bytes) == EIMP_OK);
    if (flags & 16) hello(&self);
    while (input.left) step(&self, &input);
    FUZZ_CHECK(self.flash.violation == NULL);
    fuzz_check_head(self.owner.head);
    free(self.request);
    free(self.parsed);
    free(buffer);
    fuzz_head_free(&self.owner);
    return 0;
}
