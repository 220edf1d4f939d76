/* eimp_kernels_internal: the kernels behind eimp_dots, and which of them this build has. Not for users.
 *
 * One contract for all, that of eimp_dots. A kernel's file is an empty unit where its instruction set is not there, so
 * a build takes the whole folder. */
#ifndef EIMP_KERNELS_INTERNAL_H
#define EIMP_KERNELS_INTERNAL_H

#include "eimp_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*eimp_dots_fn)(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                             int32_t *out);

/* 1 where eimp_kernels_linux.c asks the processor and defines eimp_dots; 0 where eimp_kernels.c defines it for good. */
#if defined(EIMP_RUNTIME_KERNELS) && (defined(__x86_64__) || defined(__aarch64__))
#define EIMP_KERNELS_CHOSEN_AT_RUN_TIME 1
#else
#define EIMP_KERNELS_CHOSEN_AT_RUN_TIME 0
#endif

/* Helium with integers: Cortex-M52, M55 and M85. */
#if defined(__GNUC__) && defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define EIMP_HAS_MVE 1
#else
#define EIMP_HAS_MVE 0
#endif

/* SMLAD, SXTB16 and words from any address: Cortex-M4 and M7, M33 and M35P with the DSP extension, 32-bit Cortex-A and
 * R. */
#if defined(__GNUC__) && defined(__arm__) && defined(__ARM_FEATURE_SIMD32) && defined(__ARM_FEATURE_UNALIGNED) &&       \
    !defined(__ARM_BIG_ENDIAN)
#define EIMP_HAS_DSP 1
#else
#define EIMP_HAS_DSP 0
#endif

/* Compilers that know the 256-bit VNNI. */
#if EIMP_KERNELS_CHOSEN_AT_RUN_TIME && defined(__x86_64__) &&                                                          \
    ((defined(__clang__) && __clang_major__ >= 15) || (!defined(__clang__) && __GNUC__ >= 12))
#define EIMP_HAS_AVXVNNI 1
#else
#define EIMP_HAS_AVXVNNI 0
#endif

void eimp_dots_plain(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                     int32_t *out);
void eimp_dots_dsp(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out);
void eimp_dots_mve(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out);
void eimp_dots_neon(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                    int32_t *out);
void eimp_dots_neon_dot(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                        int32_t *out);
void eimp_dots_avx2(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                    int32_t *out);
void eimp_dots_avxvnni(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                       int32_t *out);
void eimp_dots_vnni(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                    int32_t *out);

#if EIMP_KERNELS_CHOSEN_AT_RUN_TIME && defined(__x86_64__)
/* Whether rows are taken one after the other, and not four side by side, where one part of the vector serves four.
 * One after the other is the order that the processor fetches ahead, which counts for rows from beyond its own cache,
 * 1 MiB, where nothing lies between them. Measured on Zen 4, rows of 1,280 in memory: side by side reaches 12 GB/s, one
 * after the other 30 GB/s, all that the memory gives one core; prefetching by hand is slower than not. */
static inline int eimp_rows_in_turn(size_t stride, uint32_t count, uint32_t dim) {
    return count > ((size_t)1 << 20) / stride && stride < (size_t)dim + 64;
}
#endif

#ifdef __cplusplus
}
#endif
#endif
