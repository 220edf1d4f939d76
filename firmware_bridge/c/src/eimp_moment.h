/* A packed symmetric matrix of whole numbers: added to, taken from, factorised and solved with. Not for users.
 *
 * The lower triangle lies row after row, element (i, j), j <= i, at i (i + 1) / 2 + j, in units of 2^-16. */
#ifndef EIMP_MOMENT_H
#define EIMP_MOMENT_H

#include <stddef.h>
#include <stdint.h>

/* Right-hand sides that are solved at once. */
#define EIMP_MOMENT_SIDES 16u
/* Working memory of eimp_moment_factor. */
#define EIMP_MOMENT_SCRATCH_BYTES 2048u

/* Whether every diagonal element stays below 2^30 when a shot, `dim` numbers in units of 2^-13, is added. */
int eimp_moment_has_room(const int32_t *scatter, const int16_t *shot, uint32_t dim);

/* Add a shot's products (sign 1), or take them away (-1): exact inverses. */
void eimp_moment_add(int32_t *scatter, const int16_t *shot, uint32_t dim, int32_t sign);

/* Cholesky factor, packed in the same way; a pivot that is not at least `floor` becomes `floor`. */
void eimp_moment_factor(const int32_t *scatter, float *factor, uint32_t dim, float floor, float *scratch);

/* Solve with the factor alone, the first half of eimp_moment_solve, for one right-hand side of `dim` numbers. In place. */
void eimp_moment_whiten(const float *factor, float *x, uint32_t dim);

/* Solve for 16 right-hand sides, side by side: x has `dim` rows of 16. In place. */
void eimp_moment_solve(const float *factor, float *x, uint32_t dim);

#endif
