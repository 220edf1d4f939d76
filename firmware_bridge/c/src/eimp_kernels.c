/* The kernel in plain C, and the choice of one where it is made when compiling. */
#include "eimp_kernels_internal.h"

/* One column of two rows, where the vector's component is loaded once for both, and of one. */
#if defined(__GNUC__) && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
/* Cortex-M0, M0+ and M23 have eight registers that can be loaded and multiplied, and two rows need all eight. GCC 12
 * moves a third of its numbers to and from the others when it is left to choose. Two statements, because at -O0 only
 * seven of the eight are free. */
#define EIMP_COLUMN_OF_TWO()                                                                                           \
    do {                                                                                                               \
        int32_t component;                                                                                             \
        int32_t product;                                                                                               \
        __asm__ volatile(".syntax unified\n\t"                                                                         \
                         "ldrsb %[c], [%[v], %[i]]\n\t"                                                                \
                         "ldrsb %[p], [%[row], %[i]]\n\t"                                                              \
                         "muls %[p], %[c], %[p]\n\t"                                                                   \
                         "adds %[sum], %[sum], %[p]"                                                                   \
                         : [p] "=&l"(product), [c] "=&l"(component), [sum] "+l"(sum_a)                                 \
                         : [v] "l"(vector), [row] "l"(row_a), [i] "l"(column)                                          \
                         : "cc");                                                                                      \
        __asm__ volatile(".syntax unified\n\t"                                                                         \
                         "ldrsb %[p], [%[row], %[i]]\n\t"                                                              \
                         "muls %[p], %[c], %[p]\n\t"                                                                   \
                         "adds %[sum], %[sum], %[p]\n\t"                                                               \
                         "adds %[i], #1"                                                                               \
                         : [p] "=&l"(product), [sum] "+l"(sum_b), [i] "+l"(column)                                     \
                         : [c] "l"(component), [row] "l"(row_b)                                                        \
                         : "cc");                                                                                      \
    } while (0)
#define EIMP_COLUMN_OF_ONE()                                                                                           \
    do {                                                                                                               \
        int32_t component;                                                                                             \
        int32_t product;                                                                                               \
        __asm__ volatile(".syntax unified\n\t"                                                                         \
                         "ldrsb %[c], [%[v], %[i]]\n\t"                                                                \
                         "ldrsb %[p], [%[row], %[i]]\n\t"                                                              \
                         "muls %[p], %[c], %[p]\n\t"                                                                   \
                         "adds %[sum], %[sum], %[p]\n\t"                                                               \
                         "adds %[i], #1"                                                                               \
                         : [p] "=&l"(product), [c] "=&l"(component), [sum] "+l"(sum), [i] "+l"(column)                 \
                         : [v] "l"(vector), [row] "l"(row)                                                             \
                         : "cc");                                                                                      \
    } while (0)
#define EIMP_BEFORE_ASSEMBLY() __asm__ volatile("" ::: "memory") /* what was stored is in memory */
#else
#define EIMP_COLUMN_OF_TWO()                                                                                           \
    do {                                                                                                               \
        const int32_t component = vector[column];                                                                      \
        sum_a += row_a[column] * component;                                                                            \
        sum_b += row_b[column] * component;                                                                            \
        column++;                                                                                                      \
    } while (0)
#define EIMP_COLUMN_OF_ONE()                                                                                           \
    do {                                                                                                               \
        sum += row[column] * vector[column];                                                                          \
        column++;                                                                                                      \
    } while (0)
#define EIMP_BEFORE_ASSEMBLY() ((void)0)
#endif

/* Four columns, then what is left over. */
#define EIMP_COLUMNS(column_of)                                                                                        \
    do {                                                                                                               \
        while (column != fours) {                                                                                      \
            column_of();                                                                                               \
            column_of();                                                                                               \
            column_of();                                                                                               \
            column_of();                                                                                               \
        }                                                                                                              \
        while (column != dim) {                                                                                        \
            column_of();                                                                                               \
        }                                                                                                              \
    } while (0)

/* Functions of their own: together they need more registers than a Cortex-M0 has. */
#if defined(__GNUC__)
#define EIMP_ON_ITS_OWN __attribute__((noinline))
#else
#define EIMP_ON_ITS_OWN
#endif

EIMP_ON_ITS_OWN static void two_rows(const int8_t *row_a, const int8_t *row_b, const int8_t *vector, uint32_t dim,
                                     int32_t *out) {
    const uint32_t fours = dim & ~(uint32_t)3;
    uint32_t column = 0;
    int32_t sum_a = 0;
    int32_t sum_b = 0;
    EIMP_COLUMNS(EIMP_COLUMN_OF_TWO);
    out[0] = sum_a;
    out[1] = sum_b;
}

EIMP_ON_ITS_OWN static int32_t one_row(const int8_t *row, const int8_t *vector, uint32_t dim) {
    const uint32_t fours = dim & ~(uint32_t)3;
    uint32_t column = 0;
    int32_t sum = 0;
    EIMP_COLUMNS(EIMP_COLUMN_OF_ONE);
    return sum;
}

void eimp_dots_plain(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim,
                     int32_t *out) {
    EIMP_BEFORE_ASSEMBLY();
    for (; count >= 2; count -= 2) {
        two_rows(rows, rows + stride, vector, dim, out);
        out += 2;
        rows += 2 * stride;
    }
    if (count != 0) {
        *out = one_row(rows, vector, dim);
    }
}

#if !EIMP_KERNELS_CHOSEN_AT_RUN_TIME

void eimp_dots(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out) {
#if EIMP_HAS_MVE
    eimp_dots_mve(rows, stride, count, vector, dim, out);
#elif EIMP_HAS_DSP
    eimp_dots_dsp(rows, stride, count, vector, dim, out);
#else
    eimp_dots_plain(rows, stride, count, vector, dim, out);
#endif
}

const char *eimp_kernels_name(void) {
#if EIMP_HAS_MVE
    return "helium mve";
#elif EIMP_HAS_DSP
    return "arm dsp";
#else
    return "plain c";
#endif
}

#endif
