/* Answers: the best class of an embedding and what to make of it, or every class's cosine. */
#include "eimp_internal.h"

static int ready(eimp_head *head, const int16_t *embedding) {
    uint64_t length2 = 0;
    if (!eimp_n_classes(head)) return EIMP_E_NOT_TAUGHT;
    const int status = eimp_quantise(head, embedding, &length2);
    if (status == EIMP_OK) eimp_refresh(head);
    return status;
}

/* The lowest slot wins a tie. */
typedef struct winner {
    int64_t score;
    uint32_t index;
} winner;

static void take_better(void *context, uint32_t slot, uint32_t index, int64_t score) {
    winner *best = context;
    (void)slot;
    if (score > best->score) {
        best->score = score;
        best->index = index;
    }
}

void eimp_best_quantised(eimp_head *head, uint32_t *index, int32_t *cosine_q23) {
    winner best = {INT64_MIN, 0};
    eimp_visit_scores(head, take_better, &best);
    *index = best.index;
    *cosine_q23 = eimp_cosine_q23(best.score, eimp_query_norm_q16(head));
}

int eimp_predict(eimp_head *head, const int16_t *embedding, eimp_answer *answer) {
    /* Uncertain, where there are no thresholds. */
    int32_t known = INT32_MAX, unknown = INT32_MIN;
    const int status = ready(head, embedding);
    if (status != EIMP_OK) return status;
    eimp_best_quantised(head, &answer->class_index, &answer->cosine_q23);
    answer->label = eimp_record_at(head, answer->class_index)->label;
    (void)eimp_thresholds(head, &known, &unknown);
    answer->verdict = answer->cosine_q23 >= known     ? EIMP_KNOWN
                      : answer->cosine_q23 >= unknown ? EIMP_UNCERTAIN
                                                      : EIMP_UNKNOWN;
    return EIMP_OK;
}

/* Cosines grow with scores, so the best of rounded cosines is the rounded best. */
typedef struct table {
    int32_t *cosines;
    uint32_t classes, norm;
} table;

static void take_best_of_class(void *context, uint32_t slot, uint32_t index, int64_t score) {
    const table *t = context;
    const int32_t cosine = eimp_cosine_q23(score, t->norm);
    if (slot < t->classes || cosine > t->cosines[index]) t->cosines[index] = cosine;
}

int eimp_scores(eimp_head *head, const int16_t *embedding, int32_t *cosines_q23) {
    const int status = ready(head, embedding);
    if (status != EIMP_OK) return status;
    table t = {cosines_q23, eimp_n_classes(head), eimp_query_norm_q16(head)};
    eimp_visit_scores(head, take_best_of_class, &t);
    return EIMP_OK;
}
