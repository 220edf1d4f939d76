/* A flash that is stricter than real ones and loses power at a chosen operation.
 *
 * Programming what is not erased, programming a unit twice, half a unit, or across a multiple of 64 bytes is a
 * violation: it is noted, the operation fails, and the test that owns the simulator must fail. So is programming a
 * sector whose erase was interrupted, even where its bytes read as erased. */
#ifndef FLASH_SIM_H
#define FLASH_SIM_H

#include <stdint.h>

#include "eimp_store.h"

/* How much of the interrupted operation happens. */
enum flash_cut { CUT_NOTHING, CUT_FIRST_HALF, CUT_LAST_HALF, CUT_SCATTERED, CUT_ALL, CUT_MODES };

enum flash_state { FLASH_ERASED, FLASH_PROGRAMMED, FLASH_TORN, FLASH_HALF_ERASED };

#define FLASH_SIM_MAX_BYTES 16384u

typedef struct flash_sim {
    uint8_t bytes[FLASH_SIM_MAX_BYTES];
    uint8_t state[FLASH_SIM_MAX_BYTES]; /* enum flash_state of each byte */
    eimp_store_config config;           /* its context is this simulator */
    uint32_t total_bytes;
    uint32_t operations; /* programs and erases since power on, whole or interrupted */
    uint32_t cut_at;     /* power fails in this operation, counted from 1; 0: never */
    uint32_t random;
    uint32_t erases_begun[2]; /* of each slot's first sector, by the store, since power was first on */
    uint32_t erases_done[2];
    uint8_t cut; /* enum flash_cut */
    uint8_t off;
    uint8_t ecc;          /* torn and half erased units cannot be read */
    uint8_t fail_program; /* programs fail and change nothing; power stays on */
    uint8_t fail_erase;
    uint8_t fail_read;
    const char *violation; /* the first, or NULL */
} flash_sim;

/* A flash that is erased all over. */
void flash_sim_init(flash_sim *sim, uint32_t program_bytes, uint8_t erase_value, uint32_t sector_bytes,
                    uint32_t sectors_per_slot);

/* Fill it with bytes of a generator, as if somebody else had used it. */
void flash_sim_fill(flash_sim *sim, uint32_t seed);

/* Power on again, with power failing in operation `cut_at`. */
void flash_sim_power_on(flash_sim *sim, uint32_t cut_at, uint8_t cut);

/* For ctypes, which need not know the struct. */
uint32_t flash_sim_size(void);
const eimp_store_config *flash_sim_config(flash_sim *sim);
uint8_t *flash_sim_bytes(flash_sim *sim);
uint32_t flash_sim_operations(const flash_sim *sim);
const char *flash_sim_violation(const flash_sim *sim);
void flash_sim_fail(flash_sim *sim, uint8_t read, uint8_t program, uint8_t erase);

#endif
