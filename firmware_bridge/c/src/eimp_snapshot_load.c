/* A snapshot's bytes, verified before any is believed, and put into a head. */
#include "eimp_snapshot_internal.h"

#include <string.h>

#define PIECE 16u
#define MEAN_MAX (1 << 24)
#define MOST_SHOTS_HIGH (uint32_t)(EIMP_MOST_SHOTS >> 32)

/* Zeros where something was wrong. */
static void read_at(eimp_source *s, uint32_t offset, void *out, uint32_t count) {
    if (s->status == EIMP_OK) s->status = s->read(s->context, offset, out, count);
    if (s->status != EIMP_OK) memset(out, 0, count);
}

static void read_item(eimp_source *s, uint32_t section, uint32_t place, void *out, uint32_t bytes) {
    read_at(s, s->at[section] + place * bytes, out, bytes);
}

static int expect(eimp_source *s, int fine) {
    if (s->status == EIMP_OK && !fine) s->status = EIMP_E_CORRUPT;
    return s->status == EIMP_OK;
}

static void crc_over(eimp_source *s, uint32_t offset, uint32_t count, uint32_t *crc) {
    if (s->status == EIMP_OK) s->status = eimp_crc_over(s->read, s->context, offset, count, crc);
}

/* A name is 1 to 8 characters from ! to ~, then zeros. */
static int name_is_possible(const char name[EIMP_SECTION_NAME_BYTES]) {
    uint32_t length = EIMP_SECTION_NAME_BYTES;
    while (length && !name[length - 1]) length--;
    for (uint32_t i = 0; i < length; i++)
        if (name[i] < '!' || name[i] > '~') return 0;
    return length > 0;
}

/* Whether none of the items before `place`, of `step` bytes from `first` on, begins with the same `count` bytes, at most 32. */
static EIMP_APART void check_unlike(eimp_source *s, const void *begin, uint32_t count, uint32_t first, uint32_t place, uint32_t step) {
    char other[EIMP_LABEL_FIELD_BYTES];
    for (; first < place; first += step) {
        read_at(s, first, other, count);
        expect(s, memcmp(other, begin, count));
    }
}

/* Entries, their payloads' checksums, and that all of it adds up to the file. */
static void check_table(eimp_source *s, const eimp_file_header *header) {
    uint32_t at = EIMP_SNAPSHOT_HEADER_BYTES + header->sections * EIMP_SNAPSHOT_ENTRY_BYTES;
    for (uint32_t i = 0; i < header->sections; i++) {
        eimp_file_entry entry;
        const uint32_t place = EIMP_SNAPSHOT_HEADER_BYTES + i * EIMP_SNAPSHOT_ENTRY_BYTES;
        uint32_t crc = 0;
        read_at(s, place, &entry, sizeof entry);
        check_unlike(s, entry.name, sizeof entry.name, EIMP_SNAPSHOT_HEADER_BYTES, place, sizeof entry);
        if (!expect(s, name_is_possible(entry.name) && entry.length <= header->size - at)) return;
        crc_over(s, at, entry.length, &crc);
        expect(s, crc == entry.crc);
        for (uint32_t section = 0; section < EIMP_SECTIONS_END; section++)
            if (!memcmp(eimp_section_name(section), entry.name, EIMP_SECTION_NAME_BYTES)) {
                s->at[section] = at;
                s->length[section] = entry.length;
            }
        at += entry.length;
    }
    expect(s, at == header->size);
}

static void check_container(eimp_source *s, uint32_t size) {
    eimp_file_header header;
    if (!expect(s, size >= sizeof header && size <= EIMP_MAX_SNAPSHOT_BYTES)) return;
    read_at(s, 0, &header, sizeof header);
    if (!expect(s, !memcmp(header.magic, "EIMPSNAP", 8) &&
                       header.sections <= (size - sizeof header) / EIMP_SNAPSHOT_ENTRY_BYTES))
        return;
    uint32_t crc = eimp_crc32(0, &header, EIMP_SNAPSHOT_CHECKED_BYTES);
    crc_over(s, sizeof header, header.sections * EIMP_SNAPSHOT_ENTRY_BYTES, &crc);
    if (!expect(s, crc == header.crc)) return;
    /* Only an intact header may speak of versions. */
    if (header.major > EIMP_SNAPSHOT_MAJOR) s->status = EIMP_E_VERSION;
    if (expect(s, header.major == EIMP_SNAPSHOT_MAJOR && header.sections <= EIMP_MAX_SNAPSHOT_SECTIONS &&
                      header.size == size))
        check_table(s, &header);
}

static void check_config(const eimp_head *head, eimp_source *s) {
    const eimp_file_config *config = &s->config;
    expect(s, s->length[EIMP_SECTION_CONFIG] == sizeof *config);
    read_item(s, EIMP_SECTION_CONFIG, 0, &s->config, sizeof *config);
    /* Thresholds belong to the method: one head does not answer with those of another. */
    if (s->status == EIMP_OK && !(s->at[EIMP_SECTION_RIDGE] | s->at[EIMP_SECTION_SCATTER]) != !head->method)
        s->status = EIMP_E_VERSION;
    const int status = (head->method ? head->method->layout_for : eimp_layout_for)(
        config->dim, config->budget, config->undo ? EIMP_UNDO_YES : EIMP_UNDO_NO, &s->layout);
    if (!expect(s, status == EIMP_OK && eimp_check_options(config->false_accept_ppm, config->max_proxies,
                                                           config->shrinkage) == EIMP_OK))
        return;
    if (config->dim != head->dim) {
        s->status = EIMP_E_SHAPE;
    } else if (config->budget > head->budget_room || config->max_proxies > head->centres_room + 1u ||
               s->length[EIMP_SECTION_BACKBONE] > head->backbone_room) {
        s->status = EIMP_E_CAPACITY;
    }
}

/* Whether a head can have written this running statistic. A rounded cosine may pass 1 a little; one number has no
 * variance. eimp_thresholds counts on these ranges: with others it would overflow. */
static EIMP_APART int is_statistic(const eimp_running *numbers, uint32_t window) {
    return numbers->count <= window && numbers->mean <= MEAN_MAX && numbers->mean >= -MEAN_MAX &&
           (numbers->count > 1 || !numbers->variance);
}

/* Slots and classes fit the budget, the sections have as many bytes as these need. */
static void check_state(eimp_source *s) {
    const eimp_file_state *state = &s->state;
    expect(s, s->length[EIMP_SECTION_STATE] == sizeof *state);
    read_item(s, EIMP_SECTION_STATE, 0, &s->state, sizeof *state);
    const uint32_t n = state->n_slots, classes = state->n_classes, dim = s->config.dim;
    if (!expect(s, state->shots_high + (state->shots_low > 0) <= MOST_SHOTS_HIGH && classes <= s->layout.max_classes &&
                       n >= classes && is_statistic(&state->own, 4 * EIMP_WINDOW)))
        return;
    const uint32_t *length = s->length;
    expect(s, n <= eimp_slots_for(&s->layout, classes) && length[EIMP_SECTION_CLASSES] == classes * EIMP_RECORD_BYTES &&
                  length[EIMP_SECTION_COUNT] == 4 * n && length[EIMP_SECTION_CLASS] == 2 * n &&
                  length[EIMP_SECTION_SHIFT] == n && length[EIMP_SECTION_HIGH] == n * dim &&
                  length[EIMP_SECTION_LOW] == n * dim);
}

/* Labels are labels, none occurs twice, every class has a shot. */
static void check_record(eimp_source *s, uint32_t index) {
    const uint32_t at = s->at[EIMP_SECTION_CLASSES] + index * EIMP_RECORD_BYTES;
    uint32_t shots;
    eimp_label label;
    eimp_running other;
    read_at(s, at, &label, sizeof label);
    read_at(s, at + (uint32_t)offsetof(eimp_record, shots), &shots, sizeof shots);
    read_at(s, at + (uint32_t)offsetof(eimp_record, other), &other, sizeof other);
    expect(s, eimp_label_check(&label) == EIMP_OK && shots && is_statistic(&other, EIMP_WINDOW));
    check_unlike(s, &label, sizeof label, s->at[EIMP_SECTION_CLASSES], at, EIMP_RECORD_BYTES);
}

/* Class numbers, counts, shifts and rows; `proxies` counts those of each class. */
static void check_slot(eimp_source *s, uint32_t slot, uint32_t dim, int32_t *proxies) {
    uint32_t count;
    uint16_t index;
    uint8_t shift;
    int8_t high[PIECE], low[PIECE];
    uint64_t square = 0;
    read_item(s, EIMP_SECTION_COUNT, slot, &count, sizeof count);
    read_item(s, EIMP_SECTION_CLASS, slot, &index, sizeof index);
    read_item(s, EIMP_SECTION_SHIFT, slot, &shift, sizeof shift);
    if (!expect(s, count && shift <= EIMP_SHIFT_MAX && index < s->state.n_classes &&
                       (slot >= s->state.n_classes || index == slot) &&
                       (uint32_t)++proxies[index] <= s->config.max_proxies))
        return;
    for (uint32_t done = 0; done < dim; done += PIECE) {
        const uint32_t part = eimp_least(PIECE, dim - done), at = slot * dim + done;
        read_at(s, s->at[EIMP_SECTION_HIGH] + at, high, part);
        read_at(s, s->at[EIMP_SECTION_LOW] + at, low, part);
        for (uint32_t i = 0; i < part; i++) {
            const int32_t value = high[i] * 256 + low[i];
            expect(s, value <= EIMP_ROW_MAX && value >= -EIMP_ROW_MAX);
            square += (uint32_t)(value * value);
        }
    }
    expect(s, square >> (2 * shift + 8) <= EIMP_SQUARE_MAX);
}

static void check_all(const eimp_head *head, eimp_source *s, eimp_read_fn read, void *context, uint32_t size) {
    memset(s, 0, sizeof *s);
    s->read = read;
    s->context = context;
    check_container(s, size);
    expect(s, s->length[EIMP_SECTION_BACKBONE] <= EIMP_MAX_BACKBONE_BYTES);
    for (uint32_t section = 0; section < EIMP_SECTION_KEPT; section++) expect(s, s->at[section] > 0);
    check_config(head, s);
    check_state(s);
    if (s->status != EIMP_OK) return;
    memset(head->mean_dots, 0, s->state.n_classes * sizeof *head->mean_dots);
    for (uint32_t index = 0; index < s->state.n_classes; index++) check_record(s, index);
    for (uint32_t slot = 0; slot < s->state.n_slots; slot++) check_slot(s, slot, head->dim, head->mean_dots);
    if (head->method && s->status == EIMP_OK) s->status = head->method->check(head, s);
}

int eimp_snapshot_check(const eimp_head *head, eimp_read_fn read, void *context, uint32_t size) {
    eimp_source s;
    check_all(head, &s, read, context, size);
    return s.status;
}

static void load_words(eimp_head *head, const eimp_source *s) {
    eimp_words *words = eimp_words_of(head);
    words->n_slots = s->state.n_slots;
    words->n_classes = s->state.n_classes;
    memcpy(&words->shots, &s->state.shots_low, 8);
    words->own = s->state.own;
}

int eimp_snapshot_load(eimp_head *head, eimp_read_fn read, void *context, uint32_t size) {
    eimp_source s;
    check_all(head, &s, read, context, size);
    if (s.status != EIMP_OK) return s.status;
    head->layout = s.layout;
    eimp_clear(head);
    head->false_accept_ppm = s.config.false_accept_ppm;
    head->max_centres = (uint16_t)(s.config.max_proxies - 1u);
    head->shrinkage = s.config.shrinkage;
    head->backbone_length = (uint16_t)s.length[EIMP_SECTION_BACKBONE];
    load_words(head, &s);
    if (head->method) head->method->make_room(head, s.length[EIMP_SECTION_LOG]);
    for (uint32_t section = EIMP_SECTION_CLASSES; section < EIMP_SECTIONS_END; section++) {
        const eimp_column shape = eimp_column_of(head, section);
        for (uint32_t place = 0; place < shape.items; place++)
            read_item(&s, section, place, eimp_item(head, section, place), shape.bytes);
    }
    if (s.status != EIMP_OK) {
        (head->method ? head->method->clear : eimp_clear)(head);
        head->backbone_length = 0;
        return EIMP_E_STORAGE;
    }
    eimp_loaded(head);
    return EIMP_OK;
}
