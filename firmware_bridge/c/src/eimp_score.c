/* Cosines of a query with every proxy, from int8 dot products and two coefficients per slot.
 *
 * A centre of n_j shots in a class of mean m answers as the shrunk proxy L2(min(n_j, s) c_j + kappa m), which need not be
 * stored: cos(q, proxy) = (alpha_j (hi_j . q) + beta_j (hi_m . q)) / |q|. */
#include "eimp_internal.h"
#include "eimp_kernels.h"

#define WEIGHT_BITS 12u
#define TOP ((int64_t)1 << (WEIGHT_BITS - 1))
#define SMALLEST_LENGTH2 ((int64_t)1 << 30)
#define CAUTION 5

/* Kappa of a class: how many shots its mean weighs in each proxy, 1 to the option `shrinkage` (empirical Bayes). */
static int64_t weight_of_mean(const eimp_head *head, uint32_t index, uint32_t found) {
    int64_t total = 0, lengths = 0;
    for (uint32_t i = 0; i < found; i++) {
        const eimp_slot *meta = eimp_meta(head, head->centres[i]);
        const int64_t count = eimp_capped(meta->count);
        total += count;
        lengths += count * meta->square; /* 255 * 2^16 * 2^28 < 2^52 */
    }
    if (total < 2 * (int64_t)found) return head->shrinkage;
    const int64_t excess = total * EIMP_ONE - lengths;
    const int64_t within = (excess > 0 ? excess : 0) / (total - found);
    const int64_t between = lengths / total - eimp_meta(head, index)->square - (found - 1) * within / total;
    if (between <= 0) return head->shrinkage;
    const int64_t kappa = CAUTION * within / between;
    return kappa < 1 ? 1 : kappa > head->shrinkage ? head->shrinkage : kappa;
}

/* Bring two weights to a common scale of 12 bits. */
static void to_scale(int64_t *a, int64_t *b) {
    uint32_t bits = 0;
    for (int64_t larger = *a > *b ? *a : *b; larger; larger >>= 1) bits++;
    const uint32_t down = bits > WEIGHT_BITS ? bits - WEIGHT_BITS : 0, up = bits < WEIGHT_BITS ? WEIGHT_BITS - bits : 0;
    *a = (*a << up) >> down;
    *b = (*b << up) >> down;
}

static int32_t coefficient(int64_t weight, int64_t length) {
    return (int32_t)(((weight << EIMP_COEFFICIENT_BITS) + length / 2) / length);
}

static void refresh_class(eimp_head *head, uint32_t index) {
    eimp_slot *mean = eimp_meta(head, index);
    const int8_t *mean_row = eimp_row(head, index);
    const int64_t norm2_mean = eimp_dot(mean_row, mean_row, head->dim);
    const int64_t mean_length = eimp_isqrt((uint64_t)(TOP * TOP * norm2_mean));
    mean->alpha = mean_length ? coefficient(TOP, mean_length) : 0;
    mean->beta = 0;
    mean->stale = 0;
    const uint32_t found = eimp_gather(head, index);
    const int64_t kappa = found ? weight_of_mean(head, index, found) : 0;
    for (uint32_t i = 0; i < found; i++) {
        eimp_slot *meta = eimp_meta(head, head->centres[i]);
        const int8_t *row = eimp_row(head, head->centres[i]);
        const int64_t norm2 = eimp_dot(row, row, head->dim), dot = eimp_dot(row, mean_row, head->dim);
        const uint32_t common = meta->shift > mean->shift ? meta->shift : mean->shift;
        int64_t a = (int64_t)eimp_least(meta->count, head->shrinkage) << (common - meta->shift);
        int64_t b = kappa << (common - mean->shift);
        to_scale(&a, &b);
        /* 4 * 2^24 * 2^26 = 2^52 */
        int64_t length2 = a * a * norm2 + 2 * a * b * dot + b * b * norm2_mean;
        if (length2 < SMALLEST_LENGTH2) {
            /* A centre that the mean cancels answers for itself; a row of zeros answers 0. */
            length2 = TOP * TOP * norm2;
            a = length2 > 0 ? TOP : 0;
            b = 0;
        }
        const uint32_t root = eimp_isqrt((uint64_t)length2);
        meta->alpha = coefficient(a, root ? root : 1);
        meta->beta = coefficient(b, root ? root : 1);
    }
}

void eimp_refresh(eimp_head *head) {
    if (!head->any_stale) return;
    for (uint32_t index = eimp_n_classes(head); index--;)
        if (eimp_meta(head, index)->stale) refresh_class(head, index);
    head->any_stale = 0;
}

void eimp_visit_scores(eimp_head *head, eimp_visit_fn visit, void *context) {
    const uint32_t n = eimp_n_slots(head), classes = eimp_n_classes(head);
    int32_t dots[EIMP_BLOCK];
    for (uint32_t first = 0; first < n; first += EIMP_BLOCK) {
        const uint32_t count = eimp_least(EIMP_BLOCK, n - first);
        eimp_dots(eimp_row(head, first), head->layout.slot_bytes, count, head->query, head->dim, dots);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t slot = first + i;
            const eimp_slot *meta = eimp_meta(head, slot);
            if (slot < classes) head->mean_dots[slot] = dots[i];
            const int64_t score =
                (int64_t)meta->alpha * dots[i] + (int64_t)meta->beta * head->mean_dots[meta->cls];
            visit(context, slot, meta->cls, score);
        }
    }
}

uint32_t eimp_query_norm_q16(const eimp_head *head) {
    /* 127^2 * 4096 < 2^26, so the root of it times 2^32 stays below 2^29. */
    return eimp_isqrt((uint64_t)(uint32_t)eimp_dot(head->query, head->query, head->dim) << 32);
}

int32_t eimp_cosine_q23(int64_t score, uint32_t norm_q16) {
    /* |score| is at most |q| * 2^28 and rounding, below 2^42. */
    const int64_t cosine = eimp_rounded(score * 2048, norm_q16), one = (int64_t)1 << 23;
    return (int32_t)(cosine > one ? one : cosine < -one ? -one : cosine);
}
