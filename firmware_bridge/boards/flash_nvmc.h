/* The last pages of an nRF51's own flash, for the store. */
#ifndef EIMP_FLASH_NVMC_H
#define EIMP_FLASH_NVMC_H

#include "port.h"

const eimp_port_flash *eimp_flash_nvmc(void);

#endif
