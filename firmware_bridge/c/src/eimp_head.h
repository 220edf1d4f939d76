/* eimp_head: teach a class from a handful of embeddings, recognise it, say "unknown" otherwise.
 *
 * The head of edge-imprint in C99. No heap, no recursion, no mutable global, integer arithmetic only. The caller owns
 * one arena, whose size eimp_arena_size() tells beforehand; nothing is ever kept anywhere else. The same shots in the
 * same order give the same bytes as edge_imprint.ImprintHead in Python (docs/DESIGN.md, "Integer arithmetic of the
 * head").
 *
 *     static uint64_t arena[8192];
 *     eimp_head *head;
 *     const eimp_config config = {.dim = 64, .budget = 16384, .false_accept_ppm = 50000, .max_proxies = 21,
 *                                 .shrinkage = 20, .undo = EIMP_UNDO_AUTO, .backbone_bytes = 0};
 *     eimp_label mug;
 *     eimp_answer answer;
 *     if (eimp_init(arena, sizeof arena, &config, &head) == EIMP_OK &&
 *         eimp_label_from_text("mug", 3, &mug) == EIMP_OK &&
 *         eimp_learn(head, &mug, embedding) == EIMP_OK &&
 *         eimp_predict(head, embedding, &answer) == EIMP_OK && answer.verdict == EIMP_KNOWN) { ... }
 *
 * Every function that can fail returns EIMP_OK or a negative code of eimp_protocol.h (EIMP_E_...). After an error the
 * head and what the pointers point to are unchanged, unless a function says otherwise. One head is for one thread at a
 * time; different heads do not share anything. */
#ifndef EIMP_HEAD_H
#define EIMP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "eimp_protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EIMP_UNDO_NO 0u
#define EIMP_UNDO_YES 1u
#define EIMP_UNDO_AUTO 2u /* yes where the journal takes at most a quarter of the budget */

/* What a head is made of. */
typedef struct eimp_config {
    uint32_t dim;              /* length of an embedding, 1 to EIMP_MAX_DIM */
    uint32_t budget;           /* bytes for proxies, classes and journal; at least one class must fit */
    uint32_t false_accept_ppm; /* share of never-shown things that may pass as known, 1,000 to 500,000 millionths */
    uint16_t max_proxies;      /* of one class, its mean included, 1 to 256 */
    uint16_t shrinkage;        /* shots that the class mean weighs at most in each proxy, 1 to 4,095 */
    uint16_t backbone_bytes;   /* room for the backbone's name, 0 to EIMP_MAX_BACKBONE_BYTES; 0 keeps none */
    uint8_t undo;              /* EIMP_UNDO_... */
} eimp_config;

/* A class label as it is stored: its length in bytes (1 to 31), plus 128 where it is a number; its UTF-8 text (a
 * number's decimal digits); zeros. */
typedef struct eimp_label {
    uint8_t bytes[EIMP_LABEL_FIELD_BYTES];
} eimp_label;

enum eimp_verdict { EIMP_UNKNOWN = 0, EIMP_UNCERTAIN = 1, EIMP_KNOWN = 2 };

typedef struct eimp_answer {
    eimp_label label;
    uint32_t class_index; /* in the order of teaching */
    int32_t cosine_q23;   /* cosine with the class's best proxy, times 2^23 */
    uint8_t verdict;      /* enum eimp_verdict */
} eimp_answer;

typedef struct eimp_class_info {
    eimp_label label;
    uint32_t shots;
    uint32_t proxies; /* its mean included */
} eimp_class_info;

/* What the head holds now. */
typedef struct eimp_usage {
    uint32_t classes;
    uint32_t proxies;
    uint32_t used_bytes; /* of the budget, header and journal included */
    uint32_t budget;
    uint32_t max_classes;
    uint64_t shots; /* learnt so far */
    uint8_t can_undo;
} eimp_usage;

/* A head; it lies in the arena. */
typedef struct eimp_head eimp_head;

/* Bytes that an arena needs: the budget, working memory of 3 bytes per component, backbone_bytes, and a few hundred
 * bytes of state. 0 when no head can have this config (a value out of range, or a budget that holds no class). */
size_t eimp_arena_size(const eimp_config *config);

/* Make an empty head.
 * arena: 8-byte aligned, `bytes` long, the caller's for as long as the head is used. Overwritten.
 * Errors: EIMP_E_ARGUMENT (NULL, misaligned), EIMP_E_VALUE_RANGE or EIMP_E_SHAPE (config), EIMP_E_BUDGET (budget holds
 * no class), EIMP_E_CAPACITY (arena smaller than eimp_arena_size). */
int eimp_init(void *arena, size_t bytes, const eimp_config *config, eimp_head **head);

/* Forget everything: as after eimp_init, with the config that the head has now. */
void eimp_clear(eimp_head *head);

/* The config that the head has now; eimp_snapshot_load may have changed it. `undo` is EIMP_UNDO_NO or EIMP_UNDO_YES. */
void eimp_get_config(const eimp_head *head, eimp_config *config);
void eimp_get_usage(const eimp_head *head, eimp_usage *usage);

/* Labels. Text: 1 to 31 bytes of UTF-8 without control characters, not only spaces. Number: any int64.
 * eimp_label_check says whether 32 bytes from elsewhere are a label. Errors: EIMP_E_LABEL. */
int eimp_label_from_text(const char *text, size_t length, eimp_label *label);
void eimp_label_from_number(int64_t number, eimp_label *label);
int eimp_label_check(const eimp_label *label);

/* Learn one shot. embedding: `dim` components of any scale, for example an int8 backbone's output minus its zero
 * point; a direction is all that counts. Not modified, not kept.
 * Errors: EIMP_E_LABEL, EIMP_E_VALUE_RANGE (all zeros), EIMP_E_CAPACITY (no room for a new class). */
int eimp_learn(eimp_head *head, const eimp_label *label, const int16_t *embedding);

/* Best class of an embedding. Writes working memory only. Errors: EIMP_E_NOT_TAUGHT, EIMP_E_VALUE_RANGE. */
int eimp_predict(eimp_head *head, const int16_t *embedding, eimp_answer *answer);

/* Cosine with the best proxy of each class, times 2^23, in the order of teaching: as many numbers as there are classes.
 * Errors: EIMP_E_NOT_TAUGHT, EIMP_E_VALUE_RANGE. */
int eimp_scores(eimp_head *head, const int16_t *embedding, int32_t *cosines_q23);

/* Take the last shot back, byte for byte. Errors: EIMP_E_NO_UNDO: no shot since the last undo, forget, merge, clear or
 * load, or a budget without a journal. */
int eimp_undo(eimp_head *head);

/* Remove a class and give its bytes back. Errors: EIMP_E_UNKNOWN_LABEL. */
int eimp_forget(eimp_head *head, const eimp_label *label);

/* Add what another head of the same dim learnt; `other` does not change but for its working memory.
 * Errors: EIMP_E_SHAPE, EIMP_E_ARGUMENT (the same head), EIMP_E_BACKBONE, EIMP_E_CAPACITY. */
int eimp_merge(eimp_head *head, eimp_head *other);

/* The class of that label: its index, or EIMP_E_UNKNOWN_LABEL. */
int32_t eimp_find(const eimp_head *head, const eimp_label *label);

/* One class, by its index. Errors: EIMP_E_ARGUMENT (no such index). */
int eimp_get_class(const eimp_head *head, uint32_t index, eimp_class_info *info);

/* Cosines (times 2^23) from which an answer is known and below which it is unknown.
 * Errors: EIMP_E_NOT_TAUGHT before two classes were seen side by side: everything is uncertain. */
int eimp_thresholds(const eimp_head *head, int32_t *known_q23, int32_t *unknown_q23);

/* Set the share of never-shown things that may pass as known. Errors: EIMP_E_VALUE_RANGE. */
int eimp_set_false_accept(eimp_head *head, uint32_t ppm);

/* What made the embeddings, kept in snapshots: UTF-8, at most the config's backbone_bytes; length 0 removes it.
 * Errors: EIMP_E_CAPACITY. eimp_get_backbone returns the length and sets *text, which is not zero-terminated. */
int eimp_set_backbone(eimp_head *head, const char *text, size_t length);
size_t eimp_get_backbone(const eimp_head *head, const char **text);

#ifdef __cplusplus
}
#endif
#endif
