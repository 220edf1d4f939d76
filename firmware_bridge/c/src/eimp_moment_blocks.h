/* The inner loops of the packed matrix, compiled once for each instruction set. Not for users.
 *
 * Blocks change the order in which elements are visited and never that in which one element is computed: products are
 * subtracted one after the other, with k going up (down in the backward substitution), each rounded by itself. */
#ifndef EIMP_MOMENT_BLOCKS_H
#define EIMP_MOMENT_BLOCKS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define EIMP_PANEL 32u
#define EIMP_SIDES 16u

/* As many numbers as a register holds, of which two are worked on at a time. */
#if defined(__GNUC__) && defined(__x86_64__)
#define EIMP_WIDTH 8u
typedef float eimp_vector __attribute__((vector_size(32)));
#elif defined(__GNUC__) && defined(__aarch64__)
#define EIMP_WIDTH 4u
typedef float eimp_vector __attribute__((vector_size(16)));
#else
#define EIMP_WIDTH 1u
typedef float eimp_vector;
#endif
#define EIMP_LANES (2u * EIMP_WIDTH)

typedef struct eimp_lanes {
    eimp_vector low, high;
} eimp_lanes;

static inline eimp_lanes eimp_load(const float *from) {
    eimp_lanes lanes;
    memcpy(&lanes.low, from, sizeof lanes.low);
    memcpy(&lanes.high, from + EIMP_WIDTH, sizeof lanes.high);
    return lanes;
}
static inline void eimp_store(float *to, const eimp_lanes *lanes) {
    memcpy(to, &lanes->low, sizeof lanes->low);
    memcpy(to + EIMP_WIDTH, &lanes->high, sizeof lanes->high);
}
/* a = a - l b, the product rounded before it is taken away. No function: how those are given vectors depends on the
 * compiler, which says so at length. */
#define EIMP_TAKE(a, l, b)                                            \
    do {                                                              \
        const eimp_vector low_ = (b).low * (l), high_ = (b).high * (l); \
        (a).low = (a).low - low_;                                     \
        (a).high = (a).high - high_;                                  \
    } while (0)
/* The same with what lies in memory. */
static inline void eimp_take_from(eimp_lanes *a, float l, const float *from) {
    const eimp_lanes b = eimp_load(from);
    EIMP_TAKE(*a, l, b);
}
static inline void eimp_divide(eimp_lanes *a, float by) {
    a->low = a->low / by;
    a->high = a->high / by;
}

static inline float *eimp_packed_row(float *factor, uint32_t i) { return factor + (size_t)i * (i + 1) / 2; }
static inline const float *eimp_packed_const(const float *factor, uint32_t i) {
    return factor + (size_t)i * (i + 1) / 2;
}
static inline uint32_t eimp_fewer(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Columns p to end of rows p to end, row by row. */
static inline void eimp_factor_corner(float *factor, uint32_t p, uint32_t end, float floor) {
    for (uint32_t i = p; i < end; i++) {
        float *row = eimp_packed_row(factor, i);
        for (uint32_t j = p; j <= i; j++) {
            const float *other = eimp_packed_const(factor, j);
            float a = row[j];
            for (uint32_t k = p; k < j; k++) {
                const float product = row[k] * other[k];
                a -= product;
            }
            row[j] = j < i ? a / other[j] : sqrtf(a >= floor ? a : floor);
        }
    }
}

/* Columns p to end of rows from `first`, as strip[k][row]; rows that are not there are 0. */
static inline void eimp_gather_strip(const float *factor, uint32_t first, uint32_t rows, uint32_t p, uint32_t end,
                                     float *strip) {
    for (uint32_t r = 0; r < EIMP_LANES; r++) {
        const float *row = eimp_packed_const(factor, first + (r < rows ? r : 0));
        for (uint32_t k = p; k < end; k++) strip[(k - p) * EIMP_LANES + r] = r < rows ? row[k] : 0.0f;
    }
}

/* Divide a strip of rows below the corner by it, and write it back. */
static inline void eimp_solve_strip(float *factor, uint32_t first, uint32_t rows, uint32_t p, uint32_t end,
                                    float *strip) {
    for (uint32_t j = p; j < end; j++) {
        const float *corner = eimp_packed_const(factor, j);
        float *own = strip + (j - p) * EIMP_LANES;
        eimp_lanes a = eimp_load(own);
        for (uint32_t k = p; k < j; k++) eimp_take_from(&a, corner[k], strip + (k - p) * EIMP_LANES);
        eimp_divide(&a, corner[j]);
        eimp_store(own, &a);
    }
    for (uint32_t r = 0; r < rows; r++) {
        float *row = eimp_packed_row(factor, first + r);
        for (uint32_t k = p; k < end; k++) row[k] = strip[(k - p) * EIMP_LANES + r];
    }
}

/* Take a panel's products from 4 rows of as many columns as there are lanes; `l` are the rows' own parts of the panel. */
static inline void eimp_update_tile(float *const c[4], const float *const l[4], uint32_t depth, const float *strip) {
    const float *l0 = l[0], *l1 = l[1], *l2 = l[2], *l3 = l[3];
    eimp_lanes a0 = eimp_load(c[0]), a1 = eimp_load(c[1]), a2 = eimp_load(c[2]), a3 = eimp_load(c[3]);
    for (uint32_t k = 0; k < depth; k++) {
        const eimp_lanes by = eimp_load(strip + k * EIMP_LANES);
        EIMP_TAKE(a0, l0[k], by);
        EIMP_TAKE(a1, l1[k], by);
        EIMP_TAKE(a2, l2[k], by);
        EIMP_TAKE(a3, l3[k], by);
    }
    eimp_store(c[0], &a0);
    eimp_store(c[1], &a1);
    eimp_store(c[2], &a2);
    eimp_store(c[3], &a3);
}

/* The same for up to 4 rows that end inside the columns, or of which there are fewer: on a copy. */
static inline void eimp_update_edge(float *factor, uint32_t first, uint32_t rows, uint32_t column, uint32_t p,
                                    uint32_t depth, const float *strip) {
    float copy[4][EIMP_LANES];
    float *c[4];
    const float *l[4];
    for (uint32_t r = 0; r < 4; r++) {
        const uint32_t i = first + (r < rows ? r : 0), there = eimp_fewer(EIMP_LANES, i - column + 1);
        const float *row = eimp_packed_const(factor, i);
        for (uint32_t j = 0; j < EIMP_LANES; j++) copy[r][j] = j < there ? row[column + j] : 0.0f;
        c[r] = copy[r];
        l[r] = row + p;
    }
    eimp_update_tile(c, l, depth, strip);
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t there = eimp_fewer(EIMP_LANES, first + r - column + 1);
        memcpy(eimp_packed_row(factor, first + r) + column, copy[r], there * sizeof(float));
    }
}

/* The same for all rows from `first`, the strip's own ones. */
static inline void eimp_update_columns(float *factor, uint32_t first, uint32_t dim, uint32_t p, uint32_t end,
                                       const float *strip) {
    for (uint32_t i = first; i < dim; i += 4) {
        if (i < first + EIMP_LANES - 1 || i + 4 > dim) {
            eimp_update_edge(factor, i, eimp_fewer(4, dim - i), first, p, end - p, strip);
            continue;
        }
        float *c[4];
        const float *l[4];
        for (uint32_t r = 0; r < 4; r++) {
            float *row = eimp_packed_row(factor, i + r);
            c[r] = row + first;
            l[r] = row + p;
        }
        eimp_update_tile(c, l, end - p, strip);
    }
}

/* Cholesky, panel by panel; `strip` has room for the panel of as many rows as are worked on at a time. */
static inline void eimp_factor_blocks(float *factor, uint32_t dim, float floor, float *strip) {
    for (uint32_t p = 0; p < dim; p += EIMP_PANEL) {
        const uint32_t end = eimp_fewer(dim, p + EIMP_PANEL);
        eimp_factor_corner(factor, p, end, floor);
        for (uint32_t first = end; first < dim; first += EIMP_LANES) {
            const uint32_t rows = eimp_fewer(EIMP_LANES, dim - first);
            eimp_gather_strip(factor, first, rows, p, end, strip);
            eimp_solve_strip(factor, first, rows, p, end, strip);
        }
        for (uint32_t column = end; column < dim; column += EIMP_LANES) {
            eimp_gather_strip(factor, column, eimp_fewer(EIMP_LANES, dim - column), p, end, strip);
            eimp_update_columns(factor, column, dim, p, end, strip);
        }
    }
}

/* As many of the right-hand sides as are worked on at a time: forward, four rows at once, then backward. */
static inline void eimp_solve_some(const float *factor, float *x, uint32_t dim) {
    uint32_t i = 0;
    for (; i + 4 <= dim; i += 4) {
        const float *r0 = eimp_packed_const(factor, i), *r1 = eimp_packed_const(factor, i + 1);
        const float *r2 = eimp_packed_const(factor, i + 2), *r3 = eimp_packed_const(factor, i + 3);
        float *own = x + i * EIMP_SIDES;
        eimp_lanes a0 = eimp_load(own), a1 = eimp_load(own + EIMP_SIDES);
        eimp_lanes a2 = eimp_load(own + 2 * EIMP_SIDES), a3 = eimp_load(own + 3 * EIMP_SIDES);
        for (uint32_t k = 0; k < i; k++) {
            const eimp_lanes by = eimp_load(x + k * EIMP_SIDES);
            EIMP_TAKE(a0, r0[k], by);
            EIMP_TAKE(a1, r1[k], by);
            EIMP_TAKE(a2, r2[k], by);
            EIMP_TAKE(a3, r3[k], by);
        }
        eimp_divide(&a0, r0[i]);
        EIMP_TAKE(a1, r1[i], a0);
        eimp_divide(&a1, r1[i + 1]);
        EIMP_TAKE(a2, r2[i], a0);
        EIMP_TAKE(a2, r2[i + 1], a1);
        eimp_divide(&a2, r2[i + 2]);
        EIMP_TAKE(a3, r3[i], a0);
        EIMP_TAKE(a3, r3[i + 1], a1);
        EIMP_TAKE(a3, r3[i + 2], a2);
        eimp_divide(&a3, r3[i + 3]);
        eimp_store(own, &a0);
        eimp_store(own + EIMP_SIDES, &a1);
        eimp_store(own + 2 * EIMP_SIDES, &a2);
        eimp_store(own + 3 * EIMP_SIDES, &a3);
    }
    for (; i < dim; i++) {
        const float *row = eimp_packed_const(factor, i);
        eimp_lanes a = eimp_load(x + i * EIMP_SIDES);
        for (uint32_t k = 0; k < i; k++) eimp_take_from(&a, row[k], x + k * EIMP_SIDES);
        eimp_divide(&a, row[i]);
        eimp_store(x + i * EIMP_SIDES, &a);
    }
    uint32_t left = dim;
    for (; left >= 4; left -= 4) {
        const float *r3 = eimp_packed_const(factor, left - 1), *r2 = eimp_packed_const(factor, left - 2);
        const float *r1 = eimp_packed_const(factor, left - 3), *r0 = eimp_packed_const(factor, left - 4);
        const uint32_t first = left - 4;
        float *own = x + first * EIMP_SIDES;
        eimp_lanes a0 = eimp_load(own), a1 = eimp_load(own + EIMP_SIDES);
        eimp_lanes a2 = eimp_load(own + 2 * EIMP_SIDES), a3 = eimp_load(own + 3 * EIMP_SIDES);
        eimp_divide(&a3, r3[first + 3]);
        EIMP_TAKE(a2, r3[first + 2], a3);
        eimp_divide(&a2, r2[first + 2]);
        EIMP_TAKE(a1, r3[first + 1], a3);
        EIMP_TAKE(a1, r2[first + 1], a2);
        eimp_divide(&a1, r1[first + 1]);
        EIMP_TAKE(a0, r3[first], a3);
        EIMP_TAKE(a0, r2[first], a2);
        EIMP_TAKE(a0, r1[first], a1);
        eimp_divide(&a0, r0[first]);
        eimp_store(own, &a0);
        eimp_store(own + EIMP_SIDES, &a1);
        eimp_store(own + 2 * EIMP_SIDES, &a2);
        eimp_store(own + 3 * EIMP_SIDES, &a3);
        for (uint32_t k = 0; k < first; k++) {
            float *to = x + k * EIMP_SIDES;
            eimp_lanes a = eimp_load(to);
            EIMP_TAKE(a, r3[k], a3);
            EIMP_TAKE(a, r2[k], a2);
            EIMP_TAKE(a, r1[k], a1);
            EIMP_TAKE(a, r0[k], a0);
            eimp_store(to, &a);
        }
    }
    for (; left--;) {
        const float *row = eimp_packed_const(factor, left);
        eimp_lanes own = eimp_load(x + left * EIMP_SIDES);
        eimp_divide(&own, row[left]);
        eimp_store(x + left * EIMP_SIDES, &own);
        for (uint32_t k = 0; k < left; k++) {
            eimp_lanes a = eimp_load(x + k * EIMP_SIDES);
            EIMP_TAKE(a, row[k], own);
            eimp_store(x + k * EIMP_SIDES, &a);
        }
    }
}

static inline void eimp_solve_blocks(const float *factor, float *x, uint32_t dim) {
    for (uint32_t side = 0; side < EIMP_SIDES; side += EIMP_LANES) eimp_solve_some(factor, x + side, dim);
}

#endif
