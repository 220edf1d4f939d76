/* The sections of a snapshot, for its writer and its reader. Not for users. */
#ifndef EIMP_SNAPSHOT_INTERNAL_H
#define EIMP_SNAPSHOT_INTERNAL_H

#include "eimp_snapshot.h"

#define EIMP_SNAPSHOT_HEADER_BYTES 24u
#define EIMP_SNAPSHOT_CHECKED_BYTES 20u /* of the header, under the CRC that ends it */
#define EIMP_SNAPSHOT_ENTRY_BYTES 16u
#define EIMP_SECTION_NAME_BYTES 8u

/* In the order of the file. */
enum eimp_section {
    EIMP_SECTION_CONFIG,
    EIMP_SECTION_STATE,
    EIMP_SECTION_CLASSES,
    EIMP_SECTION_COUNT,
    EIMP_SECTION_CLASS,
    EIMP_SECTION_SHIFT,
    EIMP_SECTION_HIGH,
    EIMP_SECTION_LOW,
    EIMP_SECTION_BACKBONE
};

#define EIMP_CONFIG_BYTES 20u
#define EIMP_STATE_BYTES 28u

/* Padded with zeros to more than EIMP_SECTION_NAME_BYTES. */
extern const char eimp_section_names[EIMP_SNAPSHOT_SECTIONS][EIMP_SECTION_NAME_BYTES + 1];

/* A section is `items` items of `bytes` bytes. */
typedef struct eimp_column {
    uint32_t items, bytes;
} eimp_column;

eimp_column eimp_column_of(const eimp_head *head, uint32_t section);
/* Where an item of a section behind config and state lies in the head, as in the file. */
void *eimp_item(const eimp_head *head, uint32_t section, uint32_t place);
/* Go on with a CRC over `count` bytes; what `read` returned. */
int eimp_crc_over(eimp_read_fn read, void *context, uint32_t offset, uint32_t count, uint32_t *crc);

static inline void eimp_put16(uint8_t *out, uint32_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}
static inline void eimp_put32(uint8_t *out, uint32_t value) {
    eimp_put16(out, value);
    eimp_put16(out + 2, value >> 16);
}
static inline uint32_t eimp_take16(const uint8_t *in) { return in[0] | (uint32_t)in[1] << 8; }
static inline uint32_t eimp_take32(const uint8_t *in) { return eimp_take16(in) | eimp_take16(in + 2) << 16; }

#endif
