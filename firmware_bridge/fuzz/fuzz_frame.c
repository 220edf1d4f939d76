/* Frames: any bytes may come; what was sent is received, behind whatever came before.
 *
 * Input: a quarter of the receiver's payload, then bytes that are taken from the line as they are and, once more, sent
 * as a frame. */
#include <stdlib.h>
#include <string.h>

#include "eimp_frame.h"
#include "fuzz_support.h"

typedef struct line {
    uint8_t *bytes;
    size_t count, room;
} line;

static void put(void *context, const uint8_t *bytes, uint32_t count) {
    line *to = context;
    FUZZ_CHECK(count <= to->room - to->count);
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

/* Feed all; the length of the frame that the last byte ended. */
static int32_t feed(eimp_frame_parser *parser, const uint8_t *bytes, size_t count, uint32_t capacity) {
    int32_t status = 0;
    for (size_t i = 0; i < count; i++) {
        status = eimp_frame_receive(parser, bytes[i]);
        FUZZ_CHECK(status == 0 || status == EIMP_E_CORRUPT || (bytes[i] == 0 && status > 0));
        FUZZ_CHECK(status <= 0 || ((uint32_t)status + EIMP_FRAME_CRC_BYTES <= capacity &&
                                   (uint32_t)status >= EIMP_FRAME_HEADER_BYTES));
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    const uint32_t capacity = EIMP_FRAME_BYTES(4u * fuzz_u8(&input));
    const uint32_t length = (uint32_t)input.left;
    uint8_t *buffer = malloc(capacity), *frame = malloc(length + EIMP_FRAME_CRC_BYTES);
    line sent = {malloc(2u * length + 64u), 0, 2u * length + 64u};
    eimp_frame_parser parser;
    FUZZ_CHECK(buffer != NULL && frame != NULL && sent.bytes != NULL);

    eimp_frame_parser_init(&parser, buffer, capacity);
    feed(&parser, input.data, length, capacity);
    if (length >= EIMP_FRAME_HEADER_BYTES) {
        memcpy(frame, input.data, length);
        eimp_frame_send(frame, length, put, &sent);
        FUZZ_CHECK(sent.bytes[0] == 0 && sent.bytes[sent.count - 1] == 0);
        FUZZ_CHECK(memchr(sent.bytes + 1, 0, sent.count - 2) == NULL);
        FUZZ_CHECK(sent.count <= length + EIMP_FRAME_CRC_BYTES + 3 + (length + EIMP_FRAME_CRC_BYTES) / 254);
        const int32_t received = feed(&parser, sent.bytes, sent.count, capacity);
        if (length + EIMP_FRAME_CRC_BYTES <= capacity) {
            FUZZ_CHECK(received == (int32_t)length && memcmp(buffer, input.data, length) == 0);
        } else {
            FUZZ_CHECK(received == EIMP_E_CORRUPT);
        }
    }
    free(sent.bytes);
    free(frame);
    free(buffer);
    return 0;
}
