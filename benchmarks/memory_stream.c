/* Reads memory as fast as one thread can: what any kernel that needs every byte cannot beat by much. */
#include <stddef.h>
#include <stdint.h>

typedef uint64_t lanes __attribute__((vector_size(64), aligned(1), may_alias));

/* The sum of all 64-bit words, so that no read can be left out. bytes: what is beyond a multiple of 512 is not read. */
uint64_t memory_stream(const unsigned char *from, size_t bytes) {
    lanes sums[8] = {{0}};
    for (size_t at = 0; at + 512 <= bytes; at += 512) {
        for (size_t i = 0; i < 8; i++) {
            sums[i] += *(const lanes *)(from + at + 64 * i);
        }
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < 8; i++) {
        for (size_t lane = 0; lane < 8; lane++) {
            sum += sums[i][lane];
        }
    }
    return sum;
}
