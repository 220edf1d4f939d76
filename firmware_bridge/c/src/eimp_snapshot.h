/* eimp_snapshot: a head as the bytes of docs/FORMAT.md, and back, without a buffer of that size.
 *
 * The bytes are those that edge_imprint.ImprintHead.save writes. */
#ifndef EIMP_SNAPSHOT_H
#define EIMP_SNAPSHOT_H

#include "eimp_head.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An open snapshot: its head must not change while it is read. */
typedef struct eimp_snapshot {
    const eimp_head *head;
    uint32_t size; /* bytes of the whole */
    uint32_t sections;
    uint32_t crc; /* CRC-32 of the whole */
    uint32_t table_crc;
    uint32_t length[EIMP_SNAPSHOT_SECTIONS + EIMP_SNAPSHOT_MOMENT_SECTIONS];
    uint32_t section_crc[EIMP_SNAPSHOT_SECTIONS + EIMP_SNAPSHOT_MOMENT_SECTIONS];
} eimp_snapshot;

/* Reads `count` bytes at `offset` into `buffer`; returns EIMP_OK or a negative code, which is passed on. */
typedef int (*eimp_read_fn)(void *context, uint32_t offset, void *buffer, uint32_t count);

/* Bytes of the snapshot that eimp_snapshot_open would give now. */
uint32_t eimp_snapshot_size(const eimp_head *head);

/* Largest snapshot that a head of this config writes. 0 for an impossible config. */
uint32_t eimp_snapshot_max_size(const eimp_config *config);

/* Compute lengths and checksums. Cannot fail. */
void eimp_snapshot_open(const eimp_head *head, eimp_snapshot *snapshot);

/* Any part of an open snapshot, in any order. Errors: EIMP_E_ARGUMENT (beyond the end). */
int eimp_snapshot_read(const eimp_snapshot *snapshot, uint32_t offset, void *out, uint32_t count);

/* Whether this head can take a snapshot of so many bytes for so many budget bytes is said by eimp_snapshot_check: it
 * reads the whole through `read`, verifies every byte and changes nothing.
 * Errors: EIMP_E_CORRUPT, EIMP_E_VERSION, EIMP_E_SHAPE (another dim), EIMP_E_CAPACITY (its budget or its backbone's name
 * is larger than the arena has room for), what `read` returned. */
int eimp_snapshot_check(const eimp_head *head, eimp_read_fn read, void *context, uint32_t size);

/* Check, then replace what the head holds; the head takes over the snapshot's budget and options. After EIMP_OK there
 * is nothing to undo. Errors: as eimp_snapshot_check, the head is unchanged. Only when `read` gives other bytes the
 * second time is EIMP_E_STORAGE returned and the head left empty. */
int eimp_snapshot_load(eimp_head *head, eimp_read_fn read, void *context, uint32_t size);

/* CRC-32 of zlib, PNG and Ethernet; start with 0, go on with what it returned. */
uint32_t eimp_crc32(uint32_t crc, const void *data, size_t count);

#ifdef __cplusplus
}
#endif
#endif
