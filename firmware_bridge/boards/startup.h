/* Start-up of a Cortex-M and what it knows about the stack. */
#ifndef EIMP_STARTUP_H
#define EIMP_STARTUP_H

#include <stdint.h>

/* Entry from vectors.S; calls main. Returns only if main does, and the board then restarts. */
void eimp_start(void);

/* Bytes of stack used at most since the start, interrupt handlers included. */
uint32_t eimp_stack_high_water(void);

#endif
