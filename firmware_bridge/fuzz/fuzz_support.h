/* What the fuzz targets share: an input that is taken apart, heads to work on, and checksums that are made right. */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "eimp_ridge.h"
#include "eimp_snapshot.h"

/* A broken promise ends the run, and libFuzzer keeps the input. */
#define FUZZ_CHECK(condition) fuzz_check((condition) != 0, #condition, __FILE__, __LINE__)
void fuzz_check(int holds, const char *condition, const char *file, int line);

/* What is left of an input. Behind its end there are zeros. */
typedef struct fuzz_input {
    const uint8_t *data;
    size_t left;
} fuzz_input;

uint8_t fuzz_u8(fuzz_input *input);
uint32_t fuzz_u16(fuzz_input *input);

/* The next `count` bytes, zeros where there are fewer. */
void fuzz_bytes(fuzz_input *input, void *out, size_t count);

#define FUZZ_DIM 5u
#define FUZZ_BUDGET 1024u
#define FUZZ_RIDGE_BUDGET 2048u
#define FUZZ_BACKBONE_BYTES 24u

/* A head in an arena of exactly its size, so that the sanitizer sees a step beyond it. */
typedef struct fuzz_head {
    eimp_head *head;
    eimp_ridge *ridge; /* around it; NULL for proxies alone */
    void *arena;
} fuzz_head;

/* has_moment: 1 for one with a second moment. */
fuzz_head fuzz_head_new(int has_moment);
void fuzz_head_free(fuzz_head *owner);

/* Teach a few shots of a few classes. */
void fuzz_teach(const fuzz_head *owner, uint32_t shots);

/* Every function that a caller may use now, for a head in whatever state a snapshot has brought it. */
void fuzz_use(const fuzz_head *owner, const fuzz_head *other);

/* The head's own snapshot passes its own check, and its numbers add up. */
void fuzz_check_head(eimp_head *head);

/* Bytes in memory, for eimp_read_fn. Fails with EIMP_E_STORAGE in read number fail_at (from 1; 0: never). */
typedef struct fuzz_file {
    const uint8_t *data;
    uint32_t size;
    uint32_t reads;
    uint32_t fail_at;
} fuzz_file;

int fuzz_read(void *file, uint32_t offset, void *buffer, uint32_t count);

/* The snapshot of a head; the caller frees it. */
uint8_t *fuzz_save(const eimp_head *head, uint32_t *size);

/* Set every checksum of a snapshot file that has a place in it, so that damage behind the checksums is reached. */
void fuzz_mend_snapshot(uint8_t *data, size_t size);

void fuzz_put_u32(uint8_t *bytes, uint32_t value);
uint32_t fuzz_get_u32(const uint8_t *bytes);

#endif
