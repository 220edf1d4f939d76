/* eimp_store: one snapshot in flash that survives a power cut at any moment.
 *
 * Two slots. A new snapshot goes into the slot that is not current and becomes current by one record, written last and
 * only after everything before it was read back. Whenever power fails, the next mount finds the old snapshot or the new
 * one, whole. Mounting only reads: there is no recovery that could itself be cut. docs/STORE.md has the bytes on flash.
 *
 *     static const eimp_store_config flash = {.context = NULL, .read = board_read, .program = board_program,
 *                                             .erase = board_erase, .sector_bytes = 4096, .sectors_per_slot = 4,
 *                                             .program_bytes = 4, .erase_value = 0xFF};
 *     static eimp_store store;
 *     if (eimp_store_mount(&store, &flash) == EIMP_OK && eimp_store_current_size(&store) > 0) {
 *         eimp_store_load(&store, head);
 *     }
 *     ...
 *     eimp_store_save(&store, head);
 *
 * Or piece by piece, for a snapshot that comes over a line: begin, append until all is there, perhaps look at it with
 * eimp_store_pending_read, commit.
 *
 * Every function that can fail returns EIMP_OK or a negative code of eimp_protocol.h. After an error the current
 * snapshot is what it was. Beside eimp_store nothing is kept in RAM. One store is for one thread at a time. */
#ifndef EIMP_STORE_H
#define EIMP_STORE_H

#include "eimp_snapshot.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EIMP_STORE_SLOTS 2u
#define EIMP_STORE_BUFFER_BYTES 64u

/* The flash. The store owns 2 * sectors_per_slot * sector_bytes bytes of it; offsets count from the first of them. */
typedef struct eimp_store_config {
    void *context; /* given to the callbacks */

    /* Read `count` bytes at `offset`, any of both. EIMP_OK; EIMP_E_CORRUPT where these bytes cannot be read until they
     * are erased (an uncorrectable ECC error: what a power cut leaves on such flash); any other value: flash failed. */
    eimp_read_fn read;

    /* Program `count` bytes at `offset`: both multiples of program_bytes, count at most 64, never across a multiple of
     * 64 (so never across a page), every byte erased before and programmed once. `data` is 8-byte aligned. EIMP_OK or
     * any other value when it failed. */
    int (*program)(void *context, uint32_t offset, const void *data, uint32_t count);

    /* Erase the sector of sector_bytes at `offset`. EIMP_OK or any other value when it failed. */
    int (*erase)(void *context, uint32_t offset);

    uint32_t sector_bytes;     /* smallest erasable unit; a multiple of 64 */
    uint32_t sectors_per_slot; /* at least 1; a slot has at most 2^30 bytes */
    uint16_t program_bytes;    /* smallest programmable unit: 1, 2, 4, 8, 16, 32 or 64 */
    uint8_t erase_value;       /* what an erased byte reads as: 0xFF or 0x00 */
} eimp_store_config;

/* A mounted store: at most 128 bytes, the caller's. Its fields are not for others. */
typedef struct eimp_store {
    uint64_t buffer[EIMP_STORE_BUFFER_BYTES / 8u]; /* what is not yet programmed; working memory otherwise */
    const eimp_store_config *config;
    uint32_t erases[EIMP_STORE_SLOTS];
    uint32_t sequence; /* of the current snapshot */
    uint32_t size;     /* of the current snapshot */
    uint32_t pending_size;
    uint32_t pending_crc; /* of what was received */
    uint32_t received;
    uint8_t current; /* slot, or EIMP_STORE_SLOTS where there is none */
    uint8_t target;  /* slot that is being written */
    uint8_t pending; /* 1 from begin to commit */
} eimp_store;

/* Largest snapshot that fits: a slot less ten records of 32 bytes (64 where program_bytes is 64). 0 when no store can
 * have this config: a value out of its range, or a slot too small. */
uint32_t eimp_store_capacity(const eimp_store_config *config);

/* Find the current snapshot. Reads header, commit record and every byte of the newest snapshot, and of the older one
 * where the newest is damaged. Writes nothing to flash. Flash that holds anything else is an empty store.
 * config: kept, not copied; must outlive the store.
 * Errors: EIMP_E_ARGUMENT (NULL, or eimp_store_capacity is 0), EIMP_E_STORAGE (`read` failed; the store then
 * looks empty, and eimp_store_begin looks again before it erases anything). */
int eimp_store_mount(eimp_store *store, const eimp_store_config *config);

/* Bytes of the current snapshot; 0 where there is none. */
uint32_t eimp_store_current_size(const eimp_store *store);

/* Read from the current snapshot. An eimp_read_fn: `store` is the eimp_store.
 * Errors: EIMP_E_STATE (there is none), EIMP_E_ARGUMENT (beyond its end), EIMP_E_CORRUPT, EIMP_E_STORAGE (from the
 * callback; buffer may then be partly written). */
int eimp_store_read(void *store, uint32_t offset, void *buffer, uint32_t count);

/* Begin a snapshot of `size` bytes: erases the slot that is not current. What was begun before and not committed is
 * given up. The current snapshot is read whole before the older one is erased; where it has rotted since the mount,
 * the older one becomes current.
 * Errors: EIMP_E_ARGUMENT (size 0), EIMP_E_CAPACITY (larger than eimp_store_capacity) before anything has changed;
 * EIMP_E_STORAGE, and nothing is begun. */
int eimp_store_begin(eimp_store *store, uint32_t size);

/* Add the next `count` bytes, any number of them. The last byte programs what is left in the buffer.
 * Errors: EIMP_E_STATE (nothing is begun), EIMP_E_ARGUMENT (more than was begun with; nothing is added),
 * EIMP_E_STORAGE, and what was begun is given up. */
int eimp_store_append(eimp_store *store, const void *data, uint32_t count);

/* Bytes added since begin, from which a sender goes on after its line failed; 0 where nothing is begun. */
uint32_t eimp_store_received(const eimp_store *store);

/* Bytes that begin was called with; 0 where nothing is begun. */
uint32_t eimp_store_pending_size(const eimp_store *store);

/* Read from the snapshot that is complete and not yet committed, for example by eimp_snapshot_check. An eimp_read_fn.
 * Errors: EIMP_E_STATE (nothing is begun, or bytes are missing), and as eimp_store_read. */
int eimp_store_pending_read(void *store, uint32_t offset, void *buffer, uint32_t count);

/* Make the complete snapshot current, after reading it back from flash.
 * crc32: eimp_crc32 of the whole, as its sender computed it.
 * Errors: EIMP_E_STATE (nothing is begun, or bytes are missing), EIMP_E_CORRUPT (what was received has another CRC); in
 * both cases nothing has changed. EIMP_E_STORAGE (flash holds other bytes than were received, or a callback failed):
 * what was begun is given up. */
int eimp_store_commit(eimp_store *store, uint32_t crc32);

/* How often a slot (0 or 1) was erased. Kept in flash and across power cuts: an erase that removed the counter is never
 * missed while there is a current snapshot; see docs/STORE.md for how it can count too many. 0 for other slots. */
uint32_t eimp_store_erases(const eimp_store *store, uint32_t slot);

/* Save a head: its snapshot becomes the current one. Gives up what was begun and not committed.
 * Errors: EIMP_E_CAPACITY (before anything is erased), EIMP_E_STORAGE. The current snapshot is then what it was. */
int eimp_store_save(eimp_store *store, const eimp_head *head);

/* Load the current snapshot into a head. Errors: EIMP_E_STATE (there is none), and as eimp_snapshot_load. */
int eimp_store_load(eimp_store *store, eimp_head *head);

#ifdef __cplusplus
}
#endif
#endif
