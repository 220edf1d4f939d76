/* Frames: COBS and CRC-32, byte by byte. */
#include "eimp_frame.h"

#include "eimp_snapshot.h"

#if EIMP_PROTOCOL_REVISION != 2
#error "eimp_protocol.h is of another version than this file: take both from one release, or run the generator"
#endif

/* A block of COBS is a code byte and at most 254 others; only a shorter one stands for a 0 at its end. */
#define LONGEST_BLOCK 254u

static void restart(eimp_frame_parser *parser) {
    parser->length = 0;
    parser->left = 0;
    parser->zero_due = 0;
    parser->begun = 0;
    parser->broken = 0;
}

static void append(eimp_frame_parser *parser, uint8_t byte) {
    if (parser->length < parser->capacity) {
        parser->buffer[parser->length++] = byte;
    } else {
        parser->broken = 1;
    }
}

static int32_t finish(const eimp_frame_parser *parser) {
    if (parser->broken || parser->left || parser->length < EIMP_FRAME_HEADER_BYTES + EIMP_FRAME_CRC_BYTES) {
        return EIMP_E_CORRUPT;
    }
    const uint32_t length = parser->length - EIMP_FRAME_CRC_BYTES;
    const uint32_t crc = eimp_crc32(0, parser->buffer, length);
    for (uint32_t i = 0; i < EIMP_FRAME_CRC_BYTES; i++) {
        if (parser->buffer[length + i] != (uint8_t)(crc >> (8u * i))) return EIMP_E_CORRUPT;
    }
    return (int32_t)length;
}

void eimp_frame_parser_init(eimp_frame_parser *parser, uint8_t *buffer, uint32_t capacity) {
    parser->buffer = buffer;
    parser->capacity = capacity;
    restart(parser);
}

int32_t eimp_frame_receive(eimp_frame_parser *parser, uint8_t byte) {
    if (byte == 0) {
        const int32_t result = parser->begun ? finish(parser) : 0;
        restart(parser);
        return result;
    }
    parser->begun = 1;
    if (parser->left) {
        parser->left--;
        append(parser, byte);
    } else {
        if (parser->zero_due) append(parser, 0);
        parser->left = (uint8_t)(byte - 1);
        parser->zero_due = byte <= LONGEST_BLOCK;
    }
    return 0;
}

void eimp_frame_send(uint8_t *frame, uint32_t length, eimp_send_fn send, void *context) {
    static const uint8_t delimiter = 0;
    const uint32_t crc = eimp_crc32(0, frame, length);
    for (uint32_t i = 0; i < EIMP_FRAME_CRC_BYTES; i++) frame[length++] = (uint8_t)(crc >> (8u * i));
    send(context, &delimiter, 1);
    for (uint32_t first = 0;;) {
        uint32_t end = first;
        while (end < length && end - first < LONGEST_BLOCK && frame[end]) end++;
        const uint32_t run = end - first;
        const uint8_t code = (uint8_t)(run + 1);
        send(context, &code, 1);
        if (run) send(context, frame + first, run);
        if (end == length) break;
        first = run == LONGEST_BLOCK ? end : end + 1; /* the 0 after a shorter block goes without saying */
    }
    send(context, &delimiter, 1);
}
