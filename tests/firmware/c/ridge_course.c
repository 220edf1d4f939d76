/* A second-moment head through a course of pseudo-random commands; prints what test_ridge_c.py expects of Python.
 *
 * usage: ridge_course DIM BUDGET STEPS SEED */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eimp_ridge.h"
#include "eimp_snapshot.h"

static uint32_t state;

static uint32_t draw(uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void shot(int16_t *out, uint32_t dim, uint32_t class_number) {
    for (uint32_t i = 0; i < dim; i++)
        out[i] = (int16_t)((int32_t)draw(2001) - 1000 + (i % 5 == class_number ? 1500 : 0));
}

static eimp_ridge *make(const eimp_config *config) {
    const size_t bytes = eimp_ridge_arena_size(config);
    void *arena = bytes ? malloc(bytes) : NULL;
    eimp_ridge *ridge = NULL;
    if (!arena || eimp_ridge_init(arena, bytes, config, NULL, &ridge) != EIMP_OK) exit(2);
    return ridge;
}

static int read_back(void *context, uint32_t offset, void *buffer, uint32_t count) {
    memcpy(buffer, (const uint8_t *)context + offset, count);
    return EIMP_OK;
}

/* Save, and load what was saved; returns the CRC-32 of its bytes. */
static uint32_t reload(eimp_ridge *ridge) {
    eimp_snapshot snapshot;
    eimp_snapshot_open(eimp_ridge_head(ridge), &snapshot);
    uint8_t *bytes = malloc(snapshot.size); /* exactly: a sanitizer sees the first byte beyond */
    if (!bytes || eimp_snapshot_read(&snapshot, 0, bytes, snapshot.size) != EIMP_OK) exit(3);
    if (eimp_snapshot_load(eimp_ridge_head(ridge), read_back, bytes, snapshot.size) != EIMP_OK) exit(4);
    free(bytes);
    return snapshot.crc;
}

static void label_of(uint32_t number, eimp_label *label) { eimp_label_from_number((int64_t)number, label); }

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const uint32_t dim = (uint32_t)atoi(argv[1]), steps = (uint32_t)atoi(argv[3]);
    const eimp_config config = {.dim = dim, .budget = (uint32_t)atoi(argv[2]), .false_accept_ppm = 50000,
                                .max_proxies = 21, .shrinkage = 20, .undo = EIMP_UNDO_AUTO};
    int16_t *x = malloc(dim * sizeof *x);
    state = (uint32_t)atoi(argv[4]);
    eimp_ridge *ridge = make(&config), *other = make(&config);
    for (uint32_t step = 0; x && step < steps; step++) {
        const uint32_t what = draw(12), class_number = draw(5);
        eimp_label label;
        int status = EIMP_OK;
        label_of(class_number, &label);
        if (what < 8) {
            shot(x, dim, class_number);
            status = eimp_ridge_learn(ridge, &label, x);
        } else if (what == 8) {
            status = eimp_ridge_undo(ridge);
        } else if (what == 9) {
            status = eimp_ridge_forget(ridge, &label);
        } else if (what == 10) {
            shot(x, dim, class_number);
            status = eimp_ridge_learn(other, &label, x);
        } else {
            status = eimp_ridge_merge(ridge, other);
        }
        printf("%d", status);
        if (step % 7 == 6) printf(" %u", reload(ridge));
        shot(x, dim, draw(5));
        eimp_answer answer;
        uint32_t confidence = 0;
        if (eimp_ridge_predict(ridge, x, &answer, &confidence) == EIMP_OK) {
            int32_t scores[5];
            (void)eimp_ridge_scores(ridge, x, scores);
            printf(" %u %d %u %u %d", answer.class_index, answer.cosine_q23, confidence, answer.verdict,
                   scores[answer.class_index]);
        }
        printf("\n");
    }
    free(x);
    free(other);
    free(ridge);
    return 0;
}
