/* The kernel for SMLAD, which adds two 16 x 16 bit products, and SXTB16, which widens two of a word's four bytes. */
#include "eimp_kernels_internal.h"

#if EIMP_HAS_DSP

/* The rows' words are widened as they are read: bytes 0 and 2 by SXTB16, bytes 1 and 3 by SXTB16 with the rotation that
 * it has for nothing, and that GCC 12 spends an instruction on. */
#define EIMP_ADD_WORD(word, sum)                                                                                       \
    "sxtb16 %[half], %[" word "]\n\t"                                                                                  \
    "sxtb16 %[" word "], %[" word "], ror #8\n\t"                                                                      \
    "smlad %[" sum "], %[half], %[even], %[" sum "]\n\t"                                                               \
    "smlad %[" sum "], %[" word "], %[odd], %[" sum "]\n\t"

#define EIMP_WIDEN_VECTOR                                                                                              \
    "sxtb16 %[odd], %[even], ror #8\n\t"                                                                               \
    "sxtb16 %[even], %[even]\n\t"

/* Four columns of four rows. Loads stand side by side because a Cortex-M4 overlaps them then. Where the rows are takes
 * three registers, not four: with the other eleven that is all there is. Two statements, because at -O0 fewer are free. */
#define EIMP_FOUR_COLUMNS_OF_FOUR()                                                                                    \
    do {                                                                                                               \
        __asm__ volatile("ldr %[even], [%[v]], #4\n\t"                                                                 \
                         "ldr %[x], [%[ac], %[stride], lsl #1]\n\t"                                                    \
                         "ldr %[y], [%[bd], %[stride], lsl #1]\n\t" EIMP_WIDEN_VECTOR                                  \
                         EIMP_ADD_WORD("x", "sum_c") EIMP_ADD_WORD("y", "sum_d")                                       \
                         : [v] "+r"(v), [sum_c] "+r"(sum_c), [sum_d] "+r"(sum_d), [even] "=&r"(even),                  \
                           [odd] "=&r"(odd), [x] "=&r"(x), [y] "=&r"(y), [half] "=&r"(half)                            \
                         : [ac] "r"(ac), [bd] "r"(bd), [stride] "r"(stride));                                          \
        __asm__ volatile("ldr %[x], [%[ac]], #4\n\t"                                                                   \
                         "ldr %[y], [%[bd]], #4\n\t"                                                                   \
                         EIMP_ADD_WORD("x", "sum_a") EIMP_ADD_WORD("y", "sum_b")                                       \
                         : [ac] "+r"(ac), [bd] "+r"(bd), [sum_a] "+r"(sum_a), [sum_b] "+r"(sum_b),                     \
                           [x] "=&r"(x), [y] "=&r"(y), [half] "=&r"(half)                                              \
                         : [even] "r"(even), [odd] "r"(odd));                                                          \
    } while (0)

__attribute__((noinline)) static void four_rows(const int8_t *rows, size_t stride, const int8_t *v, const int8_t *end, int32_t *out) {
    const int8_t *ac = rows;
    const int8_t *bd = rows + stride;
    int32_t sum_a = 0;
    int32_t sum_b = 0;
    int32_t sum_c = 0;
    int32_t sum_d = 0;
    uint32_t even, odd, x, y, half;
    while (v != end) {
        EIMP_FOUR_COLUMNS_OF_FOUR();
        EIMP_FOUR_COLUMNS_OF_FOUR();
    }
    out[0] = sum_a;
    out[1] = sum_b;
    out[2] = sum_c;
    out[3] = sum_d;
}

#define EIMP_FOUR_COLUMNS_OF_ONE()                                                                                     \
    __asm__ volatile("ldr %[even], [%[v]], #4\n\t"                                                                     \
                     "ldr %[x], [%[row]], #4\n\t" EIMP_WIDEN_VECTOR EIMP_ADD_WORD("x", "sum")                          \
                     : [v] "+r"(v), [row] "+r"(row), [sum] "+r"(sum), [even] "=&r"(even), [odd] "=&r"(odd),            \
                       [x] "=&r"(x), [half] "=&r"(half))

static int32_t one_row(const int8_t *row, const int8_t *v, const int8_t *end) {
    int32_t sum = 0;
    uint32_t even, odd, x, half;
    while (v != end) {
        EIMP_FOUR_COLUMNS_OF_ONE();
        EIMP_FOUR_COLUMNS_OF_ONE();
    }
    return sum;
}

void eimp_dots_dsp(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                   int32_t *out) {
    const uint32_t eights = dim & ~(uint32_t)7;
    const int8_t *const end = vector + eights;
    uint32_t i = 0;
    __asm__ volatile("" ::: "memory"); /* what was stored is in memory before the assembly reads it */
    for (; count - i >= 4; i += 4) {
        four_rows(rows + i * stride, stride, vector, end, out + i);
    }
    for (; i < count; i++) {
        out[i] = one_row(rows + i * stride, vector, end);
    }
    for (uint32_t j = eights; j < dim; j++) {
        for (i = 0; i < count; i++) {
            out[i] += rows[i * stride + j] * vector[j];
        }
    }
}

#else

typedef int eimp_no_dsp_here; /* C has no empty files */

#endif
