/* The packed matrix of the second-moment head, with the widest registers that the processor has. */
#include "eimp_moment.h"

#include "eimp_moment_blocks.h"

#if defined(EIMP_RUNTIME_KERNELS) && defined(__x86_64__) && defined(__GNUC__)
#define FOR(isa) __attribute__((target(isa), flatten))
#define WIDER 1
#else
#define WIDER 0
#endif

int eimp_moment_has_room(const int32_t *scatter, const int16_t *shot, uint32_t dim) {
    for (uint32_t i = 0, at = 0; i < dim; at += ++i + 1u)
        if (scatter[at] + ((shot[i] * shot[i] + 512) >> 10) >= 1 << 30) return 0;
    return 1;
}

static inline void add_row(int32_t *row, const int16_t *shot, uint32_t i, int32_t sign) {
    const int32_t own = shot[i];
    for (uint32_t j = 0; j <= i; j++) row[j] += sign * ((own * shot[j] + 512) >> 10);
}

static inline void add_rows(int32_t *scatter, const int16_t *shot, uint32_t dim, int32_t sign) {
    for (uint32_t i = 0; i < dim; scatter += ++i) add_row(scatter, shot, i, sign);
}

#if WIDER
FOR("avx2")
static void factor_avx2(float *factor, uint32_t dim, float floor, float *strip) {
    eimp_factor_blocks(factor, dim, floor, strip);
}
FOR("avx2")
static void solve_avx2(const float *factor, float *x, uint32_t dim) { eimp_solve_blocks(factor, x, dim); }
FOR("avx2")
static void add_avx2(int32_t *scatter, const int16_t *shot, uint32_t dim, int32_t sign) {
    add_rows(scatter, shot, dim, sign);
}
#endif

void eimp_moment_add(int32_t *scatter, const int16_t *shot, uint32_t dim, int32_t sign) {
#if WIDER
    if (__builtin_cpu_supports("avx2")) {
        add_avx2(scatter, shot, dim, sign);
        return;
    }
#endif
    add_rows(scatter, shot, dim, sign);
}

void eimp_moment_factor(const int32_t *scatter, float *factor, uint32_t dim, float floor, float *scratch) {
    const size_t size = (size_t)dim * (dim + 1) / 2;
    for (size_t i = 0; i < size; i++) factor[i] = (float)scatter[i] * (1.0f / 65536.0f);
#if WIDER
    if (__builtin_cpu_supports("avx2")) {
        factor_avx2(factor, dim, floor, scratch);
        return;
    }
#endif
    eimp_factor_blocks(factor, dim, floor, scratch);
}

#if defined(EIMP_RUNTIME_KERNELS)
#define WHITEN_ROWS 8u
#else
#define WHITEN_ROWS 1u /* smaller, and no processor here would gain */
#endif

static const float *row_of(const float *factor, uint32_t i) { return factor + (size_t)i * (i + 1u) / 2u; }

/* Some rows at a time: each row's differences wait for each other, but not for those of the others. */
void eimp_moment_whiten(const float *factor, float *x, uint32_t dim) {
    const float *rows[WHITEN_ROWS];
    float rest[WHITEN_ROWS];
    for (uint32_t first = 0; first < dim; first += WHITEN_ROWS) {
        const uint32_t count = dim - first < WHITEN_ROWS ? dim - first : WHITEN_ROWS;
        for (uint32_t r = 0; r < WHITEN_ROWS; r++) { /* the last ones more than once */
            rows[r] = row_of(factor, first + (r < count ? r : count - 1u));
            rest[r] = x[first + (r < count ? r : count - 1u)];
        }
        for (uint32_t k = 0; k < first; k++)
            for (uint32_t r = 0; r < WHITEN_ROWS; r++) {
                const float product = rows[r][k] * x[k];
                rest[r] -= product;
            }
        for (uint32_t r = 0; r < count; r++) {
            for (uint32_t k = first; k < first + r; k++) {
                const float product = rows[r][k] * x[k];
                rest[r] -= product;
            }
            x[first + r] = rest[r] / rows[r][first + r];
        }
    }
}

void eimp_moment_solve(const float *factor, float *x, uint32_t dim) {
#if WIDER
    if (__builtin_cpu_supports("avx2")) {
        solve_avx2(factor, x, dim);
        return;
    }
#endif
    eimp_solve_blocks(factor, x, dim);
}
