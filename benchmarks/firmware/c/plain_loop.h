/* What the kernels are measured against: a fully connected int8 layer written down without a thought of speed. */
#ifndef EIMP_PLAIN_LOOP_H
#define EIMP_PLAIN_LOOP_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = sum over j < dim of rows[i * stride + j] * vector[j]. */
void plain_loop(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out);

#endif
