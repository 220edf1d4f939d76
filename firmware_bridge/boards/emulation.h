/* What an emulated board learns from the emulator's command line, "FILE [shift=N]": the file that stands for its flash,
 * and that one instruction takes 2^N ns of its time, so that a timer counts instructions. */
#ifndef EIMP_EMULATION_H
#define EIMP_EMULATION_H

#include <stdint.h>

/* Ask. Nothing comes of it where nobody answers: on a real board, or without semihosting. */
void eimp_emulation_begin(void);

/* Instructions since the start; 0 where the command line gave no shift. */
uint32_t eimp_emulation_instructions(void);

/* 1 where instructions are counted. */
int eimp_emulation_counts(void);

#endif
