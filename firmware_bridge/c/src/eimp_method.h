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
    /* As eimp_learn, eimp_predict, eimp_undo, eimp_forget, eimp_clear. */
    int (*learn)(eimp_head *head, const eimp_label *label, const int16_t *embedding);
    int (*predict)(eimp_head *head, const int16_t *embedding, eimp_answer *answer);
    int (*undo)(eimp_head *head);
    int (*forget)(eimp_head *head, const eimp_label *label);
    void (*clear)(eimp_head *head);
    /* Scores of what eimp_quantise left, into `mean_dots`. */
    void (*score)(eimp_head *head);
    /* As eimp_layout_for; the pool is what the second moment leaves of the budget. */
    int (*layout_for)(uint32_t dim, uint32_t budget, uint8_t undo, eimp_layout *layout);
    /* Whether what a snapshot says in the sections `kept`, the rest of which is fine, is what a head of this dim can say:
     * EIMP_OK, EIMP_E_CORRUPT, or what reading gave. */
    int (*check)(const eimp_head *head, const struct eimp_source *source);
} eimp_method;

#endif
