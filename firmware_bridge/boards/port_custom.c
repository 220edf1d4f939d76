/* Port for a board of your own: the serial line. Ring, timer, restart (port_common.c), start-up code and a store in RAM
 * are there already. Fill in the four places marked #error from the reference manual of your chip; until then this does
 * not compile. Interrupts of all peripherals lead to eimp_port_interrupt(). */
#include "cortex_m.h"
#include "eimp_protocol.h"
#include "flash_ram.h"
#include "port.h"
#include "port_common.h"
#include "port_config.h"

void eimp_port_init(void) {
#error "1: start clocks and pins, set the UART to EIMP_PORT_BAUD with an interrupt for received bytes, and call"
#error "   eimp_interrupt_enable(number of that interrupt)"
    eimp_ticks_start();
    eimp_interrupts_on();
}

void eimp_port_interrupt(void) {
#error "2: clear the interrupt; while a byte is there and !eimp_ring_full(), call eimp_ring_put(byte)"
#error "   where the ring is full: switch the receiver's interrupt off"
}

int eimp_port_receive(void) {
    const int byte = eimp_ring_get();
#error "3: where byte >= 0 and the receiver's interrupt is off: switch it on again"
    return byte;
}

void eimp_port_send(const uint8_t *data, size_t count) {
    for (size_t i = 0; i < count; i++) {
#error "4: wait until the transmitter takes a byte, then give it data[i]"
    }
}

/* SysTick counts the processor's clock. */
uint32_t eimp_port_counter(void) {
    return (uint32_t)eimp_port_ticks();
}

uint8_t eimp_port_counter_unit(void) {
    return EIMP_COUNT_CYCLES;
}

/* What was learnt outlives the power only in flash. Return your own eimp_port_flash (port.h); flash_nvmc.c is an
 * example. With RAM, everything else can be tried at once. */
const eimp_port_flash *eimp_port_get_flash(void) {
    return eimp_flash_ram();
}
