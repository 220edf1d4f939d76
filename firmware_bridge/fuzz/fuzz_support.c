#include "fuzz_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_check(int holds, const char *condition, const char *file, int line) {
    if (!holds) {
        fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, condition);
        abort();
    }
}

uint8_t fuzz_u8(fuzz_input *input) {
    uint8_t value = 0;
    fuzz_bytes(input, &value, 1);
    return value;
}

uint32_t fuzz_u16(fuzz_input *input) {
    const uint32_t low = fuzz_u8(input);
    return low | (uint32_t)fuzz_u8(input) << 8;
}

void fuzz_bytes(fuzz_input *input, void *out, size_t count) {
    const size_t part = count < input->left ? count : input->left;
    memset(out, 0, count);
    if (part) {
        memcpy(out, input->data, part);
        input->data += part;
        input->left -= part;
    }
}

void fuzz_put_u32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

uint32_t fuzz_get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

fuzz_head fuzz_head_new(int has_moment) {
    const eimp_config config = {.dim = FUZZ_DIM,
                                .budget = has_moment ? FUZZ_RIDGE_BUDGET : FUZZ_BUDGET,
                                .false_accept_ppm = 50000,
                                .max_proxies = 6,
                                .shrinkage = 20,
                                .backbone_bytes = FUZZ_BACKBONE_BYTES,
                                .undo = EIMP_UNDO_YES};
    const size_t bytes = has_moment ? eimp_ridge_arena_size(&config) : eimp_arena_size(&config);
    fuzz_head made = {NULL, NULL, malloc(bytes)};
    FUZZ_CHECK(made.arena != NULL);
    if (has_moment) {
        FUZZ_CHECK(eimp_ridge_init(made.arena, bytes, &config, NULL, &made.ridge) == EIMP_OK);
        made.head = eimp_ridge_head(made.ridge);
    } else {
        FUZZ_CHECK(eimp_init(made.arena, bytes, &config, &made.head) == EIMP_OK);
    }
    return made;
}

void fuzz_head_free(fuzz_head *owner) { free(owner->arena); }

void fuzz_teach(const fuzz_head *owner, uint32_t shots) {
    static const char *const names[] = {"mug", "key", "caf\xC3\xA9"};
    int16_t embedding[FUZZ_DIM];
    eimp_label label;
    for (uint32_t shot = 0; shot < shots; shot++) {
        const uint32_t cls = shot % 3;
        for (uint32_t i = 0; i < FUZZ_DIM; i++)
            embedding[i] = (int16_t)((int32_t)((shot * 7919 + i * 104729) % 2001) - 1000 + (i == cls ? 9000 : 0));
        FUZZ_CHECK(eimp_label_from_text(names[cls], strlen(names[cls]), &label) == EIMP_OK);
        const int status = owner->ridge ? eimp_ridge_learn(owner->ridge, &label, embedding)
                                        : eimp_learn(owner->head, &label, embedding);
        FUZZ_CHECK(status == EIMP_OK || status == EIMP_E_CAPACITY);
    }
}

void fuzz_check_head(eimp_head *head) {
    eimp_usage usage;
    eimp_class_info info;
    uint32_t size, proxies = 0;
    eimp_get_usage(head, &usage);
    FUZZ_CHECK(usage.used_bytes <= usage.budget);
    FUZZ_CHECK(usage.classes <= usage.max_classes);
    for (uint32_t index = 0; index < usage.classes; index++) {
        FUZZ_CHECK(eimp_get_class(head, index, &info) == EIMP_OK);
        FUZZ_CHECK(eimp_label_check(&info.label) == EIMP_OK);
        FUZZ_CHECK(eimp_find(head, &info.label) == (int32_t)index);
        FUZZ_CHECK(info.proxies >= 1 && info.shots >= 1);
        proxies += info.proxies;
    }
    FUZZ_CHECK(proxies == usage.proxies);
    FUZZ_CHECK(eimp_get_class(head, usage.classes, &info) == EIMP_E_ARGUMENT);
    uint8_t *saved = fuzz_save(head, &size);
    fuzz_file file = {saved, size, 0, 0};
    FUZZ_CHECK(eimp_snapshot_check(head, fuzz_read, &file, size) == EIMP_OK);
    free(saved);
}

static int predict(const fuzz_head *owner, const int16_t *embedding, eimp_answer *answer) {
    uint32_t confidence_q16 = 0;
    if (!owner->ridge) return eimp_predict(owner->head, embedding, answer);
    const int status = eimp_ridge_predict(owner->ridge, embedding, answer, &confidence_q16);
    FUZZ_CHECK(confidence_q16 <= 65536);
    return status;
}

void fuzz_use(const fuzz_head *owner, const fuzz_head *other) {
    int16_t embedding[FUZZ_DIM] = {100, -32768, 32767, 5, 0};
    eimp_head *head = owner->head;
    eimp_ridge *ridge = owner->ridge;
    int32_t known, unknown;
    eimp_answer answer;
    eimp_usage usage;
    eimp_class_info info;
    eimp_get_usage(head, &usage);
    int32_t *scores = malloc((usage.classes ? usage.classes : 1) * sizeof *scores);
    FUZZ_CHECK(scores != NULL);
    const int predicted = predict(owner, embedding, &answer);
    FUZZ_CHECK(predicted == (usage.classes ? EIMP_OK : EIMP_E_NOT_TAUGHT));
    FUZZ_CHECK(predicted != EIMP_OK || answer.class_index < usage.classes);
    FUZZ_CHECK((ridge ? eimp_ridge_scores(ridge, embedding, scores) : eimp_scores(head, embedding, scores)) == predicted);
    FUZZ_CHECK(predicted != EIMP_OK || ridge || scores[answer.class_index] == answer.cosine_q23);
    (void)eimp_thresholds(head, &known, &unknown);
    fuzz_teach(owner, 7);
    fuzz_check_head(head);
    (void)(ridge ? eimp_ridge_undo(ridge) : eimp_undo(head));
    (void)(ridge ? eimp_ridge_merge(ridge, other->ridge) : eimp_merge(head, other->head));
    fuzz_check_head(head);
    (void)predict(owner, embedding, &answer);
    if (eimp_get_class(head, 0, &info) == EIMP_OK)
        FUZZ_CHECK((ridge ? eimp_ridge_forget(ridge, &info.label) : eimp_forget(head, &info.label)) == EIMP_OK);
    fuzz_check_head(head);
    free(scores);
}

int fuzz_read(void *context, uint32_t offset, void *buffer, uint32_t count) {
    fuzz_file *file = context;
    if (++file->reads == file->fail_at) return EIMP_E_STORAGE;
    FUZZ_CHECK(offset <= file->size && count <= file->size - offset);
    if (count) memcpy(buffer, file->data + offset, count);
    return EIMP_OK;
}

uint8_t *fuzz_save(const eimp_head *head, uint32_t *size) {
    eimp_snapshot snapshot;
    eimp_snapshot_open(head, &snapshot);
    uint8_t *bytes = malloc(snapshot.size);
    FUZZ_CHECK(bytes != NULL);
    FUZZ_CHECK(snapshot.size == eimp_snapshot_size(head));
    for (uint32_t done = 0, part; done < snapshot.size; done += part) {
        part = snapshot.size - done < 13 ? snapshot.size - done : 13;
        FUZZ_CHECK(eimp_snapshot_read(&snapshot, done, bytes + done, part) == EIMP_OK);
    }
    FUZZ_CHECK(eimp_crc32(0, bytes, snapshot.size) == snapshot.crc);
    *size = snapshot.size;
    return bytes;
}

void fuzz_mend_snapshot(uint8_t *data, size_t size) {
    if (size < 24) return;
    fuzz_put_u32(data + 16, (uint32_t)size);
    const uint32_t sections = fuzz_get_u32(data + 12) % 18;
    const size_t table = 24 + 16 * (size_t)sections;
    if (size < table) return;
    size_t at = table;
    for (uint32_t i = 0; i < sections; i++) {
        uint8_t *entry = data + 24 + 16 * i;
        const uint32_t length = fuzz_get_u32(entry + 8);
        if (length > size - at) break;
        fuzz_put_u32(entry + 12, eimp_crc32(0, data + at, length));
        at += length;
    }
    fuzz_put_u32(data + 12, sections);
    fuzz_put_u32(data + 20, eimp_crc32(eimp_crc32(0, data, 20), data + 24, table - 24));
}
