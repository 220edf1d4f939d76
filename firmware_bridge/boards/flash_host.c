#include "flash_host.h"

#include "eimp_protocol.h"
#include "port_config.h"
#include "semihosting.h"

#define SIZE_BYTES EIMP_PORT_FLASH_BYTES
#define ERASED 0xFFu
#define CHUNK_BYTES 64u /* of which sectors are multiples */

static int32_t file = -1;

static int host_read(void *context, uint32_t offset, void *data, uint32_t count) {
    (void)context;
    return eimp_semihosting_read(file, offset, data, count) == 0 ? EIMP_OK : EIMP_E_STORAGE;
}

static int host_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    (void)context;
    return eimp_semihosting_write(file, offset, data, count) == 0 ? EIMP_OK : EIMP_E_STORAGE;
}

static int fill(uint32_t start, uint32_t end) {
    uint8_t blank[CHUNK_BYTES];
    for (uint32_t i = 0; i < CHUNK_BYTES; i++) {
        blank[i] = ERASED;
    }
    for (uint32_t offset = start; offset < end; offset += CHUNK_BYTES) {
        const uint32_t left = end - offset;
        if (eimp_semihosting_write(file, offset, blank, left < CHUNK_BYTES ? left : CHUNK_BYTES) != 0) {
            return EIMP_E_STORAGE;
        }
    }
    return EIMP_OK;
}

static int host_erase(void *context, uint32_t offset) {
    (void)context;
    return fill(offset, offset + EIMP_PORT_SECTOR_BYTES);
}

static const eimp_port_flash flash = {EIMP_PORT_SECTOR_BYTES, EIMP_PORT_PROGRAM_BYTES, SIZE_BYTES, ERASED,
                                      host_read,              host_program,            host_erase, NULL};

void eimp_flash_host_open(const char *name, uint32_t length) {
    file = eimp_semihosting_open(name, length);
    if (file >= 0) {
        const int32_t present = eimp_semihosting_length(file);
        if (present < 0 || fill((uint32_t)present, SIZE_BYTES) != EIMP_OK) {
            file = -1;
        }
    }
}

const eimp_port_flash *eimp_flash_host(void) {
    return file >= 0 ? &flash : NULL;
}
