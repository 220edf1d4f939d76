/* A second-moment head as snapshots, store and serial protocol find it: behind the head that they are given. */
#include <string.h>

#include "eimp_ridge_internal.h"
#include "eimp_snapshot_internal.h"

#define SHARPNESS_MAX (6 << 16)
#define LEAST (EIMP_RIDGE_ONE / 4)
#define LEAST_ROOT 0.5f /* of a pivot: that of EIMP_RIDGE_FLOOR */

static int teach(eimp_head *head, const eimp_label *label, const int16_t *embedding) {
    eimp_ridge *ridge = eimp_ridge_of(head);
    if (embedding) return eimp_ridge_learn(ridge, label, embedding);
    return label ? eimp_ridge_forget(ridge, label) : eimp_ridge_undo(ridge);
}

static int predict(eimp_head *head, const int16_t *embedding, eimp_answer *answer, uint32_t *confidence_q16) {
    return eimp_ridge_predict(eimp_ridge_of(head), embedding, answer, confidence_q16);
}

static void clear(eimp_head *head) {
    eimp_clear(head);
    eimp_ridge_clear(eimp_ridge_of(head));
}

static void scores(eimp_head *head, uint32_t first, uint32_t count, uint8_t *out) {
    eimp_ridge_refresh(eimp_ridge_of(head));
    (void)eimp_ridge_class_scores(eimp_ridge_of(head));
    memcpy(out, head->mean_dots + first, sizeof *head->mean_dots * count);
}

/* The scatter is read to where the factor lies, which is made again before it is used. */
static int read_scatter(eimp_ridge *ridge, const eimp_source *source, int32_t *scatter) {
    const eimp_kept *kept = &ridge->head->kept[1];
    ridge->stale = 1;
    if (source->length[EIMP_SECTION_SCATTER] != kept->bytes) return EIMP_E_CORRUPT;
    const int status = source->read(source->context, source->at[EIMP_SECTION_SCATTER], ridge->factor, kept->bytes);
    if (status != EIMP_OK) return status;
    for (uint32_t i = 0, at = 0; i < ridge->head->dim; at += ++i + 1u) {
        if (scatter[at] <= 0 || scatter[at] >= 1 << 30) return EIMP_E_CORRUPT;
        scatter[at] -= LEAST;
    }
    return EIMP_OK;
}

/* Shots leave at least the prior in every direction; with less than LEAST of it solutions would overflow. */
static int check(const eimp_head *head, const eimp_source *source) {
    eimp_ridge *ridge = eimp_ridge_of(head);
    /* Each number of the factor starts as the scatter's in the same place. */
    int32_t *scatter = (int32_t *)(void *)ridge->factor;
    eimp_ridge_state state;
    if (source->length[EIMP_SECTION_RIDGE] != EIMP_RIDGE_SAVED_BYTES) return EIMP_E_CORRUPT;
    int status = source->read(source->context, source->at[EIMP_SECTION_RIDGE], &state, EIMP_RIDGE_SAVED_BYTES);
    if (status == EIMP_OK && (state.sharpness > SHARPNESS_MAX || state.sharpness < -SHARPNESS_MAX)) status = EIMP_E_CORRUPT;
    if (status == EIMP_OK) status = read_scatter(ridge, source, scatter);
    if (status != EIMP_OK) return status;
    eimp_moment_factor(scatter, ridge->factor, head->dim, EIMP_RIDGE_FLOOR, ridge->scratch);
    for (uint32_t i = 0, at = 0; i < head->dim; at += ++i + 1u)
        if (!(ridge->factor[at] > LEAST_ROOT)) return EIMP_E_CORRUPT;
    return EIMP_OK;
}

const eimp_method eimp_ridge_method = {.teach = teach,
                                       .predict = predict,
                                       .clear = clear,
                                       .scores = scores,
                                       .layout_for = eimp_ridge_layout_for,
                                       .check = check};
