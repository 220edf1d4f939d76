/* The few registers of every Cortex-M that start-up and ports use (Arm v6-M, v7-M and v8-M Architecture Reference
 * Manuals, "System Control Space"). */
#ifndef EIMP_CORTEX_M_H
#define EIMP_CORTEX_M_H

#include <stdint.h>

/* A 32-bit register at an address. */
#define EIMP_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define EIMP_SYST_CSR EIMP_REGISTER(0xE000E010u) /* bit 0: on, 1: interrupt, 2: processor clock */
#define EIMP_SYST_RVR EIMP_REGISTER(0xE000E014u)
#define EIMP_SYST_CVR EIMP_REGISTER(0xE000E018u)
#define EIMP_NVIC_ISER(irq) EIMP_REGISTER(0xE000E100u + 4u * ((irq) / 32u))
#define EIMP_ICSR EIMP_REGISTER(0xE000ED04u) /* bit 26: SysTick is pending */
#define EIMP_AIRCR EIMP_REGISTER(0xE000ED0Cu)

static inline void eimp_interrupts_off(void) {
    __asm__ volatile("cpsid i" ::: "memory");
}

static inline void eimp_interrupts_on(void) {
    __asm__ volatile("cpsie i" ::: "memory");
}

/* Sleeps until an interrupt is pending, even one that is masked. */
static inline void eimp_sleep(void) {
    __asm__ volatile("dsb\n\twfi" ::: "memory");
}

static inline void eimp_interrupt_enable(uint32_t irq) {
    EIMP_NVIC_ISER(irq) = 1u << (irq % 32u);
}

#endif
