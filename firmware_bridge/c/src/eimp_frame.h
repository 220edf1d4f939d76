/* eimp_frame: messages on a serial line that loses, doubles and flips bytes.
 *
 * A frame is a header of EIMP_FRAME_HEADER_BYTES, a payload and its CRC-32 (little-endian), encoded by COBS (Cheshire
 * and Baker 1999), so that the byte 0 occurs nowhere inside, between two bytes 0. Whatever a line does to a frame, the
 * next 0 begins afresh: a damaged frame costs itself and nothing after it. docs/PROTOCOL.md has the bytes.
 *
 *     static uint8_t bytes[EIMP_FRAME_BYTES(256)];
 *     static eimp_frame_parser parser;
 *     eimp_frame_parser_init(&parser, bytes, sizeof bytes);
 *     ...
 *     const int32_t length = eimp_frame_receive(&parser, byte);
 *     if (length > 0) { the frame is bytes[0] to bytes[length - 1], without its CRC }
 */
#ifndef EIMP_FRAME_H
#define EIMP_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "eimp_protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a buffer for frames with a payload of at most so many bytes. */
#define EIMP_FRAME_BYTES(payload) (EIMP_FRAME_HEADER_BYTES + (payload) + EIMP_FRAME_CRC_BYTES)

/* Sends bytes. Takes all of them before it returns; it cannot fail, for what is lost is asked for again. */
typedef void (*eimp_send_fn)(void *context, const uint8_t *bytes, uint32_t count);

/* The caller's. Its fields are not for others. */
typedef struct eimp_frame_parser {
    uint8_t *buffer;
    uint32_t capacity;
    uint32_t length;  /* bytes decoded so far */
    uint8_t left;     /* bytes until the next code byte */
    uint8_t zero_due; /* 1 when a 0 stands before what the next code byte begins */
    uint8_t begun;    /* 1 from the first byte after a 0 */
    uint8_t broken;   /* 1 when this frame cannot be whole any more, until the next 0 */
} eimp_frame_parser;

/* Begin. buffer: `capacity` bytes, the caller's for as long as the parser is used; EIMP_FRAME_BYTES says how many. */
void eimp_frame_parser_init(eimp_frame_parser *parser, uint8_t *buffer, uint32_t capacity);

/* Take one byte from the line. Returns 0 while nothing has ended; the length of a whole frame, header and payload,
 * which lies in the buffer until the next call; or EIMP_E_CORRUPT where a frame ended that is damaged, too short or too
 * long for the buffer. Zeros between frames are nothing. Any byte may come at any time. */
int32_t eimp_frame_receive(eimp_frame_parser *parser, uint8_t byte);

/* Send a frame of `length` bytes, header and payload. frame: has room for EIMP_FRAME_CRC_BYTES more, which are
 * overwritten. Calls `send` several times, with bytes of `frame` and with single bytes. */
void eimp_frame_send(uint8_t *frame, uint32_t length, eimp_send_fn send, void *context);

#ifdef __cplusplus
}
#endif
#endif
