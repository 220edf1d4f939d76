/* The golden course of tests/golden on a board: after every step the changed head's snapshot goes into a file of the
 * host, where its hash is compared, and a step that asks prints what it was told. golden_steps.h is written by the test:
 * DIM, BUDGET_0, BUDGET_1, ARENA_0, ARENA_1, MAX_PROXIES and the steps. */
#include <string.h>

#include "bare.h"
#include "eimp_head.h"
#include "eimp_snapshot.h"
#include "semihosting.h"

enum { LEARN, FORGET, UNDO, MERGE, RELOAD, PREDICT };

typedef struct step {
    uint8_t what;
    uint8_t head;
    uint8_t of_class;
    uint8_t shots;
    uint8_t clumps;
    uint8_t spread;
    uint32_t seed;
    int32_t number;   /* the label, where text is NULL */
    const char *text;
} step;

#include "golden_steps.h"

#define PIECE_BYTES 64u
static const char file_name[] = "snapshots.bin";

static uint64_t arena_0[(ARENA_0 + 7u) / 8u];
static uint64_t arena_1[(ARENA_1 + 7u) / 8u];
static int16_t embedding[DIM];
static int32_t file;
static uint32_t written; /* bytes of the file */
static uint32_t reload_offset;

/* The generator of tests/golden/make.py. */
static int16_t next(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (int8_t)(*state >> 56);
}

/* One shot: 2 * clump + noise, or 2 * clump where `spread` is 0. */
static void draw(const step *now, uint64_t *state) {
    const int16_t drawn = next(state);
    const int16_t clump = (int16_t)((drawn % now->clumps + now->clumps) % now->clumps); /* as Python's % */
    uint64_t centre = 1000u * now->of_class + (uint32_t)clump;
    for (uint32_t j = 0; j < DIM; j++) {
        embedding[j] = (int16_t)(2 * next(&centre));
    }
    for (uint32_t j = 0; j < DIM; j++) {
        embedding[j] = (int16_t)(embedding[j] + (now->spread != 0 ? next(state) : 0));
    }
}

static int append_snapshot(const eimp_head *head) {
    eimp_snapshot snapshot;
    uint8_t piece[PIECE_BYTES];
    eimp_snapshot_open(head, &snapshot);
    for (uint32_t offset = 0; offset < snapshot.size; offset += PIECE_BYTES) {
        const uint32_t left = snapshot.size - offset;
        const uint32_t count = left < PIECE_BYTES ? left : PIECE_BYTES;
        const int status = eimp_snapshot_read(&snapshot, offset, piece, count);
        if (status != EIMP_OK || eimp_semihosting_write(file, written + offset, piece, count) != 0) {
            return status != EIMP_OK ? status : EIMP_E_STORAGE;
        }
    }
    reload_offset = written;
    written += snapshot.size;
    bare_print_number(snapshot.size);
    bare_print(" bytes\n");
    return EIMP_OK;
}

static int read_back(void *context, uint32_t offset, void *buffer, uint32_t count) {
    (void)context;
    return eimp_semihosting_read(file, reload_offset + offset, buffer, count) == 0 ? EIMP_OK : EIMP_E_STORAGE;
}

static int reload(eimp_head *head) {
    const uint32_t start = written;
    const int status = append_snapshot(head);
    written = start; /* what is appended after the step takes its place */
    return status != EIMP_OK ? status : eimp_snapshot_load(head, read_back, NULL, eimp_snapshot_size(head));
}

static int ask(eimp_head *head) {
    eimp_answer answer;
    const int status = eimp_predict(head, embedding, &answer);
    if (status == EIMP_OK) {
        bare_print_number(answer.class_index);
        bare_print(answer.cosine_q23 < 0 ? " -" : " ");
        bare_print_number((uint32_t)(answer.cosine_q23 < 0 ? -answer.cosine_q23 : answer.cosine_q23));
        bare_print(" answer\n");
    }
    return status;
}

static int do_step(const step *now, eimp_head *head, eimp_head *other) {
    eimp_label label;
    uint64_t state = now->seed;
    int status = EIMP_OK;
    if (now->text != NULL) {
        status = eimp_label_from_text(now->text, strlen(now->text), &label);
    } else {
        eimp_label_from_number(now->number, &label);
    }
    switch (now->what) {
    case FORGET: return eimp_forget(head, &label);
    case UNDO: return eimp_undo(head);
    case MERGE: return eimp_merge(head, other);
    case RELOAD: return reload(head);
    default: break;
    }
    for (uint32_t i = 0; status == EIMP_OK && i < now->shots; i++) {
        draw(now, &state);
        status = now->what == LEARN ? eimp_learn(head, &label, embedding) : ask(head);
    }
    return status;
}

static int run(void) {
    const eimp_config config[2] = {
        {DIM, BUDGET_0, 50000, MAX_PROXIES, 20, 0, EIMP_UNDO_AUTO},
        {DIM, BUDGET_1, 50000, MAX_PROXIES, 20, 0, EIMP_UNDO_AUTO},
    };
    eimp_head *heads[2];
    int status = eimp_init(arena_0, sizeof arena_0, &config[0], &heads[0]);
    if (status == EIMP_OK) {
        status = eimp_init(arena_1, sizeof arena_1, &config[1], &heads[1]);
    }
    file = eimp_semihosting_open(file_name, sizeof file_name - 1u);
    for (uint32_t i = 0; status == EIMP_OK && i < sizeof steps / sizeof steps[0]; i++) {
        const uint8_t head = steps[i].head;
        status = do_step(&steps[i], heads[head], heads[1u - head]);
        status = status == EIMP_OK ? append_snapshot(heads[head]) : status;
    }
    return status;
}

int main(void) {
    bare_exit((uint32_t)-run());
    return 0;
}
