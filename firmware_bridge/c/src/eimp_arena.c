/* The one block of memory that a head lives in, and the journal that takes the last shot back.
 *
 * Slots 0 to n_classes - 1 are the class means, in class order; the centres follow in the order in which they came. */
#include <stddef.h>
#include <string.h>

#include "eimp_internal.h"

int eimp_layout_for(uint32_t dim, uint32_t budget, uint8_t undo, eimp_layout *layout) {
    if (!dim || dim > EIMP_MAX_DIM) return EIMP_E_SHAPE;
    if (!budget || budget > EIMP_MAX_BUDGET) return EIMP_E_BUDGET;
    const uint32_t slot = (2u * dim + EIMP_SLOT_META_BYTES + 3u) / 4u * 4u;
    /* The worst that one shot overwrites is a new class in a full arena: docs/DESIGN.md. */
    const uint32_t freed = 1u + (EIMP_RECORD_BYTES + slot - 1u) / slot;
    const uint32_t journal = EIMP_HEADER_BYTES + EIMP_RECORD_BYTES + (3u * freed + 1u) * slot;
    if (undo == EIMP_UNDO_AUTO) undo = journal <= budget / 4u ? EIMP_UNDO_YES : EIMP_UNDO_NO;
    const uint32_t fixed = EIMP_HEADER_BYTES + (undo ? journal : 0u);
    if (budget < fixed + slot + EIMP_RECORD_BYTES) return EIMP_E_BUDGET;
    layout->budget = budget;
    layout->slot_bytes = slot;
    layout->journal_bytes = undo ? journal : 0u;
    layout->pool_bytes = budget - fixed;
    layout->max_classes = eimp_least(layout->pool_bytes / (slot + EIMP_RECORD_BYTES), EIMP_MAX_CLASSES);
    layout->undo = undo;
    return EIMP_OK;
}

int eimp_has_room(const eimp_head *head, uint32_t slots, uint32_t classes) {
    return eimp_n_slots(head) + slots <= eimp_slots_for(&head->layout, eimp_n_classes(head) + classes);
}

void eimp_mark_stale(eimp_head *head, uint32_t index) {
    eimp_meta(head, index)->stale = 1;
    head->any_stale = 1;
}

void eimp_mark_all_stale(eimp_head *head) {
    for (uint32_t index = eimp_n_classes(head); index--;) eimp_mark_stale(head, index);
}

uint32_t eimp_gather(eimp_head *head, uint32_t index) {
    const uint32_t n = eimp_n_slots(head);
    uint32_t found = 0;
    for (uint32_t slot = eimp_n_classes(head); slot < n && found < head->max_centres; slot++)
        if (eimp_meta(head, slot)->cls == index) head->centres[found++] = slot;
    return found;
}

/* A list runs through its class's centres, from the lowest slot up: mean_dots has the first, 0 where there is none and -1
 * where the class is not wanted. A centre has the next one, which is below 2^26, in place of what its list knows: the last
 * four bytes of its slot are 16 next + shift, as one number. */
void eimp_list_centres(eimp_head *head, uint8_t stale) {
    for (uint32_t index = eimp_n_classes(head); index--;)
        head->mean_dots[index] = eimp_meta(head, index)->stale >= stale ? 0 : -1;
    for (uint32_t slot = eimp_n_slots(head); slot-- > eimp_n_classes(head);) {
        eimp_slot *meta = eimp_meta(head, slot);
        int32_t *first = head->mean_dots + meta->cls;
        if (*first < 0) continue;
        const uint32_t link = (uint32_t)*first << 4 | meta->shift;
        *first = (int32_t)slot;
        memcpy((uint8_t *)meta + offsetof(eimp_slot, cls), &link, sizeof link);
    }
}

uint32_t eimp_take_listed(eimp_head *head, uint32_t index) {
    uint32_t found = 0;
    for (uint32_t slot = (uint32_t)head->mean_dots[index], link; slot; slot = link >> 4) {
        eimp_slot *meta = eimp_meta(head, slot);
        if (found < head->max_centres) head->centres[found++] = slot;
        memcpy(&link, (uint8_t *)meta + offsetof(eimp_slot, cls), sizeof link);
        meta->cls = (uint16_t)index;
        meta->shift = (uint8_t)(link & 15u);
        meta->stale = 0;
    }
    return found;
}

/* The journal, behind the records: words, one record, slots. */
static uint8_t *journal_of(const eimp_head *head) { return (uint8_t *)head->records; }

static uint8_t *saved_slot_at(const eimp_head *head, uint32_t place) {
    return journal_of(head) + EIMP_HEADER_BYTES + EIMP_RECORD_BYTES + (size_t)place * head->layout.slot_bytes;
}

void eimp_open_journal(eimp_head *head) {
    if (!head->layout.undo) return;
    head->journal_count = 0;
    head->journal_record = -1;
    head->slots_before = eimp_n_slots(head);
    head->can_undo = 1;
    memcpy(journal_of(head), head->pool, EIMP_HEADER_BYTES);
}

/* Save a slot that was in use when the journal was opened, once. */
void eimp_save_slot(eimp_head *head, uint32_t slot) {
    if (!head->can_undo || slot >= head->slots_before) return;
    for (uint32_t place = 0; place < head->journal_count; place++)
        if (head->journal[place] == slot) return;
    memcpy(saved_slot_at(head, head->journal_count), eimp_row(head, slot), head->layout.slot_bytes);
    head->journal[head->journal_count++] = slot;
}

void eimp_save_record(eimp_head *head, uint32_t index) {
    if (!head->can_undo) return;
    memcpy(journal_of(head) + EIMP_HEADER_BYTES, eimp_record_at(head, index), EIMP_RECORD_BYTES);
    head->journal_record = (int32_t)index;
}

void eimp_roll_back(eimp_head *head) {
    for (uint32_t place = 0; place < head->journal_count; place++) {
        const uint32_t slot = head->journal[place];
        memcpy(eimp_row(head, slot), saved_slot_at(head, place), head->layout.slot_bytes);
        /* A mean that is put back later, and with it its mark, marks itself again. */
        eimp_mark_stale(head, eimp_meta(head, slot)->cls);
    }
    if (head->journal_record >= 0)
        memcpy(eimp_record_at(head, (uint32_t)head->journal_record), journal_of(head) + EIMP_HEADER_BYTES,
               EIMP_RECORD_BYTES);
    memcpy(head->pool, journal_of(head), EIMP_HEADER_BYTES);
    head->can_undo = 0;
}

void eimp_write(eimp_head *head, uint32_t slot, uint32_t index, const eimp_point *point) {
    eimp_save_slot(head, slot);
    eimp_meta(head, slot)->cls = (uint16_t)index;
    eimp_mix(head, slot, point, 0);
    eimp_mark_stale(head, index);
}

void eimp_blend(eimp_head *head, uint32_t slot, const eimp_point *point) {
    const eimp_slot *meta = eimp_meta(head, slot);
    eimp_save_slot(head, slot);
    eimp_mix(head, slot, point, meta->count);
    eimp_mark_stale(head, meta->cls);
}

void eimp_count_shots(eimp_head *head, uint64_t shots) {
    eimp_words *words = eimp_words_of(head);
    words->shots += shots;
    if (words->shots > EIMP_MOST_SHOTS) words->shots = EIMP_MOST_SHOTS;
}

/* Not in eimp_cluster.c, whose chain of calls is the deepest, so that the point is not on the stack throughout. */
void eimp_join(eimp_head *head, uint32_t into, uint32_t from) {
    eimp_point point;
    eimp_point_of(head, from, &point);
    eimp_blend(head, into, &point);
}

static void move_slot(eimp_head *head, uint32_t source, uint32_t target) {
    if (source == target) return;
    eimp_save_slot(head, target);
    memcpy(eimp_row(head, target), eimp_row(head, source), head->layout.slot_bytes);
}

void eimp_give_back(eimp_head *head, uint32_t slot) {
    const uint32_t last = eimp_n_slots(head) - 1;
    /* A class record may come to lie where it was. */
    eimp_save_slot(head, last);
    move_slot(head, last, slot);
    eimp_words_of(head)->n_slots = last;
}

/* Add a class with its mean; the first centre moves to the end. */
uint32_t eimp_open_record(eimp_head *head, const eimp_label *label, const eimp_point *point) {
    const uint32_t index = eimp_n_classes(head);
    move_slot(head, index, eimp_n_slots(head));
    eimp_words_of(head)->n_slots++;
    eimp_words_of(head)->n_classes = index + 1;
    eimp_write(head, index, index, point);
    eimp_record *record = eimp_record_at(head, index);
    memset(record, 0, sizeof *record);
    record->label = *label;
    record->shots = point->weight;
    return index;
}

/* Close the gaps that a class leaves; order is kept, later classes move up by one. */
void eimp_remove_class(eimp_head *head, uint32_t index) {
    eimp_words *words = eimp_words_of(head);
    const uint32_t n = eimp_n_slots(head), classes = eimp_n_classes(head);
    uint32_t kept = 0;
    head->can_undo = 0;
    for (uint32_t slot = 0; slot < n; slot++) {
        if (eimp_meta(head, slot)->cls == index) continue;
        move_slot(head, slot, kept);
        eimp_slot *meta = eimp_meta(head, kept++);
        if (meta->cls > index) meta->cls--;
    }
    eimp_record *record = eimp_record_at(head, index);
    for (uint32_t behind = classes - 1 - index; behind--; record--) memcpy(record, record - 1, sizeof *record);
    words->n_slots = kept;
    words->n_classes = classes - 1;
    if (classes == 1) memset(&words->own, 0, sizeof words->own);
    eimp_mark_all_stale(head);
}

/* Rows, records and words were put there: squared lengths follow from rows, coefficients from both. */
void eimp_loaded(eimp_head *head) {
    for (uint32_t slot = eimp_n_slots(head); slot--;) {
        const int8_t *high = eimp_row(head, slot), *low = high + head->dim;
        uint64_t square = 0; /* <= 4096 * 32639^2 < 2^42 */
        for (uint32_t i = 0; i < head->dim; i++) {
            const int32_t value = high[i] * 256 + low[i];
            square += (uint32_t)(value * value);
        }
        eimp_set_square(eimp_meta(head, slot), square);
    }
    eimp_mark_all_stale(head);
    head->can_undo = 0;
}
