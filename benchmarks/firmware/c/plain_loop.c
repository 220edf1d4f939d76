#include "plain_loop.h"

void plain_loop(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        int32_t sum = 0;
        for (uint32_t j = 0; j < dim; j++) {
            sum += rows[i * stride + j] * vector[j];
        }
        out[i] = sum;
    }
}
