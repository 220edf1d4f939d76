/* The kernel for Helium: VMLADAVA multiplies 16 pairs of bytes and adds the products to a register. */
#include "eimp_kernels_internal.h"

#if EIMP_HAS_MVE

#include <arm_mve.h>

/* Components in a vector register. */
#define EIMP_LANES 16u

/* Not inlined, and where the rows are is hidden from the optimiser: GCC 12 otherwise keeps every address twice, and has
 * no registers left for it. */
__attribute__((noinline)) static void four_rows(const int8_t *row_a, size_t stride, const int8_t *v, uint32_t dim,
                                                int32_t *out) {
    const int8_t *row_b = row_a + stride;
    const int8_t *row_c = row_b + stride;
    const int8_t *row_d = row_c + stride;
    int32_t sum_a = 0;
    int32_t sum_b = 0;
    int32_t sum_c = 0;
    int32_t sum_d = 0;
    for (uint32_t i = dim / EIMP_LANES; i != 0; i--) {
        const int8x16_t part = vldrbq_s8(v);
        sum_a = vmladavaq_s8(sum_a, vldrbq_s8(row_a), part);
        sum_b = vmladavaq_s8(sum_b, vldrbq_s8(row_b), part);
        sum_c = vmladavaq_s8(sum_c, vldrbq_s8(row_c), part);
        sum_d = vmladavaq_s8(sum_d, vldrbq_s8(row_d), part);
        v += EIMP_LANES;
        row_a += EIMP_LANES;
        row_b += EIMP_LANES;
        row_c += EIMP_LANES;
        row_d += EIMP_LANES;
        __asm__("" : "+r"(v), "+r"(row_a), "+r"(row_b), "+r"(row_c), "+r"(row_d));
    }
    if (dim % EIMP_LANES != 0) {
        /* Lanes switched off read nothing and count as zero. */
        const mve_pred16_t rest = vctp8q(dim % EIMP_LANES);
        const int8x16_t part = vldrbq_z_s8(v, rest);
        sum_a = vmladavaq_s8(sum_a, vldrbq_z_s8(row_a, rest), part);
        sum_b = vmladavaq_s8(sum_b, vldrbq_z_s8(row_b, rest), part);
        sum_c = vmladavaq_s8(sum_c, vldrbq_z_s8(row_c, rest), part);
        sum_d = vmladavaq_s8(sum_d, vldrbq_z_s8(row_d, rest), part);
    }
    out[0] = sum_a;
    out[1] = sum_b;
    out[2] = sum_c;
    out[3] = sum_d;
}

static int32_t one_row(const int8_t *row, const int8_t *v, uint32_t dim) {
    int32_t sum = 0;
    for (uint32_t i = dim / EIMP_LANES; i != 0; i--) {
        sum = vmladavaq_s8(sum, vldrbq_s8(row), vldrbq_s8(v));
        v += EIMP_LANES;
        row += EIMP_LANES;
    }
    if (dim % EIMP_LANES != 0) {
        const mve_pred16_t rest = vctp8q(dim % EIMP_LANES);
        sum = vmladavaq_s8(sum, vldrbq_z_s8(row, rest), vldrbq_z_s8(v, rest));
    }
    return sum;
}

void eimp_dots_mve(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                   int32_t *out) {
    uint32_t i = 0;
    for (; count - i >= 4; i += 4) {
        four_rows(rows + i * stride, stride, vector, dim, out + i);
    }
    for (; i < count; i++) {
        out[i] = one_row(rows + i * stride, vector, dim);
    }
}

#else

typedef int eimp_no_mve_here; /* C has no empty files */

#endif
