#include "flash_sim.h"

#include <string.h>

static uint8_t random_byte(flash_sim *sim) {
    sim->random = sim->random * 1664525u + 1013904223u;
    return (uint8_t)(sim->random >> 24);
}

static int violated(flash_sim *sim, const char *what) {
    if (sim->violation == NULL) {
        sim->violation = what;
    }
    return EIMP_E_STORAGE;
}

/* Which bits of byte `index` of an interrupted operation on `count` bytes happen. */
static uint8_t cut_mask(flash_sim *sim, uint32_t index, uint32_t count) {
    switch (sim->cut) {
    case CUT_FIRST_HALF:
        return count == 1 ? 0x0F : index < count / 2 ? 0xFF : 0x00;
    case CUT_LAST_HALF:
        return count == 1 ? 0xF0 : index < count / 2 ? 0x00 : 0xFF;
    case CUT_SCATTERED:
        return random_byte(sim);
    case CUT_ALL:
        return 0xFF;
    default:
        return 0x00;
    }
}

/* Count an operation; whether power fails in it. */
static int power_fails(flash_sim *sim) {
    sim->operations++;
    sim->off = sim->operations == sim->cut_at;
    return sim->off;
}

static int sim_read(void *context, uint32_t offset, void *buffer, uint32_t count) {
    flash_sim *sim = (flash_sim *)context;
    uint32_t unit = sim->config.program_bytes;
    uint32_t i;

    if (sim->off || sim->fail_read) {
        return -99;
    }
    if (offset > sim->total_bytes || count > sim->total_bytes - offset) {
        return violated(sim, "read outside of the flash");
    }
    if (sim->ecc) {
        for (i = offset & ~(unit - 1u); i < offset + count; i++) {
            if (sim->state[i] == FLASH_TORN || sim->state[i] == FLASH_HALF_ERASED) {
                return EIMP_E_CORRUPT;
            }
        }
    }
    memcpy(buffer, sim->bytes + offset, count);
    return EIMP_OK;
}

static int program_rule(flash_sim *sim, uint32_t offset, const void *data, uint32_t count) {
    uint32_t unit = sim->config.program_bytes;
    uint32_t i;

    if (offset > sim->total_bytes || count > sim->total_bytes - offset || count == 0) {
        return violated(sim, "program outside of the flash");
    }
    if (offset % unit != 0 || count % unit != 0) {
        return violated(sim, "program of part of a unit");
    }
    if (offset / 64u != (offset + count - 1u) / 64u) {
        return violated(sim, "program across a multiple of 64 bytes");
    }
    if ((uintptr_t)data % 8u != 0) {
        return violated(sim, "program from an address that is not a multiple of 8");
    }
    for (i = offset; i < offset + count; i++) {
        if (sim->state[i] != FLASH_ERASED) {
            return violated(sim, "program of what is not erased");
        }
    }
    return EIMP_OK;
}

static int sim_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    flash_sim *sim = (flash_sim *)context;
    const uint8_t *from = (const uint8_t *)data;
    uint32_t unit = sim->config.program_bytes;
    uint8_t full;
    uint8_t touched;
    uint8_t mask;
    uint32_t i;
    uint32_t j;

    if (sim->off || sim->fail_program || program_rule(sim, offset, data, count) != EIMP_OK) {
        return EIMP_E_STORAGE;
    }
    if (!power_fails(sim)) {
        memcpy(sim->bytes + offset, data, count);
        memset(sim->state + offset, FLASH_PROGRAMMED, count);
        return EIMP_OK;
    }
    for (i = 0; i < count; i += unit) {
        full = 1;
        touched = 0;
        for (j = i; j < i + unit; j++) {
            mask = cut_mask(sim, j, count);
            sim->bytes[offset + j] = (uint8_t)((from[j] & mask) | (sim->config.erase_value & ~mask));
            full = full && mask == 0xFF;
            touched = touched || mask != 0x00;
        }
        if (touched) {
            memset(sim->state + offset + i, full ? FLASH_PROGRAMMED : FLASH_TORN, unit);
        }
    }
    return EIMP_E_STORAGE;
}

static int sim_erase(void *context, uint32_t offset) {
    flash_sim *sim = (flash_sim *)context;
    uint32_t sector = sim->config.sector_bytes;
    uint32_t slot_bytes = sim->total_bytes / 2u;
    uint8_t cut;
    uint8_t mask;
    uint32_t i;

    if (sim->off || sim->fail_erase) {
        return EIMP_E_STORAGE;
    }
    if (offset >= sim->total_bytes || offset % sector != 0) {
        return violated(sim, "erase of what is no sector");
    }
    cut = (uint8_t)power_fails(sim);
    if (offset % slot_bytes == 0 && !(cut && sim->cut == CUT_NOTHING)) {
        sim->erases_begun[offset / slot_bytes]++;
        sim->erases_done[offset / slot_bytes] += !cut || sim->cut == CUT_ALL;
    }
    for (i = offset; i < offset + sector; i++) {
        mask = cut ? cut_mask(sim, i - offset, sector) : 0xFF;
        sim->bytes[i] = (uint8_t)((sim->config.erase_value & mask) | (sim->bytes[i] & ~mask));
    }
    if (!cut || sim->cut != CUT_NOTHING) {
        memset(sim->state + offset, cut && sim->cut != CUT_ALL ? FLASH_HALF_ERASED : FLASH_ERASED, sector);
    }
    return cut ? EIMP_E_STORAGE : EIMP_OK;
}

void flash_sim_init(flash_sim *sim, uint32_t program_bytes, uint8_t erase_value, uint32_t sector_bytes,
                    uint32_t sectors_per_slot) {
    memset(sim, 0, sizeof *sim);
    sim->config.context = sim;
    sim->config.read = sim_read;
    sim->config.program = sim_program;
    sim->config.erase = sim_erase;
    sim->config.sector_bytes = sector_bytes;
    sim->config.sectors_per_slot = sectors_per_slot;
    sim->config.program_bytes = (uint16_t)program_bytes;
    sim->config.erase_value = erase_value;
    sim->total_bytes = 2u * sector_bytes * sectors_per_slot;
    sim->random = 1;
    memset(sim->bytes, erase_value, sizeof sim->bytes);
}

void flash_sim_fill(flash_sim *sim, uint32_t seed) {
    uint32_t i;

    sim->random = seed;
    for (i = 0; i < sim->total_bytes; i++) {
        sim->bytes[i] = random_byte(sim);
        sim->state[i] = FLASH_PROGRAMMED;
    }
}

void flash_sim_power_on(flash_sim *sim, uint32_t cut_at, uint8_t cut) {
    sim->operations = 0;
    sim->cut_at = cut_at;
    sim->cut = cut;
    sim->off = 0;
}

uint32_t flash_sim_size(void) {
    return (uint32_t)sizeof(flash_sim);
}

const eimp_store_config *flash_sim_config(flash_sim *sim) {
    return &sim->config;
}

uint8_t *flash_sim_bytes(flash_sim *sim) {
    return sim->bytes;
}

uint32_t flash_sim_operations(const flash_sim *sim) {
    return sim->operations;
}

const char *flash_sim_violation(const flash_sim *sim) {
    return sim->violation;
}

void flash_sim_fail(flash_sim *sim, uint8_t read, uint8_t program, uint8_t erase) {
    sim->fail_read = read;
    sim->fail_program = program;
    sim->fail_erase = erase;
}
