/* What one head learnt, added to another: classes as weighted points, statistics pooled. */
#include <string.h>

#include "eimp_internal.h"

/* Two backbones are told apart by their first word; an unnamed one is taken on trust. */
static int same_backbone(const eimp_head *a, const eimp_head *b) {
    uint32_t at = 0;
    if (!a->backbone_length || !b->backbone_length) return 1;
    for (;; at++) {
        const int a_ends = at == a->backbone_length || a->backbone[at] == ' ';
        const int b_ends = at == b->backbone_length || b->backbone[at] == ' ';
        if (a_ends || b_ends) return a_ends && b_ends;
        if (a->backbone[at] != b->backbone[at]) return 0;
    }
}

static void merge_class(eimp_head *head, eimp_head *other, uint32_t source) {
    eimp_record mine, theirs;
    eimp_point point;
    eimp_get_record(other, source, &theirs);
    int32_t index = eimp_find(head, &theirs.label);
    eimp_point_of(other, source, &point);
    if (index < 0) {
        index = (int32_t)eimp_open_class(head, &theirs.label, &point);
    } else {
        eimp_blend(head, (uint32_t)index, &point);
        eimp_get_record(head, (uint32_t)index, &mine);
        mine.shots = point.weight > 0xFFFFFFFFu - mine.shots ? 0xFFFFFFFFu : mine.shots + point.weight;
        eimp_put_record(head, (uint32_t)index, &mine);
    }
    eimp_get_record(head, (uint32_t)index, &mine);
    eimp_running pooled = {mine.other_count, mine.other_mean, mine.other_variance};
    const eimp_running added = {theirs.other_count, theirs.other_mean, theirs.other_variance};
    eimp_pool(&pooled, &added, EIMP_WINDOW);
    mine.other_count = pooled.count;
    mine.other_mean = pooled.mean;
    mine.other_variance = pooled.variance;
    eimp_put_record(head, (uint32_t)index, &mine);
    const uint32_t found = eimp_gather(other, source);
    for (uint32_t i = 0; i < found; i++) {
        eimp_point_of(other, other->centres[i], &point);
        eimp_place(head, (uint32_t)index, &point);
    }
}

static void pool_own(eimp_words *mine, const eimp_words *theirs) {
    eimp_running pooled = {(uint32_t)mine->own_count, (int32_t)mine->own_mean, (uint32_t)mine->own_variance};
    const eimp_running added = {(uint32_t)theirs->own_count, (int32_t)theirs->own_mean, (uint32_t)theirs->own_variance};
    eimp_pool(&pooled, &added, 4 * EIMP_WINDOW);
    mine->own_count = pooled.count;
    mine->own_mean = pooled.mean;
    mine->own_variance = pooled.variance;
    mine->shots += theirs->shots;
}

int eimp_merge(eimp_head *head, eimp_head *other) {
    uint32_t wanted = eimp_n_classes(head);
    if (head == other) return EIMP_E_ARGUMENT;
    if (head->dim != other->dim) return EIMP_E_SHAPE;
    if (!same_backbone(head, other)) return EIMP_E_BACKBONE;
    for (uint32_t source = 0; source < eimp_n_classes(other); source++)
        wanted += eimp_find(head, (const eimp_label *)(const void *)eimp_record_at(other, source)) < 0;
    if (wanted > head->layout.max_classes) return EIMP_E_CAPACITY;
    if (!head->backbone_length && eimp_set_backbone(head, other->backbone, other->backbone_length) != EIMP_OK)
        return EIMP_E_CAPACITY;
    head->can_undo = 0;
    for (uint32_t source = 0; source < eimp_n_classes(other); source++) merge_class(head, other, source);
    pool_own(eimp_words_of(head), eimp_words_of(other));
    return EIMP_OK;
}
