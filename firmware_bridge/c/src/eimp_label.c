/* Labels in 32 bytes: length and kind, text, zeros. */
#include <string.h>

#include "eimp_internal.h"

#define NUMBER_FLAG 0x80u

/* Bytes of the UTF-8 character at `text`, 0 where there is none; its code point in `point`. */
static uint32_t character(const uint8_t *text, uint32_t left, uint32_t *point) {
    const uint32_t lead = text[0];
    const uint32_t more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : (lead & 0xF0) == 0xE0 ? 2 : 3;
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    if ((more == 3 && (lead < 0xF0 || lead > 0xF4)) || more >= left) return 0;
    uint32_t code = more == 0 ? lead : lead & (0x3Fu >> more);
    for (uint32_t i = 1; i <= more; i++) {
        if ((text[i] & 0xC0u) != 0x80u) return 0;
        code = code << 6 | (text[i] & 0x3Fu);
    }
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0;
    *point = code;
    return more + 1;
}

static int text_check(const uint8_t *text, uint32_t length) {
    int visible = 0;
    for (uint32_t at = 0; at < length;) {
        uint32_t point = 0;
        const uint32_t taken = character(text + at, length - at, &point);
        if (!taken || point < 0x20 || (point >= 0x7F && point < 0xA0)) return EIMP_E_LABEL;
        visible |= point != 0x20;
        at += taken;
    }
    return visible ? EIMP_OK : EIMP_E_LABEL;
}

/* The decimal digits of an int64 as one would write them: no zeros in front, no -0. */
static int number_check(const uint8_t *text, uint32_t length) {
    const uint32_t minus = text[0] == '-';
    uint64_t value = 0;
    const uint64_t most = (uint64_t)INT64_MAX + minus;
    if (length == minus || (text[minus] == '0' && (length > 1))) return EIMP_E_LABEL;
    for (uint32_t i = minus; i < length; i++) {
        const uint32_t digit = (uint32_t)text[i] - '0';
        if (digit > 9 || value > (most - digit) / 10) return EIMP_E_LABEL;
        value = value * 10 + digit;
    }
    return EIMP_OK;
}

int eimp_label_check(const eimp_label *label) {
    const uint32_t length = label->bytes[0] & ~NUMBER_FLAG;
    if (!length || length > EIMP_MAX_LABEL_BYTES) return EIMP_E_LABEL;
    for (uint32_t i = length + 1; i < EIMP_LABEL_FIELD_BYTES; i++)
        if (label->bytes[i]) return EIMP_E_LABEL;
    return label->bytes[0] & NUMBER_FLAG ? number_check(label->bytes + 1, length)
                                         : text_check(label->bytes + 1, length);
}

int eimp_label_from_text(const char *text, size_t length, eimp_label *label) {
    eimp_label made;
    if (!length || length > EIMP_MAX_LABEL_BYTES) return EIMP_E_LABEL;
    memset(&made, 0, sizeof made);
    made.bytes[0] = (uint8_t)length;
    memcpy(made.bytes + 1, text, length);
    const int status = eimp_label_check(&made);
    if (status == EIMP_OK) *label = made;
    return status;
}

void eimp_label_from_number(int64_t number, eimp_label *label) {
    uint8_t digits[20];
    uint32_t count = 0, length = 0;
    uint64_t rest = number < 0 ? (uint64_t)0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[count++] = (uint8_t)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    memset(label, 0, sizeof *label);
    if (number < 0) label->bytes[++length] = '-';
    while (count) label->bytes[++length] = digits[--count];
    label->bytes[0] = (uint8_t)(length | NUMBER_FLAG);
}
