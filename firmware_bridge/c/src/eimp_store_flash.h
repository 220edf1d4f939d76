/* Inside of eimp_store: the layout of a slot and its records. Not for users; docs/STORE.md describes it.
 *
 *     header | payload, padded ... | commit | wear 0 ... wear 7
 *
 * Within a slot, programs go upwards only. A record is 20 bytes, its own magic, three numbers and a CRC, and fills 32
 * bytes (64 where program_bytes is 64), so that no two records share a programmable unit. What fills it is not the
 * erase value: a record of which any part was programmed does not read as erased. */
#ifndef EIMP_STORE_FLASH_H
#define EIMP_STORE_FLASH_H

#include "eimp_store.h"

#define EIMP_FLASH_RECORD_BYTES 20u
#define EIMP_FLASH_RECORD_FILL 0xA5u
#define EIMP_FLASH_WEAR_RECORDS 8u

#define EIMP_FLASH_HEADER 0x48534945u /* "EISH": bytes of a slot, erases of this slot, erases of the other slot */
#define EIMP_FLASH_COMMIT 0x43534945u /* "EISC": sequence number, bytes of the snapshot, its CRC-32 */
#define EIMP_FLASH_WEAR 0x57534945u   /* "EISW": the other slot may be erased up to this count, two zeros */

typedef struct eimp_flash_record {
    uint32_t field[3];
} eimp_flash_record;

uint32_t eimp_flash_slot_bytes(const eimp_store_config *config);
uint32_t eimp_flash_header_at(const eimp_store_config *config, uint32_t slot);
uint32_t eimp_flash_payload_at(const eimp_store_config *config, uint32_t slot);
uint32_t eimp_flash_commit_at(const eimp_store_config *config, uint32_t slot);
uint32_t eimp_flash_wear_at(const eimp_store_config *config, uint32_t slot, uint32_t index);

/* `bytes` rounded up to whole programmable units. */
uint32_t eimp_flash_whole_units(const eimp_store_config *config, uint32_t bytes);

/* EIMP_OK, EIMP_E_CORRUPT or EIMP_E_STORAGE. */
int eimp_flash_read(const eimp_store_config *config, uint32_t offset, void *buffer, uint32_t count);

/* Program the first `count` bytes of the store's buffer. EIMP_OK or EIMP_E_STORAGE. */
int eimp_flash_program(eimp_store *store, uint32_t offset, uint32_t count);

/* EIMP_OK, EIMP_E_CORRUPT where there is no such record, or EIMP_E_STORAGE. Overwrites the store's buffer, as do the
 * functions below. */
int eimp_flash_read_record(eimp_store *store, uint32_t offset, uint32_t magic, eimp_flash_record *record);
int eimp_flash_write_record(eimp_store *store, uint32_t offset, uint32_t magic, const eimp_flash_record *record);

/* EIMP_OK where a record's place is erased, EIMP_E_CORRUPT where not, or EIMP_E_STORAGE. */
int eimp_flash_check_blank(eimp_store *store, uint32_t offset);

/* Whether a slot's payload of `size` bytes has this CRC and erased bytes up to the end of its last unit: EIMP_OK,
 * EIMP_E_CORRUPT or EIMP_E_STORAGE. */
int eimp_flash_check_payload(eimp_store *store, uint32_t slot, uint32_t size, uint32_t crc32);

/* Read both slots; set current, sequence, size, erases, and target: the slot to write next. Programs nothing. EIMP_OK,
 * or EIMP_E_STORAGE and they are as they were. */
int eimp_flash_scan(eimp_store *store);

/* Note in the current slot, where there is one, that the target is about to be erased. EIMP_OK or EIMP_E_STORAGE. */
int eimp_flash_announce_erase(eimp_store *store);

#endif
