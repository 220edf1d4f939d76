/* eimp_ridge: a head that also keeps the second moment of its shots, and answers with linear discriminants.
 *
 * For processors that can afford 4 dim (dim + 1) bytes and single-precision arithmetic. Around an eimp_head, to which
 * classes, labels, thresholds and usage belong: eimp_ridge_head(). Learn, undo, forget, merge and ask through the functions
 * here; changing that head by itself leaves discriminants that know nothing of it. Whole numbers but for the
 * solution of the linear equations, whose single-precision operations have a written order (docs/DESIGN.md): the same
 * shots in the same order give the same bytes as edge_imprint.ImprintHead(method="ridge"). */
#ifndef EIMP_RIDGE_H
#define EIMP_RIDGE_H

#include "eimp_head.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eimp_ridge eimp_ridge;

/* Bytes that an arena needs: the config's budget, in which the second moment is included, and working memory. 0 when no
 * such head can have this config. */
size_t eimp_ridge_arena_size(const eimp_config *config);

/* Largest snapshot that a head of this config writes. 0 for an impossible config. */
uint32_t eimp_ridge_snapshot_max_size(const eimp_config *config);

/* Make an empty head.
 * arena: 8-byte aligned, `bytes` long, the caller's for as long as the head is used. Overwritten.
 * base: the packed covariance of other pictures' unit embeddings (docs/FORMAT.md, section scatter), times 30, or NULL.
 * Errors: as eimp_init. */
int eimp_ridge_init(void *arena, size_t bytes, const eimp_config *config, const int32_t *base, eimp_ridge **ridge);

/* The head inside: for eimp_find, eimp_get_class, eimp_get_usage, eimp_thresholds, eimp_set_false_accept and the like, for
 * snapshots (eimp_snapshot.h), store and serial protocol, which all count and keep the second moment with it. */
eimp_head *eimp_ridge_head(eimp_ridge *ridge);

/* As eimp_learn, eimp_undo, eimp_forget and eimp_merge. What the shots of a forgotten class said about the scatter within
 * classes is taken back as far as the log has them; the rest stays until the last class is forgotten. */
int eimp_ridge_learn(eimp_ridge *ridge, const eimp_label *label, const int16_t *embedding);
int eimp_ridge_undo(eimp_ridge *ridge);
int eimp_ridge_forget(eimp_ridge *ridge, const eimp_label *label);
int eimp_ridge_merge(eimp_ridge *ridge, eimp_ridge *other);

/* Whether the log has every shot of a class, so that forgetting it takes all of it back. */
int eimp_ridge_is_logged(const eimp_ridge *ridge, uint32_t index);

/* As eimp_predict; `cosine_q23` is how well the thing is known, in [-1, 1], to which thresholds belong. confidence_q16,
 * which may be NULL, is the probability, times 2^16, that the answer is right about a taught thing; below one half the
 * answer is never EIMP_KNOWN. */
int eimp_ridge_predict(eimp_ridge *ridge, const int16_t *embedding, eimp_answer *answer, uint32_t *confidence_q16);

/* As eimp_scores: discriminants, in [-1, 1], times 2^23. */
int eimp_ridge_scores(eimp_ridge *ridge, const int16_t *embedding, int32_t *scores_q23);

#ifdef __cplusplus
}
#endif
#endif
