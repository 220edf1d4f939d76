/* A snapshot's bytes, verified before any is believed, and put into a head. */
#include "eimp_snapshot_internal.h"

#include <string.h>

#include "eimp_internal.h"

#define PIECE 64u
#define MOST_SHOTS ((uint64_t)1 << 48)

/* A snapshot under examination: where its sections lie, and what its config and state say. */
typedef struct source {
    eimp_read_fn read;
    void *context;
    uint32_t at[EIMP_SNAPSHOT_SECTIONS];
    uint32_t length[EIMP_SNAPSHOT_SECTIONS];
    uint32_t present; /* a bit for each section */
    uint32_t ppm, max_proxies, shrinkage, n_slots, n_classes;
    eimp_layout layout;
} source;

static int read_at(const source *s, uint32_t offset, void *out, uint32_t count) {
    return s->read(s->context, offset, out, count);
}

/* Go on with a CRC over a stretch of the file. */
static int crc_over(const source *s, uint32_t offset, uint32_t count, uint32_t *crc) {
    uint8_t piece[PIECE];
    while (count) {
        const uint32_t part = eimp_least(count, PIECE);
        const int status = read_at(s, offset, piece, part);
        if (status != EIMP_OK) return status;
        *crc = eimp_crc32(*crc, piece, part);
        offset += part;
        count -= part;
    }
    return EIMP_OK;
}

/* A name is 1 to 8 characters from ! to ~, then zeros. */
static int name_is_possible(const uint8_t name[EIMP_SECTION_NAME_BYTES]) {
    uint32_t length = EIMP_SECTION_NAME_BYTES;
    while (length && !name[length - 1]) length--;
    for (uint32_t i = 0; i < length; i++)
        if (name[i] < 0x21 || name[i] > 0x7E) return 0;
    return length > 0;
}

static int occurred_before(const source *s, uint32_t entry, const uint8_t *name, int *before) {
    uint8_t other[EIMP_SECTION_NAME_BYTES];
    *before = 0;
    for (uint32_t i = 0; i < entry; i++) {
        const uint32_t offset = EIMP_SNAPSHOT_HEADER_BYTES + i * EIMP_SNAPSHOT_ENTRY_BYTES;
        const int status = read_at(s, offset, other, sizeof other);
        if (status != EIMP_OK) return status;
        if (!memcmp(other, name, sizeof other)) *before = 1;
    }
    return EIMP_OK;
}

static void remember(source *s, const uint8_t *name, uint32_t at, uint32_t length) {
    uint8_t padded[EIMP_SECTION_NAME_BYTES];
    for (uint32_t section = 0; section < EIMP_SNAPSHOT_SECTIONS; section++) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, eimp_section_names[section], strlen(eimp_section_names[section]));
        if (memcmp(padded, name, sizeof padded)) continue;
        s->at[section] = at;
        s->length[section] = length;
        s->present |= 1u << section;
    }
}

/* Entries, their payloads' checksums, and that all of it adds up to the file. */
static int check_table(source *s, uint32_t sections, uint32_t size) {
    uint32_t at = EIMP_SNAPSHOT_HEADER_BYTES + sections * EIMP_SNAPSHOT_ENTRY_BYTES;
    for (uint32_t i = 0; i < sections; i++) {
        uint8_t entry[EIMP_SNAPSHOT_ENTRY_BYTES];
        int before = 0;
        uint32_t crc = 0;
        int status = read_at(s, EIMP_SNAPSHOT_HEADER_BYTES + i * EIMP_SNAPSHOT_ENTRY_BYTES, entry, sizeof entry);
        if (status == EIMP_OK) status = occurred_before(s, i, entry, &before);
        if (status != EIMP_OK) return status;
        const uint32_t length = eimp_take32(entry + 8);
        if (!name_is_possible(entry) || before || length > size - at) return EIMP_E_CORRUPT;
        status = crc_over(s, at, length, &crc);
        if (status != EIMP_OK) return status;
        if (crc != eimp_take32(entry + 12)) return EIMP_E_CORRUPT;
        remember(s, entry, at, length);
        at += length;
    }
    return at == size ? EIMP_OK : EIMP_E_CORRUPT;
}

static int check_container(source *s, uint32_t size) {
    uint8_t header[EIMP_SNAPSHOT_HEADER_BYTES];
    if (size < sizeof header || size > EIMP_MAX_SNAPSHOT_BYTES) return EIMP_E_CORRUPT;
    int status = read_at(s, 0, header, sizeof header);
    if (status != EIMP_OK) return status;
    const uint32_t sections = eimp_take32(header + 12);
    if (memcmp(header, "EIMPSNAP", 8) || sections > (size - sizeof header) / EIMP_SNAPSHOT_ENTRY_BYTES)
        return EIMP_E_CORRUPT;
    uint32_t crc = eimp_crc32(0, header, EIMP_SNAPSHOT_CHECKED_BYTES);
    status = crc_over(s, sizeof header, sections * EIMP_SNAPSHOT_ENTRY_BYTES, &crc);
    if (status != EIMP_OK) return status;
    if (crc != eimp_take32(header + 20)) return EIMP_E_CORRUPT;
    /* Only an intact header may speak of versions. */
    if (eimp_take16(header + 8) > EIMP_SNAPSHOT_MAJOR) return EIMP_E_VERSION;
    if (eimp_take16(header + 8) < EIMP_SNAPSHOT_MAJOR || sections > EIMP_MAX_SNAPSHOT_SECTIONS ||
        eimp_take32(header + 16) != size)
        return EIMP_E_CORRUPT;
    return check_table(s, sections, size);
}

static int check_config(const eimp_head *head, source *s) {
    uint8_t config[EIMP_CONFIG_BYTES];
    if (s->length[EIMP_SECTION_CONFIG] != sizeof config) return EIMP_E_CORRUPT;
    const int status = read_at(s, s->at[EIMP_SECTION_CONFIG], config, sizeof config);
    if (status != EIMP_OK) return status;
    const uint32_t dim = eimp_take32(config), budget = eimp_take32(config + 4);
    s->ppm = eimp_take32(config + 8);
    s->max_proxies = eimp_take16(config + 12);
    s->shrinkage = eimp_take16(config + 14);
    if (eimp_layout_for(dim, budget, config[16] ? EIMP_UNDO_YES : EIMP_UNDO_NO, &s->layout) != EIMP_OK ||
        eimp_check_options(s->ppm, s->max_proxies, s->shrinkage) != EIMP_OK)
        return EIMP_E_CORRUPT;
    if (dim != head->dim) return EIMP_E_SHAPE;
    return budget <= head->budget_room && s->max_proxies <= head->centres_room + 1u &&
                   s->length[EIMP_SECTION_BACKBONE] <= head->backbone_room
               ? EIMP_OK
               : EIMP_E_CAPACITY;
}

static int check_state(source *s, uint32_t dim) {
    uint8_t state[EIMP_STATE_BYTES];
    if (s->length[EIMP_SECTION_STATE] != sizeof state) return EIMP_E_CORRUPT;
    const int status = read_at(s, s->at[EIMP_SECTION_STATE], state, sizeof state);
    if (status != EIMP_OK) return status;
    const uint64_t shots = eimp_take32(state + 8) | (uint64_t)eimp_take32(state + 12) << 32;
    const uint64_t n = s->n_slots = eimp_take32(state);
    const uint32_t classes = s->n_classes = eimp_take32(state + 4);
    if (shots > MOST_SHOTS || classes > s->layout.max_classes || n < classes ||
        n > eimp_slots_for(&s->layout, classes))
        return EIMP_E_CORRUPT;
    const uint32_t *length = s->length;
    return length[EIMP_SECTION_CLASSES] == classes * EIMP_RECORD_BYTES && length[EIMP_SECTION_COUNT] == 4 * n &&
                   length[EIMP_SECTION_CLASS] == 2 * n && length[EIMP_SECTION_SHIFT] == n &&
                   length[EIMP_SECTION_HIGH] == n * dim && length[EIMP_SECTION_LOW] == n * dim
               ? EIMP_OK
               : EIMP_E_CORRUPT;
}

/* Labels are labels, none occurs twice, every class has a shot. */
static int check_records(const source *s) {
    for (uint32_t index = 0; index < s->n_classes; index++) {
        uint8_t record[EIMP_RECORD_BYTES];
        eimp_label label, other;
        const uint32_t at = s->at[EIMP_SECTION_CLASSES] + index * EIMP_RECORD_BYTES;
        int status = read_at(s, at, record, sizeof record);
        if (status != EIMP_OK) return status;
        memcpy(&label, record, sizeof label);
        if (eimp_label_check(&label) != EIMP_OK || !eimp_take32(record + EIMP_LABEL_FIELD_BYTES)) return EIMP_E_CORRUPT;
        for (uint32_t before = 0; before < index; before++) {
            status = read_at(s, s->at[EIMP_SECTION_CLASSES] + before * EIMP_RECORD_BYTES, &other, sizeof other);
            if (status != EIMP_OK) return status;
            if (!memcmp(&label, &other, sizeof label)) return EIMP_E_CORRUPT;
        }
    }
    return EIMP_OK;
}

/* Class numbers, counts and shifts; `proxies` counts those of each class. */
static int check_slots(const source *s, int32_t *proxies) {
    memset(proxies, 0, s->n_classes * sizeof *proxies);
    for (uint32_t slot = 0; slot < s->n_slots; slot++) {
        uint8_t numbers[7];
        int status = read_at(s, s->at[EIMP_SECTION_COUNT] + 4 * slot, numbers, 4);
        if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_CLASS] + 2 * slot, numbers + 4, 2);
        if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_SHIFT] + slot, numbers + 6, 1);
        if (status != EIMP_OK) return status;
        const uint32_t index = eimp_take16(numbers + 4);
        if (!eimp_take32(numbers) || numbers[6] > EIMP_SHIFT_MAX || index >= s->n_classes ||
            (slot < s->n_classes && index != slot) || (uint32_t)++proxies[index] > s->max_proxies)
            return EIMP_E_CORRUPT;
    }
    return EIMP_OK;
}

static int check_rows(const source *s) {
    int8_t high[PIECE / 2], low[PIECE / 2];
    const uint32_t count = s->length[EIMP_SECTION_HIGH];
    for (uint32_t done = 0; done < count; done += sizeof high) {
        const uint32_t part = eimp_least(sizeof high, count - done);
        int status = read_at(s, s->at[EIMP_SECTION_HIGH] + done, high, part);
        if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_LOW] + done, low, part);
        if (status != EIMP_OK) return status;
        for (uint32_t i = 0; i < part; i++) {
            const int32_t value = high[i] * 256 + low[i];
            if (value > EIMP_ROW_MAX || value < -EIMP_ROW_MAX) return EIMP_E_CORRUPT;
        }
    }
    return EIMP_OK;
}

static int check_all(const eimp_head *head, source *s, uint32_t size) {
    const uint32_t needed = (1u << EIMP_SECTION_BACKBONE) - 1u;
    int status = check_container(s, size);
    if (status != EIMP_OK) return status;
    if ((s->present & needed) != needed || s->length[EIMP_SECTION_BACKBONE] > EIMP_MAX_BACKBONE_BYTES)
        return EIMP_E_CORRUPT;
    status = check_config(head, s);
    if (status == EIMP_OK) status = check_state(s, head->dim);
    if (status == EIMP_OK) status = check_records(s);
    if (status == EIMP_OK) status = check_slots(s, head->mean_dots);
    if (status == EIMP_OK) status = check_rows(s);
    return status;
}

int eimp_snapshot_check(const eimp_head *head, eimp_read_fn read, void *context, uint32_t size) {
    source s;
    memset(&s, 0, sizeof s);
    s.read = read;
    s.context = context;
    return check_all(head, &s, size);
}

static int load_record(eimp_head *head, const source *s, uint32_t index) {
    uint8_t raw[EIMP_RECORD_BYTES];
    eimp_record record;
    const int status = read_at(s, s->at[EIMP_SECTION_CLASSES] + index * EIMP_RECORD_BYTES, raw, sizeof raw);
    if (status != EIMP_OK) return status;
    memcpy(&record.label, raw, sizeof record.label);
    record.shots = eimp_take32(raw + 32);
    record.pair_cost = eimp_take32(raw + 36);
    record.other_count = eimp_take32(raw + 40);
    record.other_mean = (int32_t)eimp_take32(raw + 44);
    record.other_variance = eimp_take32(raw + 48);
    eimp_put_record(head, index, &record);
    return EIMP_OK;
}

static int load_slot(eimp_head *head, const source *s, uint32_t slot) {
    uint8_t numbers[6];
    eimp_slot *meta = eimp_meta(head, slot);
    const uint32_t dim = head->dim;
    memset(meta, 0, sizeof *meta);
    int status = read_at(s, s->at[EIMP_SECTION_COUNT] + 4 * slot, numbers, 4);
    if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_CLASS] + 2 * slot, numbers + 4, 2);
    if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_SHIFT] + slot, &meta->shift, 1);
    if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_HIGH] + slot * dim, eimp_row(head, slot), dim);
    if (status == EIMP_OK) status = read_at(s, s->at[EIMP_SECTION_LOW] + slot * dim, eimp_row(head, slot) + dim, dim);
    meta->count = eimp_take32(numbers);
    meta->cls = (uint16_t)eimp_take16(numbers + 4);
    return status;
}

static int load_words(eimp_head *head, const source *s) {
    uint8_t state[EIMP_STATE_BYTES];
    eimp_words *words = eimp_words_of(head);
    const int status = read_at(s, s->at[EIMP_SECTION_STATE], state, sizeof state);
    if (status != EIMP_OK) return status;
    words->n_slots = s->n_slots;
    words->n_classes = s->n_classes;
    words->shots = (int64_t)(eimp_take32(state + 8) | (uint64_t)eimp_take32(state + 12) << 32);
    words->own_count = eimp_take32(state + 16);
    words->own_mean = (int32_t)eimp_take32(state + 20);
    words->own_variance = eimp_take32(state + 24);
    return EIMP_OK;
}

int eimp_snapshot_load(eimp_head *head, eimp_read_fn read, void *context, uint32_t size) {
    source s;
    memset(&s, 0, sizeof s);
    s.read = read;
    s.context = context;
    int status = check_all(head, &s, size);
    if (status != EIMP_OK) return status;
    eimp_clear(head);
    head->layout = s.layout;
    head->false_accept_ppm = s.ppm;
    head->max_centres = (uint16_t)(s.max_proxies - 1u);
    head->shrinkage = (uint16_t)s.shrinkage;
    head->backbone_length = (uint16_t)s.length[EIMP_SECTION_BACKBONE];
    for (uint32_t index = 0; index < s.n_classes && status == EIMP_OK; index++) status = load_record(head, &s, index);
    for (uint32_t slot = 0; slot < s.n_slots && status == EIMP_OK; slot++) status = load_slot(head, &s, slot);
    if (status == EIMP_OK && head->backbone_length)
        status = read_at(&s, s.at[EIMP_SECTION_BACKBONE], head->backbone, head->backbone_length);
    if (status == EIMP_OK) status = load_words(head, &s);
    if (status != EIMP_OK) {
        eimp_clear(head);
        head->backbone_length = 0;
        return EIMP_E_STORAGE;
    }
    eimp_loaded(head);
    return EIMP_OK;
}
