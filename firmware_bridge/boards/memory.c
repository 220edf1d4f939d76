/* What a compiler may call in any program, and strlen, for builds without a C library. */
#include <stddef.h>
#include <string.h>

/* gcc must not turn the loop of memset into a call of memset. */
#if defined(__GNUC__) && !defined(__clang__)
#define PLAIN_LOOP __attribute__((optimize("no-tree-loop-distribute-patterns")))
#else
#define PLAIN_LOOP
#endif

PLAIN_LOOP void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    unsigned char *out = to;
    const unsigned char *in = from;
    for (size_t i = 0; i < count; i++) {
        out[i] = in[i];
    }
    return to;
}

PLAIN_LOOP void *memmove(void *to, const void *from, size_t count) {
    unsigned char *out = to;
    const unsigned char *in = from;
    if (out < in) {
        for (size_t i = 0; i < count; i++) {
            out[i] = in[i];
        }
    } else {
        for (size_t i = count; i > 0; i--) {
            out[i - 1u] = in[i - 1u];
        }
    }
    return to;
}

PLAIN_LOOP void *memset(void *to, int value, size_t count) {
    unsigned char *out = to;
    for (size_t i = 0; i < count; i++) {
        out[i] = (unsigned char)value;
    }
    return to;
}

PLAIN_LOOP int memcmp(const void *a, const void *b, size_t count) {
    const unsigned char *left = a;
    const unsigned char *right = b;
    for (size_t i = 0; i < count; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}

PLAIN_LOOP size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    return length;
}
