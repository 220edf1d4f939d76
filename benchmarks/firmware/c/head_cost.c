/* The head taught and asked on a board; the emulator's log tells what each call executes. */
#include "bare.h"
#include "eimp_head.h"

/* DIM, BUDGET, CLASSES, SHOTS (of each class) and ARENA (bytes) are options of the compiler. */
static uint64_t arena[ARENA / 8];
static int16_t embedding[DIM];

/* One picture of a class: the class's own direction, and noise of half its size. */
static void draw(uint32_t class_index, uint32_t shot) {
    uint32_t own = class_index + 1u;
    uint32_t noise = (class_index + 1u) * 1000u + shot;
    for (uint32_t j = 0; j < DIM; j++) {
        own = own * 1664525u + 1013904223u;
        noise = noise * 1664525u + 1013904223u;
        embedding[j] = (int16_t)((int32_t)(own >> 24) - 128 + ((int32_t)(noise >> 25) - 64));
    }
}

static int teach_and_ask(void) {
    const eimp_config config = {.dim = DIM, .budget = BUDGET, .false_accept_ppm = 50000, .max_proxies = 21,
                                .shrinkage = 20, .undo = EIMP_UNDO_AUTO, .backbone_bytes = 0};
    eimp_head *head;
    eimp_label label;
    eimp_answer answer;
    int status = eimp_init(arena, sizeof arena, &config, &head);
    for (uint32_t i = 0; status == EIMP_OK && i < CLASSES * SHOTS; i++) {
        eimp_label_from_number((int64_t)(i % CLASSES), &label);
        draw(i % CLASSES, i / CLASSES);
        status = eimp_learn(head, &label, embedding);
    }
    for (uint32_t i = 0; status == EIMP_OK && i < CLASSES; i++) {
        draw(i, SHOTS);
        status = eimp_predict(head, embedding, &answer);
        if (status == EIMP_OK && answer.class_index != i) {
            bare_print("a class was not recognised\n");
            return 1;
        }
    }
    return status;
}

int main(void) {
    bare_exit((uint32_t)-teach_and_ask());
    return 0;
}
