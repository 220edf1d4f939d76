/* What the files of the second-moment head share. Not for users. */
#ifndef EIMP_RIDGE_INTERNAL_H
#define EIMP_RIDGE_INTERNAL_H

#include "eimp_internal.h"
#include "eimp_method.h"
#include "eimp_moment.h"
#include "eimp_ridge.h"

#define EIMP_RIDGE_STATE_BYTES 32u
#define EIMP_RIDGE_SAVED_BYTES 8u /* of them, in a snapshot */
#define EIMP_RIDGE_AT_ONCE EIMP_MOMENT_SIDES
#define EIMP_RIDGE_META_BYTES 8u
#define EIMP_RIDGE_ONE (1 << 16)
#define EIMP_RIDGE_FLOOR 0.25f
#define EIMP_RIDGE_MERGED 4u
#define EIMP_RIDGE_MOST_LOGGED 4096u
/* Differences of unit vectors need no more; so many shots of it cannot make 32-bit sums overflow. */
#define EIMP_RIDGE_LOGGED_SHIFT 7u

/* What an entry of the log says of its row. */
typedef struct eimp_ridge_shot {
    uint16_t cls;
    uint8_t shift;
    uint8_t counted; /* whether it is in the scatter */
} eimp_ridge_shot;

/* The first bytes of the second moment. */
typedef struct eimp_ridge_state {
    uint32_t shots;    /* that the scatter is made of */
    int32_t sharpness; /* binary logarithm, times 2^16, of what the shots said about it */
    int32_t before;    /* that before the last shot */
    uint8_t added;     /* whether the last shot is in the scatter */
    uint8_t shift;     /* its scale */
    uint16_t in_log;   /* whether the log has it */
    uint32_t logged;   /* shots in the log */
    eimp_ridge_shot gone; /* what the last shot's proxy pushed out of it; all 0 for nothing */
    uint32_t spare[2];
} eimp_ridge_state;

typedef char eimp_ridge_state_has_32_bytes[sizeof(eimp_ridge_state) == EIMP_RIDGE_STATE_BYTES ? 1 : -1];

/* The numbers of a discriminant, behind its row. */
typedef struct eimp_ridge_meta {
    int32_t slope, offset; /* times 2^28 */
} eimp_ridge_meta;

/* The second moment's bytes: state | last shot | scatter | factor | right-hand sides | discriminants, the background's
 * first -> <- log. */
struct eimp_ridge {
    eimp_head *head;
    eimp_ridge_state *state;
    int8_t *last; /* as a row and the state's shift; behind it the row of what is `gone` */
    int32_t *scatter;
    float *factor;
    float *sides;   /* dim rows of 16 */
    uint8_t *rows;
    float *scratch; /* working memory of eimp_moment_factor */
    float *ground;  /* the mean of the class means, while discriminants are computed */
    const int32_t *base;
    uint32_t row_bytes;
    uint32_t max_rows;
    uint32_t moment_bytes;
    float unit;          /* the largest discriminant that there can be */
    uint32_t spread_q24; /* how long class means are, in the scatter's metric */
    uint8_t stale;
};

/* Bytes of a packed matrix. */
static inline uint32_t eimp_packed_bytes(uint32_t dim) { return 2u * dim * (dim + 1u); }

/* The head inside lies behind. */
#define EIMP_RIDGE_BYTES ((sizeof(eimp_ridge) + 7u) & ~(size_t)7u)
static inline eimp_ridge *eimp_ridge_of(const eimp_head *head) {
    return (eimp_ridge *)(void *)((uint8_t *)(uintptr_t)head - EIMP_RIDGE_BYTES);
}

static inline int8_t *eimp_ridge_row(const eimp_ridge *ridge, uint32_t place) {
    return (int8_t *)ridge->rows + (size_t)place * ridge->row_bytes;
}
static inline eimp_ridge_meta *eimp_ridge_meta_of(const eimp_ridge *ridge, uint32_t place) {
    return (eimp_ridge_meta *)(void *)(eimp_ridge_row(ridge, place) + ridge->row_bytes - EIMP_RIDGE_META_BYTES);
}

/* eimp_ridge_method.c */
extern const eimp_method eimp_ridge_method;

/* eimp_ridge_arena.c: as eimp_layout_for, the pool being what the second moment leaves. */
int eimp_ridge_layout_for(uint32_t dim, uint32_t budget, uint8_t undo, eimp_layout *layout);

/* eimp_ridge.c */
void eimp_ridge_clear(eimp_ridge *ridge);
void eimp_ridge_forget_class(eimp_ridge *ridge, uint32_t index);
int32_t eimp_ridge_centre(const eimp_head *head, int32_t index, uint32_t i); /* of a class, or of all, times 2^14 */
int eimp_ridge_learn_quantised(eimp_ridge *ridge, int32_t index, const eimp_label *label, uint64_t length2);

/* eimp_ridge_log.c */
uint32_t eimp_ridge_logged(const eimp_ridge *ridge, uint32_t index); /* how many shots of a class it has */
void eimp_ridge_log_add(eimp_ridge *ridge, uint32_t index, uint32_t shots); /* the last shot, after `shots` of its class */
void eimp_ridge_log_make_way(eimp_ridge *ridge); /* for the last shot's new proxy */
void eimp_ridge_log_take_back(eimp_ridge *ridge);
void eimp_ridge_log_drop(eimp_ridge *ridge, uint32_t index);
void eimp_ridge_log_forget(eimp_ridge *ridge, uint32_t index); /* out of the scatter, too; later classes move up by one */
void eimp_ridge_log_cut(eimp_ridge *ridge, uint32_t count); /* to so many at most, and to what proxies leave room for */
void eimp_ridge_log_take_over(eimp_ridge *ridge, const eimp_ridge *other, uint32_t source, uint32_t index);
void eimp_ridge_log_open(eimp_head *head, uint32_t bytes);
/* A row times 2^shift, where right-hand sides lie. */
const int16_t *eimp_ridge_widened(const eimp_ridge *ridge, const int8_t *row, uint32_t shift);

/* eimp_ridge_solve.c */
void eimp_ridge_refresh(eimp_ridge *ridge);

/* eimp_ridge_answer.c: scores of the query in the head's working memory, into `mean_dots`; returns the background's. */
int32_t eimp_ridge_class_scores(eimp_ridge *ridge);
uint32_t eimp_ridge_best(const eimp_head *head);
/* Probability, times 2^16, that the best of the scores in `mean_dots` is right. */
uint32_t eimp_ridge_confidence(const eimp_ridge *ridge, int32_t best_q23);
/* How well a class knows the query, times 2^23, in [-1, 1], from its score in `mean_dots`, the background's and what
 * eimp_ridge_times_q16 says of the query. */
int32_t eimp_ridge_known(const eimp_ridge *ridge, uint32_t index, int32_t ground_q23, int64_t times_q16);
int64_t eimp_ridge_times_q16(eimp_ridge *ridge);

#endif
