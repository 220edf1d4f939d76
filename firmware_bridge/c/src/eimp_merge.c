/* What one head learnt, added to another: classes as weighted points, statistics pooled. */
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
    const eimp_record *theirs = eimp_record_at(other, source);
    int32_t index = eimp_find(head, &theirs->label);
    eimp_point point;
    eimp_point_of(other, source, &point);
    if (index < 0) {
        index = (int32_t)eimp_open_class(head, &theirs->label, &point);
    } else {
        uint32_t *shots = &eimp_record_at(head, (uint32_t)index)->shots;
        eimp_blend(head, (uint32_t)index, &point);
        *shots = point.weight > 0xFFFFFFFFu - *shots ? 0xFFFFFFFFu : *shots + point.weight;
    }
    eimp_pool(&eimp_record_at(head, (uint32_t)index)->other, &theirs->other, EIMP_WINDOW);
    const uint32_t found = eimp_gather(other, source);
    for (uint32_t i = 0; i < found; i++) {
        eimp_point_of(other, other->centres[i], &point);
        eimp_place(head, (uint32_t)index, &point);
    }
}

int eimp_merge_check(const eimp_head *head, const eimp_head *other) {
    uint32_t wanted = eimp_n_classes(head);
    if (head == other) return EIMP_E_ARGUMENT;
    if (head->dim != other->dim) return EIMP_E_SHAPE;
    if (!same_backbone(head, other)) return EIMP_E_BACKBONE;
    for (uint32_t source = 0; source < eimp_n_classes(other); source++)
        wanted += eimp_find(head, &eimp_record_at(other, source)->label) < 0;
    return wanted > head->layout.max_classes ? EIMP_E_CAPACITY : EIMP_OK;
}

int eimp_merge(eimp_head *head, eimp_head *other) {
    const int status = eimp_merge_check(head, other);
    if (status != EIMP_OK) return status;
    if (!head->backbone_length && eimp_set_backbone(head, other->backbone, other->backbone_length) != EIMP_OK)
        return EIMP_E_CAPACITY;
    head->can_undo = 0;
    for (uint32_t source = 0; source < eimp_n_classes(other); source++) merge_class(head, other, source);
    eimp_words *mine = eimp_words_of(head);
    const eimp_words *theirs = eimp_words_of(other);
    eimp_pool(&mine->own, &theirs->own, 4 * EIMP_WINDOW);
    eimp_count_shots(head, theirs->shots);
    return EIMP_OK;
}
