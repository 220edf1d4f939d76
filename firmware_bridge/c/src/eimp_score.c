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
#define SEARCHES 5u /* from the fifth stale class on, lists cost less than a search for each */

/* Kappa of a class of k centres, which lie in `centres`: how many shots its mean weighs in each proxy, 1 to the option
 * `shrinkage` (empirical Bayes). */
int32_t eimp_weight_of_mean(const eimp_head *head, const eimp_slot *mean, int32_t k) {
    uint32_t count = 0;   /* <= 255 * 2^16 < 2^24 */
    uint64_t lengths = 0; /* <= count * 2^21 */
    for (int32_t i = 0; i < k; i++) {
        const eimp_slot *meta = eimp_meta(head, head->centres[i]);
        const uint32_t own = eimp_capped(meta->count);
        count += own;
        lengths += (uint64_t)own * (uint32_t)meta->square;
    }
    const int32_t total = (int32_t)count, most = head->shrinkage;
    if (!k || total < 2 * k) return most;
    /* With total >= 2 k neither is above 2^21. */
    int32_t within = (int32_t)((int64_t)(((uint64_t)count << 20) - lengths) / (total - k));
    if (within < 0) within = 0;
    const int32_t between = (int32_t)(lengths / count) - mean->square - (k - 1) * within / total;
    if (between <= 0) return most;
    const int32_t kappa = CAUTION * within / between;
    return kappa > most ? most : kappa ? kappa : 1;
}

/* weight * 2^28 / length, to nearest */
static int32_t coefficient(int32_t weight, uint32_t length) {
    return (int32_t)eimp_rounded((int64_t)((uint64_t)(uint32_t)weight << EIMP_COEFFICIENT_BITS), length);
}

/* The coefficients of a class: of the centres found, and of its mean, which answers for itself. */
static void refresh_class(eimp_head *head, uint32_t index, eimp_slot *mean, uint32_t found) {
    const int8_t *mean_row = eimp_row(head, index);
    const int32_t mean_norm2 = eimp_dot(mean_row, mean_row, head->dim);
    const int32_t kappa = eimp_weight_of_mean(head, mean, (int32_t)found);
    for (int32_t left = (int32_t)found; left >= 0; left--) {
        const uint32_t slot = left ? head->centres[left - 1] : index;
        eimp_slot *meta = eimp_meta(head, slot);
        const int8_t *row = eimp_row(head, slot);
        int32_t a = left ? (int32_t)eimp_least(meta->count, head->shrinkage) : 1, b = left ? kappa : 0;
        const int32_t norm2 = eimp_dot(row, row, head->dim);
        /* To one scale, below 2^26, and then to 12 bits. */
        if (meta->shift < mean->shift) a <<= mean->shift - meta->shift;
        else b <<= meta->shift - mean->shift;
        for (; (a | b) >= 2 * TOP; a >>= 1) b >>= 1;
        for (; (a | b) < TOP; a *= 2) b *= 2;
        /* 4 * 2^24 * 2^26 = 2^52 */
        int64_t length2 = eimp_wide(a * a, norm2) + eimp_wide(2 * a * b, eimp_dot(row, mean_row, head->dim)) +
                          eimp_wide(b * b, mean_norm2);
        if (length2 < SMALLEST_LENGTH2) {
            /* A centre that the mean cancels answers for itself; a row of zeros answers 0. */
            a = norm2 ? TOP : 0;
            b = 0;
            length2 = eimp_wide(TOP * TOP, norm2);
        }
        uint32_t length = eimp_isqrt((uint64_t)length2);
        if (!length) length = 1;
        meta->alpha = coefficient(a, length);
        meta->beta = coefficient(b, length);
    }
}

void eimp_refresh(eimp_head *head) {
    uint32_t searches = SEARCHES;
    if (!head->any_stale) return;
    for (uint32_t index = eimp_n_classes(head); index--;) {
        eimp_slot *mean = eimp_meta(head, index);
        if (!mean->stale) continue;
        if (searches && !--searches) eimp_list_centres(head, 1);
        refresh_class(head, index, mean, searches ? eimp_gather(head, index) : eimp_take_listed(head, index));
        mean->stale = 0;
    }
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
                  eimp_wide(meta->alpha, dots[i]) + eimp_wide(meta->beta, head->mean_dots[meta->cls]));
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
