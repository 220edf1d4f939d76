/* The kernel for AVX-512 with VNNI: 64 components at a time; what a mask leaves out is not read.
 *
 * VNNI multiplies unsigned by signed bytes: a row's byte r enters as r + 128 (its top bit flipped), and 128 times the
 * vector's sum is taken off at the end. Bounds: 255 * 128 * 4096 = 133,693,440 and 128 * 128 * 4096 = 67,108,864 add up
 * to less than 2^31, and the form of the instruction that does not saturate is used. */
#include "eimp_kernels_internal.h"

#if EIMP_KERNELS_CHOSEN_AT_RUN_TIME && defined(__x86_64__)

#include <immintrin.h>

/* Compiled for these instructions whatever the compiler's flags say. */
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define AVX512_INLINE static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vnni")))

/* The next components, of which `left` are left, at least one; zeros beyond. */
AVX512_INLINE __m512i load(const int8_t *from, uint32_t left) {
    const __mmask64 mask = left < 64 ? ~(__mmask64)0 >> (64 - left) : ~(__mmask64)0;
    return _mm512_maskz_loadu_epi8(mask, from);
}

/* A row's zeros beyond its end become 128 and meet zeros of the vector. */
AVX512_INLINE __m512i dot(__m512i sum, __m512i row, __m512i part) {
    return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(row, _mm512_set1_epi8(-128)), part);
}

AVX512_INLINE __m512i one_row(const int8_t *row, const int8_t *vector, uint32_t dim) {
    __m512i sum = _mm512_setzero_si512();
    uint32_t j = 0;
    for (; dim - j >= 64; j += 64) {
        sum = dot(sum, _mm512_loadu_si512(row + j), _mm512_loadu_si512(vector + j));
    }
    if (j < dim) {
        sum = dot(sum, load(row + j, dim - j), load(vector + j, dim - j));
    }
    return sum;
}

AVX512_INLINE void four_rows(const int8_t *rows, size_t stride, const int8_t *vector, uint32_t dim, __m512i sums[4]) {
    const int8_t *row_1 = rows + stride, *row_2 = row_1 + stride, *row_3 = row_2 + stride;
    __m512i sum_0 = _mm512_setzero_si512(), sum_1 = sum_0, sum_2 = sum_0, sum_3 = sum_0;
    uint32_t j = 0;
    for (; dim - j >= 64; j += 64) {
        const __m512i part = _mm512_loadu_si512(vector + j);
        sum_0 = dot(sum_0, _mm512_loadu_si512(rows + j), part);
        sum_1 = dot(sum_1, _mm512_loadu_si512(row_1 + j), part);
        sum_2 = dot(sum_2, _mm512_loadu_si512(row_2 + j), part);
        sum_3 = dot(sum_3, _mm512_loadu_si512(row_3 + j), part);
    }
    if (j < dim) {
        const __m512i part = load(vector + j, dim - j);
        sum_0 = dot(sum_0, load(rows + j, dim - j), part);
        sum_1 = dot(sum_1, load(row_1 + j, dim - j), part);
        sum_2 = dot(sum_2, load(row_2 + j, dim - j), part);
        sum_3 = dot(sum_3, load(row_3 + j, dim - j), part);
    }
    sums[0] = sum_0, sums[1] = sum_1, sums[2] = sum_2, sums[3] = sum_3;
}

/* The sum of the lanes of each of the four. */
AVX512_INLINE __m128i fold(const __m512i sums[4]) {
    const __m512i low = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]),
                                         _mm512_unpackhi_epi32(sums[0], sums[1]));
    const __m512i high = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]),
                                          _mm512_unpackhi_epi32(sums[2], sums[3]));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* What the flipped top bits add to every dot product. */
AVX512_INLINE int32_t surplus_of(const int8_t *vector, uint32_t dim) {
    const __m512i flip = _mm512_set1_epi8(-128);
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t j = 0; j < dim; j += 64) {
        sum = _mm512_dpbusd_epi32(sum, flip, load(vector + j, dim - j));
    }
    return _mm512_reduce_add_epi32(sum);
}

AVX512 void eimp_dots_vnni(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                           int32_t *out) {
    const int32_t surplus = surplus_of(vector, dim);
    const int in_turn = eimp_rows_in_turn(stride, count, dim);
    __m512i sums[4];
    for (; count >= 4; count -= 4, rows += 4 * stride, out += 4) {
        if (in_turn) {
            sums[0] = one_row(rows, vector, dim);
            sums[1] = one_row(rows + stride, vector, dim);
            sums[2] = one_row(rows + 2 * stride, vector, dim);
            sums[3] = one_row(rows + 3 * stride, vector, dim);
        } else {
            four_rows(rows, stride, vector, dim, sums);
        }
        _mm_storeu_si128((__m128i *)out, _mm_sub_epi32(fold(sums), _mm_set1_epi32(surplus)));
    }
    for (; count != 0; count--, rows += stride, out++) {
        *out = _mm512_reduce_add_epi32(one_row(rows, vector, dim)) - surplus;
    }
}

#else
typedef int eimp_kernels_avx512_not_here; /* ISO C wants a declaration */
#endif
