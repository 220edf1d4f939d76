/* Labels: what passes the check comes out of the constructors again, byte for byte; text is judged as by its definition,
 * character by character. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_support.h"

/* Whether bytes are UTF-8 in its shortest form, without surrogates and control characters, and not only spaces. */
static int is_text(const uint8_t *text, size_t size) {
    int visible = 0;
    for (size_t i = 0; i < size;) {
        const uint32_t first = text[i];
        const uint32_t more = first < 0x80 ? 0 : first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : first >> 3 == 30 ? 3 : 4;
        if (more == 4 || more >= size - i) return 0;
        uint32_t point = more ? first & (0x3Fu >> more) : first;
        for (uint32_t next = 1; next <= more; next++) {
            if (text[i + next] >> 6 != 2) return 0;
            point = point << 6 | (text[i + next] & 0x3Fu);
        }
        if (more != (point < 0x80 ? 0u : point < 0x800 ? 1u : point < 0x10000 ? 2u : 3u)) return 0;
        if (point > 0x10FFFF || point >> 11 == 0xD800 >> 11) return 0;
        if (point < 0x20 || (point >= 0x7F && point < 0xA0)) return 0;
        visible |= point != ' ';
        i += 1 + more;
    }
    return visible;
}

static void check_text(const uint8_t *data, size_t size) {
    eimp_label label;
    memset(&label, 0xA5, sizeof label);
    const int status = eimp_label_from_text((const char *)data, size, &label);
    FUZZ_CHECK((status == EIMP_OK) == (size <= EIMP_MAX_LABEL_BYTES && is_text(data, size)));
    if (status == EIMP_OK) {
        FUZZ_CHECK(eimp_label_check(&label) == EIMP_OK);
        FUZZ_CHECK(label.bytes[0] == size && memcmp(label.bytes + 1, data, size) == 0);
    } else {
        FUZZ_CHECK(status == EIMP_E_LABEL);
        FUZZ_CHECK(label.bytes[0] == 0xA5 && label.bytes[EIMP_LABEL_FIELD_BYTES - 1] == 0xA5);
    }
}

static void check_field(const uint8_t *data, size_t size) {
    eimp_label label, made;
    char digits[EIMP_LABEL_FIELD_BYTES] = "";
    fuzz_input input = {data, size};
    fuzz_bytes(&input, label.bytes, sizeof label.bytes);
    if (eimp_label_check(&label) != EIMP_OK) return;
    const size_t length = label.bytes[0] & 0x7Fu;
    if (label.bytes[0] & 0x80u) {
        memcpy(digits, label.bytes + 1, length);
        eimp_label_from_number(strtoll(digits, NULL, 10), &made);
    } else {
        FUZZ_CHECK(eimp_label_from_text((const char *)label.bytes + 1, length, &made) == EIMP_OK);
    }
    FUZZ_CHECK(memcmp(&label, &made, sizeof label) == 0);
}

static void check_number(const uint8_t *data, size_t size) {
    int64_t number = 0;
    char digits[32];
    eimp_label label;
    fuzz_input input = {data, size};
    fuzz_bytes(&input, &number, sizeof number);
    eimp_label_from_number(number, &label);
    FUZZ_CHECK(eimp_label_check(&label) == EIMP_OK);
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)number);
    FUZZ_CHECK(label.bytes[0] == (0x80 | length) && memcmp(label.bytes + 1, digits, (size_t)length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_text(data, size);
    check_field(data, size);
    check_number(data, size);
    return 0;
}
