/* What all ports share: the ring of received bytes, the tick counter, the restart. */
#include "port_common.h"

#include "cortex_m.h"
#include "port.h"
#include "port_config.h"

#define RING_BYTES EIMP_PORT_RING_BYTES
#define TICK_PERIOD 0x01000000u /* of the 24-bit SysTick */

static volatile uint8_t ring[RING_BYTES];
static volatile uint32_t ring_in;  /* written by the interrupt handler only */
static volatile uint32_t ring_out; /* written by the main program only */
static volatile uint32_t tick_wraps;

int eimp_ring_full(void) {
    return ring_in - ring_out >= RING_BYTES;
}

void eimp_ring_put(uint8_t byte) {
    ring[ring_in % RING_BYTES] = byte;
    ring_in = ring_in + 1u;
}

int eimp_ring_get(void) {
    if (ring_in == ring_out) {
        return -1;
    }
    const int byte = ring[ring_out % RING_BYTES];
    ring_out = ring_out + 1u;
    return byte;
}

void eimp_port_wait(void) {
    eimp_interrupts_off();
    if (ring_in == ring_out) {
        eimp_sleep();
    }
    eimp_interrupts_on();
}

void eimp_ticks_start(void) {
    EIMP_SYST_RVR = TICK_PERIOD - 1u;
    EIMP_SYST_CVR = 0;
    EIMP_SYST_CSR = 7u;
}

void eimp_port_tick(void) {
    tick_wraps = tick_wraps + 1u;
}

uint64_t eimp_port_ticks(void) {
    eimp_interrupts_off();
    uint32_t wraps = tick_wraps;
    uint32_t down = EIMP_SYST_CVR;
    if ((EIMP_ICSR >> 26 & 1u) != 0) { /* wrapped, and the handler has not counted it yet */
        wraps++;
        down = EIMP_SYST_CVR;
    }
    eimp_interrupts_on();
    return ((uint64_t)wraps << 24) + (TICK_PERIOD - 1u - down);
}

void eimp_port_restart(void) {
    __asm__ volatile("dsb" ::: "memory");
    EIMP_AIRCR = 0x05FA0004u;
    for (;;) {
    }
}
