/* nRF51 NVMC: pages of 1,024 bytes, words of 4. A word may be written twice between erases; the store writes it once. */
#include "flash_nvmc.h"

#include "cortex_m.h"
#include "eimp_protocol.h"
#include "port_config.h"

#define NVMC_READY EIMP_REGISTER(0x4001E400u)
#define NVMC_CONFIG EIMP_REGISTER(0x4001E504u)
#define NVMC_ERASE_PAGE EIMP_REGISTER(0x4001E508u)
#define MODE_READ 0u
#define MODE_WRITE 1u
#define MODE_ERASE 2u

/* Set by board.ld: the start of what it keeps free for the store. */
extern const uint8_t eimp_flash_start[];

static void switch_to(uint32_t mode) {
    NVMC_CONFIG = mode;
    while (NVMC_READY == 0) {
    }
}

static int nvmc_read(void *context, uint32_t offset, void *data, uint32_t count) {
    (void)context;
    const volatile uint8_t *const from = eimp_flash_start + offset;
    uint8_t *const out = data;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = from[i];
    }
    return EIMP_OK;
}

static int nvmc_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    (void)context;
    const uint8_t *const from = data;
    const uintptr_t start = (uintptr_t)eimp_flash_start + offset;
    switch_to(MODE_WRITE);
    for (uint32_t i = 0; i < count; i += 4u) {
        EIMP_REGISTER(start + i) = (uint32_t)from[i] | (uint32_t)from[i + 1u] << 8 | (uint32_t)from[i + 2u] << 16 |
                                   (uint32_t)from[i + 3u] << 24;
        while (NVMC_READY == 0) {
        }
    }
    switch_to(MODE_READ);
    return EIMP_OK;
}

static int nvmc_erase(void *context, uint32_t offset) {
    (void)context;
    switch_to(MODE_ERASE);
    NVMC_ERASE_PAGE = (uint32_t)(uintptr_t)eimp_flash_start + offset;
    while (NVMC_READY == 0) {
    }
    switch_to(MODE_READ);
    return EIMP_OK;
}

static const eimp_port_flash flash = {1024u, 4u, EIMP_PORT_FLASH_BYTES, 0xFFu, nvmc_read, nvmc_program, nvmc_erase, NULL};

const eimp_port_flash *eimp_flash_nvmc(void) {
    return &flash;
}
