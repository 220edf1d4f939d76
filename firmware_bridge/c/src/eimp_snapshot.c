/* A head as the bytes of docs/FORMAT.md, any part of them at any time. */
#include "eimp_snapshot_internal.h"

#include <string.h>

#include "eimp_internal.h"

#define PIECE 64u

const char eimp_section_names[EIMP_SNAPSHOT_SECTIONS][EIMP_SECTION_NAME_BYTES + 1] = {
    "config", "state", "classes", "count", "class", "shift", "high", "low", "backbone",
};

eimp_column eimp_column_of(const eimp_head *head, uint32_t section) {
    static const uint8_t bytes[EIMP_SECTION_HIGH] = {EIMP_CONFIG_BYTES, EIMP_STATE_BYTES, EIMP_RECORD_BYTES, 4, 2, 1};
    eimp_column shape = {1, head->dim};
    if (section < EIMP_SECTION_HIGH) shape.bytes = bytes[section];
    if (section == EIMP_SECTION_CLASSES) shape.items = eimp_n_classes(head);
    if (section >= EIMP_SECTION_COUNT) shape.items = eimp_n_slots(head);
    return section == EIMP_SECTION_BACKBONE ? (eimp_column){1, head->backbone_length} : shape;
}

void *eimp_item(const eimp_head *head, uint32_t section, uint32_t place) {
    eimp_slot *meta = eimp_meta(head, place);
    switch (section) {
    case EIMP_SECTION_CLASSES: return eimp_record_at(head, place);
    case EIMP_SECTION_COUNT: return &meta->count;
    case EIMP_SECTION_CLASS: return &meta->cls;
    case EIMP_SECTION_SHIFT: return &meta->shift;
    case EIMP_SECTION_HIGH: return eimp_row(head, place);
    case EIMP_SECTION_LOW: return eimp_row(head, place) + head->dim;
    default: return head->backbone;
    }
}

int eimp_crc_over(eimp_read_fn read, void *context, uint32_t offset, uint32_t count, uint32_t *crc) {
    uint8_t piece[PIECE];
    for (uint32_t done = 0; done < count; done += PIECE) {
        const uint32_t part = eimp_least(count - done, PIECE);
        const int status = read(context, offset + done, piece, part);
        if (status != EIMP_OK) return status;
        *crc = eimp_crc32(*crc, piece, part);
    }
    return EIMP_OK;
}

static void put_config(const eimp_head *head, uint8_t *out) {
    eimp_put32(out, head->dim);
    eimp_put32(out + 4, head->layout.budget);
    eimp_put32(out + 8, head->false_accept_ppm);
    eimp_put16(out + 12, head->max_centres + 1u);
    eimp_put16(out + 14, head->shrinkage);
    eimp_put32(out + 16, head->layout.undo);
}

static void put_state(const eimp_head *head, uint8_t *out) {
    const eimp_words *words = eimp_words_of(head);
    eimp_put32(out, eimp_n_slots(head));
    eimp_put32(out + 4, eimp_n_classes(head));
    memcpy(out + 8, &words->shots, 8);
    eimp_put32(out + 16, (uint32_t)words->own_count);
    eimp_put32(out + 20, (uint32_t)words->own_mean);
    eimp_put32(out + 24, (uint32_t)words->own_variance);
}

static void put_header(const eimp_snapshot *snapshot, uint8_t *out) {
    memcpy(out, "EIMPSNAP", 8);
    eimp_put32(out + 8, EIMP_SNAPSHOT_MAJOR | (uint32_t)EIMP_SNAPSHOT_MINOR << 16);
    eimp_put32(out + 12, snapshot->sections);
    eimp_put32(out + 16, snapshot->size);
    eimp_put32(out + 20, snapshot->table_crc);
}

static void put_entry(const eimp_snapshot *snapshot, uint32_t section, uint8_t *out) {
    memcpy(out, eimp_section_names[section], EIMP_SECTION_NAME_BYTES);
    eimp_put32(out + 8, snapshot->length[section]);
    eimp_put32(out + 12, snapshot->section_crc[section]);
}

/* As many of `count` bytes as the piece of the file at `offset` has: the header, an entry of the table, an item. */
static uint32_t read_piece(const eimp_snapshot *snapshot, uint32_t offset, uint8_t *out, uint32_t count) {
    uint8_t made[EIMP_STATE_BYTES];
    const void *from = made;
    uint32_t bytes = EIMP_SNAPSHOT_HEADER_BYTES;
    if (offset < bytes) {
        put_header(snapshot, made);
    } else if ((offset -= bytes) < snapshot->sections * EIMP_SNAPSHOT_ENTRY_BYTES) {
        bytes = EIMP_SNAPSHOT_ENTRY_BYTES;
        put_entry(snapshot, offset / bytes, made);
    } else {
        uint32_t section = 0;
        offset -= snapshot->sections * EIMP_SNAPSHOT_ENTRY_BYTES;
        while (offset >= snapshot->length[section]) offset -= snapshot->length[section++];
        bytes = eimp_column_of(snapshot->head, section).bytes;
        if (section == EIMP_SECTION_CONFIG) {
            put_config(snapshot->head, made);
        } else if (section == EIMP_SECTION_STATE) {
            put_state(snapshot->head, made);
        } else {
            from = eimp_item(snapshot->head, section, offset / bytes);
        }
    }
    offset %= bytes;
    count = eimp_least(count, bytes - offset);
    memcpy(out, (const uint8_t *)from + offset, count);
    return count;
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

static int read_open(void *context, uint32_t offset, void *out, uint32_t count) {
    return eimp_snapshot_read(context, offset, out, count);
}

static uint32_t table_end(uint32_t sections) {
    return EIMP_SNAPSHOT_HEADER_BYTES + sections * EIMP_SNAPSHOT_ENTRY_BYTES;
}

uint32_t eimp_snapshot_size(const eimp_head *head) {
    uint32_t size = table_end(EIMP_SNAPSHOT_SECTIONS - !head->backbone_length);
    for (uint32_t section = 0; section < EIMP_SNAPSHOT_SECTIONS; section++) {
        const eimp_column shape = eimp_column_of(head, section);
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
    return table_end(EIMP_SNAPSHOT_SECTIONS) + EIMP_CONFIG_BYTES + EIMP_STATE_BYTES + layout.pool_bytes +
           config->backbone_bytes;
}

void eimp_snapshot_open(const eimp_head *head, eimp_snapshot *snapshot) {
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->head = head;
    snapshot->size = eimp_snapshot_size(head);
    snapshot->sections = EIMP_SNAPSHOT_SECTIONS - !head->backbone_length;
    for (uint32_t section = 0; section < snapshot->sections; section++) {
        const eimp_column shape = eimp_column_of(head, section);
        snapshot->length[section] = shape.items * shape.bytes;
    }
    const uint32_t table = table_end(snapshot->sections);
    uint32_t at = table;
    for (uint32_t section = 0; section < snapshot->sections; section++) {
        (void)eimp_crc_over(read_open, snapshot, at, snapshot->length[section], &snapshot->section_crc[section]);
        at += snapshot->length[section];
    }
    uint32_t crc = 0;
    (void)eimp_crc_over(read_open, snapshot, 0, EIMP_SNAPSHOT_CHECKED_BYTES, &crc);
    (void)eimp_crc_over(read_open, snapshot, EIMP_SNAPSHOT_HEADER_BYTES, table - EIMP_SNAPSHOT_HEADER_BYTES, &crc);
    snapshot->table_crc = crc;
    (void)eimp_crc_over(read_open, snapshot, 0, snapshot->size, &snapshot->crc);
}
