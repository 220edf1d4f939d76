/* Flash of an emulated board: a file of the host where the emulator names one, otherwise RAM.
 *
 * Every program and erase is one write to the file, so killing the emulator is a power cut. */
#ifndef EIMP_FLASH_HOST_H
#define EIMP_FLASH_HOST_H

#include "port.h"

/* Open the file that the emulator's command line names; made, and filled with erased bytes, where it is too short. */
void eimp_flash_host_open(void);

/* size_bytes is 0 where there is neither a file nor RAM to spare (EIMP_PORT_RAM_FLASH). */
const eimp_port_flash *eimp_flash_host(void);

#endif
