#include "semihosting.h"

#define SYS_OPEN 0x01u
#define SYS_WRITE 0x05u
#define SYS_READ 0x06u
#define SYS_SEEK 0x0Au
#define SYS_FLEN 0x0Cu
#define SYS_GET_CMDLINE 0x15u

#define MODE_UPDATE 3u  /* "r+b" */
#define MODE_CREATE 7u  /* "w+b" */

/* One call. Where nobody answers, the fault handler of vectors.S makes it return -1. */
static int32_t call(uint32_t operation, volatile uint32_t *block) {
    register uint32_t r0 __asm__("r0") = operation;
    register volatile uint32_t *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

int eimp_semihosting_command_line(char *text, uint32_t bytes) {
    volatile uint32_t block[2] = {(uint32_t)(uintptr_t)text, bytes};
    return call(SYS_GET_CMDLINE, block) == 0 ? 0 : -1;
}

int32_t eimp_semihosting_open(const char *name, uint32_t length) {
    volatile uint32_t block[3] = {(uint32_t)(uintptr_t)name, MODE_UPDATE, length};
    const int32_t file = call(SYS_OPEN, block);
    if (file >= 0) {
        return file;
    }
    block[1] = MODE_CREATE;
    return call(SYS_OPEN, block);
}

int32_t eimp_semihosting_length(int32_t file) {
    volatile uint32_t block[1] = {(uint32_t)file};
    return call(SYS_FLEN, block);
}

static int transfer(uint32_t operation, int32_t file, uint32_t offset, uint32_t address, uint32_t count) {
    volatile uint32_t block[3] = {(uint32_t)file, offset, 0};
    if (call(SYS_SEEK, block) != 0) {
        return -1;
    }
    block[1] = address;
    block[2] = count;
    return call(operation, block) == 0 ? 0 : -1; /* what it returns is the number of bytes not moved */
}

int eimp_semihosting_read(int32_t file, uint32_t offset, void *data, uint32_t count) {
    return transfer(SYS_READ, file, offset, (uint32_t)(uintptr_t)data, count);
}

int eimp_semihosting_write(int32_t file, uint32_t offset, const void *data, uint32_t count) {
    return transfer(SYS_WRITE, file, offset, (uint32_t)(uintptr_t)data, count);
}
