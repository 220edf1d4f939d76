/* One kernel against 64-bit sums, on every length and on the worst contents, with memory that may not be touched right
 * before and right behind every row and the vector.
 *
 *     kernels_linux KERNEL      prints "KERNEL: N comparisons"; a wrong sum ends it with 1, a byte too far with a signal
 *
 * Compiled with the sources of the library and -DEIMP_RUNTIME_KERNELS. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eimp_kernels_internal.h"

enum { PAGE = 4096, APART = 2 * PAGE, MAX_ROWS = 9, MAX_DIM = 4096, CONTENTS = 6 };

static unsigned long comparisons;
static uint32_t state = 12345;

static int8_t random_byte(void) {
    state = state * 1664525u + 1013904223u;
    return (int8_t)((int)(state >> 24) - 128);
}

/* Contents that overflow what is too narrow, and random ones. */
static int8_t content(int which, uint32_t place) {
    switch (which) {
    case 0: return -128;
    case 1: return 127;
    case 2: return (place & 1) != 0 ? -128 : 127;
    case 3: return (place & 2) != 0 ? -1 : 1;
    default: return random_byte();
    }
}

static void fill(int8_t *bytes, uint32_t count, int which) {
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = content(which, i);
    }
}

static void compare(eimp_dots_fn dots, const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector,
                    uint32_t dim) {
    int32_t *out = malloc((count + 1) * sizeof *out); /* an exact block with a canary: writing too far is seen */
    if (out == NULL) {
        exit(2);
    }
    memset(out, 0x5a, (count + 1) * sizeof *out);
    dots(rows, stride, count, vector, dim, out);
    for (uint32_t i = 0; i < count; i++) {
        int64_t expected = 0;
        for (uint32_t j = 0; j < dim; j++) {
            expected += rows[i * stride + j] * vector[j];
        }
        if (out[i] != expected) {
            printf("dim %u, stride %zu, row %u of %u: %ld, expected %ld\n", (unsigned)dim, stride, (unsigned)i,
                   (unsigned)count, (long)out[i], (long)expected);
            exit(1);
        }
        comparisons++;
    }
    if (out[count] != 0x5a5a5a5a) {
        printf("dim %u, count %u: wrote beyond the end\n", (unsigned)dim, (unsigned)count);
        exit(1);
    }
    free(out);
}

/* Pages that may be used, each between two that may not. */
static int8_t *guarded(size_t pages) {
    int8_t *start = mmap(NULL, (2 * pages + 1) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        exit(2);
    }
    for (size_t i = 0; i < pages; i++) {
        if (mprotect(start + (2 * i + 1) * PAGE, PAGE, PROT_READ | PROT_WRITE) != 0) {
            exit(2);
        }
    }
    return start + PAGE;
}

/* Every row alone in a page, at its very end or at its very start. */
static void between_guards(eimp_dots_fn dots, int8_t *rows, int8_t *vector, uint32_t dim, uint32_t count) {
    for (int at_end = 0; at_end < 2; at_end++) {
        const size_t shift = at_end ? PAGE - dim : 0;
        for (int which = 0; which < CONTENTS; which++) {
            for (uint32_t i = 0; i < count; i++) {
                fill(rows + i * APART + shift, dim, which);
            }
            fill(vector + shift, dim, which == 1 ? 0 : which);
            compare(dots, rows + shift, APART, count, vector + shift, dim);
        }
    }
}

/* Rows next to each other, or with other bytes between them as in a head, in a block that ends with the last row. */
static void in_a_block(eimp_dots_fn dots, size_t stride, uint32_t dim, uint32_t count, int which) {
    const size_t size = (count - 1) * stride + dim;
    int8_t *rows = malloc(size);
    int8_t *vector = malloc(dim);
    if (rows == NULL || vector == NULL) {
        exit(2);
    }
    fill(rows, (uint32_t)size, which);
    fill(vector, dim, which);
    compare(dots, rows, stride, count, vector, dim);
    free(rows);
    free(vector);
}

static eimp_dots_fn find(const char *name) {
    static const struct {
        const char *name;
        eimp_dots_fn dots;
    } all[] = {
        {"chosen", eimp_dots},
        {"plain", eimp_dots_plain},
#if EIMP_HAS_AVXVNNI
        {"avxvnni", eimp_dots_avxvnni},
#endif
#if defined(__x86_64__)
        {"avx2", eimp_dots_avx2},
        {"vnni", eimp_dots_vnni},
#else
        {"neon", eimp_dots_neon},
        {"neon_dot", eimp_dots_neon_dot},
#endif
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return all[i].dots;
        }
    }
    return NULL;
}

int main(int arguments, char **argument) {
    static const uint32_t more[] = {191, 192, 193, 255, 256, 257, 511, 1000, 1280, 2049, 4095, 4096};
    static const uint32_t counts[] = {0, 1, 2, 3, 4, 5, 8, 9};
    const eimp_dots_fn dots = arguments == 2 ? find(argument[1]) : NULL;
    if (dots == NULL || sysconf(_SC_PAGESIZE) != PAGE) {
        printf("usage: kernels_linux KERNEL, on a machine with pages of %d bytes\n", PAGE);
        return 2;
    }
    int8_t *rows = guarded(MAX_ROWS);
    int8_t *vector = guarded(1);
    for (uint32_t i = 1; i <= 130 + sizeof more / sizeof *more; i++) {
        const uint32_t dim = i <= 130 ? i : more[i - 131];
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            between_guards(dots, rows, vector, dim, counts[c]);
        }
        const size_t tight = (dim + 3u) & ~(size_t)3;
        in_a_block(dots, tight, dim, 21, CONTENTS);
        in_a_block(dots, (2 * dim + 23u) & ~(size_t)3, dim, 21, CONTENTS); /* a slot of a head */
        if (dim % 64 < 2 || dim == 1000 || dim == 4095) {
            const uint32_t many = (uint32_t)((1u << 20) / tight) + 6; /* more than the second-level cache holds */
            in_a_block(dots, tight, dim, many, CONTENTS);
            in_a_block(dots, tight, dim, many, 0);
        }
    }
    printf("%s: %lu comparisons; this processor gets %s\n", argument[1], comparisons, eimp_kernels_name());
    return 0;
}
