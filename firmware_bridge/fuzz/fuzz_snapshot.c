/* Snapshots: any bytes are loaded or refused; refused, nothing changes; loaded, the head can be used.
 *
 * Input: flags (1: mend checksums, 2: the head was taught before, 4: the next byte says which read fails, 8: the head has a
 * second moment), bytes. */
#include <stdlib.h>
#include <string.h>

#include "fuzz_support.h"

static void load_again(eimp_head *head, int has_moment) {
    uint32_t size, again_size;
    uint8_t *saved = fuzz_save(head, &size);
    fuzz_head second = fuzz_head_new(has_moment);
    fuzz_file file = {saved, size, 0, 0};
    FUZZ_CHECK(eimp_snapshot_load(second.head, fuzz_read, &file, size) == EIMP_OK);
    uint8_t *again = fuzz_save(second.head, &again_size);
    FUZZ_CHECK(again_size == size && memcmp(saved, again, size) == 0);
    free(again);
    free(saved);
    fuzz_head_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    const uint8_t flags = fuzz_u8(&input);
    const uint32_t fail_at = flags & 4 ? fuzz_u8(&input) : 0;
    const uint32_t bytes = (uint32_t)input.left;
    uint8_t *file_bytes = malloc(bytes + 1);
    uint32_t before_size, after_size;
    FUZZ_CHECK(file_bytes != NULL);
    fuzz_bytes(&input, file_bytes, bytes);
    if (flags & 1) fuzz_mend_snapshot(file_bytes, bytes);

    const int has_moment = (flags & 8) != 0;
    fuzz_head owner = fuzz_head_new(has_moment);
    fuzz_head other = fuzz_head_new(has_moment);
    fuzz_teach(&other, 5);
    if (flags & 2) fuzz_teach(&owner, 11);
    uint8_t *before = fuzz_save(owner.head, &before_size);
    fuzz_file file = {file_bytes, bytes, 0, 0};
    const int checked = eimp_snapshot_check(owner.head, fuzz_read, &file, bytes);
    file.reads = 0;
    file.fail_at = fail_at;
    const int loaded = eimp_snapshot_load(owner.head, fuzz_read, &file, bytes);
    FUZZ_CHECK(loaded == checked || loaded == EIMP_E_STORAGE);
    if (loaded == EIMP_OK) {
        fuzz_check_head(owner.head);
        load_again(owner.head, has_moment);
        fuzz_use(&owner, &other);
    } else if (checked != EIMP_OK) {
        uint8_t *after = fuzz_save(owner.head, &after_size);
        FUZZ_CHECK(after_size == before_size && memcmp(before, after, before_size) == 0);
        free(after);
    } else {
        fuzz_check_head(owner.head); /* unchanged or empty */
    }
    free(before);
    free(file_bytes);
    fuzz_head_free(&owner);
    fuzz_head_free(&other);
    return 0;
}
