/* A head as the bytes of docs/FORMAT.md, any part of them at any time. */
#include "eimp_snapshot_internal.h"

#include <string.h>

#define PIECE 32u

const char eimp_section_names[] =
    "config\0\0"
    "state\0\0\0"
    "classes\0"
    "count\0\0\0"
    "class\0\0\0"
    "shift\0\0\0"
    "high\0\0\0\0"
    "low\0\0\0\0\0"
    "ridge\0\0\0"
    "scatter\0"
    "log\0\0\0\0\0"
    "backbone";

eimp_column eimp_column_of(const eimp_head *head, uint32_t section) {
    static const uint8_t bytes[EIMP_SECTION_HIGH] = {sizeof(eimp_file_config), sizeof(eimp_file_state),
                                                     EIMP_RECORD_BYTES, 4, 2, 1};
    eimp_column shape = {1, head->dim};
    if (section < EIMP_SECTION_HIGH) shape.bytes = bytes[section];
    if (section == EIMP_SECTION_CLASSES) shape.items = eimp_n_classes(head);
    if (section >= EIMP_SECTION_COUNT) shape.items = eimp_n_slots(head);
    if (section >= EIMP_SECTION_KEPT) {
        shape.bytes = section == EIMP_SECTION_BACKBONE ? head->backbone_length
                                                       : head->kept[section - EIMP_SECTION_KEPT].bytes;
        shape.items = shape.bytes > 0;
    }
    return shape;
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
    case EIMP_SECTION_BACKBONE: return head->backbone;
    default: return head->kept[section - EIMP_SECTION_KEPT].at;
    }
}

int eimp_crc_over(eimp_read_fn read, void *context, uint32_t offset, uint32_t count, uint32_t *crc) {
    uint8_t piece[PIECE];
    while (count) {
        const uint32_t part = eimp_least(count, PIECE);
        const int status = read(context, offset, piece, part);
        if (status != EIMP_OK) return status;
        *crc = eimp_crc32(*crc, piece, part);
        offset += part;
        count -= part;
    }
    return EIMP_OK;
}

/* A piece of the file that lies nowhere in the head: it is made when it is asked for. */
typedef union made {
    eimp_file_header header;
    eimp_file_entry entry;
    eimp_file_config config;
    eimp_config options;
    eimp_file_state state;
} made;

typedef char eimp_options_lie_as_in_the_file
    [offsetof(eimp_config, shrinkage) == offsetof(eimp_file_config, shrinkage) &&
     offsetof(eimp_config, max_proxies) == offsetof(eimp_file_config, max_proxies) ? 1 : -1];

/* The options of a config are those of the file up to `shrinkage`. */
static void make_config(const eimp_head *head, made *out) {
    eimp_get_config(head, &out->options);
    out->config.undo = head->layout.undo;
    memset(out->config.spare, 0, sizeof out->config.spare);
}

static void make_state(const eimp_head *head, eimp_file_state *out) {
    out->n_slots = eimp_n_slots(head);
    out->n_classes = eimp_n_classes(head);
    memcpy(&out->shots_low, &eimp_words_of(head)->shots, 8);
    out->own = eimp_words_of(head)->own;
}

static void make_header(const eimp_snapshot *snapshot, eimp_file_header *out) {
    memcpy(out->magic, "EIMPSNAP", sizeof out->magic);
    out->major = EIMP_SNAPSHOT_MAJOR;
    out->minor = EIMP_SNAPSHOT_MINOR;
    out->sections = snapshot->sections;
    out->size = snapshot->size;
    out->crc = snapshot->table_crc;
}

/* Of those behind the rows some are left out. */
static void make_entry(const eimp_snapshot *snapshot, uint32_t section, eimp_file_entry *out) {
    for (uint32_t place = EIMP_SECTION_KEPT; place <= section; place++) section += !snapshot->length[place];
    memcpy(out->name, eimp_section_name(section), sizeof out->name);
    out->length = snapshot->length[section];
    out->crc = snapshot->section_crc[section];
}

/* As many of `count` bytes as the piece of the file at `offset` has: the header, an entry of the table, an item. */
static uint32_t read_piece(const eimp_snapshot *snapshot, uint32_t offset, uint8_t *out, uint32_t count) {
    made piece;
    const void *from = &piece;
    uint32_t bytes = EIMP_SNAPSHOT_HEADER_BYTES;
    memset(&piece, 0, sizeof piece);
    if (offset < bytes) {
        make_header(snapshot, &piece.header);
    } else if ((offset -= bytes) < snapshot->sections * EIMP_SNAPSHOT_ENTRY_BYTES) {
        bytes = EIMP_SNAPSHOT_ENTRY_BYTES;
        make_entry(snapshot, offset / bytes, &piece.entry);
    } else {
        uint32_t section = 0;
        offset -= snapshot->sections * EIMP_SNAPSHOT_ENTRY_BYTES;
        while (offset >= snapshot->length[section]) offset -= snapshot->length[section++];
        bytes = eimp_column_of(snapshot->head, section).bytes;
        if (section == EIMP_SECTION_CONFIG) {
            make_config(snapshot->head, &piece);
        } else if (section == EIMP_SECTION_STATE) {
            make_state(snapshot->head, &piece.state);
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

/* Lengths of all sections. */
static void measure(const eimp_head *head, eimp_snapshot *snapshot) {
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->head = head;
    snapshot->size = EIMP_SNAPSHOT_HEADER_BYTES;
    for (uint32_t section = 0; section < EIMP_SECTIONS_END; section++) {
        const eimp_column shape = eimp_column_of(head, section);
        snapshot->length[section] = shape.items * shape.bytes;
        if (section >= EIMP_SECTION_KEPT && !shape.bytes) continue;
        snapshot->sections++;
        snapshot->size += EIMP_SNAPSHOT_ENTRY_BYTES + snapshot->length[section];
    }
}

uint32_t eimp_snapshot_size(const eimp_head *head) {
    eimp_snapshot snapshot;
    measure(head, &snapshot);
    return snapshot.size;
}

uint32_t eimp_snapshot_max_size(const eimp_config *config) {
    eimp_layout layout;
    if (!eimp_arena_size(config)) return 0;
    /* A slot is saved as 2 dim + 7 bytes and takes at least 2 dim + 20, a record as many as it takes: the budget's bytes
     * are an upper bound for all of them, without a journal as well as with one. */
    if (eimp_layout_for(config->dim, config->budget, EIMP_UNDO_NO, &layout) != EIMP_OK) return 0;
    return table_end(EIMP_SNAPSHOT_SECTIONS) + (uint32_t)(sizeof(eimp_file_config) + sizeof(eimp_file_state)) +
           layout.pool_bytes + config->backbone_bytes;
}

/* Go on with a CRC over a part of an open snapshot. */
static EIMP_APART uint32_t crc_of(eimp_snapshot *snapshot, uint32_t offset, uint32_t count, uint32_t crc) {
    (void)eimp_crc_over(read_open, snapshot, offset, count, &crc);
    return crc;
}

void eimp_snapshot_open(const eimp_head *head, eimp_snapshot *snapshot) {
    measure(head, snapshot);
    const uint32_t table = EIMP_SNAPSHOT_HEADER_BYTES, behind = table_end(snapshot->sections);
    uint32_t at = behind;
    for (uint32_t section = 0; section < EIMP_SECTIONS_END; section++) {
        snapshot->section_crc[section] = crc_of(snapshot, at, snapshot->length[section], 0);
        at += snapshot->length[section];
    }
    const uint32_t crc = crc_of(snapshot, 0, EIMP_SNAPSHOT_CHECKED_BYTES, 0);
    snapshot->table_crc = crc_of(snapshot, table, behind - table, crc);
    snapshot->crc = crc_of(snapshot, 0, snapshot->size, 0);
}
