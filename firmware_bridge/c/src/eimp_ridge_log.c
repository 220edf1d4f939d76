/* The shots that the scatter is made of, class by class, as long as there is room: what makes forgetting exact.
 *
 * They lie where proxies that are not there yet will have their discriminants, from the end downwards, the oldest last,
 * and give way when proxies come. A class may take a place more while as many are free as it has (Choudhury and Hahne
 * 1998, with the factor 1), so that one of thousands of shots leaves half of them to others. */
#include <string.h>

#include "eimp_ridge_internal.h"

#define THERE 2u /* beside `counted` of what is gone: something is */

static uint32_t rows_of(const eimp_head *head) { return head->layout.pool_bytes / head->layout.slot_bytes; }

/* How many entries proxies leave room for. */
static EIMP_APART uint32_t most(const eimp_head *head) {
    return eimp_least(rows_of(head) - eimp_n_slots(head), EIMP_RIDGE_MOST_LOGGED);
}

static EIMP_APART int8_t *entry_at(const eimp_ridge *ridge, uint32_t place) {
    return eimp_ridge_row(ridge, rows_of(ridge->head) - place);
}

static eimp_ridge_shot *shot_at(const eimp_ridge *ridge, uint32_t place) {
    return (eimp_ridge_shot *)(void *)(entry_at(ridge, place) + ridge->row_bytes - EIMP_RIDGE_META_BYTES);
}

/* Snapshots keep the entries from the newest one to the end. */
static EIMP_APART void resize(eimp_ridge *ridge, uint32_t count) {
    ridge->state->logged = count;
    ridge->head->kept[2].bytes = count * ridge->row_bytes;
    if (count) ridge->head->kept[2].at = entry_at(ridge, count - 1u);
}

static EIMP_APART void append(eimp_ridge *ridge, const int8_t *row, const eimp_ridge_shot *shot) {
    const uint32_t place = ridge->state->logged;
    memset(entry_at(ridge, place), 0, ridge->row_bytes);
    memcpy(entry_at(ridge, place), row, ridge->head->dim);
    *shot_at(ridge, place) = *shot;
    resize(ridge, place + 1u);
}

uint32_t eimp_ridge_logged(const eimp_ridge *ridge, uint32_t index) {
    uint32_t found = 0;
    for (uint32_t place = 0; place < ridge->state->logged; place++) found += shot_at(ridge, place)->cls == index;
    return found;
}

void eimp_ridge_log_add(eimp_ridge *ridge, uint32_t index, uint32_t shots) {
    eimp_ridge_state *state = ridge->state;
    const uint32_t free = most(ridge->head) - state->logged;
    const eimp_ridge_shot shot = {(uint16_t)index, state->shift, state->added};
    state->in_log = shot.shift <= EIMP_RIDGE_LOGGED_SHIFT && free && shots <= free && shots <= state->logged &&
                    eimp_ridge_logged(ridge, index) == shots;
    memset(&state->gone, 0, sizeof state->gone);
    if (state->in_log) append(ridge, ridge->last, &shot);
}

void eimp_ridge_log_make_way(eimp_ridge *ridge) {
    eimp_ridge_state *state = ridge->state;
    const uint32_t place = state->logged - 1u;
    if (state->logged <= most(ridge->head)) return;
    if (!state->in_log) {
        memcpy(ridge->last + ridge->head->dim, entry_at(ridge, place), ridge->head->dim);
        state->gone = *shot_at(ridge, place);
        state->gone.counted |= THERE;
    }
    state->in_log = 0;
    resize(ridge, place);
}

/* There is nothing to take back. */
static void settle(eimp_ridge *ridge) {
    ridge->state->in_log = 0;
    memset(&ridge->state->gone, 0, sizeof ridge->state->gone);
}

void eimp_ridge_log_take_back(eimp_ridge *ridge) {
    eimp_ridge_shot gone = ridge->state->gone;
    resize(ridge, ridge->state->logged - ridge->state->in_log);
    if (gone.counted) {
        gone.counted &= 1u;
        append(ridge, ridge->last + ridge->head->dim, &gone);
    }
    settle(ridge);
}

void eimp_ridge_log_drop(eimp_ridge *ridge, uint32_t index) {
    uint32_t kept = 0;
    for (uint32_t place = 0; place < ridge->state->logged; place++) {
        if (shot_at(ridge, place)->cls == index) continue;
        if (kept != place) memcpy(entry_at(ridge, kept), entry_at(ridge, place), ridge->row_bytes);
        kept++;
    }
    resize(ridge, kept);
    settle(ridge);
}

const int16_t *eimp_ridge_widened(const eimp_ridge *ridge, const int8_t *row, uint32_t shift) {
    int16_t *wide = (int16_t *)(void *)ridge->sides;
    for (uint32_t i = 0; i < ridge->head->dim; i++) wide[i] = (int16_t)(row[i] * (1 << shift));
    return wide;
}

void eimp_ridge_log_forget(eimp_ridge *ridge, uint32_t index) {
    for (uint32_t place = 0; place < ridge->state->logged; place++) {
        eimp_ridge_shot *shot = shot_at(ridge, place);
        if (shot->cls != index || !shot->counted) continue;
        eimp_moment_add(ridge->scatter, eimp_ridge_widened(ridge, entry_at(ridge, place), shot->shift), ridge->head->dim, -1);
        ridge->state->shots--;
    }
    eimp_ridge_log_drop(ridge, index);
    for (uint32_t place = 0; place < ridge->state->logged; place++)
        if (shot_at(ridge, place)->cls > index) shot_at(ridge, place)->cls--;
}

void eimp_ridge_log_cut(eimp_ridge *ridge, uint32_t count) {
    resize(ridge, eimp_least(count, eimp_least(ridge->state->logged, most(ridge->head))));
    settle(ridge);
}

void eimp_ridge_log_take_over(eimp_ridge *ridge, const eimp_ridge *other, uint32_t source, uint32_t index) {
    const uint32_t room = most(ridge->head) - ridge->state->logged;
    if (eimp_ridge_logged(other, source) > room) return;
    for (uint32_t place = 0; place < other->state->logged; place++) {
        eimp_ridge_shot shot = *shot_at(other, place);
        if (shot.cls != source) continue;
        shot.cls = (uint16_t)index;
        append(ridge, entry_at(other, place), &shot);
    }
}

int eimp_ridge_is_logged(const eimp_ridge *ridge, uint32_t index) {
    return index < eimp_n_classes(ridge->head) &&
           eimp_ridge_logged(ridge, index) == eimp_record_at(ridge->head, index)->shots;
}

/* Room for the log of a snapshot, whose proxies are there already, or are about to be. */
void eimp_ridge_log_open(eimp_head *head, uint32_t bytes) {
    eimp_ridge *ridge = eimp_ridge_of(head);
    resize(ridge, bytes / ridge->row_bytes);
}
