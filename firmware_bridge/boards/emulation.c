#include "emulation.h"

#include <string.h>

#include "eimp_protocol.h"
#include "flash_host.h"
#include "port.h"
#include "port_config.h"
#include "semihosting.h"

#define MOST_BYTES 200u
#define NO_SHIFT 255u
/* A tick in sixteenths of a nanosecond: a whole number for 16, 20, 25 and 32 MHz. */
#define TICK_NS_16 (1000000000u / EIMP_PORT_CLOCK_HZ * 16u + 1000000000u % EIMP_PORT_CLOCK_HZ * 16u / EIMP_PORT_CLOCK_HZ)

#if EIMP_PORT_SEMIHOSTING
static uint8_t shift = NO_SHIFT;
#endif

void eimp_emulation_begin(void) {
#if EIMP_PORT_SEMIHOSTING
    static const char option[] = " shift=";
    const uint32_t option_bytes = sizeof option - 1u;
    char line[MOST_BYTES];
    memset(line, 0, sizeof line);
    if (eimp_semihosting_command_line(line, sizeof line - 1u) != 0) {
        return;
    }
    uint32_t length = 0;
    while (line[length] != '\0') {
        length++;
    }
    if (length > option_bytes && memcmp(line + length - option_bytes - 1u, option, option_bytes) == 0) {
        shift = (uint8_t)(line[length - 1u] - '0');
        length -= option_bytes + 1u;
    }
    if (length > 0) {
        line[length] = '\0';
        eimp_flash_host_open(line, length);
    }
#endif
}

uint32_t eimp_emulation_counter(void) {
#if EIMP_PORT_SEMIHOSTING
    return shift == NO_SHIFT ? 0 : (uint32_t)(eimp_port_ticks() * TICK_NS_16 >> (shift + 4u));
#else
    return (uint32_t)eimp_port_ticks();
#endif
}

uint8_t eimp_emulation_counter_unit(void) {
#if EIMP_PORT_SEMIHOSTING
    return shift == NO_SHIFT ? EIMP_COUNT_NONE : EIMP_COUNT_INSTRUCTIONS;
#else
    return EIMP_COUNT_CYCLES;
#endif
}
