#include "flash_ram.h"

#include <string.h>

#include "eimp_protocol.h"
#include "port_config.h"

#define ERASED 0xFFu

#if EIMP_PORT_RAM_FLASH
static uint8_t memory[EIMP_PORT_FLASH_BYTES];

static int ram_read(void *context, uint32_t offset, void *data, uint32_t count) {
    (void)context;
    memcpy(data, memory + offset, count);
    return EIMP_OK;
}

static int ram_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    (void)context;
    memcpy(memory + offset, data, count);
    return EIMP_OK;
}

static int ram_erase(void *context, uint32_t offset) {
    (void)context;
    memset(memory + offset, ERASED, EIMP_PORT_SECTOR_BYTES);
    return EIMP_OK;
}

static const eimp_port_flash flash = {EIMP_PORT_SECTOR_BYTES, EIMP_PORT_PROGRAM_BYTES, EIMP_PORT_FLASH_BYTES, ERASED,
                                      ram_read,               ram_program,             ram_erase,             NULL};
#else
static const eimp_port_flash flash = {EIMP_PORT_SECTOR_BYTES, EIMP_PORT_PROGRAM_BYTES, 0, ERASED, NULL, NULL, NULL, NULL};
#endif

const eimp_port_flash *eimp_flash_ram(void) {
    return &flash;
}
