/* What a head with a second moment does otherwise than one of proxies alone. Not for users.
 *
 * Snapshots, store and serial protocol reach it through a head's `method` only, so that a program whose heads have none
 * does not carry it. */
#ifndef EIMP_METHOD_H
#define EIMP_METHOD_H

#include "eimp_internal.h"
#include "eimp_snapshot.h"

struct eimp_source; /* eimp_snapshot_internal.h */

typedef struct eimp_method {
    /* As eimp_learn; without an embedding, as eimp_forget; without a label either, as eimp_undo. */
    int (*teach)(eimp_head *head, const eimp_label *label, const int16_t *embedding);
    /* As eimp_ridge_predict and eimp_clear. */
    int (*predict)(eimp_head *head, const int16_t *embedding, eimp_answer *answer, uint32_t *confidence_q16);
    void (*clear)(eimp_head *head);
    /* What eimp_quantise left scores with `count` classes from `first` on, times 2^23, 4 bytes each, little-endian. */
    void (*scores)(eimp_head *head, uint32_t first, uint32_t count, uint8_t *out);
    /* As eimp_layout_for; the pool is what the second moment leaves of the budget. */
    int (*layout_for)(uint32_t dim, uint32_t budget, uint8_t undo, eimp_layout *layout);
    /* Whether what a snapshot says in the sections `kept`, the rest of which is fine, is what a head of this dim can say:
     * EIMP_OK, EIMP_E_CORRUPT, or what reading gave. */
    int (*check)(const eimp_head *head, const struct eimp_source *source);
    /* For a log of so many bytes, which is about to be read into `kept`. */
    void (*make_room)(eimp_head *head, uint32_t log_bytes);
} eimp_method;

#endif
