/* A second-moment head as snapshots, store and serial protocol find it: behind the head that they are given. */
#include <string.h>

#include "eimp_ridge_internal.h"
#include "eimp_snapshot_internal.h"

#define SHARPNESS_MAX (6 << 16)
#define LEAST (EIMP_RIDGE_ONE / 4)
#define MOST (1 << 30)
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
    for (uint32_t at = 0; at < kept->bytes / sizeof *scatter; at++)
        if (scatter[at] >= MOST || scatter[at] <= -MOST) return EIMP_E_CORRUPT;
    for (uint32_t i = 0, at = 0; i < ridge->head->dim; at += ++i + 1u) {
        if (scatter[at] <= 0) return EIMP_E_CORRUPT;
        scatter[at] -= LEAST;
    }
    return EIMP_OK;
}

/* The scatter without the log's shots, which are read to where right-hand sides lie, behind the widened row. */
static int without_log(eimp_ridge *ridge, const eimp_source *source, int32_t *scatter, uint32_t shots) {
    const uint32_t dim = ridge->head->dim, step = ridge->row_bytes, bytes = source->length[EIMP_SECTION_LOG];
    const uint32_t room = source->layout.pool_bytes / source->layout.slot_bytes - source->state.n_slots;
    int8_t *row = (int8_t *)ridge->sides + 4u * dim;
    eimp_ridge_shot shot;
    if (bytes % step || bytes / step > eimp_least(room, EIMP_RIDGE_MOST_LOGGED)) return EIMP_E_CORRUPT;
    for (uint32_t at = 0; at < bytes; at += step) {
        const int status = source->read(source->context, source->at[EIMP_SECTION_LOG] + at, row, step);
        if (status != EIMP_OK) return status;
        memcpy(&shot, row + step - EIMP_RIDGE_META_BYTES, sizeof shot);
        if (shot.cls >= source->state.n_classes || shot.shift > EIMP_RIDGE_LOGGED_SHIFT || shot.counted > 1u ||
            shot.counted > shots)
            return EIMP_E_CORRUPT;
        shots -= shot.counted;
        if (shot.counted) eimp_moment_add(scatter, eimp_ridge_widened(ridge, row, shot.shift), dim, -1);
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
    if (status == EIMP_OK) status = without_log(ridge, source, scatter, state.shots);
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
                                       .check = check,
                                       .make_room = eimp_ridge_log_open};
