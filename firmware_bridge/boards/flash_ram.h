/* Two slots in RAM, for boards that have nothing better: the store works, and forgets with the power. */
#ifndef EIMP_FLASH_RAM_H
#define EIMP_FLASH_RAM_H

#include "port.h"

/* size_bytes is 0 where the configuration gives no RAM (EIMP_PORT_RAM_FLASH). */
const eimp_port_flash *eimp_flash_ram(void);

#endif
