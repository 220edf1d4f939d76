#include "bare.h"

#include <stddef.h>

#define SYS_WRITE0 0x04u
#define SYS_EXIT_EXTENDED 0x20u
#define APPLICATION_EXIT 0x20026u

static void call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

void bare_print(const char *text) {
    call(SYS_WRITE0, text);
}

void bare_print_number(uint32_t number) {
    char text[11];
    size_t at = sizeof text - 1;
    text[at] = '\0';
    do {
        text[--at] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0);
    bare_print(text + at);
}

void bare_exit(uint32_t status) {
    const uint32_t block[2] = {APPLICATION_EXIT, status};
    call(SYS_EXIT_EXTENDED, block);
}

/* What vectors.S expects of a port. Nothing here is enabled. */
void eimp_port_interrupt(void);
void eimp_port_tick(void);

void eimp_port_interrupt(void) {
}

void eimp_port_tick(void) {
}
