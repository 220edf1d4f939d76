/* Labels in 32 bytes: length and kind, text, zeros. */
#include <string.h>

#include "eimp_internal.h"

#define NUMBER_FLAG 0x80u

/* UTF-8 without control characters and not only spaces? A first byte says how many follow and what the second may be:
 * that keeps out what is too long for its character, surrogates, what is above U+10FFFF, and U+0080 to U+009F. */
static int text_check(const uint8_t *text, uint32_t length) {
    uint32_t more = 0, least = 0x80, most = 0xBF, visible = 0;
    for (; length; length--) {
        const uint32_t byte = *text++;
        if (more) {
            if (byte < least || byte > most) return EIMP_E_LABEL;
            least = 0x80;
            most = 0xBF;
            more--;
        } else if (byte < 0x80) {
            if (byte < 0x20 || byte == 0x7F) return EIMP_E_LABEL;
            visible |= byte ^ 0x20;
        } else {
            if (byte < 0xC2 || byte > 0xF4) return EIMP_E_LABEL;
            more = visible = 1u + (byte >= 0xE0) + (byte >= 0xF0);
            if (byte == 0xC2 || byte == 0xE0) least = 0xA0;
            if (byte == 0xF0) least = 0x90;
            if (byte == 0xED) most = 0x9F;
            if (byte == 0xF4) most = 0x8F;
        }
    }
    return visible && !more ? EIMP_OK : EIMP_E_LABEL;
}

int eimp_label_from_text(const char *text, size_t length, eimp_label *label) {
    if (length > EIMP_MAX_LABEL_BYTES || text_check((const uint8_t *)text, (uint32_t)length) != EIMP_OK)
        return EIMP_E_LABEL;
    memset(label, 0, sizeof *label);
    label->bytes[0] = (uint8_t)length;
    memcpy(label->bytes + 1, text, length);
    return EIMP_OK;
}

void eimp_label_from_number(int64_t number, eimp_label *label) {
    uint8_t *text = label->bytes + 1, *end = label->bytes + sizeof label->bytes, *digits = end;
    uint64_t rest = number < 0 ? (uint64_t)0 - (uint64_t)number : (uint64_t)number;
    do {
        *--digits = (uint8_t)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--digits = '-';
    const uint32_t length = (uint32_t)(end - digits);
    label->bytes[0] = (uint8_t)(length | NUMBER_FLAG);
    memmove(text, digits, length);
    memset(text + length, 0, EIMP_MAX_LABEL_BYTES - length);
}

/* The number whose decimal digits these are; any number where they are something else. */
static int64_t number_of(const uint8_t *text, uint32_t length) {
    uint64_t value = 0;
    for (uint32_t i = text[0] == '-'; i < length; i++) value = value * 10 + (text[i] - (uint32_t)'0');
    return (int64_t)(text[0] == '-' ? 0 - value : value);
}

/* A label is what one of the functions above writes. */
int eimp_label_check(const eimp_label *label) {
    const uint8_t *text = label->bytes + 1;
    const uint32_t length = label->bytes[0] & ~NUMBER_FLAG;
    eimp_label written;
    if (length > EIMP_MAX_LABEL_BYTES) return EIMP_E_LABEL;
    if (label->bytes[0] & NUMBER_FLAG) eimp_label_from_number(number_of(text, length), &written);
    else if (eimp_label_from_text((const char *)text, length, &written) != EIMP_OK) return EIMP_E_LABEL;
    return memcmp(label, &written, sizeof written) ? EIMP_E_LABEL : EIMP_OK;
}
