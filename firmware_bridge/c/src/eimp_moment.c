/* The packed matrix of the second-moment head. */
#include "eimp_moment.h"

#include <math.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

size_t eimp_moment_scratch_bytes(void) { return 4096; }

int eimp_moment_has_room(const int32_t *scatter, const int16_t *shot, uint32_t dim) {
    for (uint32_t i = 0, at = 0; i < dim; at += ++i + 1u)
        if (scatter[at] + ((shot[i] * shot[i] + 512) >> 10) >= 1 << 30) return 0;
    return 1;
}

void eimp_moment_add(int32_t *scatter, const int16_t *shot, uint32_t dim, int32_t sign) {
    for (uint32_t i = 0; i < dim; i++) {
        const int32_t own = shot[i];
        for (uint32_t j = 0; j <= i; j++) scatter[j] += sign * ((own * shot[j] + 512) >> 10);
        scatter += i + 1;
    }
}

void eimp_moment_factor(const int32_t *scatter, float *factor, uint32_t dim, float floor, float *scratch) {
    (void)scratch;
    for (uint32_t i = 0; i < dim; i++) {
        float *row = factor + (size_t)i * (i + 1) / 2;
        const int32_t *from = scatter + (size_t)i * (i + 1) / 2;
        for (uint32_t j = 0; j <= i; j++) {
            const float *other = factor + (size_t)j * (j + 1) / 2;
            float a = (float)from[j] * (1.0f / 65536.0f);
            for (uint32_t k = 0; k < j; k++) {
                const float product = row[k] * other[k];
                a -= product;
            }
            if (j < i) row[j] = a / other[j];
            else row[i] = sqrtf(a >= floor ? a : floor);
        }
    }
}

void eimp_moment_solve(const float *factor, float *x, uint32_t dim, uint32_t count) {
    for (uint32_t i = 0; i < dim; i++) {
        const float *row = factor + (size_t)i * (i + 1) / 2;
        for (uint32_t k = 0; k < i; k++)
            for (uint32_t r = 0; r < count; r++) {
                const float product = row[k] * x[k * count + r];
                x[i * count + r] -= product;
            }
        for (uint32_t r = 0; r < count; r++) x[i * count + r] /= row[i];
    }
    for (uint32_t k = dim; k--;) {
        const float *row = factor + (size_t)k * (k + 1) / 2;
        for (uint32_t r = 0; r < count; r++) x[k * count + r] /= row[k];
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t r = 0; r < count; r++) {
                const float product = row[i] * x[k * count + r];
                x[i * count + r] -= product;
            }
    }
}
