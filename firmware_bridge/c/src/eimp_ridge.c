/* A head with a second moment: the scatter as shots come and go. */
#include "eimp_ridge.h"

#include <string.h>

#include "eimp_ridge_internal.h"

/* As much scatter in every direction as one unit of squared distance, and that of the base. */
void eimp_ridge_clear(eimp_ridge *ridge) {
    const uint32_t dim = ridge->head->dim;
    memset(ridge->state, 0, sizeof *ridge->state);
    eimp_ridge_log_cut(ridge, 0);
    if (ridge->base) memcpy(ridge->scatter, ridge->base, eimp_packed_bytes(dim));
    else memset(ridge->scatter, 0, eimp_packed_bytes(dim));
    for (uint32_t i = 0, at = 0; i < dim; at += ++i + 1u) ridge->scatter[at] += EIMP_RIDGE_ONE;
    ridge->stale = 1;
}

static int32_t mean_at(const eimp_head *head, uint32_t index, uint32_t i) {
    const int8_t *row = eimp_row(head, index);
    const uint32_t shift = eimp_meta(head, index)->shift;
    return (row[i] * 256 + row[head->dim + i] + (1 << shift >> 1)) >> shift;
}

int32_t eimp_ridge_centre(const eimp_head *head, int32_t index, uint32_t i) {
    if (index >= 0) return mean_at(head, (uint32_t)index, i);
    const int32_t classes = (int32_t)eimp_n_classes(head);
    int32_t total = 0; /* below 2^16 * 2^14 */
    for (int32_t c = 0; c < classes; c++) total += mean_at(head, (uint32_t)c, i);
    return (int32_t)eimp_floor_div(2 * (int64_t)total + classes, 2 * (int64_t)classes);
}

/* Add the difference between a point and a centre, `weight` times 2^15 as long, as the int8 row and shift that the log
 * keeps; the point's components are times 2^(14 + shift), rounded down. */
static void add(eimp_ridge *ridge, const eimp_point *point, int32_t index, uint32_t weight) {
    const eimp_head *head = ridge->head;
    int16_t *wide = (int16_t *)(void *)ridge->sides;
    int32_t largest = 0;
    uint8_t shift = 0;
    for (uint32_t i = 0; i < head->dim; i++) {
        const int32_t value = (point->high[i] * 256 + point->low[i]) >> point->shift;
        const int64_t apart = (eimp_wide(value - eimp_ridge_centre(head, index, i), (int32_t)weight) + (1 << 15)) >> 16;
        wide[i] = (int16_t)(apart > 32767 ? 32767 : apart < -32767 ? -32767 : apart);
        const int32_t size = wide[i] < 0 ? -wide[i] : wide[i];
        if (size > largest) largest = size;
    }
    while (largest >> shift > 127) shift++;
    for (uint32_t i = 0; i < head->dim; i++) {
        const int32_t value = (wide[i] + (1 << shift >> 1)) >> shift;
        ridge->last[i] = (int8_t)(value > 127 ? 127 : value < -127 ? -127 : value);
    }
    ridge->state->shift = shift;
    (void)eimp_ridge_widened(ridge, ridge->last, shift);
    /* A scatter that is full stays as it is: it has seen tens of thousands of shots. */
    if (ridge->state->shots == UINT32_MAX || !eimp_moment_has_room(ridge->scatter, wide, head->dim)) return;
    eimp_moment_add(ridge->scatter, wide, head->dim, 1);
    ridge->state->shots++;
    ridge->state->added = 1;
}

/* The shot at hand, whose class's mean does not know it yet. */
static void absorb(eimp_ridge *ridge, int32_t index, uint32_t shots) {
    const eimp_head *head = ridge->head;
    const uint32_t classes = eimp_n_classes(head);
    ridge->stale = 1;
    if (index >= 0) {
        const uint64_t count = eimp_capped(eimp_meta(head, (uint32_t)index)->count);
        add(ridge, &head->shot, index, eimp_isqrt((count << 30) / (count + 1)));
    } else if (classes) {
        add(ridge, &head->shot, -1, eimp_isqrt(((uint64_t)classes << 30) / (classes + 1u)));
    } else {
        memset(ridge->last, 0, head->dim);
        ridge->state->shift = 0;
    }
    eimp_ridge_log_add(ridge, index >= 0 ? (uint32_t)index : classes, shots);
}

/* The first eight shots of a class, then eight for each doubling. */
static int is_sampled(uint32_t shots) {
    uint32_t every = 1;
    while (shots / every >= 16) every *= 2;
    return shots % every == 0;
}

static int32_t to_q15(int32_t known_q23) { return (known_q23 + (1 << 7)) >> 8; }

/* Mean confidence is drawn to the share of right answers, in steps that grow smaller. */
static void observe(eimp_ridge *ridge, int32_t own_q23, int32_t rival_q23) {
    const int right = own_q23 > rival_q23;
    const int32_t said = (int32_t)eimp_ridge_confidence(ridge, right ? own_q23 : rival_q23);
    const int32_t seen = (int32_t)eimp_words_of(ridge->head)->own.count + 128;
    const int64_t step = eimp_floor_div((int64_t)((right ? 1 << 16 : 0) - said) * 24, seen);
    int64_t sharpness = ridge->state->sharpness + step;
    if (sharpness > 6 << 16) sharpness = 6 << 16;
    ridge->state->sharpness = (int32_t)(sharpness < -(6 << 16) ? -(6 << 16) : sharpness);
}

int eimp_ridge_learn_quantised(eimp_ridge *ridge, int32_t index, const eimp_label *label, uint64_t length2) {
    eimp_head *head = ridge->head;
    const uint32_t classes = eimp_n_classes(head);
    int32_t own = EIMP_NO_SCORE, other = EIMP_NO_SCORE;
    if (index < 0 && classes >= head->layout.max_classes) return EIMP_E_CAPACITY;
    const uint32_t shots = index < 0 ? 0 : eimp_record_at(head, (uint32_t)index)->shots;
    eimp_shot(head, length2, &head->shot);
    ridge->state->before = ridge->state->sharpness;
    ridge->state->added = 0;
    if (classes && is_sampled(shots)) {
        eimp_ridge_refresh(ridge);
        const int32_t ground = eimp_ridge_class_scores(ridge);
        const int64_t times_q16 = eimp_ridge_times_q16(ridge);
        uint32_t rival = classes;
        for (uint32_t c = 0; c < classes; c++)
            if ((int32_t)c != index && (rival == classes || head->mean_dots[c] > head->mean_dots[rival])) rival = c;
        if (index >= 0) own = to_q15(eimp_ridge_known(ridge, (uint32_t)index, ground, times_q16));
        if (rival < classes) {
            other = to_q15(eimp_ridge_known(ridge, rival, ground, times_q16));
            if (shots >= 3) observe(ridge, head->mean_dots[index], head->mean_dots[rival]);
        }
    }
    absorb(ridge, index, shots);
    eimp_learn_shot(head, index, label, own, other);
    eimp_ridge_log_make_way(ridge);
    return EIMP_OK;
}

int eimp_ridge_learn(eimp_ridge *ridge, const eimp_label *label, const int16_t *embedding) {
    uint64_t length2 = 0;
    int status = eimp_label_check(label);
    if (status == EIMP_OK) status = eimp_quantise(ridge->head, embedding, &length2);
    if (status != EIMP_OK) return status;
    return eimp_ridge_learn_quantised(ridge, eimp_find(ridge->head, label), label, length2);
}

int eimp_ridge_undo(eimp_ridge *ridge) {
    const int status = eimp_undo(ridge->head);
    if (status != EIMP_OK) return status;
    if (ridge->state->added) {
        eimp_moment_add(ridge->scatter, eimp_ridge_widened(ridge, ridge->last, ridge->state->shift), ridge->head->dim, -1);
        ridge->state->shots--;
    }
    ridge->state->sharpness = ridge->state->before;
    ridge->state->added = 0;
    eimp_ridge_log_take_back(ridge);
    ridge->stale = 1;
    return EIMP_OK;
}

void eimp_ridge_forget_class(eimp_ridge *ridge, uint32_t index) {
    eimp_remove_class(ridge->head, index);
    ridge->stale = 1;
    ridge->state->added = 0;
    eimp_ridge_log_forget(ridge, index);
    if (!eimp_n_classes(ridge->head)) eimp_ridge_clear(ridge);
}

int eimp_ridge_forget(eimp_ridge *ridge, const eimp_label *label) {
    const int32_t index = eimp_find(ridge->head, label);
    if (index < 0) return index;
    eimp_ridge_forget_class(ridge, (uint32_t)index);
    return EIMP_OK;
}

/* Another head's scatter, less the prior, which both have. Returns whether both were halved to fit. */
static int add_scatter(eimp_ridge *ridge, const eimp_ridge *other) {
    const uint32_t dim = ridge->head->dim, size = eimp_packed_bytes(dim) / 4u;
    uint32_t halvings = 0;
    for (uint32_t i = 0, at = 0; i < dim; at += ++i + 1u) {
        /* Neither is above 2^30. */
        int32_t total = ridge->scatter[at] + (other->scatter[at] - EIMP_RIDGE_ONE);
        uint32_t needed = 0;
        for (; total >= 1 << 30; needed++) total = (total >> 1) + EIMP_RIDGE_ONE / 2;
        if (needed > halvings) halvings = needed;
    }
    for (uint32_t i = 0, at = 0; at < size; i++)
        for (uint32_t j = 0; j <= i; j++, at++) {
            int64_t total = (int64_t)ridge->scatter[at] + other->scatter[at] - (i == j ? EIMP_RIDGE_ONE : 0);
            for (uint32_t h = 0; h < halvings; h++) total = (total >> 1) + (i == j ? EIMP_RIDGE_ONE / 2 : 0);
            ridge->scatter[at] = (int32_t)total;
        }
    const uint32_t room = UINT32_MAX - ridge->state->shots;
    ridge->state->shots += eimp_least(room, other->state->shots);
    return halvings > 0;
}

/* How far two heads' means of a class lie apart is scatter within it, as of at most four shots. Such a class is not
 * forgotten exactly: its shots leave the log. */
static void pool(eimp_ridge *ridge, const eimp_head *other, uint32_t source) {
    const eimp_head *head = ridge->head;
    const int32_t index = eimp_find(head, &eimp_record_at(other, source)->label);
    eimp_point point;
    if (index < 0) return;
    eimp_point_of(other, source, &point);
    const uint64_t own = eimp_capped(eimp_meta(head, (uint32_t)index)->count), count = eimp_capped(point.weight);
    const uint64_t weight = (own * count << 30) / (own + count), most = (uint64_t)EIMP_RIDGE_MERGED << 30;
    add(ridge, &point, index, eimp_isqrt(weight < most ? weight : most));
    eimp_ridge_log_drop(ridge, (uint32_t)index);
}

int eimp_ridge_merge(eimp_ridge *ridge, eimp_ridge *other) {
    const int status = eimp_merge_check(ridge->head, other->head);
    if (status != EIMP_OK) return status;
    if (!ridge->head->backbone_length && other->head->backbone_length > ridge->head->backbone_room)
        return EIMP_E_CAPACITY;
    const uint32_t known = eimp_n_classes(ridge->head);
    for (uint32_t source = 0; source < eimp_n_classes(other->head); source++) pool(ridge, other->head, source);
    (void)eimp_merge(ridge->head, other->head);
    const int halved = add_scatter(ridge, other);
    eimp_ridge_log_cut(ridge, halved ? 0 : ridge->state->logged);
    for (uint32_t source = 0; source < eimp_n_classes(other->head) && !halved; source++) {
        const uint32_t index = (uint32_t)eimp_find(ridge->head, &eimp_record_at(other->head, source)->label);
        if (index >= known) eimp_ridge_log_take_over(ridge, other, source, index);
    }
    ridge->state->added = 0;
    ridge->stale = 1;
    return EIMP_OK;
}
