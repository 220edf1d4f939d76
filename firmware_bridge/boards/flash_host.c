#include "flash_host.h"

#include "eimp_protocol.h"
#include "port_config.h"
#include "semihosting.h"

#define SECTOR_BYTES EIMP_PORT_SECTOR_BYTES
#define SIZE_BYTES EIMP_PORT_FLASH_BYTES
#define ERASED 0xFFu
#define CHUNK_BYTES 64u
#define MOST_NAME_BYTES 200u

static int32_t file = -1;

static int file_read(void *context, uint32_t offset, void *data, uint32_t count) {
    (void)context;
    return eimp_semihosting_read(file, offset, data, count) == 0 ? EIMP_OK : EIMP_E_STORAGE;
}

static int file_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    (void)context;
    return eimp_semihosting_write(file, offset, data, count) == 0 ? EIMP_OK : EIMP_E_STORAGE;
}

static int file_fill(uint32_t offset, uint32_t count) {
    uint8_t blank[CHUNK_BYTES];
    for (uint32_t i = 0; i < CHUNK_BYTES; i++) {
        blank[i] = ERASED;
    }
    for (uint32_t done = 0; done < count; done += CHUNK_BYTES) {
        const uint32_t left = count - done;
        const uint32_t piece = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        if (eimp_semihosting_write(file, offset + done, blank, piece) != 0) {
            return EIMP_E_STORAGE;
        }
    }
    return EIMP_OK;
}

static int file_erase(void *context, uint32_t offset) {
    (void)context;
    return file_fill(offset, SECTOR_BYTES);
}

static const eimp_port_flash in_file = {SECTOR_BYTES, EIMP_PORT_PROGRAM_BYTES, SIZE_BYTES, ERASED,
                                        file_read,    file_program,            file_erase, NULL};

#if EIMP_PORT_RAM_FLASH
static uint8_t memory[SIZE_BYTES];

static int memory_read(void *context, uint32_t offset, void *data, uint32_t count) {
    (void)context;
    uint8_t *const out = data;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = memory[offset + i];
    }
    return EIMP_OK;
}

static int memory_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    (void)context;
    const uint8_t *const from = data;
    for (uint32_t i = 0; i < count; i++) {
        memory[offset + i] = from[i];
    }
    return EIMP_OK;
}

static int memory_erase(void *context, uint32_t offset) {
    (void)context;
    for (uint32_t i = 0; i < SECTOR_BYTES; i++) {
        memory[offset + i] = ERASED;
    }
    return EIMP_OK;
}

static const eimp_port_flash in_memory = {SECTOR_BYTES, EIMP_PORT_PROGRAM_BYTES, SIZE_BYTES,   ERASED,
                                          memory_read,  memory_program,          memory_erase, NULL};
#else
static const eimp_port_flash nowhere = {SECTOR_BYTES, EIMP_PORT_PROGRAM_BYTES, 0, ERASED, NULL, NULL, NULL, NULL};
#endif

void eimp_flash_host_open(void) {
#if EIMP_PORT_SEMIHOSTING
    char name[MOST_NAME_BYTES];
    uint32_t length = 0;
    if (eimp_semihosting_command_line(name, sizeof name) == 0) {
        while (length < MOST_NAME_BYTES && name[length] != '\0') {
            length++;
        }
        if (length > 0 && length < MOST_NAME_BYTES) {
            file = eimp_semihosting_open(name, length);
        }
    }
    if (file >= 0) {
        const int32_t present = eimp_semihosting_length(file);
        if (present < 0 ||
            ((uint32_t)present < SIZE_BYTES && file_fill((uint32_t)present, SIZE_BYTES - (uint32_t)present) != 0)) {
            file = -1;
        }
    }
#endif
}

const eimp_port_flash *eimp_flash_host(void) {
    if (file >= 0) {
        return &in_file;
    }
#if EIMP_PORT_RAM_FLASH
    return &in_memory;
#else
    return &nowhere;
#endif
}
