/* The check on a board, with the data up against what must not be read: a byte read there is a fault. First the rows end
 * there, then the vector. At the end that fault is provoked, which shows that it would have been seen. */
#include "bare.h"
#include "eimp_kernels.h"
#include "kernels_mcu.h"

/* FORBIDDEN is the first address behind the board's RAM. The emulator reads zeros behind that of the boards with ARMv7-M;
 * there it is an address in RAM, closed by the memory protection unit. */
#define ROOM 5120u

static int8_t below[ROOM];
static int vector_is_last;

int8_t *check_rows(uint32_t bytes) {
    if (bytes > ROOM) {
        return NULL;
    }
    if (vector_is_last) {
        return below;
    }
    return (int8_t *)(((uintptr_t)FORBIDDEN - bytes) & ~(uintptr_t)3);
}

int8_t *check_vector(uint32_t bytes, uint32_t remainder) {
    if (bytes + 4u > ROOM) {
        return NULL;
    }
    return vector_is_last ? (int8_t *)((uintptr_t)FORBIDDEN - bytes) : below + remainder % 4u;
}

static void close_forbidden(void) {
#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__)
    volatile uint32_t *const mpu = (volatile uint32_t *)0xE000ED94u;
    mpu[1] = 0;                              /* RNR: region 0 */
    mpu[2] = FORBIDDEN;                      /* RBAR */
    mpu[3] = (1u << 28) | (11u << 1) | 1u;   /* RASR: nobody may access 4,096 bytes */
    mpu[0] = (1u << 2) | 1u;                 /* CTRL: on, everything else as before */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
}

int main(void) {
    close_forbidden();
    const uint32_t compared = check_kernels();
    vector_is_last = 1;
    if (compared == 0 || check_kernels() != compared) {
        bare_exit(1);
    }
    bare_print(eimp_kernels_name());
    bare_print(": ");
    bare_print_number(compared);
    bare_print(" calls equal twice\n");
    (void)*(volatile int8_t *)(uintptr_t)FORBIDDEN;
    bare_print("no fault\n");
    bare_exit(2);
    return 0;
}
