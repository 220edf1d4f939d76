/* eimp_kernels_avx2.c with the 256-bit VNNI instruction in the coding of AVX-512 VL: the same instruction, run by more
 * processors. */
#include <immintrin.h>

#define EIMP_AVXVNNI_TARGET "avx2,avx512f,avx512vl,avx512vnni"
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#include "../../../firmware_bridge/c/src/eimp_kernels_avx2.c"
