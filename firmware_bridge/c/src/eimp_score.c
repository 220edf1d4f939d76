/* Cosines of a query with every proxy, from int8 dot products and two coefficients per slot.
 *
 * A centre of n_j shots in a class of mean m answers as the shrunk proxy L2(min(n_j, s) c_j + kappa m), which need not be
 * stored: cos(q, proxy) = (alpha_j (hi_j . q) + beta_j (hi_m . q)) / |q|. */
#include "eimp_internal.h"
#include "eimp_kernels.h"

#define WEIGHT_BITS 12u
#define TOP ((int32_t)1 << (WEIGHT_BITS - 1))
#define SMALLEST_LENGTH2 ((int64_t)1 << 30)
#define CAUTION 5

/* eimp_wide in place: here the call takes more instructions than the multiplication. */
static inline int64_t product(int32_t a, int32_t b) { return (int64_t)a * b; }

/* Kappa of a class: how many shots its mean weighs in each proxy, 1 to the option `shrinkage` (empirical Bayes). */
static int32_t weight_of_mean(const eimp_head *head, uint32_t index, uint32_t found) {
    const int32_t k = (int32_t)found;
    int32_t total = 0;
    int64_t lengths = 0;
    for (uint32_t i = 0; i < found; i++) {
        const eimp_slot *meta = eimp_meta(head, head->centres[i]);
        const int32_t count = (int32_t)eimp_capped(meta->count);
        total += count; /* 255 * 2^16 < 2^24 */
        lengths += product(count, meta->square);
    }
    if (total < 2 * k) return head->shrinkage;
    const int64_t excess = product(total, EIMP_ONE) - lengths;
    /* With total >= 2 k neither is above 2^21. */
    const int32_t within = excess > 0 ? (int32_t)(excess / (total - k)) : 0;
    const int32_t between = (int32_t)(lengths / total) - eimp_meta(head, index)->square - (k - 1) * within / total;
    if (between <= 0) return head->shrinkage;
    const int32_t kappa = CAUTION * within / between;
    return kappa < 1 ? 1 : kappa > head->shrinkage ? head->shrinkage : kappa;
}

/* weight * 2^28 / length, to nearest */
static int32_t coefficient(int32_t weight, uint32_t length) {
    if (!length) length = 1;
    return (int32_t)(((uint64_t)product(weight, (int32_t)1 << EIMP_COEFFICIENT_BITS) + length / 2) / length);
}

static int32_t norm2_of(const eimp_head *head, const int8_t *row) { return eimp_dot(row, row, head->dim); }

/* A slot's coefficients from its shots and its class mean's weight. */
static void refresh_slot(const eimp_head *head, uint32_t slot, uint32_t mean_slot, int32_t kappa) {
    eimp_slot *meta = eimp_meta(head, slot);
    const uint32_t mean_shift = eimp_meta(head, mean_slot)->shift;
    const int8_t *row = eimp_row(head, slot), *mean_row = eimp_row(head, mean_slot);
    const uint32_t common = meta->shift > mean_shift ? meta->shift : mean_shift;
    const int32_t norm2 = norm2_of(head, row);
    int32_t a = (int32_t)eimp_least(meta->count, head->shrinkage) << (common - meta->shift); /* below 2^26 */
    int32_t b = kappa << (common - mean_shift);
    int32_t larger = a > b ? a : b;
    for (; larger >= 2 * TOP; larger >>= 1, a >>= 1) b >>= 1;
    for (; larger < TOP; larger *= 2, a *= 2) b *= 2;
    /* 4 * 2^24 * 2^26 = 2^52 */
    int64_t length2 = product(a * a, norm2) + product(2 * a * b, eimp_dot(row, mean_row, head->dim)) +
                      product(b * b, norm2_of(head, mean_row));
    if (length2 < SMALLEST_LENGTH2) {
        /* A centre that the mean cancels answers for itself; a row of zeros answers 0. */
        a = norm2 ? TOP : 0;
        b = 0;
        length2 = product(a * a, norm2);
    }
    const uint32_t length = eimp_isqrt((uint64_t)length2);
    meta->alpha = coefficient(a, length);
    meta->beta = coefficient(b, length);
}

static void refresh_class(eimp_head *head, uint32_t index) {
    eimp_slot *mean = eimp_meta(head, index);
    const uint32_t length = eimp_isqrt((uint64_t)product(TOP * TOP, norm2_of(head, eimp_row(head, index))));
    mean->alpha = length ? coefficient(TOP, length) : 0;
    mean->beta = 0;
    mean->stale = 0;
    const uint32_t found = eimp_gather(head, index);
    const int32_t kappa = found ? weight_of_mean(head, index, found) : 0;
    for (uint32_t i = 0; i < found; i++) refresh_slot(head, head->centres[i], index, kappa);
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
            visit(context, slot, meta->cls,
                  product(meta->alpha, dots[i]) + product(meta->beta, head->mean_dots[meta->cls]));
        }
    }
}

uint32_t eimp_query_norm_q16(const eimp_head *head) {
    /* 127^2 * 4096 < 2^26, so the root of it times 2^32 stays below 2^29. */
    return eimp_isqrt((uint64_t)(uint32_t)eimp_dot(head->query, head->query, head->dim) << 32);
}

int32_t eimp_cosine_q23(int64_t score, uint32_t norm_q16) {
    /* |score| is at most |q| * 2^28 and rounding, below 2^42; the quotient is little above 2^23. */
    const int32_t cosine = (int32_t)eimp_rounded(score * 2048, norm_q16), one = (int32_t)1 << 23;
    return cosine > one ? one : cosine < -one ? -one : cosine;
}
