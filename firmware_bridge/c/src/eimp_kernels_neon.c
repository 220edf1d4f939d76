/* The kernels for 64-bit Arm: NEON with dot-product instructions (Cortex-A55, A75 and later), and NEON without.
 *
 * The last step of a row ends at the row's end, and the vector's part for it has zeros where the components were had
 * before. A row shorter than one step goes to plain C. */
#include "eimp_kernels_internal.h"

#if EIMP_KERNELS_CHOSEN_AT_RUN_TIME && defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

/* Compiled for these instructions whatever the compiler's flags say. */
#if defined(__clang__)
#define DOTPROD_TARGET "dotprod"
#else
#define DOTPROD_TARGET "arch=armv8.2-a+dotprod"
#endif
#define DOTPROD __attribute__((target(DOTPROD_TARGET)))
#define DOTPROD_INLINE static inline __attribute__((always_inline, target(DOTPROD_TARGET)))
#define INLINE static inline __attribute__((always_inline))

enum { STEP = 16 };

/* The vector's part for a row's last step; dim is at least one step. */
INLINE int8x16_t last_part(const int8_t *vector, uint32_t dim) {
    int8_t end[STEP];
    const uint32_t had = (dim - 1) / STEP * STEP;
    memset(end, 0, sizeof end);
    memcpy(end + (STEP - (dim - had)), vector + had, dim - had);
    return vld1q_s8(end);
}

/* The sum of the lanes of each of the four. */
INLINE int32x4_t fold(int32x4_t sum_0, int32x4_t sum_1, int32x4_t sum_2, int32x4_t sum_3) {
    return vpaddq_s32(vpaddq_s32(sum_0, sum_1), vpaddq_s32(sum_2, sum_3));
}

/* A product, at most 128 * 128 = 2^14, fits 16 bits; two are added only when they are widened. */
INLINE int32x4_t dot_plain(int32x4_t sum, const int8_t *row, int8x16_t part) {
    const int8x16_t bytes = vld1q_s8(row);
    sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(bytes), vget_low_s8(part)));
    return vpadalq_s16(sum, vmull_high_s8(bytes, part));
}

DOTPROD_INLINE int32x4_t dot_sdot(int32x4_t sum, const int8_t *row, int8x16_t part) {
    return vdotq_s32(sum, vld1q_s8(row), part);
}

/* The body is the same for both, and a function that is compiled for one set of instructions cannot take a function of
 * the other in: so it is written once and made twice. */
#define EIMP_NEON_KERNEL(NAME, DOT, ATTRIBUTES)                                                                        \
    ATTRIBUTES void NAME(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,        \
                         int32_t *out) {                                                                               \
        if (dim < STEP) {                                                                                              \
            eimp_dots_plain(rows, stride, count, vector, dim, out);                                                    \
            return;                                                                                                    \
        }                                                                                                              \
        const int8x16_t last = last_part(vector, dim);                                                                 \
        const uint32_t end = dim - STEP;                                                                               \
        for (; count >= 4; count -= 4, rows += 4 * stride, out += 4) {                                                 \
            const int8_t *row_1 = rows + stride, *row_2 = row_1 + stride, *row_3 = row_2 + stride;                     \
            int32x4_t sum_0 = DOT(vdupq_n_s32(0), rows + end, last), sum_1 = DOT(vdupq_n_s32(0), row_1 + end, last);   \
            int32x4_t sum_2 = DOT(vdupq_n_s32(0), row_2 + end, last), sum_3 = DOT(vdupq_n_s32(0), row_3 + end, last);  \
            for (uint32_t j = 0; j < end; j += STEP) {                                                                 \
                const int8x16_t part = vld1q_s8(vector + j);                                                           \
                sum_0 = DOT(sum_0, rows + j, part);                                                                    \
                sum_1 = DOT(sum_1, row_1 + j, part);                                                                   \
                sum_2 = DOT(sum_2, row_2 + j, part);                                                                   \
                sum_3 = DOT(sum_3, row_3 + j, part);                                                                   \
            }                                                                                                          \
            vst1q_s32(out, fold(sum_0, sum_1, sum_2, sum_3));                                                          \
        }                                                                                                              \
        for (; count != 0; count--, rows += stride, out++) {                                                           \
            int32x4_t sum = DOT(vdupq_n_s32(0), rows + end, last);                                                     \
            for (uint32_t j = 0; j < end; j += STEP) {                                                                 \
                sum = DOT(sum, rows + j, vld1q_s8(vector + j));                                                        \
            }                                                                                                          \
            *out = vaddvq_s32(sum);                                                                                    \
        }                                                                                                              \
    }

EIMP_NEON_KERNEL(eimp_dots_neon, dot_plain, )
EIMP_NEON_KERNEL(eimp_dots_neon_dot, dot_sdot, DOTPROD)

#else
typedef int eimp_kernels_neon_not_here; /* ISO C wants a declaration */
#endif
