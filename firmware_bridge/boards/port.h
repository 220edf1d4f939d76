/* What the program of firmware_bridge/app needs from a board. One port_*.c defines all of it.
 *
 * Bytes come in by interrupt and wait in a small ring, so that nothing is lost while a shot is learnt; where the ring is
 * full the port stops reading, and what the hardware then drops the protocol asks for again. */
#ifndef EIMP_PORT_H
#define EIMP_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Flash for the two slots of the store, as offsets from 0. Each function returns 0 or EIMP_E_STORAGE. */
typedef struct eimp_port_flash {
    uint32_t sector_bytes;  /* what one erase clears */
    uint32_t program_bytes; /* smallest unit that can be written: 1, 2, 4 ... 64 */
    uint32_t size_bytes;    /* of both slots together, a multiple of two sectors; 0: this board has no flash to give */
    uint8_t erased;         /* value of an erased byte, 0xFF or 0x00 */
    int (*read)(void *context, uint32_t offset, void *data, uint32_t count);
    int (*program)(void *context, uint32_t offset, const void *data, uint32_t count);
    int (*erase)(void *context, uint32_t offset); /* one sector */
    void *context;
} eimp_port_flash;

/* Clocks, serial line, timer, flash; interrupts are on afterwards. Called once, first. */
void eimp_port_init(void);

/* Next byte that came in, 0 to 255; -1 when there is none. */
int eimp_port_receive(void);

/* Sleep until something comes in; returns at once when something is there already. */
void eimp_port_wait(void);

/* Send, returning when the last byte is on its way. */
void eimp_port_send(const uint8_t *data, size_t count);

/* Ticks of EIMP_PORT_CLOCK_HZ since the start. */
uint64_t eimp_port_ticks(void);

/* What operations are measured with: a count that wraps at 2^32, and its unit (enum eimp_counter_unit). Cycles are those
 * of EIMP_PORT_CLOCK_HZ. */
uint32_t eimp_port_counter(void);
uint8_t eimp_port_counter_unit(void);

/* Flash for the store; size_bytes says how much. Never NULL. */
const eimp_port_flash *eimp_port_get_flash(void);

/* Restart as after power on. Does not return. */
void eimp_port_restart(void);

/* Handlers that vectors.S enters: the SysTick timer, and every external interrupt. */
void eimp_port_tick(void);
void eimp_port_interrupt(void);

#endif
