/* The C half of start-up: memory as C expects it, then main. */
#include "startup.h"

#include <stddef.h>

/* Set by board.ld. */
extern uint32_t eimp_data_start[], eimp_data_end[], eimp_bss_start[], eimp_bss_end[];
extern const uint32_t eimp_data_load[];
extern uint32_t eimp_stack_limit[], eimp_stack_top[];
/* Set by vectors.S: the first word of the program. */
extern const uint32_t eimp_vectors[];

#define PAINT 0xA5A5A5A5u

int main(void);

static uint32_t between(const uint32_t *start, const uint32_t *end) {
    return (uint32_t)((uintptr_t)end - (uintptr_t)start);
}

/* Paint what lies below this function's frame. */
static void paint_stack(void) {
    uint32_t here = 0;
    volatile uint32_t *const end = (volatile uint32_t *)(((uintptr_t)&here - 64u) & ~(uintptr_t)3u);
    for (volatile uint32_t *word = eimp_stack_limit; word < end; word++) {
        *word = PAINT;
    }
}

/* Called by eimp_reset. */
void eimp_start(void) {
    paint_stack();
    const uint32_t *from = eimp_data_load;
    for (volatile uint32_t *word = eimp_data_start; word < eimp_data_end; word++) {
        *word = *from++;
    }
    for (volatile uint32_t *word = eimp_bss_start; word < eimp_bss_end; word++) {
        *word = 0;
    }
    (void)main();
}

uint32_t eimp_stack_high_water(void) {
    const volatile uint32_t *word = eimp_stack_limit;
    while (word < eimp_stack_top && *word == PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)eimp_stack_top - (uintptr_t)word);
}

uint32_t eimp_stack_room(void) {
    return between(eimp_stack_limit, eimp_stack_top);
}

uint32_t eimp_variables_bytes(void) {
    return between(eimp_data_start, eimp_bss_end);
}

uint32_t eimp_image_bytes(void) {
    return between(eimp_vectors, eimp_data_load) + between(eimp_data_start, eimp_data_end);
}
