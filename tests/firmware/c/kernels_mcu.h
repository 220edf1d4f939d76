/* Compares eimp_dots with a loop that cannot be misread, for many shapes and for the largest numbers. */
#ifndef KERNELS_MCU_H
#define KERNELS_MCU_H

#include <stddef.h>
#include <stdint.h>

/* Most rows of one call here. */
#define CHECK_ROWS 9u

/* Where data lies, for each machine: what follows the last byte must not be readable.
 * check_rows: 4-byte aligned. check_vector: at an address with this remainder by four, where the machine can choose.
 * Both give NULL where there is no room; what they gave before may be used again. */
int8_t *check_rows(uint32_t bytes);
int8_t *check_vector(uint32_t bytes, uint32_t remainder);

/* The number of calls compared, or 0 when one was wrong. */
uint32_t check_kernels(void);

#endif
