/* Flash of an emulated board: a file of the host. Every program and erase is one write to it or several, so killing the
 * emulator is a power cut. */
#ifndef EIMP_FLASH_HOST_H
#define EIMP_FLASH_HOST_H

#include "port.h"

/* Open the file of that name; made, and filled with erased bytes, where it is too short. */
void eimp_flash_host_open(const char *name, uint32_t length);

/* NULL where no file is open. */
const eimp_port_flash *eimp_flash_host(void);

#endif
