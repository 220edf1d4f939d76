/* The kernel for Helium: VMLADAVA multiplies 16 pairs of bytes and adds the products to a register. */
#include "eimp_kernels_internal.h"

#if EIMP_HAS_MVE

#include <arm_mve.h>

void eimp_dots_mve(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                   int32_t *out) {
    const uint32_t whole = dim / 16;
    const mve_pred16_t rest = vctp8q(dim % 16);
    while (count != 0) {
        /* Fewer than four rows left: the last one is taken again, and written as often. */
        const int8_t *v = vector;
        const int8_t *row_a = rows;
        const int8_t *row_b = count > 1 ? row_a + stride : row_a;
        const int8_t *row_c = count > 2 ? row_b + stride : row_b;
        const int8_t *row_d = count > 3 ? row_c + stride : row_c;
        int32_t sum_a = 0;
        int32_t sum_b = 0;
        int32_t sum_c = 0;
        int32_t sum_d = 0;
        for (uint32_t i = 0; i < whole; i++) {
            const int8x16_t part = vldrbq_s8(v);
            sum_a = vmladavaq_s8(sum_a, vldrbq_s8(row_a), part);
            sum_b = vmladavaq_s8(sum_b, vldrbq_s8(row_b), part);
            sum_c = vmladavaq_s8(sum_c, vldrbq_s8(row_c), part);
            sum_d = vmladavaq_s8(sum_d, vldrbq_s8(row_d), part);
            v += 16;
            row_a += 16;
            row_b += 16;
            row_c += 16;
            row_d += 16;
        }
        /* Lanes switched off load nothing and count as zero. */
        const int8x16_t part = vldrbq_z_s8(v, rest);
        sum_a = vmladavaq_s8(sum_a, vldrbq_z_s8(row_a, rest), part);
        sum_b = vmladavaq_s8(sum_b, vldrbq_z_s8(row_b, rest), part);
        sum_c = vmladavaq_s8(sum_c, vldrbq_z_s8(row_c, rest), part);
        sum_d = vmladavaq_s8(sum_d, vldrbq_z_s8(row_d, rest), part);
        out[0] = sum_a;
        if (count > 1) {
            out[1] = sum_b;
        }
        if (count > 2) {
            out[2] = sum_c;
        }
        if (count <= 3) {
            return;
        }
        out[3] = sum_d;
        out += 4;
        rows += 4 * stride;
        count -= 4;
    }
}

#else

typedef int eimp_no_mve_here; /* C has no empty files */

#endif
