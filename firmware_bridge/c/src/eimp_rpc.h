/* eimp_rpc: a head that is taught, asked and saved over a serial line.
 *
 * Bytes from the line go into eimp_rpc_receive, one by one or many at once; replies come out of the config's `send`.
 * Commands, frames and what a host has to do: docs/PROTOCOL.md. A command is done once however often its frame arrives:
 * the last reply is kept and sent again. Nothing here waits, and no command can make the device do anything but answer.
 *
 *     static uint32_t bytes[(EIMP_RPC_BYTES(64, 0, 256) + 3) / 4];
 *     static eimp_rpc rpc;
 *     static const eimp_rpc_config config = {.head = ..., .store = &store, .send = board_send, .max_payload = 256,
 *                                            .name = "kitchen"};
 *     if (eimp_rpc_init(&rpc, &config, bytes, sizeof bytes) == EIMP_OK) {
 *         for (;;) eimp_rpc_receive(&rpc, board_wait_for_byte());
 *     }
 *
 * One eimp_rpc is for one thread at a time; its head and store must not be used by others while eimp_rpc_receive runs.
 * What others do to the head between two calls is fine, but for a host that is reading a snapshot meanwhile: call
 * eimp_rpc_head_changed then. */
#ifndef EIMP_RPC_H
#define EIMP_RPC_H

#include "eimp_frame.h"
#include "eimp_head.h"
#include "eimp_snapshot.h"
#include "eimp_store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the buffer of eimp_rpc_init, as a constant expression: the stage, where an embedding or a backbone's name is
 * put together, a frame that comes and a frame that goes. */
#define EIMP_RPC_STAGE_BYTES(dim, backbone_bytes) \
    (2u * (dim) > (backbone_bytes) ? 2u * (dim) : ((backbone_bytes) + 1u) / 2u * 2u)
#define EIMP_RPC_BYTES(dim, backbone_bytes, max_payload) \
    (EIMP_RPC_STAGE_BYTES(dim, backbone_bytes) + 2u * EIMP_FRAME_BYTES(max_payload))

/* What a program takes of its board, in bytes; 0 where it is not known. */
typedef struct eimp_rpc_resources {
    uint32_t arena_bytes;     /* given to eimp_init */
    uint32_t variables_bytes; /* all variables of the program, the arena and the line's buffer included */
    uint32_t stack_room;      /* set aside for the stack */
    uint32_t image_bytes;     /* the program in flash */
    uint32_t counter_hz;      /* how often `counter` counts in a second; 0 also where it counts no time */
} eimp_rpc_resources;

/* What the line serves. */
typedef struct eimp_rpc_config {
    void *context; /* given to the callbacks */
    eimp_head *head;
    eimp_store *store; /* mounted; NULL: no snapshot can be written, saved or loaded */
    eimp_send_fn send;

    /* Each may be NULL: then the device says that it cannot do this. */
    uint32_t (*counter)(void *context);      /* counts up in counter_unit, wraps at 2^32 */
    uint32_t (*stack_bytes)(void *context);  /* most bytes of stack ever used */
    uint32_t (*milliseconds)(void *context); /* since the start, wraps at 2^32 */
    void (*reboot)(void *context);           /* after the reply was given to `send`; does not return, or returns */

    const eimp_rpc_resources *resources; /* kept, not copied */

    const char *name;      /* of the device, at most EIMP_MAX_NAME_BYTES of UTF-8 are sent; NULL: none */
    uint16_t max_payload;  /* of a frame, EIMP_FRAME_MIN_PAYLOAD to EIMP_FRAME_MAX_PAYLOAD */
    uint8_t counter_unit;  /* enum eimp_counter_unit, of `counter` */
} eimp_rpc_config;

/* How often an operation ran and what it took, in counter_unit. */
typedef struct eimp_rpc_operation {
    uint32_t calls;
    uint32_t last;
    uint32_t longest;
} eimp_rpc_operation;

/* The caller's. Its fields are not for others. */
typedef struct eimp_rpc {
    const eimp_rpc_config *config;
    uint8_t *stage;
    uint8_t *request;
    uint8_t *reply; /* the last one, kept */
    uint32_t stage_bytes;
    uint32_t stage_crc; /* of the embedding, where stage_used */
    uint32_t reply_length;
    uint32_t request_crc; /* of the request that it answers */
    uint32_t pending_crc; /* of the snapshot that is being written */
    uint32_t frames;
    uint32_t damaged;
    uint32_t repeated;
    eimp_frame_parser parser;
    eimp_snapshot snapshot;
    eimp_rpc_operation operations[EIMP_OPERATIONS];
    eimp_label label;  /* of the request at hand */
    uint16_t sequence; /* of the last request */
    uint8_t in_session;
    uint8_t stage_used; /* 1: the stage holds int16 numbers and its CRC is known */
    uint8_t snapshot_open;
    uint8_t pending_known; /* 1: pending_crc is of what the store has begun */
    uint8_t reboot_due;
} eimp_rpc;

/* Bytes that eimp_rpc_init needs for this config: EIMP_RPC_BYTES of what its head was made with. 0 for an impossible
 * config. */
size_t eimp_rpc_size(const eimp_rpc_config *config);

/* Begin to serve; a host has to say hello before anything else.
 * config: kept, not copied. buffer: `bytes` long, 4-byte aligned, the caller's for as long as the line is served.
 * Errors: EIMP_E_ARGUMENT (NULL, misaligned, or eimp_rpc_size is 0), EIMP_E_CAPACITY (too few bytes). */
int eimp_rpc_init(eimp_rpc *rpc, const eimp_rpc_config *config, void *buffer, size_t bytes);

/* Take one byte from the line. When it ends a request, the command is done and its reply sent before this returns.
 * Any byte may come at any time. */
void eimp_rpc_receive(eimp_rpc *rpc, uint8_t byte);

/* The head was changed by something else than this line: a snapshot that a host is reading has to be opened again. */
void eimp_rpc_head_changed(eimp_rpc *rpc);

#ifdef __cplusplus
}
#endif
#endif
