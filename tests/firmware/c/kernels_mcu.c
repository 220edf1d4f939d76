#include "kernels_mcu.h"

#include "eimp_kernels.h"

#define UNTOUCHED 0x5A5A5A5A

enum contents { RANDOM, MOST_NEGATIVE, MOST_POSITIVE, OPPOSITE, CONTENTS };

static int8_t value_of(uint32_t contents, int is_row, uint32_t *seed) {
    switch (contents) {
    case MOST_NEGATIVE:
        return INT8_MIN;
    case MOST_POSITIVE:
        return INT8_MAX;
    case OPPOSITE:
        return is_row ? INT8_MIN : INT8_MAX;
    default:
        *seed = *seed * 1664525u + 1013904223u;
        return (int8_t)((int32_t)(*seed >> 24) - 128);
    }
}

/* 1 when equal, 0 when not; 2 when this machine has no room for it. */
static uint32_t check_shape(uint32_t dim, uint32_t count, uint32_t stride, uint32_t remainder, uint32_t contents) {
    const uint32_t bytes = count == 0 ? 0 : (count - 1) * stride + dim;
    int8_t *const vector = check_vector(dim, remainder);
    int8_t *const rows = check_rows(bytes);
    int32_t out[CHECK_ROWS + 1];
    uint32_t seed = dim * 64u + count;
    if (vector == NULL || rows == NULL) {
        return 2;
    }
    for (uint32_t j = 0; j < dim; j++) {
        vector[j] = value_of(contents, 0, &seed);
    }
    for (uint32_t j = 0; j < bytes; j++) {
        rows[j] = value_of(contents, 1, &seed);
    }
    for (uint32_t i = 0; i <= CHECK_ROWS; i++) {
        out[i] = UNTOUCHED;
    }
    eimp_dots(rows, stride, count, vector, dim, out);
    for (uint32_t i = 0; i < count; i++) {
        int32_t sum = 0;
        for (uint32_t j = 0; j < dim; j++) {
            sum += rows[i * stride + j] * vector[j];
        }
        if (out[i] != sum) {
            return 0;
        }
    }
    for (uint32_t i = count; i <= CHECK_ROWS; i++) {
        if (out[i] != UNTOUCHED) {
            return 0;
        }
    }
    return 1;
}

uint32_t check_kernels(void) {
    static const uint32_t large[] = {63, 64, 100, 128, 255, 256, 257, 384, 1000, 1024, 1280, 4095, 4096};
    uint32_t compared = 0;
    for (uint32_t dim = 1; dim <= 40; dim++) {
        for (uint32_t count = 0; count <= CHECK_ROWS; count++) {
            for (uint32_t gap = 0; gap <= 8; gap += 4) {
                const uint32_t found = check_shape(dim, count, ((dim + 3u) & ~3u) + gap, dim + count, RANDOM);
                if (found == 0) {
                    return 0;
                }
                compared += found == 1;
            }
        }
    }
    for (uint32_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        for (uint32_t count = 1; count <= 5; count += 2) {
            for (uint32_t contents = RANDOM; contents < CONTENTS; contents++) {
                const uint32_t found = check_shape(large[i], count, (large[i] + 3u) & ~3u, i + count, contents);
                if (found == 0) {
                    return 0;
                }
                compared += found == 1;
            }
        }
    }
    return compared;
}
