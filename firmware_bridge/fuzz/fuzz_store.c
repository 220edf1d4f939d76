/* The store: any bytes in flash are mounted, what is found can be read, and a save goes on from there, cut or not.
 *
 * Input: geometry, flags (1: mend records, 2: ECC), then pieces of flash (place, length, bytes) until one has length 0,
 * then the size of a snapshot, the operation that power fails in and how. */
#include <stdlib.h>
#include <string.h>

#include "flash_sim.h"
#include "fuzz_support.h"

#define SECTOR 512u
#define RECORDS 9u /* of a slot's end: commit, wear 0 to 7 */

static void mend_record(uint8_t *at, uint32_t space) {
    if (memcmp(at, "EIS", 3) != 0) return;
    fuzz_put_u32(at + 16, eimp_crc32(0, at, 16));
    memset(at + 20, 0xA5, space - 20);
}

/* Checksums of header, commit record, wear records and payload, where they have begun. */
static void mend_slot(uint8_t *slot, uint32_t slot_bytes, uint32_t space) {
    uint8_t *commit = slot + slot_bytes - RECORDS * space;
    const uint32_t size = fuzz_get_u32(commit + 8);
    if (size <= slot_bytes - (RECORDS + 1) * space) fuzz_put_u32(commit + 12, eimp_crc32(0, slot + space, size));
    mend_record(slot, space);
    for (uint32_t i = 0; i < RECORDS; i++) mend_record(commit + i * space, space);
}

static void fill(flash_sim *sim, fuzz_input *input, int mend) {
    const uint32_t slot_bytes = sim->total_bytes / 2, unit = sim->config.program_bytes;
    const uint32_t space = unit > 32 ? 64 : 32;
    for (uint32_t length = 1; length != 0;) {
        const uint32_t at = fuzz_u16(input) % sim->total_bytes;
        length = fuzz_u8(input);
        if (length > sim->total_bytes - at) length = sim->total_bytes - at;
        fuzz_bytes(input, sim->bytes + at, length);
    }
    if (mend) {
        mend_slot(sim->bytes, slot_bytes, space);
        mend_slot(sim->bytes + slot_bytes, slot_bytes, space);
    }
    for (uint32_t at = 0; at < sim->total_bytes; at++)
        if (sim->bytes[at] != sim->config.erase_value) memset(sim->state + at / unit * unit, FLASH_PROGRAMMED, unit);
}

/* The current snapshot in memory of exactly its size; NULL where there is none. */
static uint8_t *current(eimp_store *store, uint32_t *size) {
    *size = eimp_store_current_size(store);
    if (*size == 0) return NULL;
    uint8_t *bytes = malloc(*size);
    FUZZ_CHECK(bytes != NULL);
    FUZZ_CHECK(eimp_store_read(store, 0, bytes, *size) == EIMP_OK);
    FUZZ_CHECK(eimp_store_read(store, 1, bytes, *size) == EIMP_E_ARGUMENT);
    return bytes;
}

static int save(eimp_store *store, uint32_t size) {
    uint8_t piece[11];
    uint32_t crc = 0;
    int status = eimp_store_begin(store, size);
    for (uint32_t done = 0, part; done < size && status == EIMP_OK; done += part) {
        part = size - done < sizeof piece ? size - done : (uint32_t)sizeof piece;
        memset(piece, (int)(done * 31 % 251), part);
        crc = eimp_crc32(crc, piece, part);
        status = eimp_store_append(store, piece, part);
    }
    return status == EIMP_OK ? eimp_store_commit(store, crc) : status;
}

static int is_new(const uint8_t *bytes, uint32_t count, uint32_t size) {
    if (count != size) return 0;
    for (uint32_t i = 0; i < count; i++)
        if (bytes[i] != i / 11 * 11 * 31 % 251) return 0;
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static flash_sim sim;
    eimp_store store;
    fuzz_input input = {data, size};
    uint32_t old_size, new_size;
    const uint8_t geometry = fuzz_u8(&input), flags = fuzz_u8(&input);
    const uint32_t unit = 1u << (geometry & 7u) % 7u;
    flash_sim_init(&sim, unit, geometry & 8u ? 0x00 : 0xFF, unit > 32 ? 2 * SECTOR : SECTOR, 1u + (geometry >> 4 & 1u));
    sim.ecc = (flags & 2) != 0;
    fill(&sim, &input, flags & 1);
    const uint32_t wanted = fuzz_u16(&input) % (eimp_store_capacity(&sim.config) + 2);
    const uint32_t cut_at = fuzz_u8(&input);
    const uint8_t cut = fuzz_u8(&input) % CUT_MODES;

    FUZZ_CHECK(eimp_store_mount(&store, &sim.config) == EIMP_OK && sim.operations == 0);
    uint8_t *old = current(&store, &old_size);
    flash_sim_power_on(&sim, cut_at, cut);
    const int status = save(&store, wanted);
    FUZZ_CHECK(sim.violation == NULL);
    const int off = sim.off;
    flash_sim_power_on(&sim, 0, CUT_NOTHING);
    FUZZ_CHECK(eimp_store_mount(&store, &sim.config) == EIMP_OK && sim.operations == 0);
    uint8_t *now = current(&store, &new_size);
    const int same = new_size == old_size && (old_size == 0 || memcmp(old, now, old_size) == 0);
    if (wanted == 0 || wanted > eimp_store_capacity(&sim.config)) {
        FUZZ_CHECK(status == (wanted == 0 ? EIMP_E_ARGUMENT : EIMP_E_CAPACITY) && same);
    } else if (off) {
        FUZZ_CHECK(status == EIMP_E_STORAGE && (same || is_new(now, new_size, wanted)));
    } else {
        FUZZ_CHECK(status == EIMP_OK && is_new(now, new_size, wanted));
    }
    if (wanted != 0 && wanted <= eimp_store_capacity(&sim.config))
        FUZZ_CHECK(save(&store, wanted) == EIMP_OK && sim.violation == NULL);
    free(old);
    free(now);
    return 0;
}
