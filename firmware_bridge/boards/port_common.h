/* For port_*.c: the ring between interrupt handler and main program, and the tick counter. */
#ifndef EIMP_PORT_COMMON_H
#define EIMP_PORT_COMMON_H

#include <stdint.h>

/* For the interrupt handler: whether there is no room, and one byte more (only where there is room). */
int eimp_ring_full(void);
void eimp_ring_put(uint8_t byte);

/* For the main program: the next byte, or -1. */
int eimp_ring_get(void);

/* Start the SysTick timer that eimp_port_ticks() reads. */
void eimp_ticks_start(void);

#endif
