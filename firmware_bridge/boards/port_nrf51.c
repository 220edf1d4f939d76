/* Port for the BBC micro:bit (first edition, nRF51822), real or emulated by qemu-system-arm: UART over the USB bridge,
 * flash by the NVMC ("nRF51 Series Reference Manual", chapters UART and NVMC). */
#include "cortex_m.h"
#include "emulation.h"
#include "flash_host.h"
#include "flash_nvmc.h"
#include "port.h"
#include "port_common.h"
#include "port_config.h"

#define UART(offset) EIMP_REGISTER(EIMP_PORT_UART_BASE + (offset))
#define START_RX UART(0x000u)
#define START_TX UART(0x008u)
#define RX_READY UART(0x108u)
#define TX_READY UART(0x11Cu)
#define INTERRUPT_ON UART(0x304u)
#define INTERRUPT_OFF UART(0x308u)
#define ENABLE UART(0x500u)
#define PIN_TX UART(0x50Cu)
#define PIN_RX UART(0x514u)
#define RX_DATA UART(0x518u)
#define TX_DATA UART(0x51Cu)
#define BAUD_RATE UART(0x524u)

#define RX_READY_BIT 4u      /* in the interrupt registers */
#define BAUD_115200 0x01D7E000u

/* GPIO: the transmit pin is an output that idles high. */
#define GPIO_OUTSET EIMP_REGISTER(0x50000508u)
#define GPIO_DIRSET EIMP_REGISTER(0x50000518u)
#define BRIDGE_TX 24u
#define BRIDGE_RX 25u

void eimp_port_init(void) {
    eimp_emulation_begin();
    GPIO_OUTSET = 1u << BRIDGE_TX;
    GPIO_DIRSET = 1u << BRIDGE_TX;
    PIN_TX = BRIDGE_TX;
    PIN_RX = BRIDGE_RX;
    BAUD_RATE = BAUD_115200;
    ENABLE = 4u;
    RX_READY = 0;
    TX_READY = 0;
    START_RX = 1u;
    START_TX = 1u;
    INTERRUPT_ON = RX_READY_BIT;
    eimp_interrupt_enable(EIMP_PORT_UART_IRQ);
    eimp_ticks_start();
    eimp_interrupts_on();
}

/* The receiver holds six bytes and says "ready" once for each. */
void eimp_port_interrupt(void) {
    while (RX_READY != 0) {
        if (eimp_ring_full()) {
            INTERRUPT_OFF = RX_READY_BIT;
            return;
        }
        RX_READY = 0; /* before reading: the next byte says so again */
        eimp_ring_put((uint8_t)RX_DATA);
    }
}

int eimp_port_receive(void) {
    const int byte = eimp_ring_get();
    if (byte >= 0 && RX_READY != 0) {
        INTERRUPT_ON = RX_READY_BIT;
    }
    return byte;
}

void eimp_port_send(const uint8_t *data, size_t count) {
    for (size_t i = 0; i < count; i++) {
        TX_READY = 0;
        TX_DATA = data[i];
        while (TX_READY == 0) {
        }
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
    return host != NULL ? host : eimp_flash_nvmc();
}
