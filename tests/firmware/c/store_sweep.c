/* Power cut at every flash operation, again at every operation after it, and so on; then every bit flipped.
 *
 *     store_sweep PROGRAM_BYTES ERASE_VALUE SECTOR_BYTES SECTORS_PER_SLOT SNAPSHOT_BYTES ECC CUTS
 *
 * Prints one line of JSON. Whatever breaks the store's promise ends it with 1 and says what, where, in which state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flash_sim.h"

#define MAX_CUTS 3u

enum start { START_ERASED, START_GARBAGE, START_ONE, START_TWO, STARTS };
enum how { SAVE_STRAIGHT, SAVE_RESTARTED, HOWS };

static const char *const start_names[STARTS] = {"erased", "garbage", "one snapshot", "two snapshots"};

typedef struct sweep {
    uint32_t snapshot_bytes;
    uint8_t ecc;
    uint32_t longest_run; /* operations of the longest clean run */
    uint64_t cuts;
    uint64_t old;
    uint64_t new;
    uint64_t bits_flipped;
    uint64_t bits_detected;
    uint64_t bits_harmless;
    char where[256];
} sweep;

static void fail(const sweep *all, const char *what) {
    printf("%s: %s\n", all->where, what);
    exit(1);
}

/* Snapshot number `id`: its length and its bytes differ from one to the next. Snapshot 0 is none. */
static uint32_t length_of(const sweep *all, uint32_t id) {
    return all->snapshot_bytes - id % 3u;
}

static uint8_t byte_of(uint32_t id, uint32_t index) {
    return (uint8_t)((id * 2654435761u ^ index * 40503u * (id + 7u)) >> 5);
}

/* One save as the device does it, in pieces that fit nothing. */
static int save(const sweep *all, eimp_store *store, uint32_t id, enum how how) {
    uint8_t piece[7];
    uint32_t size = length_of(all, id);
    uint32_t crc = 0;
    uint32_t done;
    uint32_t count;
    uint32_t i;
    int status;

    status = eimp_store_begin(store, size);
    if (how == SAVE_RESTARTED && status == EIMP_OK) {
        for (i = 0; i < size / 2u && status == EIMP_OK; i++) {
            status = eimp_store_append(store, "x", 1);
        }
        status = status == EIMP_OK ? eimp_store_begin(store, size) : status;
    }
    for (done = 0; done < size && status == EIMP_OK; done += count) {
        count = size - done < sizeof piece ? size - done : (uint32_t)sizeof piece;
        for (i = 0; i < count; i++) {
            piece[i] = byte_of(id, done + i);
        }
        crc = eimp_crc32(crc, piece, count);
        status = eimp_store_append(store, piece, count);
    }
    return status == EIMP_OK ? eimp_store_commit(store, crc) : status;
}

/* Mount, and say which of two snapshots is there, whole; -1 where it is neither. */
static int64_t mounted(const sweep *all, flash_sim *sim, eimp_store *store, uint32_t a, uint32_t b) {
    uint8_t content[FLASH_SIM_MAX_BYTES];
    uint32_t candidates[2];
    uint32_t size;
    uint32_t i;
    uint32_t j;

    candidates[0] = a;
    candidates[1] = b;
    if (eimp_store_mount(store, &sim->config) != EIMP_OK) {
        fail(all, "mount failed");
    }
    if (sim->operations != 0) {
        fail(all, "mount wrote to flash");
    }
    size = eimp_store_current_size(store);
    for (i = 0; i < 2; i++) {
        if (candidates[i] == 0 ? size == 0 : size == length_of(all, candidates[i])) {
            if (size > 0 && eimp_store_read(store, 0, content, size) != EIMP_OK) {
                fail(all, "the snapshot cannot be read");
            }
            for (j = 0; j < size && content[j] == byte_of(candidates[i], j); j++) {
            }
            if (j == size) {
                return candidates[i];
            }
        }
    }
    return -1;
}

static void check_rules(const sweep *all, const flash_sim *sim) {
    if (sim->violation != NULL) {
        fail(all, sim->violation);
    }
}

/* While a snapshot was current all the time, no completed erase goes uncounted. One too many is counted at most per cut
 * between announcing and erasing a slot that has no header: one never used, or one that an earlier cut left so. From
 * the fifth attempt to replace the same snapshot on, several erases are announced at once. */
static void check_wear(const sweep *all, const flash_sim *sim, const eimp_store *store, enum how how, enum start start,
                       uint32_t level) {
    static const uint32_t announced_too_many[7] = {0, 0, 0, 0, 0, 3, 3 + 15};
    uint32_t attempts = how == SAVE_RESTARTED ? 2u * level : level;
    uint32_t tolerated = level - (start == START_TWO) + announced_too_many[attempts];
    uint32_t slot;

    for (slot = 0; slot < 2; slot++) {
        if (eimp_store_erases(store, slot) < sim->erases_done[slot]) {
            fail(all, "an erase was not counted");
        }
        if (eimp_store_erases(store, slot) > sim->erases_begun[slot] + tolerated) {
            fail(all, "an erase was counted that did not happen");
        }
    }
}

static void cut_everywhere(sweep *all, const flash_sim *before, uint32_t id, enum how how, enum start start,
                           uint32_t level, uint32_t cuts);

/* Save snapshot id + 1 over snapshot `id`, with power failing in operation n. */
static void cut_once(sweep *all, const flash_sim *before, uint32_t id, enum how how, enum start start, uint32_t level,
                     uint32_t cuts, uint32_t n, uint8_t mode) {
    flash_sim sim = *before;
    eimp_store store;
    size_t length = strlen(all->where);
    uint32_t next = level + 2u;
    int64_t found;

    snprintf(all->where + length, sizeof all->where - length, ", cut %u in operation %u mode %u", level, n, mode);
    sim.config.context = &sim;
    flash_sim_power_on(&sim, 0, CUT_NOTHING);
    if (mounted(all, &sim, &store, id, id) != id) {
        fail(all, "the starting snapshot is not there");
    }
    flash_sim_power_on(&sim, n, mode);
    if (save(all, &store, next, how) == EIMP_OK) {
        fail(all, "a save with a power cut in it succeeded");
    }
    check_rules(all, &sim);
    flash_sim_power_on(&sim, 0, CUT_NOTHING);
    found = mounted(all, &sim, &store, id, next);
    if (found < 0) {
        fail(all, "neither the old nor the new snapshot is there");
    }
    all->cuts++;
    all->old += found == id;
    all->new += found == next;
    if (start >= START_ONE) {
        check_wear(all, &sim, &store, how, start, level);
    }
    if (level < cuts) {
        cut_everywhere(all, &sim, (uint32_t)found, how, start, level + 1u, cuts);
    }
    if (save(all, &store, 99, SAVE_STRAIGHT) != EIMP_OK) {
        fail(all, "the save after the cut failed");
    }
    check_rules(all, &sim);
    flash_sim_power_on(&sim, 0, CUT_NOTHING);
    if (mounted(all, &sim, &store, 99, 99) != 99) {
        fail(all, "the snapshot saved after the cut is not there");
    }
    all->where[length] = '\0';
}

static void cut_everywhere(sweep *all, const flash_sim *before, uint32_t id, enum how how, enum start start,
                           uint32_t level, uint32_t cuts) {
    flash_sim clean = *before;
    eimp_store store;
    uint32_t operations;
    uint32_t n;
    uint8_t mode;

    clean.config.context = &clean;
    flash_sim_power_on(&clean, 0, CUT_NOTHING);
    if (mounted(all, &clean, &store, id, id) != id || save(all, &store, level + 2u, how) != EIMP_OK) {
        fail(all, "the clean run failed");
    }
    check_rules(all, &clean);
    operations = clean.operations;
    if (operations > all->longest_run) {
        all->longest_run = operations;
    }
    flash_sim_power_on(&clean, 0, CUT_NOTHING);
    if (mounted(all, &clean, &store, level + 2u, level + 2u) < 0) {
        fail(all, "the snapshot of the clean run is not there");
    }
    for (n = 1; n <= operations; n++) {
        for (mode = 0; mode < CUT_MODES; mode++) {
            cut_once(all, before, id, how, start, level, cuts, n, mode);
        }
    }
}

/* Flip every bit of the flash: the snapshot read is another whole one where the bit belongs to the current slot's
 * header, payload or commit record, and the same in all other places. */
static void flip_every_bit(sweep *all, const flash_sim *image, const eimp_store *mounted_store, uint32_t current,
                           uint32_t older) {
    const eimp_store_config *config = &image->config;
    uint32_t space = config->program_bytes > 32u ? 64u : 32u;
    uint32_t base = mounted_store->current * (image->total_bytes / 2u);
    uint32_t end = image->total_bytes / 2u;
    uint32_t unit = config->program_bytes;
    uint32_t payload = (length_of(all, current) + unit - 1u) / unit * unit;
    flash_sim sim = *image;
    eimp_store store;
    uint32_t at;
    uint32_t in_slot;
    uint32_t bit;
    uint8_t matters;
    int64_t found;

    sim.config.context = &sim;
    for (at = 0; at < sim.total_bytes; at++) {
        in_slot = at - base;
        matters = at >= base && (in_slot < space + payload ||
                                 (in_slot >= end - 9u * space && in_slot < end - 8u * space));
        for (bit = 0; bit < 8; bit++) {
            snprintf(all->where, sizeof all->where, "bit %u of byte %u flipped", bit, at);
            sim.bytes[at] ^= (uint8_t)(1u << bit);
            flash_sim_power_on(&sim, 0, CUT_NOTHING);
            found = mounted(all, &sim, &store, current, older);
            if (found != (matters ? older : current)) {
                fail(all, "the wrong snapshot was found");
            }
            sim.bytes[at] ^= (uint8_t)(1u << bit);
            all->bits_flipped++;
            all->bits_detected += matters;
            all->bits_harmless += !matters;
        }
    }
}

int main(int argc, char **argv) {
    static flash_sim sim;
    sweep all;
    eimp_store store;
    uint32_t start;
    uint32_t how;
    uint32_t id;
    uint32_t cuts;

    if (argc != 8) {
        return 2;
    }
    memset(&all, 0, sizeof all);
    all.snapshot_bytes = (uint32_t)atoi(argv[5]);
    all.ecc = (uint8_t)atoi(argv[6]);
    cuts = (uint32_t)atoi(argv[7]);
    for (start = 0; start < STARTS; start++) {
        flash_sim_init(&sim, (uint32_t)atoi(argv[1]), (uint8_t)atoi(argv[2]), (uint32_t)atoi(argv[3]),
                       (uint32_t)atoi(argv[4]));
        sim.ecc = all.ecc;
        if (start == START_GARBAGE) {
            flash_sim_fill(&sim, 12345);
        }
        snprintf(all.where, sizeof all.where, "start: %s", start_names[start]);
        id = 0;
        if (mounted(&all, &sim, &store, 0, 0) != 0) {
            fail(&all, "the store is not empty");
        }
        for (id = 0; id + START_ONE <= start; id++) {
            if (save(&all, &store, id + 1u, SAVE_STRAIGHT) != EIMP_OK) {
                fail(&all, "the first saves failed");
            }
        }
        if (start >= START_ONE) {
            flash_sim_power_on(&sim, 0, CUT_NOTHING);
            if (mounted(&all, &sim, &store, id, id) != id) {
                fail(&all, "the first saves are not there");
            }
            flip_every_bit(&all, &sim, &store, id, id - 1u);
        }
        for (how = 0; how < HOWS; how++) {
            snprintf(all.where, sizeof all.where, "start: %s, %s", start_names[start],
                     how == SAVE_STRAIGHT ? "straight" : "restarted");
            cut_everywhere(&all, &sim, id, (enum how)how, (enum start)start, 1, cuts < MAX_CUTS ? cuts : MAX_CUTS);
        }
    }
    printf("{\"operations\": %u, \"cuts\": %llu, \"old\": %llu, \"new\": %llu, \"bits_flipped\": %llu, "
           "\"bits_detected\": %llu, \"bits_harmless\": %llu}\n",
           all.longest_run, (unsigned long long)all.cuts, (unsigned long long)all.old, (unsigned long long)all.new,
           (unsigned long long)all.bits_flipped, (unsigned long long)all.bits_detected,
           (unsigned long long)all.bits_harmless);
    return 0;
}
