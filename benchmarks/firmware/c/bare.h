/* What a program on an emulated board needs to say how it went: text and an exit status, by semihosting. */
#ifndef EIMP_BARE_H
#define EIMP_BARE_H

#include <stdint.h>

/* Zero-terminated text to the emulator's standard error. */
void bare_print(const char *text);

/* A number in decimal. */
void bare_print_number(uint32_t number);

/* End the emulator with this exit status. */
void bare_exit(uint32_t status);

#endif
