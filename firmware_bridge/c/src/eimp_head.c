/* The head's public functions: an arena, learning, answers, forgetting. */
#include "eimp_head.h"

#include <string.h>

#include "eimp_internal.h"

int eimp_check_options(uint32_t ppm, uint32_t max_proxies, uint32_t shrinkage) {
    return ppm >= 1000 && ppm <= 500000 && max_proxies >= 1 && max_proxies <= 256 && shrinkage >= 1 &&
                   shrinkage <= 4095
               ? EIMP_OK
               : EIMP_E_VALUE_RANGE;
}

/* An arena: the head | pool | mean_dots | centres | high, low, query | backbone. */
typedef struct parts {
    eimp_layout layout;
    uint32_t classes_room;
    uint32_t row; /* bytes of a shot's row, a multiple of 4 */
    size_t end;
} parts;

static size_t rounded_up(size_t bytes) { return (bytes + 7u) & ~(size_t)7u; }

static int divide(const eimp_config *config, parts *p) {
    eimp_layout plain;
    if (config->undo > EIMP_UNDO_AUTO || config->backbone_bytes > EIMP_MAX_BACKBONE_BYTES ||
        eimp_check_options(config->false_accept_ppm, config->max_proxies, config->shrinkage) != EIMP_OK)
        return EIMP_E_VALUE_RANGE;
    const int status = eimp_layout_for(config->dim, config->budget, config->undo, &p->layout);
    if (status != EIMP_OK) return status;
    /* A snapshot that is loaded may come from a head of the same budget without a journal. */
    (void)eimp_layout_for(config->dim, config->budget, EIMP_UNDO_NO, &plain);
    p->classes_room = plain.max_classes;
    p->row = (config->dim + 3u) & ~(uint32_t)3u;
    p->end = rounded_up(sizeof(eimp_head)) + rounded_up(config->budget) + config->backbone_bytes +
             ((size_t)p->classes_room + config->max_proxies - 1u) * sizeof(uint32_t) + 3u * p->row;
    return EIMP_OK;
}

size_t eimp_arena_size(const eimp_config *config) {
    parts p;
    return divide(config, &p) == EIMP_OK ? p.end : 0;
}

int eimp_init(void *arena, size_t bytes, const eimp_config *config, eimp_head **head) {
    parts p;
    if (!arena || !config || !head || (uintptr_t)arena % 8u) return EIMP_E_ARGUMENT;
    const int status = divide(config, &p);
    if (status != EIMP_OK) return status;
    if (bytes < p.end) return EIMP_E_CAPACITY;
    eimp_head *made = arena;
    memset(made, 0, sizeof *made);
    made->layout = p.layout;
    made->dim = config->dim;
    made->false_accept_ppm = config->false_accept_ppm;
    made->budget_room = config->budget;
    made->classes_room = p.classes_room;
    made->max_centres = made->centres_room = (uint16_t)(config->max_proxies - 1u);
    made->shrinkage = config->shrinkage;
    made->backbone_room = config->backbone_bytes;
    made->pool = (uint8_t *)arena + rounded_up(sizeof *made);
    made->mean_dots = (int32_t *)(void *)(made->pool + rounded_up(config->budget));
    made->centres = (uint32_t *)(made->mean_dots + p.classes_room);
    made->high = (int8_t *)(made->centres + made->max_centres);
    made->low = made->high + p.row;
    made->query = made->low + p.row;
    made->backbone = (char *)(made->query + p.row);
    eimp_clear(made);
    *head = made;
    return EIMP_OK;
}

void eimp_clear(eimp_head *head) {
    /* Records end at a multiple of 4 bytes; slots and records being multiples of 4, nothing less fits. */
    memset(head->pool, 0, EIMP_HEADER_BYTES);
    head->records = (eimp_record *)(void *)(head->pool + EIMP_HEADER_BYTES + (head->layout.pool_bytes & ~(uint32_t)3));
    head->any_stale = head->can_undo = 0;
}

void eimp_get_config(const eimp_head *head, eimp_config *config) {
    memset(config, 0, sizeof *config);
    config->dim = head->dim;
    config->budget = head->layout.budget;
    config->false_accept_ppm = head->false_accept_ppm;
    config->max_proxies = (uint16_t)(head->max_centres + 1u);
    config->shrinkage = head->shrinkage;
    config->backbone_bytes = head->backbone_room;
    config->undo = head->layout.undo;
}

void eimp_get_usage(const eimp_head *head, eimp_usage *usage) {
    const eimp_layout *layout = &head->layout;
    const eimp_words *words = eimp_words_of(head);
    usage->classes = words->n_classes;
    usage->proxies = words->n_slots;
    usage->used_bytes = EIMP_HEADER_BYTES + layout->journal_bytes + head->moment_bytes +
                        words->n_classes * EIMP_RECORD_BYTES +
                        words->n_slots * (layout->slot_bytes + head->beside_bytes);
    usage->budget = layout->budget;
    usage->max_classes = layout->max_classes;
    usage->shots = words->shots;
    usage->can_undo = head->can_undo;
}

int32_t eimp_find(const eimp_head *head, const eimp_label *label) {
    for (uint32_t index = 0; index < eimp_n_classes(head); index++)
        if (!memcmp(&eimp_record_at(head, index)->label, label, sizeof *label)) return (int32_t)index;
    return EIMP_E_UNKNOWN_LABEL;
}

int eimp_get_class(const eimp_head *head, uint32_t index, eimp_class_info *info) {
    if (index >= eimp_n_classes(head)) return EIMP_E_ARGUMENT;
    const eimp_record *record = eimp_record_at(head, index);
    info->label = record->label;
    info->shots = record->shots;
    info->proxies = 0;
    for (uint32_t slot = 0; slot < eimp_n_slots(head); slot++) info->proxies += eimp_meta(head, slot)->cls == index;
    return EIMP_OK;
}

/* The best scores with one class and with all others. */
typedef struct contest {
    int32_t index;
    int64_t own, other;
} contest;

static void compare(void *context, uint32_t slot, uint32_t index, int64_t score) {
    contest *c = context;
    (void)slot;
    int64_t *best = (int32_t)index == c->index ? &c->own : &c->other;
    if (score > *best) *best = score;
}

void eimp_learn_shot(eimp_head *head, int32_t index, const eimp_label *label, int32_t own_q15, int32_t other_q15) {
    const eimp_point *point = &head->shot;
    eimp_open_journal(head);
    eimp_count_shots(head, 1);
    if (index < 0) {
        index = (int32_t)eimp_open_class(head, label, point);
    } else {
        uint32_t *shots = &eimp_record_at(head, (uint32_t)index)->shots;
        eimp_save_record(head, (uint32_t)index);
        eimp_blend(head, (uint32_t)index, point);
        eimp_place(head, (uint32_t)index, point);
        *shots += *shots < 0xFFFFFFFFu;
        eimp_observe(&eimp_words_of(head)->own, own_q15, 4 * EIMP_WINDOW);
    }
    eimp_observe(&eimp_record_at(head, (uint32_t)index)->other, other_q15, EIMP_WINDOW);
}

static EIMP_APART int32_t cosine_q15(const eimp_head *head, int64_t score) {
    if (score == INT64_MIN) return EIMP_NO_SCORE;
    return (int32_t)eimp_rounded(score, (int64_t)((uint32_t)head->shot.query_scale << (EIMP_COEFFICIENT_BITS - 15 - 8)));
}

/* How the shot at hand scores before it is learnt. Apart from learning, so that its memory is not on the stack then. */
static EIMP_APART void score_shot(eimp_head *head, int32_t index, int32_t *own_q15, int32_t *other_q15) {
    contest best = {index, INT64_MIN, INT64_MIN};
    eimp_refresh(head);
    eimp_visit_scores(head, compare, &best);
    *own_q15 = cosine_q15(head, best.own);
    *other_q15 = cosine_q15(head, best.other);
}

/* Learn what eimp_quantise left in the working memory; `index` below 0 is a new class. */
int eimp_learn_quantised(eimp_head *head, int32_t index, const eimp_label *label, uint64_t length2) {
    int32_t own = EIMP_NO_SCORE, other = EIMP_NO_SCORE;
    if (index < 0 && eimp_n_classes(head) >= head->layout.max_classes) return EIMP_E_CAPACITY;
    const uint32_t shots = index < 0 ? 0 : eimp_record_at(head, (uint32_t)index)->shots;
    eimp_shot(head, length2, &head->shot);
    if (eimp_n_slots(head) && eimp_is_sampled(shots)) score_shot(head, index, &own, &other);
    eimp_learn_shot(head, index, label, own, other);
    return EIMP_OK;
}

int eimp_learn(eimp_head *head, const eimp_label *label, const int16_t *embedding) {
    uint64_t length2 = 0;
    int status = eimp_label_check(label);
    if (status == EIMP_OK) status = eimp_quantise(head, embedding, &length2);
    if (status != EIMP_OK) return status;
    return eimp_learn_quantised(head, eimp_find(head, label), label, length2);
}

int eimp_undo(eimp_head *head) {
    if (!head->can_undo) return EIMP_E_NO_UNDO;
    eimp_roll_back(head);
    return EIMP_OK;
}

int eimp_forget(eimp_head *head, const eimp_label *label) {
    const int32_t index = eimp_find(head, label);
    if (index < 0) return index;
    eimp_remove_class(head, (uint32_t)index);
    return EIMP_OK;
}

int eimp_set_false_accept(eimp_head *head, uint32_t ppm) {
    const int status = eimp_check_options(ppm, 1, 1);
    if (status == EIMP_OK) head->false_accept_ppm = ppm;
    return status;
}

int eimp_set_backbone(eimp_head *head, const char *text, size_t length) {
    if (length > head->backbone_room) return EIMP_E_CAPACITY;
    if (length) memcpy(head->backbone, text, length);
    head->backbone_length = (uint16_t)length;
    return EIMP_OK;
}

size_t eimp_get_backbone(const eimp_head *head, const char **text) {
    *text = head->backbone;
    return head->backbone_length;
}
