/* The sections of a snapshot, for its writer and its reader. Not for users. */
#ifndef EIMP_SNAPSHOT_INTERNAL_H
#define EIMP_SNAPSHOT_INTERNAL_H

#include "eimp_internal.h"
#include "eimp_method.h"
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
    EIMP_SECTION_KEPT, /* `kept` of the head: of a second moment */
    EIMP_SECTION_RIDGE = EIMP_SECTION_KEPT,
    EIMP_SECTION_SCATTER,
    EIMP_SECTION_LOG,
    EIMP_SECTION_BACKBONE = EIMP_SECTION_KEPT + EIMP_KEPT,
    EIMP_SECTIONS_END
};

/* As they lie in the file; eimp_internal.h holds machines to its byte order. */
typedef struct eimp_file_header {
    char magic[8];
    uint16_t major, minor;
    uint32_t sections, size;
    uint32_t crc; /* of what stands before it, and of the table */
} eimp_file_header;

typedef struct eimp_file_entry {
    char name[EIMP_SECTION_NAME_BYTES];
    uint32_t length, crc;
} eimp_file_entry;

typedef struct eimp_file_config {
    uint32_t dim, budget, false_accept_ppm;
    uint16_t max_proxies, shrinkage;
    uint8_t undo, spare[3];
} eimp_file_config;

typedef struct eimp_file_state {
    uint32_t n_slots, n_classes, shots_low, shots_high;
    eimp_running own;
} eimp_file_state;

typedef char eimp_file_header_has_24_bytes[sizeof(eimp_file_header) == EIMP_SNAPSHOT_HEADER_BYTES ? 1 : -1];
typedef char eimp_file_entry_has_16_bytes[sizeof(eimp_file_entry) == EIMP_SNAPSHOT_ENTRY_BYTES ? 1 : -1];
typedef char eimp_file_config_has_20_bytes[sizeof(eimp_file_config) == 20 ? 1 : -1];
typedef char eimp_file_state_has_28_bytes[sizeof(eimp_file_state) == 28 ? 1 : -1];

/* One behind the other, EIMP_SECTION_NAME_BYTES each. */
extern const char eimp_section_names[];
static inline const char *eimp_section_name(uint32_t section) {
    return eimp_section_names + EIMP_SECTION_NAME_BYTES * section;
}

/* A snapshot under examination: where its sections lie, and what its config and state say. */
typedef struct eimp_source {
    eimp_read_fn read;
    void *context;
    int status; /* the first thing that was wrong; nothing is read any more */
    uint32_t at[EIMP_SECTIONS_END]; /* 0: not there */
    uint32_t length[EIMP_SECTIONS_END];
    eimp_file_config config;
    eimp_file_state state;
    eimp_layout layout;
} eimp_source;

/* A section is `items` items of `bytes` bytes. */
typedef struct eimp_column {
    uint32_t items, bytes;
} eimp_column;

eimp_column eimp_column_of(const eimp_head *head, uint32_t section);
/* Where an item of a section behind config and state lies in the head, as in the file. */
void *eimp_item(const eimp_head *head, uint32_t section, uint32_t place);
/* Go on with a CRC over `count` bytes; what `read` returned. */
int eimp_crc_over(eimp_read_fn read, void *context, uint32_t offset, uint32_t count, uint32_t *crc);

#endif
