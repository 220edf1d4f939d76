/* Start-up of a Cortex-M and what it knows about the stack. */
#ifndef EIMP_STARTUP_H
#define EIMP_STARTUP_H

#include <stdint.h>

/* Entry from vectors.S; calls main. Returns only if main does, and the board then restarts. */
void eimp_start(void);

/* Bytes of stack used at most since the start, interrupt handlers included, and bytes set aside for it. */
uint32_t eimp_stack_high_water(void);
uint32_t eimp_stack_room(void);

/* Bytes of the program's variables, and of the program itself in flash, start values of variables included. */
uint32_t eimp_variables_bytes(void);
uint32_t eimp_image_bytes(void);

#endif
