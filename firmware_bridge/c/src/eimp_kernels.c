/* The kernel in plain C, and the choice of one where it is made when compiling. */
#include "eimp_kernels_internal.h"

/* One column of two rows: the vector's component is loaded once for both. */
#define EIMP_COLUMN_OF_TWO()                                                                                           \
    do {                                                                                                               \
        const int32_t component = vector[column];                                                                      \
        sum_a += row_a[column] * component;                                                                            \
        sum_b += row_b[column] * component;                                                                            \
        column++;                                                                                                      \
    } while (0)

/* Two rows at a time: more sums and pointers than that do not fit the eight low registers of a Cortex-M0. */
void eimp_dots_plain(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                     int32_t *out) {
    const uint32_t fours = dim & ~(uint32_t)3;
    while (count != 0) {
        /* A last row without a neighbour is its own: the sum is formed twice and written once. */
        const int8_t *row_a = rows;
        const int8_t *row_b = count > 1 ? rows + stride : rows;
        int32_t sum_a = 0;
        int32_t sum_b = 0;
        uint32_t column = 0;
        while (column < fours) {
            EIMP_COLUMN_OF_TWO();
            EIMP_COLUMN_OF_TWO();
            EIMP_COLUMN_OF_TWO();
            EIMP_COLUMN_OF_TWO();
        }
        while (column < dim) {
            EIMP_COLUMN_OF_TWO();
        }
        out[0] = sum_a;
        if (count == 1) {
            return;
        }
        out[1] = sum_b;
        out += 2;
        rows += 2 * stride;
        count -= 2;
    }
}

#if !EIMP_KERNELS_CHOSEN_AT_RUN_TIME

void eimp_dots(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out) {
#if EIMP_HAS_MVE
    eimp_dots_mve(rows, stride, count, vector, dim, out);
#elif EIMP_HAS_DSP
    eimp_dots_dsp(rows, stride, count, vector, dim, out);
#else
    eimp_dots_plain(rows, stride, count, vector, dim, out);
#endif
}

const char *eimp_kernels_name(void) {
#if EIMP_HAS_MVE
    return "helium mve";
#elif EIMP_HAS_DSP
    return "armv7e-m dsp";
#else
    return "plain c";
#endif
}

#endif
