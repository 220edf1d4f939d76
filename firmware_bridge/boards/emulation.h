/* What an emulated board learns from the emulator's command line, "FILE [shift=N]": the file that stands for its flash,
 * and that one instruction takes 2^N ns of its time, so that a timer counts instructions. */
#ifndef EIMP_EMULATION_H
#define EIMP_EMULATION_H

#include <stdint.h>

/* Ask. Nothing comes of it where nobody answers: on a real board, or without semihosting. */
void eimp_emulation_begin(void);

/* What eimp_port_counter() and eimp_port_counter_unit() are to say. A program that asks an emulator has instructions to
 * show where the command line gave a shift, and nothing otherwise: an emulator's time is no count of cycles. One that does
 * not ask (EIMP_PORT_SEMIHOSTING is 0) runs on a real board: there the timer's ticks are the processor's cycles. */
uint32_t eimp_emulation_counter(void);
uint8_t eimp_emulation_counter_unit(void);

#endif
