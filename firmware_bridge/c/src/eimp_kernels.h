/* eimp_kernels: exact int8 dot products, the one loop that costs time.
 *
 * Plain C, ARMv7E-M and ARMv8-M DSP, and Helium are chosen when compiling; NEON with dot-product instructions, AVX2 and
 * AVX-512 VNNI when running. Every one gives the same numbers: 128 * 128 * 4096 = 67,108,864 < 2^31, so no sum
 * overflows and the order of additions does not matter. */
#ifndef EIMP_KERNELS_H
#define EIMP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[i] = sum over j < dim of rows[i * stride + j] * vector[j], for i < count.
 * rows: 4-byte aligned, stride a multiple of 4 and at least dim; vector: any alignment; dim 1 to 4096. No bytes beyond
 * a row's dim are read. Values are -128 to 127. */
void eimp_dots(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out);

/* Name of the kernel that eimp_dots uses on this machine, such as "avx512vnni" or "armv7e-m dsp". */
const char *eimp_kernels_name(void);

#ifdef __cplusplus
}
#endif
#endif
