/* What the files of the serial protocol share. Not for users: everything here may change with any version. */
#ifndef EIMP_RPC_INTERNAL_H
#define EIMP_RPC_INTERNAL_H

#include "eimp_rpc.h"

#if EIMP_PROTOCOL_REVISION != 2
#error "eimp_protocol.h is of another version than this file: take both from one release, or run the generator"
#endif

static inline uint32_t eimp_get_u16(const uint8_t *bytes) { return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8; }
static inline uint32_t eimp_get_u32(const uint8_t *bytes) {
    return eimp_get_u16(bytes) | eimp_get_u16(bytes + 2) << 16;
}

/* Where a reply is being written. Each writes at the place and moves it on. */
typedef struct eimp_out {
    uint8_t *at;
} eimp_out;

void eimp_put_u8(eimp_out *out, uint32_t value);
void eimp_put_u16(eimp_out *out, uint32_t value);
void eimp_put_u32(eimp_out *out, uint32_t value);
void eimp_put_bytes(eimp_out *out, const void *bytes, uint32_t count);

/* A label's bytes on the wire: length and text without the zeros. */
static inline uint32_t eimp_label_wire_bytes(const eimp_label *label) { return 1u + (label->bytes[0] & 0x7Fu); }

/* Measures an operation: eimp_rpc_measure(rpc, EIMP_OPERATION_..., start) after it, with what eimp_rpc_start gave. */
uint32_t eimp_rpc_start(const eimp_rpc *rpc);
void eimp_rpc_measure(eimp_rpc *rpc, uint32_t operation, uint32_t start);

/* The staged embedding, when its CRC-32 is the one that the host says; NULL otherwise. */
const int16_t *eimp_rpc_embedding(eimp_rpc *rpc, const uint8_t *wanted_crc);

/* A command: the request's payload, of a length that was checked; writes the reply's payload, which has room for
 * config->max_payload bytes. Returns EIMP_OK or a negative code; the reply is then empty. */
typedef int eimp_rpc_handler(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out);

#define EIMP_DECLARE_HANDLER(NAME, name, id, bytes, tail) eimp_rpc_handler eimp_do_##name;
EIMP_COMMANDS(EIMP_DECLARE_HANDLER)
#undef EIMP_DECLARE_HANDLER

#endif
