/* The kernel for SMLAD, which adds two 16 x 16 bit products, and SXTB16, which widens two of a word's four bytes. */
#include "eimp_kernels_internal.h"

#if EIMP_HAS_DSP

#include <string.h>

/* Bytes 0 and 2 of a word, and bytes 1 and 3, as two 16-bit numbers. In assembly, because GCC 12 spends an instruction
 * of its own on the rotation that SXTB16 has for nothing. */
static inline uint32_t even_bytes(uint32_t word) {
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}

static inline uint32_t odd_bytes(uint32_t word) {
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

static inline int32_t add_products(uint32_t pair_a, uint32_t pair_b, int32_t sum) {
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(pair_a), "r"(pair_b));
    return sum;
}

/* Four bytes from any address; one LDR where the processor takes it. */
static inline uint32_t word_at(const int8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline int32_t add_word(const int8_t *row, uint32_t even, uint32_t odd, int32_t sum) {
    const uint32_t word = word_at(row);
    return add_products(odd_bytes(word), odd, add_products(even_bytes(word), even, sum));
}

void eimp_dots_dsp(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                   int32_t *out) {
    const int8_t *const end = vector + (dim & ~(uint32_t)3);
    while (count != 0) {
        const uint32_t several = count >= 4 ? 4 : 1;
        const int8_t *v = vector;
        const int8_t *row_a = rows;
        int32_t sum_a = 0;
        if (several == 4) {
            const int8_t *row_b = row_a + stride;
            const int8_t *row_c = row_b + stride;
            const int8_t *row_d = row_c + stride;
            int32_t sum_b = 0;
            int32_t sum_c = 0;
            int32_t sum_d = 0;
            while (v != end) {
                const uint32_t word = word_at(v);
                const uint32_t even = even_bytes(word);
                const uint32_t odd = odd_bytes(word);
                sum_a = add_word(row_a, even, odd, sum_a);
                sum_b = add_word(row_b, even, odd, sum_b);
                sum_c = add_word(row_c, even, odd, sum_c);
                sum_d = add_word(row_d, even, odd, sum_d);
                v += 4;
                row_a += 4;
                row_b += 4;
                row_c += 4;
                row_d += 4;
            }
            out[1] = sum_b;
            out[2] = sum_c;
            out[3] = sum_d;
        } else {
            while (v != end) {
                const uint32_t word = word_at(v);
                sum_a = add_word(row_a, even_bytes(word), odd_bytes(word), sum_a);
                v += 4;
                row_a += 4;
            }
        }
        out[0] = sum_a;
        for (uint32_t i = 0; i < several; i++) {
            for (uint32_t j = dim & ~(uint32_t)3; j < dim; j++) {
                out[i] += rows[i * stride + j] * vector[j];
            }
        }
        out += several;
        rows += several * stride;
        count -= several;
    }
}

#else

typedef int eimp_no_dsp_here; /* C has no empty files */

#endif
