/* Start-up of a Cortex-M and what it knows about the stack. */
#ifndef EIMP_STARTUP_H
#define EIMP_STARTUP_H

#include <stdint.h>

/* Entry from startup.S; calls main. Returns only if main does, and the board then restarts. */
void eimp_start(void);

/* Bytes of stack that the linker script set aside. */
uint32_t eimp_stack_size(void);

/* Bytes of stack used at most since the start or the last repaint, interrupt handlers included. */
uint32_t eimp_stack_high_water(void);

/* Forget the high-water mark: paint what lies below the caller's frame again. */
void eimp_stack_repaint(void);

#endif
