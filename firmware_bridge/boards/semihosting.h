/* Files of the machine that runs the emulator or the debugger ("Semihosting for AArch32 and AArch64", Arm). */
#ifndef EIMP_SEMIHOSTING_H
#define EIMP_SEMIHOSTING_H

#include <stdint.h>

/* The command line given to the emulator, zero-terminated. 0, or -1 where nobody answers or it does not fit. */
int eimp_semihosting_command_line(char *text, uint32_t bytes);

/* Open a file for reading and writing; it is made when it is not there. A handle, or -1. */
int32_t eimp_semihosting_open(const char *name, uint32_t length);

/* Bytes of the file, or -1. */
int32_t eimp_semihosting_length(int32_t file);

/* Read or write exactly `count` bytes at `offset`: 0, or -1. */
int eimp_semihosting_read(int32_t file, uint32_t offset, void *data, uint32_t count);
int eimp_semihosting_write(int32_t file, uint32_t offset, const void *data, uint32_t count);

#endif
