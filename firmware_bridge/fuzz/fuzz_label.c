/* Labels: what passes the check comes out of the constructors again, byte for byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_support.h"

static void check_text(const uint8_t *data, size_t size) {
    eimp_label label;
    memset(&label, 0xA5, sizeof label);
    const int status = eimp_label_from_text((const char *)data, size, &label);
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
