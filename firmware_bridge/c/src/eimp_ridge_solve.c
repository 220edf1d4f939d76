/* From means, centres and scatter to int8 discriminants: the only floating point of the head, in a written order.
 *
 * With A the scatter and g the mean of the class means, a proxy p answers a unit embedding x with
 * w . (x - g) - w . (p - g) / 4, w = A^-1 (p - g). Proxies are the class means and the centres, shrunk towards their mean
 * five times as far as without a second moment. */
#include <math.h>
#include <string.h>

#include "eimp_ridge_internal.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define CENTRE_CAUTION 5
#define MOST_LENGTH_Q24 ((int64_t)1 << 38)

/* 2^-n, n <= 28 */
static float half_to_the(uint32_t n) { return 1.0f / (float)(1u << n); }

/* A proxy in single precision: (own c + weight m) / total, c the row of `slot`, m the mean of its class. */
typedef struct proxy {
    int32_t slot; /* below 0: the background */
    uint32_t mean;
    float scale, mean_scale, own, weight, total;
} proxy;

static float scale_of(const eimp_head *head, uint32_t slot) { return half_to_the(14u + eimp_meta(head, slot)->shift); }

/* Every class's kappa, to where dot products of the next query will be. */
static void weigh_means(eimp_head *head) {
    eimp_list_centres(head, 0);
    for (uint32_t index = eimp_n_classes(head); index--;) {
        const int32_t found = (int32_t)eimp_take_listed(head, index);
        head->mean_dots[index] = eimp_weight_of_mean(head, eimp_meta(head, index), found);
    }
}

/* The proxy at a place: the background, or slot `place` - 1. */
static proxy proxy_at(const eimp_head *head, uint32_t place) {
    proxy p = {(int32_t)place - 1, 0, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f};
    if (!place) return p;
    const eimp_slot *meta = eimp_meta(head, place - 1);
    p.mean = meta->cls;
    p.scale = scale_of(head, place - 1);
    if (place > eimp_n_classes(head)) {
        p.own = (float)eimp_least(meta->count, head->shrinkage);
        p.weight = (float)(CENTRE_CAUTION * head->mean_dots[p.mean]);
        p.total = p.own + p.weight;
        p.mean_scale = scale_of(head, p.mean);
    }
    return p;
}

static float component(const eimp_head *head, const proxy *p, uint32_t i) {
    const int8_t *row = eimp_row(head, (uint32_t)p->slot), *mean = eimp_row(head, p->mean);
    const float value = (float)(row[i] * 256 + row[head->dim + i]) * p->scale;
    if (p->weight == 0.0f) return value;
    /* Both products are exact. */
    const float shared = p->weight * ((float)(mean[i] * 256 + mean[head->dim + i]) * p->mean_scale);
    const float mixed = p->own * value;
    return (mixed + shared) / p->total;
}

/* A component of a right-hand side, and of the point where its discriminant is 0. */
static float side(const eimp_ridge *ridge, const proxy *p, uint32_t i, float *point) {
    const float ground = ridge->ground[i];
    if (p->slot < 0) {
        *point = ground * 0.5f;
        return ground;
    }
    const float apart = component(ridge->head, p, i) - ground;
    *point = ground + apart * 0.25f;
    return apart;
}

/* A column of the solution as an int8 row. Scale and offset stay floats, in their numbers' bytes, until all are there. */
static float keep(eimp_ridge *ridge, uint32_t place, uint32_t column, int64_t *length2_q24) {
    const eimp_head *head = ridge->head;
    const proxy p = proxy_at(ridge->head, place);
    const float *weights = ridge->sides + column;
    int8_t *row = eimp_ridge_row(ridge, place);
    eimp_ridge_meta *meta = eimp_ridge_meta_of(ridge, place);
    int64_t length = 0; /* whole numbers: the same sum in any order */
    float largest = 0.0f;
    for (uint32_t i = 0; i < head->dim; i++) {
        const float weight = weights[i * EIMP_RIDGE_AT_ONCE], size = fabsf(weight);
        float point;
        (void)side(ridge, &p, i, &point);
        const float product = point * weight;
        length += (int64_t)rintf(product * 16777216.0f);
        if (size > largest) largest = size;
    }
    const float factor = largest >= 1e-30f ? 127.0f / largest : 0.0f;
    const float scale = largest >= 1e-30f ? largest / 127.0f : 0.0f;
    for (uint32_t i = 0; i < head->dim; i++) row[i] = (int8_t)rintf(weights[i * EIMP_RIDGE_AT_ONCE] * factor);
    *length2_q24 = length;
    const float offset = (float)length * -(1.0f / 16777216.0f), size = sqrtf((float)eimp_dot(row, row, head->dim));
    memcpy(&meta->slope, &scale, sizeof scale);
    memcpy(&meta->offset, &offset, sizeof offset);
    const float reach = scale * size;
    return reach + fabsf(offset);
}

/* Root of the mean of m' A^-1 m over the class means m, from g' A^-1 g / 2 and the sum of (m - g)' A^-1 (m - g) / 4. */
static uint32_t spread_q24(int64_t ground_q24, int64_t apart_q24, uint32_t classes) {
    int64_t square = 2 * ground_q24 + eimp_floor_div(4 * apart_q24, classes);
    square = square < 0 ? 0 : square > MOST_LENGTH_Q24 ? MOST_LENGTH_Q24 : square;
    return eimp_isqrt((uint64_t)square << 24);
}

static inline void refresh(eimp_ridge *ridge) {
    eimp_head *head = ridge->head;
    const uint32_t places = eimp_n_slots(head) + 1u, dim = head->dim;
    float unit = 0.0f;
    int64_t ground = 0, apart = 0;
    if (!ridge->stale) return;
    ridge->stale = 0;
    if (!eimp_n_classes(head)) return;
    for (uint32_t i = 0; i < dim; i++) ridge->ground[i] = (float)eimp_ridge_centre(head, -1, i) * half_to_the(14);
    eimp_moment_factor(ridge->scatter, ridge->factor, dim, EIMP_RIDGE_FLOOR, ridge->scratch);
    weigh_means(head);
    for (uint32_t first = 0; first < places; first += EIMP_RIDGE_AT_ONCE) {
        const uint32_t count = eimp_least(EIMP_RIDGE_AT_ONCE, places - first);
        for (uint32_t column = 0; column < EIMP_RIDGE_AT_ONCE; column++) {
            const proxy p = proxy_at(head, first + (column < count ? column : 0));
            float point;
            for (uint32_t i = 0; i < dim; i++)
                ridge->sides[i * EIMP_RIDGE_AT_ONCE + column] = column < count ? side(ridge, &p, i, &point) : 0.0f;
        }
        eimp_moment_solve(ridge->factor, ridge->sides, dim);
        for (uint32_t column = 0; column < count; column++) {
            int64_t length_q24;
            const uint32_t place = first + column;
            const float reach = keep(ridge, place, column, &length_q24);
            if (reach > unit) unit = reach;
            if (!place) ground = length_q24;
            else if (place <= eimp_n_classes(head)) apart += length_q24;
        }
    }
    ridge->unit = unit;
    ridge->spread_q24 = spread_q24(ground, apart, eimp_n_classes(head));
    for (uint32_t place = 0; place < places; place++) {
        eimp_ridge_meta *meta = eimp_ridge_meta_of(ridge, place);
        float scale, offset;
        memcpy(&scale, &meta->slope, sizeof scale);
        memcpy(&offset, &meta->offset, sizeof offset);
        meta->slope = unit > 0.0f ? (int32_t)rintf(scale / unit * 268435456.0f) : 0;
        meta->offset = unit > 0.0f ? (int32_t)rintf(offset / unit * 268435456.0f) : 0;
    }
}

#if defined(EIMP_RUNTIME_KERNELS) && defined(__x86_64__) && defined(__GNUC__)
/* Rounds in one instruction; multiplies and adds apart, as everywhere. */
__attribute__((target("avx2"), flatten)) static void refresh_avx2(eimp_ridge *ridge) { refresh(ridge); }
#endif

void eimp_ridge_refresh(eimp_ridge *ridge) {
#if defined(EIMP_RUNTIME_KERNELS) && defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2")) {
        refresh_avx2(ridge);
        return;
    }
#endif
    refresh(ridge);
}
