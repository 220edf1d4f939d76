/* One call of the kernel and one of the plain loop on the same rows; the emulator's log tells what each executes. */
#include "bare.h"
#include "eimp_kernels.h"
#include "plain_loop.h"

/* DIM and COUNT are options of the compiler; a multiple of four. */
static int8_t rows[COUNT * DIM];
static int8_t vector[DIM];
static int32_t kernel[COUNT];
static int32_t loop[COUNT];

static void fill(int8_t *bytes, uint32_t count, uint32_t seed) {
    for (uint32_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (int8_t)((int32_t)(seed >> 24) - 128);
    }
}

int main(void) {
    fill(rows, sizeof rows, 1);
    fill(vector, sizeof vector, 2);
    eimp_dots(rows, DIM, COUNT, vector, DIM, kernel);
    plain_loop(rows, DIM, COUNT, vector, DIM, loop);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (kernel[i] != loop[i]) {
            bare_print("kernel and plain loop differ\n");
            bare_exit(1);
        }
    }
    bare_print(eimp_kernels_name());
    bare_exit(0);
    return 0;
}
