/* Answers of a second-moment head: scores of a query with the discriminants, and what they are worth. */
#include <math.h>

#include "eimp_kernels.h"
#include "eimp_ridge_internal.h"

/* log2(e) (18 + 0.5 n) times 2^8 */
#define SHARP_Q8 6648
#define SHARP_PER_SHOT_Q8 185
#define MOST_SHOTS (1u << 20)
#define MOST_PLAIN_Q16 ((int64_t)1 << 32)
#define MOST_Q16 ((int64_t)1 << 37)
#define GONE (40 << 16)
/* Beyond what queries, scatters and scores that shots can have come to. */
#define MOST_WHITE 32768.0f
#define MOST_UNIT_Q24 ((int64_t)1 << 28)
#define MOST_TIMES_Q16 ((int64_t)1 << 30)
#define MOST_TERM ((int64_t)1 << 25)
#define EVEN_Q16 (1u << 15)

static int32_t one(int32_t score) {
    const int32_t most = (int32_t)1 << 23;
    return score > most ? most : score < -most ? -most : score;
}

/* slope (row . q) / |q| + offset, times 2^23 */
static int32_t score_of(const eimp_ridge_meta *meta, int32_t dot, uint32_t norm_q16) {
    const int64_t whole = eimp_wide(meta->slope, dot) * 2048 + (eimp_wide(meta->offset, (int32_t)norm_q16) >> 5);
    return one((int32_t)eimp_rounded(whole, norm_q16));
}

int32_t eimp_ridge_class_scores(eimp_ridge *ridge) {
    eimp_head *head = ridge->head;
    const uint32_t places = eimp_n_slots(head) + 1u, classes = eimp_n_classes(head);
    const uint32_t norm_q16 = eimp_query_norm_q16(head);
    int32_t dots[EIMP_BLOCK], ground = 0;
    for (uint32_t first = 0; first < places; first += EIMP_BLOCK) {
        const uint32_t count = eimp_least(EIMP_BLOCK, places - first);
        eimp_dots(eimp_ridge_row(ridge, first), ridge->row_bytes, count, head->query, head->dim, dots);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t place = first + i;
            const int32_t score = score_of(eimp_ridge_meta_of(ridge, place), dots[i], norm_q16);
            if (!place) {
                ground = score;
                continue;
            }
            int32_t *best = head->mean_dots + eimp_meta(head, place - 1)->cls;
            if (place <= classes || score > *best) *best = score;
        }
    }
    return ground;
}

/* The lowest class wins a tie. */
uint32_t eimp_ridge_best(const eimp_head *head) {
    uint32_t best = 0;
    for (uint32_t c = 1; c < eimp_n_classes(head); c++)
        if (head->mean_dots[c] > head->mean_dots[best]) best = c;
    return best;
}

/* The query's length in the scatter's metric, times 2^8. */
static uint32_t whitened_q8(eimp_ridge *ridge) {
    const eimp_head *head = ridge->head;
    float *x = ridge->sides;
    uint64_t square = 0; /* at most 4096 * 2^46 */
    for (uint32_t i = 0; i < head->dim; i++) x[i] = (float)head->query[i];
    eimp_moment_whiten(ridge->factor, x, head->dim);
    for (uint32_t i = 0; i < head->dim; i++) {
        const float size = fabsf(x[i]);
        const int64_t whole = (int64_t)rintf((size <= MOST_WHITE ? size : MOST_WHITE) * 256.0f); /* NaN is most, too */
        square += (uint64_t)(whole * whole);
    }
    return eimp_isqrt(square);
}

/* What makes of a score of the query a cosine in the scatter's metric: its length over that in the metric, times 2^16. */
int64_t eimp_ridge_times_q16(eimp_ridge *ridge) {
    const int64_t across_q24 = (int64_t)((uint64_t)whitened_q8(ridge) * ridge->spread_q24 >> 8);
    int64_t unit_q24 = (int64_t)rintf(ridge->unit * 16777216.0f);
    if (!across_q24) return 0;
    if (unit_q24 > MOST_UNIT_Q24) unit_q24 = MOST_UNIT_Q24;
    const int64_t times_q16 = (unit_q24 * (eimp_query_norm_q16(ridge->head) >> 8) << 8) / across_q24;
    return times_q16 < MOST_TIMES_Q16 ? times_q16 : MOST_TIMES_Q16;
}

int32_t eimp_ridge_known(const eimp_ridge *ridge, uint32_t index, int32_t ground_q23, int64_t times_q16) {
    const eimp_head *head = ridge->head;
    const int8_t *mean = eimp_row(head, index);
    int64_t white = (head->mean_dots[index] + (3 * ground_q23 >> 3)) * times_q16 >> 16;
    white = white > MOST_TERM ? MOST_TERM : white < -MOST_TERM ? -MOST_TERM : white;
    const uint64_t lengths2 = (uint64_t)(uint32_t)eimp_dot(mean, mean, head->dim) *
                              (uint32_t)eimp_dot(head->query, head->query, head->dim);
    const uint32_t lengths_q5 = eimp_isqrt(lengths2 << 10);
    const int64_t dot = eimp_dot(mean, head->query, head->dim);
    const int64_t cosine = lengths_q5 ? eimp_rounded(dot * ((int64_t)1 << 28), lengths_q5) : 0;
    return one((int32_t)((white + (cosine >> 1)) >> 1));
}

/* 2^-x times 2^30 for x = bits_q16 / 2^16 >= 0, off by at most 3e-6. */
static int64_t half_to_the(int64_t bits_q16) {
    if (bits_q16 >= GONE) return 0;
    const int64_t f = (bits_q16 & 0xFFFF) << 14;
    int64_t y = (7356204 * f >> 30) - 57204805;
    y = (y * f >> 30) + 257158261;
    y = (y * f >> 30) - 744180573;
    y = (y * f >> 30) + ((int64_t)1 << 30);
    return y >> (bits_q16 >> 16);
}

/* Bits per unit of score, times 2^16. */
static int64_t sharpness(const eimp_ridge *ridge) {
    const int64_t shots = eimp_least(ridge->state->shots, MOST_SHOTS);
    const int64_t unit_q24 = (int64_t)rintf(ridge->unit * 16777216.0f);
    int64_t plain = (SHARP_Q8 + SHARP_PER_SHOT_Q8 * shots) * unit_q24 >> 16;
    const int32_t learnt = ridge->state->sharpness;
    if (plain > MOST_PLAIN_Q16) plain = MOST_PLAIN_Q16;
    /* 2^learnt = 2^(whole + 1) 2^-(1 - fraction) */
    const int64_t sharp = plain * half_to_the(65536 - (learnt & 0xFFFF)) >> (29 - (learnt >> 16));
    return sharp < MOST_Q16 ? sharp : MOST_Q16;
}

uint32_t eimp_ridge_confidence(const eimp_ridge *ridge, int32_t best_q23) {
    const eimp_head *head = ridge->head;
    const int64_t sharp = sharpness(ridge);
    int64_t total = 0; /* at most 2^16 * 2^30 */
    for (uint32_t c = 0; c < eimp_n_classes(head); c++)
        total += half_to_the((best_q23 - head->mean_dots[c]) * sharp >> 23);
    return (uint32_t)(((((int64_t)1 << 46)) + total / 2) / total);
}

static int ready(eimp_ridge *ridge, const int16_t *embedding) {
    uint64_t length2 = 0;
    if (!eimp_n_classes(ridge->head)) return EIMP_E_NOT_TAUGHT;
    const int status = eimp_quantise(ridge->head, embedding, &length2);
    if (status == EIMP_OK) eimp_ridge_refresh(ridge);
    return status;
}

int eimp_ridge_predict(eimp_ridge *ridge, const int16_t *embedding, eimp_answer *answer, uint32_t *confidence_q16) {
    eimp_head *head = ridge->head;
    int32_t known = INT32_MAX, unknown = INT32_MIN;
    const int status = ready(ridge, embedding);
    if (status != EIMP_OK) return status;
    const int32_t ground = eimp_ridge_class_scores(ridge);
    const uint32_t best = eimp_ridge_best(head);
    answer->class_index = best;
    answer->cosine_q23 = eimp_ridge_known(ridge, best, ground, eimp_ridge_times_q16(ridge));
    answer->label = eimp_record_at(head, best)->label;
    const uint32_t confidence = eimp_ridge_confidence(ridge, head->mean_dots[best]);
    if (confidence_q16) *confidence_q16 = confidence;
    (void)eimp_thresholds(head, &known, &unknown);
    answer->verdict = answer->cosine_q23 < unknown                           ? EIMP_UNKNOWN
                      : answer->cosine_q23 < known || confidence < EVEN_Q16 ? EIMP_UNCERTAIN
                                                                             : EIMP_KNOWN;
    return EIMP_OK;
}

int eimp_ridge_scores(eimp_ridge *ridge, const int16_t *embedding, int32_t *scores_q23) {
    const int status = ready(ridge, embedding);
    if (status != EIMP_OK) return status;
    (void)eimp_ridge_class_scores(ridge);
    for (uint32_t c = 0; c < eimp_n_classes(ridge->head); c++) scores_q23[c] = ridge->head->mean_dots[c];
    return EIMP_OK;
}
