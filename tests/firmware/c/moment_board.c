/* Factor and solutions of one matrix, told as sums of their bits: tests/firmware/test_moment.py does the same in numpy. */
#include "bare.h"
#include "eimp_moment.h"

#define DIM 33u
#define SHOTS 40u
#define SIZE (DIM * (DIM + 1u) / 2u)

static int32_t scatter[SIZE];
static float factor[SIZE], sides[DIM * EIMP_MOMENT_SIDES], scratch[EIMP_MOMENT_SCRATCH_BYTES / sizeof(float)];
static int16_t shot[DIM];

static uint32_t digest(const float *numbers, uint32_t count) {
    uint32_t total = 2166136261u;
    for (uint32_t i = 0; i < count; i++) {
        union {
            float number;
            uint32_t bits;
        } both;
        both.number = numbers[i];
        total = (total ^ both.bits) * 16777619u;
    }
    return total;
}

static void print_hexadecimal(uint32_t number, char after) {
    char text[10] = {0};
    for (uint32_t i = 0; i < 8; i++) text[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15u];
    text[8] = after;
    bare_print(text);
}

int main(void) {
    uint32_t seed = 1;
    for (uint32_t s = 0; s < SHOTS; s++) {
        for (uint32_t i = 0; i < DIM; i++) {
            seed = seed * 1664525u + 1013904223u;
            shot[i] = (int16_t)((int32_t)(seed >> 20) - 2048);
        }
        eimp_moment_add(scatter, shot, DIM, 1);
    }
    eimp_moment_factor(scatter, factor, DIM, 0.25f, scratch);
    for (uint32_t i = 0; i < DIM; i++)
        for (uint32_t r = 0; r < EIMP_MOMENT_SIDES; r++)
            sides[i * EIMP_MOMENT_SIDES + r] = (float)((int32_t)((i * 7u + r * 3u) % 11u) - 5);
    eimp_moment_solve(factor, sides, DIM);
    print_hexadecimal(digest(factor, SIZE), ' ');
    print_hexadecimal(digest(sides, DIM * EIMP_MOMENT_SIDES), '\n');
    bare_exit(0);
    return 0;
}
