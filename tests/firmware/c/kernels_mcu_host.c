/* The check where every call gets memory of exactly its size, for AddressSanitizer to watch. */
#include <stdio.h>
#include <stdlib.h>

#include "eimp_kernels.h"
#include "kernels_mcu.h"

static int8_t *rows;
static int8_t *vector;

int8_t *check_rows(uint32_t bytes) {
    free(rows);
    rows = malloc(bytes);
    return rows;
}

int8_t *check_vector(uint32_t bytes, uint32_t remainder) {
    free(vector);
    vector = malloc(bytes + remainder % 4u);
    return vector + remainder % 4u;
}

int main(void) {
    const uint32_t compared = check_kernels();
    free(rows);
    free(vector);
    printf("%s: %u calls equal\n", eimp_kernels_name(), (unsigned)compared);
    return compared == 0;
}
