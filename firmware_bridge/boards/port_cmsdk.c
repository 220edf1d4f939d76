/* Port for Arm's MPS2 and MPS3 FPGA boards, emulated by qemu-system-arm: the CMSDK UART ("ARM Cortex-M System Design
 * Kit Technical Reference Manual", APB UART). It holds one received byte. */
#include "cortex_m.h"
#include "emulation.h"
#include "flash_host.h"
#include "flash_ram.h"
#include "port.h"
#include "port_common.h"
#include "port_config.h"

#define UART_DATA EIMP_REGISTER(EIMP_PORT_UART_BASE + 0x00u)
#define UART_STATE EIMP_REGISTER(EIMP_PORT_UART_BASE + 0x04u)
#define UART_CTRL EIMP_REGISTER(EIMP_PORT_UART_BASE + 0x08u)
#define UART_INT EIMP_REGISTER(EIMP_PORT_UART_BASE + 0x0Cu)
#define UART_BAUDDIV EIMP_REGISTER(EIMP_PORT_UART_BASE + 0x10u)

#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CTRL_ON 3u /* transmitter and receiver */
#define CTRL_RX_INTERRUPT 8u
#define INT_RX 2u

void eimp_port_init(void) {
    eimp_emulation_begin();
    UART_BAUDDIV = EIMP_PORT_CLOCK_HZ / EIMP_PORT_BAUD;
    UART_CTRL = CTRL_ON | CTRL_RX_INTERRUPT;
    eimp_interrupt_enable(EIMP_PORT_UART_IRQ);
    eimp_ticks_start();
    eimp_interrupts_on();
}

/* Take what is there, unless the ring is full: then the interrupt stays off until somebody has read from it. */
void eimp_port_interrupt(void) {
    UART_INT = INT_RX;
    while ((UART_STATE & STATE_RX_FULL) != 0) {
        if (eimp_ring_full()) {
            UART_CTRL = CTRL_ON;
            return;
        }
        eimp_ring_put((uint8_t)UART_DATA);
    }
}

int eimp_port_receive(void) {
    const int byte = eimp_ring_get();
    if (byte >= 0 && (UART_CTRL & CTRL_RX_INTERRUPT) == 0) {
        eimp_interrupts_off();
        UART_CTRL = CTRL_ON | CTRL_RX_INTERRUPT;
        eimp_port_interrupt(); /* a byte that came meanwhile raises no interrupt of its own */
        eimp_interrupts_on();
    }
    return byte;
}

void eimp_port_send(const uint8_t *data, size_t count) {
    for (size_t i = 0; i < count; i++) {
        while ((UART_STATE & STATE_TX_FULL) != 0) {
        }
        UART_DATA = data[i];
    }
}

uint32_t eimp_port_counter(void) {
    return eimp_emulation_counter();
}

uint8_t eimp_port_counter_unit(void) {
    return eimp_emulation_counter_unit();
}

const eimp_port_flash *eimp_port_get_flash(void) {
    const eimp_port_flash *host = eimp_flash_host();
    return host != NULL ? host : eimp_flash_ram();
}
