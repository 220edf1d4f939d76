/* What the files of the head share. Not for users: everything here may change with any version. */
#ifndef EIMP_INTERNAL_H
#define EIMP_INTERNAL_H

#include "eimp_head.h"

#if (-1 >> 1) != -1
#error "the head needs arithmetic right shifts of negative numbers, which every known compiler has"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rows, numbers and records lie in the arena as they do in a snapshot: little-endian"
#endif

/* A function whose stack is given back before others are called. */
#if defined(__GNUC__)
#define EIMP_APART __attribute__((noinline))
#else
#define EIMP_APART
#endif

#define EIMP_HEADER_BYTES 64u
#define EIMP_RECORD_BYTES 52u
#define EIMP_SLOT_META_BYTES 20u
#define EIMP_MAX_JOURNAL_SLOTS 13u /* 3 * (1 + ceil(52 / 24)) + 1: a slot has at least 24 bytes */
#define EIMP_MAX_CLASSES 65535u
#define EIMP_SHIFT_MAX 14u
#define EIMP_ROW_MAX 32639
#define EIMP_ONE (1 << 20) /* the squared length 1 */
#define EIMP_COUNT_CAP 65536u
#define EIMP_MOST_SHOTS ((uint64_t)1 << 48)
#define EIMP_COST_MAX 0xFFFFFFFFu
#define EIMP_SQUARE_MAX (1 << 21) /* a row is at most as long as the square root of 2; it is a mean of unit vectors */
#define EIMP_COEFFICIENT_BITS 28
#define EIMP_WINDOW 32u
#define EIMP_NO_SCORE INT32_MIN
#define EIMP_BLOCK 16u /* rows whose dot products are computed at once, in 64 bytes of stack */

/* The numbers of a proxy, at the end of its slot. `stale` is that of the class whose mean the slot holds: whether the
 * coefficients alpha and beta of its proxies are out of date; of a centre it says nothing. */
typedef struct eimp_slot {
    uint32_t count;
    int32_t square; /* squared length of the row times 2^20 */
    int32_t alpha;
    int32_t beta;
    uint16_t cls;
    uint8_t shift;
    uint8_t stale;
} eimp_slot;

/* Running statistics of cosines: mean times 2^23, variance times 2^30. */
typedef struct eimp_running {
    uint32_t count;
    int32_t mean;
    uint32_t variance;
} eimp_running;

/* A class. Its bytes are those of the snapshot. */
typedef struct eimp_record {
    eimp_label label;
    uint32_t shots;
    uint32_t pair_cost;
    eimp_running other; /* how its shots scored with the best other class */
} eimp_record;

/* The first bytes of the pool. Python reads the two counts as 64 bits, whose upper halves are 0. */
typedef struct eimp_words {
    uint32_t n_slots, n_slots_high;
    uint32_t n_classes, n_classes_high;
    uint64_t shots;
    eimp_running own; /* how shots scored with their own class */
    uint32_t spare[7];
} eimp_words;

/* Sizes that the snapshot's bytes and the arena's arithmetic rest on. */
typedef char eimp_slot_has_20_bytes[sizeof(eimp_slot) == EIMP_SLOT_META_BYTES ? 1 : -1];
typedef char eimp_record_has_52_bytes[sizeof(eimp_record) == EIMP_RECORD_BYTES ? 1 : -1];
typedef char eimp_words_have_64_bytes[sizeof(eimp_words) == EIMP_HEADER_BYTES ? 1 : -1];

/* Where everything lies in the budget's bytes. */
typedef struct eimp_layout {
    uint32_t budget;
    uint32_t slot_bytes;
    uint32_t journal_bytes;
    uint32_t pool_bytes; /* what slots and records share */
    uint32_t max_classes;
    uint8_t undo;
} eimp_layout;

/* One shot, or a proxy that stands for several, on its way into a class: components (256 high + low) / 2^(14 + shift).
 * query: its int8 image; query_scale: 256 |query| / |point|; square: |point|^2 times 2^20. */
typedef struct eimp_point {
    const int8_t *high;
    const int8_t *low;
    const int8_t *query;
    uint32_t weight;
    int32_t query_scale;
    int32_t square;
    uint32_t shift;
} eimp_point;

/* A section of a snapshot that lies in one piece in the head; left out where it has no bytes. */
typedef struct eimp_kept {
    void *at;
    uint32_t bytes;
} eimp_kept;
#define EIMP_KEPT EIMP_SNAPSHOT_MOMENT_SECTIONS

/* The budget's bytes, `pool`: words | slots -> <- records | journal. Working memory: `high`, `low` and `query` of the
 * shot at hand, `centres` (slots of the class at hand), `mean_dots` (dot products of a query with each class mean; before
 * them, where lists of centres begin). */
struct eimp_head {
    uint8_t *pool;
    eimp_record *records; /* where they end: class i is i + 1 before it; the journal follows */
    int8_t *high;
    int8_t *low;
    int8_t *query;
    uint32_t *centres;
    int32_t *mean_dots;
    char *backbone;
    eimp_point shot; /* the one at hand */
    eimp_layout layout;
    uint32_t dim;
    uint32_t false_accept_ppm;
    uint32_t budget_room;  /* bytes of budget; a loaded snapshot may use fewer */
    uint32_t classes_room; /* numbers in mean_dots */
    uint16_t max_centres;
    uint16_t centres_room;
    uint16_t shrinkage;
    uint16_t backbone_room;
    uint16_t backbone_length;
    uint8_t any_stale;
    uint8_t can_undo;
    uint32_t slots_before;
    uint32_t journal_count;
    int32_t journal_record;
    uint32_t journal[EIMP_MAX_JOURNAL_SLOTS];
    /* Of a second moment; NULL and 0 without. Last, so that what is used often has short offsets. */
    const struct eimp_method *method;
    uint32_t beside_bytes; /* of each proxy, outside the pool */
    uint32_t moment_bytes; /* outside the pool, whatever is taught */
    eimp_kept kept[EIMP_KEPT];
};

/* A pair of centres and what merging them costs; first is -1 where a lone centre would go, second -1 where none is. */
typedef struct eimp_pair {
    uint32_t cost;
    int32_t first;
    int32_t second;
} eimp_pair;

static inline eimp_words *eimp_words_of(const eimp_head *head) { return (eimp_words *)(void *)head->pool; }
static inline uint32_t eimp_n_slots(const eimp_head *head) { return eimp_words_of(head)->n_slots; }
static inline uint32_t eimp_n_classes(const eimp_head *head) { return eimp_words_of(head)->n_classes; }

static inline int8_t *eimp_row(const eimp_head *head, uint32_t slot) {
    return (int8_t *)head->pool + EIMP_HEADER_BYTES + (size_t)slot * head->layout.slot_bytes;
}
static inline eimp_slot *eimp_meta(const eimp_head *head, uint32_t slot) {
    return (eimp_slot *)(void *)(eimp_row(head, slot) + head->layout.slot_bytes - EIMP_SLOT_META_BYTES);
}
static inline eimp_record *eimp_record_at(const eimp_head *head, uint32_t index) {
    return head->records - (index + 1);
}
static inline uint32_t eimp_slots_for(const eimp_layout *layout, uint32_t classes) {
    return (layout->pool_bytes - classes * EIMP_RECORD_BYTES) / layout->slot_bytes;
}
static inline uint32_t eimp_least(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t eimp_capped(uint32_t count) { return eimp_least(count, EIMP_COUNT_CAP); }

static inline int64_t eimp_wide(int32_t a, int32_t b) { return (int64_t)a * b; }

/* eimp_fixed.c: integers with one rounding rule each. */
uint32_t eimp_isqrt(uint64_t value);                     /* rounds down */
int64_t eimp_floor_div(int64_t value, int64_t divisor);  /* divisor > 0 */
int64_t eimp_rounded(int64_t value, int64_t divisor);    /* to nearest, halves up; |value| < 2^61, 0 < divisor < 2^60 */
uint32_t eimp_ward(int32_t distance, uint32_t count, uint32_t other); /* cost of joining two groups */
int32_t eimp_dot(const int8_t *row, const int8_t *vector, uint32_t dim); /* both rows of slots or queries */
int eimp_quantise(eimp_head *head, const int16_t *embedding, uint64_t *length2); /* into high and low; int8 into query */
void eimp_shot(eimp_head *head, uint64_t length2, eimp_point *point); /* what eimp_quantise left, as a unit vector */
void eimp_point_of(const eimp_head *head, uint32_t slot, eimp_point *point);
void eimp_mix(eimp_head *head, uint32_t slot, const eimp_point *point, uint32_t count);
void eimp_set_square(eimp_slot *meta, uint64_t sum); /* from the sum of the squared components, with the slot's shift */
int eimp_layout_for(uint32_t dim, uint32_t budget, uint8_t undo, eimp_layout *layout);
int eimp_check_options(uint32_t ppm, uint32_t max_proxies, uint32_t shrinkage);

/* eimp_arena.c: slots, records, journal. */
int eimp_has_room(const eimp_head *head, uint32_t slots, uint32_t classes);
void eimp_open_journal(eimp_head *head);
void eimp_save_slot(eimp_head *head, uint32_t slot);
void eimp_save_record(eimp_head *head, uint32_t index);
void eimp_roll_back(eimp_head *head);
void eimp_write(eimp_head *head, uint32_t slot, uint32_t index, const eimp_point *point);
void eimp_blend(eimp_head *head, uint32_t slot, const eimp_point *point);
void eimp_count_shots(eimp_head *head, uint64_t shots); /* at most EIMP_MOST_SHOTS; adds up to as many */
void eimp_join(eimp_head *head, uint32_t into, uint32_t from); /* `from` is then the caller's to replace */
void eimp_give_back(eimp_head *head, uint32_t slot);
uint32_t eimp_open_record(eimp_head *head, const eimp_label *label, const eimp_point *point);
void eimp_remove_class(eimp_head *head, uint32_t index);
void eimp_mark_stale(eimp_head *head, uint32_t index);
void eimp_mark_all_stale(eimp_head *head);
void eimp_loaded(eimp_head *head);
uint32_t eimp_gather(eimp_head *head, uint32_t index); /* centres of a class into `centres`; how many */
/* The same for every class, or for every one that is stale, in one pass over the slots: list them, then take each of them
 * once, in any order. In between a centre's class and shift are not to be read, nor mean_dots; taking puts them back. */
void eimp_list_centres(eimp_head *head, uint8_t stale);
uint32_t eimp_take_listed(eimp_head *head, uint32_t index);

/* eimp_cluster.c: streaming k-means. */
void eimp_place(eimp_head *head, uint32_t index, const eimp_point *point);
uint32_t eimp_open_class(eimp_head *head, const eimp_label *label, const eimp_point *point);

/* eimp_score.c: cosines. */
void eimp_refresh(eimp_head *head);
/* Kappa of a class of whose centres, in `centres`, there are k: how many shots its mean weighs in each proxy. */
int32_t eimp_weight_of_mean(const eimp_head *head, const eimp_slot *mean, int32_t k);
/* Calls `visit(context, slot, class, score)` for every slot in order; a score is cosine * 2^28 * length of the query. */
typedef void (*eimp_visit_fn)(void *context, uint32_t slot, uint32_t index, int64_t score);
void eimp_visit_scores(eimp_head *head, eimp_visit_fn visit, void *context);
int32_t eimp_cosine_q23(int64_t score, uint32_t norm_q16);
uint32_t eimp_query_norm_q16(const eimp_head *head);

/* eimp_reject.c: running statistics and thresholds. */
int eimp_is_sampled(uint32_t shots);
/* A cosine times 2^15, or EIMP_NO_SCORE. */
void eimp_observe(eimp_running *running, int32_t cosine_q15, uint32_t window);
void eimp_pool(eimp_running *mine, const eimp_running *theirs, uint32_t window);

/* eimp_merge.c: whether another head's classes can be added; not whether its backbone's name fits. */
int eimp_merge_check(const eimp_head *head, const eimp_head *other);

/* eimp_answer.c */
void eimp_best_quantised(eimp_head *head, uint32_t *index, int32_t *cosine_q23);

/* eimp_head.c */
int eimp_learn_quantised(eimp_head *head, int32_t index, const eimp_label *label, uint64_t length2);
/* Learn head->shot, which scored so with its own class and with the best other one; `index` below 0 is a new class. */
void eimp_learn_shot(eimp_head *head, int32_t index, const eimp_label *label, int32_t own_q15, int32_t other_q15);

#endif
