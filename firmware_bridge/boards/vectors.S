/* Start-up of any Cortex-M, from M0 to M55: vector table, reset, faults. No vendor code.
 *
 * The table stands at the start of flash (section .vectors, see board.ld). All external interrupts lead to
 * eimp_port_interrupt(), which the board's port defines. The stack lies at the very start of RAM, so that one that grows
 * too large runs into a fault instead of into data. */
    .syntax unified
    .thumb

    .section .vectors, "a"
    .global eimp_vectors
eimp_vectors:
    .word eimp_stack_top
    .word eimp_reset
    .word eimp_fault_restart        /* NMI */
    .word eimp_fault                /* HardFault; the finer faults are not enabled and end here too */
    .rept 11
    .word eimp_fault_restart
    .endr
    .word eimp_port_tick            /* SysTick */
    .rept 96                        /* external interrupts */
    .word eimp_port_interrupt
    .endr

    .text
    .global eimp_reset
    .type eimp_reset, %function
    .thumb_func
eimp_reset:
    cpsid i
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* CPACR: coprocessors 10 and 11 (FPU, Helium), before a compiler's prologue can save their registers. */
    ldr r0, =0xE000ED88
    ldr r1, [r0]
    ldr r2, =0x00F00000
    orrs r1, r2
    str r1, [r0]
    dsb
    isb
#endif
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
    ldr r0, =eimp_stack_limit
    msr msplim, r0
#endif
    /* A restart by software keeps the stack pointer of reset, but a debugger or boot loader may not have set it. */
    ldr r0, =eimp_stack_top
    mov sp, r0
    bl eimp_start
    b eimp_fault_restart
    .ltorg
    .size eimp_reset, . - eimp_reset

    /* A semihosting call (bkpt 0xAB) where nobody answers is a fault: it then returns -1, which says so. Anything else
     * restarts the board, which comes back with what it saved last. */
    .global eimp_fault
    .type eimp_fault, %function
    .thumb_func
eimp_fault:
    mrs r0, msp
    ldr r1, [r0, #24]               /* the address where it happened, as pushed by the processor */
    ldrh r2, [r1]
    ldr r3, =0xBEAB
    cmp r2, r3
    bne eimp_fault_restart
    adds r1, #2
    str r1, [r0, #24]
    movs r2, #0
    mvns r2, r2
    str r2, [r0, #0]
    bx lr

    .global eimp_fault_restart
    .type eimp_fault_restart, %function
    .thumb_func
eimp_fault_restart:
    ldr r0, =0xE000ED0C             /* AIRCR */
    ldr r1, =0x05FA0004             /* key, SYSRESETREQ */
    dsb
    str r1, [r0]
    dsb
1:  b 1b
    .ltorg
    .size eimp_fault, . - eimp_fault
