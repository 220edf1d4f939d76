/* A head as the bytes of docs/FORMAT.md, any part of them at any time. */
#include "eimp_snapshot_internal.h"

#include <string.h>

#include "eimp_internal.h"

const char eimp_section_names[EIMP_SNAPSHOT_SECTIONS][EIMP_SECTION_NAME_BYTES + 1] = {
    "config", "state", "classes", "count", "class", "shift", "high", "low", "backbone",
};

/* A section is `items` items of `bytes` bytes. */
typedef struct column {
    uint32_t items, bytes;
} column;

static column column_of(const eimp_head *head, uint32_t section) {
    const uint32_t n = eimp_n_slots(head), dim = head->dim;
    switch (section) {
    case EIMP_SECTION_CONFIG: return (column){1, EIMP_CONFIG_BYTES};
    case EIMP_SECTION_STATE: return (column){1, EIMP_STATE_BYTES};
    case EIMP_SECTION_CLASSES: return (column){eimp_n_classes(head), EIMP_RECORD_BYTES};
    case EIMP_SECTION_COUNT: return (column){n, 4};
    case EIMP_SECTION_CLASS: return (column){n, 2};
    case EIMP_SECTION_SHIFT: return (column){n, 1};
    case EIMP_SECTION_BACKBONE: return (column){1, head->backbone_length};
    default: return (column){n, dim};
    }
}

static void put_config(const eimp_head *head, uint8_t *out) {
    memset(out, 0, EIMP_CONFIG_BYTES);
    eimp_put32(out, head->dim);
    eimp_put32(out + 4, head->layout.budget);
    eimp_put32(out + 8, head->false_accept_ppm);
    eimp_put16(out + 12, head->max_centres + 1u);
    eimp_put16(out + 14, head->shrinkage);
    out[16] = head->layout.undo;
}

static void put_state(const eimp_head *head, uint8_t *out) {
    const eimp_words *words = eimp_words_of(head);
    eimp_put32(out, eimp_n_slots(head));
    eimp_put32(out + 4, eimp_n_classes(head));
    eimp_put32(out + 8, (uint32_t)words->shots);
    eimp_put32(out + 12, (uint32_t)((uint64_t)words->shots >> 32));
    eimp_put32(out + 16, (uint32_t)words->own_count);
    eimp_put32(out + 20, (uint32_t)words->own_mean);
    eimp_put32(out + 24, (uint32_t)words->own_variance);
}

static void put_record(const eimp_head *head, uint32_t index, uint8_t *out) {
    eimp_record record;
    eimp_get_record(head, index, &record);
    memcpy(out, record.label.bytes, EIMP_LABEL_FIELD_BYTES);
    eimp_put32(out + 32, record.shots);
    eimp_put32(out + 36, record.pair_cost);
    eimp_put32(out + 40, record.other_count);
    eimp_put32(out + 44, (uint32_t)record.other_mean);
    eimp_put32(out + 48, record.other_variance);
}

/* The bytes of one item: where they lie, or made in `scratch`. */
static const void *item(const eimp_head *head, uint32_t section, uint32_t place, uint8_t scratch[EIMP_LARGEST_ITEM]) {
    switch (section) {
    case EIMP_SECTION_CONFIG: put_config(head, scratch); break;
    case EIMP_SECTION_STATE: put_state(head, scratch); break;
    case EIMP_SECTION_CLASSES: put_record(head, place, scratch); break;
    case EIMP_SECTION_COUNT: eimp_put32(scratch, eimp_meta(head, place)->count); break;
    case EIMP_SECTION_CLASS: eimp_put16(scratch, eimp_meta(head, place)->cls); break;
    case EIMP_SECTION_SHIFT: return &eimp_meta(head, place)->shift;
    case EIMP_SECTION_HIGH: return eimp_row(head, place);
    case EIMP_SECTION_LOW: return eimp_row(head, place) + head->dim;
    default: return head->backbone;
    }
    return scratch;
}

static uint32_t crc_of_section(const eimp_head *head, uint32_t section, uint32_t crc) {
    uint8_t scratch[EIMP_LARGEST_ITEM];
    const column shape = column_of(head, section);
    for (uint32_t place = 0; place < shape.items; place++)
        crc = eimp_crc32(crc, item(head, section, place, scratch), shape.bytes);
    return crc;
}

static void put_header(const eimp_snapshot *snapshot, uint8_t out[EIMP_SNAPSHOT_HEADER_BYTES]) {
    memcpy(out, "EIMPSNAP", 8);
    eimp_put16(out + 8, EIMP_SNAPSHOT_MAJOR);
    eimp_put16(out + 10, EIMP_SNAPSHOT_MINOR);
    eimp_put32(out + 12, snapshot->sections);
    eimp_put32(out + 16, snapshot->size);
    eimp_put32(out + 20, snapshot->table_crc);
}

static void put_entry(const eimp_snapshot *snapshot, uint32_t section, uint8_t out[EIMP_SNAPSHOT_ENTRY_BYTES]) {
    memset(out, 0, EIMP_SECTION_NAME_BYTES);
    memcpy(out, eimp_section_names[section], strlen(eimp_section_names[section]));
    eimp_put32(out + 8, snapshot->length[section]);
    eimp_put32(out + 12, snapshot->section_crc[section]);
}

static uint32_t sections_of(const eimp_head *head) {
    return head->backbone_length ? EIMP_SNAPSHOT_SECTIONS : EIMP_SNAPSHOT_SECTIONS - 1u;
}

uint32_t eimp_snapshot_size(const eimp_head *head) {
    const uint32_t sections = sections_of(head);
    uint32_t size = EIMP_SNAPSHOT_HEADER_BYTES + sections * EIMP_SNAPSHOT_ENTRY_BYTES;
    for (uint32_t section = 0; section < sections; section++) {
        const column shape = column_of(head, section);
        size += shape.items * shape.bytes;
    }
    return size;
}

uint32_t eimp_snapshot_max_size(const eimp_config *config) {
    eimp_layout layout;
    if (!eimp_arena_size(config)) return 0;
    /* A slot is saved as 2 dim + 7 bytes and takes at least 2 dim + 20, a record as many as it takes: the budget's bytes
     * are an upper bound for all of them, without a journal as well as with one. */
    if (eimp_layout_for(config->dim, config->budget, EIMP_UNDO_NO, &layout) != EIMP_OK) return 0;
    return EIMP_SNAPSHOT_HEADER_BYTES + EIMP_SNAPSHOT_SECTIONS * EIMP_SNAPSHOT_ENTRY_BYTES + EIMP_CONFIG_BYTES +
           EIMP_STATE_BYTES + layout.pool_bytes + config->backbone_bytes;
}

void eimp_snapshot_open(const eimp_head *head, eimp_snapshot *snapshot) {
    uint8_t scratch[EIMP_SNAPSHOT_HEADER_BYTES];
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->head = head;
    snapshot->size = eimp_snapshot_size(head);
    snapshot->sections = sections_of(head);
    put_header(snapshot, scratch);
    uint32_t crc = eimp_crc32(0, scratch, EIMP_SNAPSHOT_CHECKED_BYTES);
    for (uint32_t section = 0; section < snapshot->sections; section++) {
        const column shape = column_of(head, section);
        snapshot->length[section] = shape.items * shape.bytes;
        snapshot->section_crc[section] = crc_of_section(head, section, 0);
        put_entry(snapshot, section, scratch);
        crc = eimp_crc32(crc, scratch, EIMP_SNAPSHOT_ENTRY_BYTES);
    }
    snapshot->table_crc = crc;
    put_header(snapshot, scratch);
    crc = eimp_crc32(0, scratch, EIMP_SNAPSHOT_HEADER_BYTES);
    for (uint32_t section = 0; section < snapshot->sections; section++) {
        put_entry(snapshot, section, scratch);
        crc = eimp_crc32(crc, scratch, EIMP_SNAPSHOT_ENTRY_BYTES);
    }
    for (uint32_t section = 0; section < snapshot->sections; section++) crc = crc_of_section(head, section, crc);
    snapshot->crc = crc;
}

/* Bytes from `offset` within `length` bytes at `from`, at most `count`, go to `out`; how many. */
static uint32_t copy_part(const void *from, uint32_t length, uint32_t offset, uint8_t *out, uint32_t count) {
    const uint32_t part = eimp_least(count, length - offset);
    memcpy(out, (const uint8_t *)from + offset, part);
    return part;
}

/* As many bytes as the piece of the file at `offset` has: the header, a table entry, or an item of a section. */
static uint32_t read_piece(const eimp_snapshot *snapshot, uint32_t offset, uint8_t *out, uint32_t count) {
    uint8_t scratch[EIMP_LARGEST_ITEM];
    if (offset < EIMP_SNAPSHOT_HEADER_BYTES) {
        put_header(snapshot, scratch);
        return copy_part(scratch, EIMP_SNAPSHOT_HEADER_BYTES, offset, out, count);
    }
    offset -= EIMP_SNAPSHOT_HEADER_BYTES;
    if (offset < snapshot->sections * EIMP_SNAPSHOT_ENTRY_BYTES) {
        put_entry(snapshot, offset / EIMP_SNAPSHOT_ENTRY_BYTES, scratch);
        return copy_part(scratch, EIMP_SNAPSHOT_ENTRY_BYTES, offset % EIMP_SNAPSHOT_ENTRY_BYTES, out, count);
    }
    offset -= snapshot->sections * EIMP_SNAPSHOT_ENTRY_BYTES;
    uint32_t section = 0;
    while (offset >= snapshot->length[section]) offset -= snapshot->length[section++];
    const uint32_t bytes = column_of(snapshot->head, section).bytes;
    return copy_part(item(snapshot->head, section, offset / bytes, scratch), bytes, offset % bytes, out, count);
}

int eimp_snapshot_read(const eimp_snapshot *snapshot, uint32_t offset, void *out, uint32_t count) {
    uint8_t *to = out;
    if (offset > snapshot->size || count > snapshot->size - offset) return EIMP_E_ARGUMENT;
    while (count) {
        const uint32_t part = read_piece(snapshot, offset, to, count);
        offset += part;
        to += part;
        count -= part;
    }
    return EIMP_OK;
}
