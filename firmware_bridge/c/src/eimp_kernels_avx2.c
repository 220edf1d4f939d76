/* The kernels of 256 bits: AVX2, and AVX2 with VNNI.
 *
 * There are no masks: the last step of a row ends at the row's end, and the vector's part for it has zeros where the
 * components were had before. A row shorter than one step goes to plain C. */
#include "eimp_kernels_internal.h"

#if EIMP_KERNELS_CHOSEN_AT_RUN_TIME && defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "eimp_protocol.h"

/* Compiled for these instructions whatever the compiler's flags say. */
#ifndef EIMP_AVXVNNI_TARGET
#define EIMP_AVXVNNI_TARGET "avx2,avxvnni"
#endif
#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))
#define AVXVNNI __attribute__((target(EIMP_AVXVNNI_TARGET)))
#define AVXVNNI_INLINE static inline __attribute__((always_inline, target(EIMP_AVXVNNI_TARGET)))

/* Components of one step. */
enum { WIDE = 16, BYTES = 32 };

/* The sum of the lanes of each of the four. */
AVX2_INLINE __m128i fold(const __m256i sums[4]) {
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

AVX2_INLINE int32_t fold_one(__m256i sum) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i sums[4] = {sum, zero, zero, zero};
    return _mm_cvtsi128_si32(fold(sums));
}

/* ---- AVX2: components widened to 16 bits. Two products, at most 2 * 128 * 128, are added in 32 bits and cannot
 * saturate. ---- */

AVX2_INLINE __m256i dot_wide(__m256i sum, const int8_t *row, const int16_t *part) {
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)row));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(wide, _mm256_load_si256((const __m256i *)part)));
}

/* wide: the vector's components but for the last step's, then those of the last step. */
AVX2_INLINE __m256i one_row_wide(const int8_t *row, const int16_t *wide, uint32_t dim) {
    __m256i sum = _mm256_setzero_si256();
    uint32_t j = 0;
    for (; dim - j > WIDE; j += WIDE) {
        sum = dot_wide(sum, row + j, wide + j);
    }
    return dot_wide(sum, row + dim - WIDE, wide + j);
}

AVX2_INLINE void four_rows_wide(const int8_t *rows, size_t stride, const int16_t *wide, uint32_t dim,
                                __m256i sums[4]) {
    const int8_t *row_1 = rows + stride, *row_2 = row_1 + stride, *row_3 = row_2 + stride;
    __m256i sum_0 = _mm256_setzero_si256(), sum_1 = sum_0, sum_2 = sum_0, sum_3 = sum_0;
    uint32_t j = 0;
    for (; dim - j > WIDE; j += WIDE) {
        sum_0 = dot_wide(sum_0, rows + j, wide + j);
        sum_1 = dot_wide(sum_1, row_1 + j, wide + j);
        sum_2 = dot_wide(sum_2, row_2 + j, wide + j);
        sum_3 = dot_wide(sum_3, row_3 + j, wide + j);
    }
    sums[0] = dot_wide(sum_0, rows + dim - WIDE, wide + j);
    sums[1] = dot_wide(sum_1, row_1 + dim - WIDE, wide + j);
    sums[2] = dot_wide(sum_2, row_2 + dim - WIDE, wide + j);
    sums[3] = dot_wide(sum_3, row_3 + dim - WIDE, wide + j);
}

/* 8 KB of stack: the vector is widened once, not once for every four rows. */
AVX2 void eimp_dots_avx2(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                         int32_t *out) {
    int16_t wide[EIMP_MAX_DIM] __attribute__((aligned(32)));
    __m256i sums[4];
    uint32_t had = 0;
    if (dim < WIDE) {
        eimp_dots_plain(rows, stride, count, vector, dim, out);
        return;
    }
    for (; dim - had > WIDE; had += WIDE) {
        _mm256_store_si256((__m256i *)(wide + had),
                           _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(vector + had))));
    }
    for (uint32_t i = 0; i < WIDE; i++) {
        const uint32_t j = dim - WIDE + i;
        wide[had + i] = j < had ? 0 : vector[j];
    }
    const int in_turn = eimp_rows_in_turn(stride, count, dim);
    for (; count >= 4; count -= 4, rows += 4 * stride, out += 4) {
        if (in_turn) {
            sums[0] = one_row_wide(rows, wide, dim);
            sums[1] = one_row_wide(rows + stride, wide, dim);
            sums[2] = one_row_wide(rows + 2 * stride, wide, dim);
            sums[3] = one_row_wide(rows + 3 * stride, wide, dim);
        } else {
            four_rows_wide(rows, stride, wide, dim, sums);
        }
        _mm_storeu_si128((__m128i *)out, fold(sums));
    }
    for (; count != 0; count--, rows += stride, out++) {
        *out = fold_one(one_row_wide(rows, wide, dim));
    }
}

#if EIMP_HAS_AVXVNNI

/* ---- AVX2 with VNNI: bytes, the row's as r + 128; bounds as in eimp_kernels_avx512.c. ---- */

AVXVNNI_INLINE __m256i dot_bytes(__m256i sum, const int8_t *row, __m256i part) {
    const __m256i flipped = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)row), _mm256_set1_epi8(-128));
    return _mm256_dpbusd_avx_epi32(sum, flipped, part);
}

AVXVNNI_INLINE __m256i one_row_bytes(const int8_t *row, const int8_t *vector, __m256i last, uint32_t dim) {
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t j = 0; dim - j > BYTES; j += BYTES) {
        sum = dot_bytes(sum, row + j, _mm256_loadu_si256((const __m256i *)(vector + j)));
    }
    return dot_bytes(sum, row + dim - BYTES, last);
}

AVXVNNI_INLINE void four_rows_bytes(const int8_t *rows, size_t stride, const int8_t *vector, __m256i last,
                                    uint32_t dim, __m256i sums[4]) {
    const int8_t *row_1 = rows + stride, *row_2 = row_1 + stride, *row_3 = row_2 + stride;
    __m256i sum_0 = _mm256_setzero_si256(), sum_1 = sum_0, sum_2 = sum_0, sum_3 = sum_0;
    for (uint32_t j = 0; dim - j > BYTES; j += BYTES) {
        const __m256i part = _mm256_loadu_si256((const __m256i *)(vector + j));
        sum_0 = dot_bytes(sum_0, rows + j, part);
        sum_1 = dot_bytes(sum_1, row_1 + j, part);
        sum_2 = dot_bytes(sum_2, row_2 + j, part);
        sum_3 = dot_bytes(sum_3, row_3 + j, part);
    }
    sums[0] = dot_bytes(sum_0, rows + dim - BYTES, last);
    sums[1] = dot_bytes(sum_1, row_1 + dim - BYTES, last);
    sums[2] = dot_bytes(sum_2, row_2 + dim - BYTES, last);
    sums[3] = dot_bytes(sum_3, row_3 + dim - BYTES, last);
}

AVXVNNI void eimp_dots_avxvnni(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                               int32_t *out) {
    int8_t end[BYTES];
    __m256i sums[4];
    if (dim < BYTES) {
        eimp_dots_plain(rows, stride, count, vector, dim, out);
        return;
    }
    const uint32_t had = (dim - 1) / BYTES * BYTES;
    memset(end, 0, sizeof end);
    memcpy(end + (BYTES - (dim - had)), vector + had, dim - had);
    const __m256i last = _mm256_loadu_si256((const __m256i *)end);
    const __m256i flip = _mm256_set1_epi8(-128);
    __m256i sum = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), flip, last);
    for (uint32_t j = 0; j < had; j += BYTES) {
        sum = _mm256_dpbusd_avx_epi32(sum, flip, _mm256_loadu_si256((const __m256i *)(vector + j)));
    }
    const int32_t surplus = fold_one(sum); /* what the flipped top bits add to every dot product */
    const int in_turn = eimp_rows_in_turn(stride, count, dim);
    for (; count >= 4; count -= 4, rows += 4 * stride, out += 4) {
        if (in_turn) {
            sums[0] = one_row_bytes(rows, vector, last, dim);
            sums[1] = one_row_bytes(rows + stride, vector, last, dim);
            sums[2] = one_row_bytes(rows + 2 * stride, vector, last, dim);
            sums[3] = one_row_bytes(rows + 3 * stride, vector, last, dim);
        } else {
            four_rows_bytes(rows, stride, vector, last, dim, sums);
        }
        _mm_storeu_si128((__m128i *)out, _mm_sub_epi32(fold(sums), _mm_set1_epi32(surplus)));
    }
    for (; count != 0; count--, rows += stride, out++) {
        *out = fold_one(one_row_bytes(rows, vector, last, dim)) - surplus;
    }
}

#endif

#else
typedef int eimp_kernels_avx2_not_here; /* ISO C wants a declaration */
#endif
