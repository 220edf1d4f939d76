/* The kernel is chosen at every call: a few loads and tests, and no variable that threads would share. */
#include "eimp_kernels_internal.h"

#if EIMP_KERNELS_CHOSEN_AT_RUN_TIME

typedef struct kernel {
    eimp_dots_fn dots;
    const char *name;
} kernel;

#if defined(__x86_64__)

static kernel for_this_processor(void) {
    /* The compiler's own table, filled when the program starts; it asks the operating system for the registers too. */
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) {
        return (kernel){eimp_dots_vnni, "avx512vnni"};
    }
#if EIMP_HAS_AVXVNNI
    if (__builtin_cpu_supports("avxvnni")) {
        return (kernel){eimp_dots_avxvnni, "avxvnni"};
    }
#endif
    if (__builtin_cpu_supports("avx2")) {
        return (kernel){eimp_dots_avx2, "avx2"};
    }
    return (kernel){eimp_dots_plain, "plain c"};
}

#else

#if defined(__linux__)
#include <sys/auxv.h>
#define HAS_DOTPROD ((getauxval(AT_HWCAP) & (1ul << 20)) != 0) /* HWCAP_ASIMDDP of the kernel's headers */
#elif defined(__ARM_FEATURE_DOTPROD)
#define HAS_DOTPROD 1
#else
#define HAS_DOTPROD 0
#endif

static kernel for_this_processor(void) {
    if (HAS_DOTPROD) {
        return (kernel){eimp_dots_neon_dot, "neon dotprod"};
    }
    return (kernel){eimp_dots_neon, "neon"};
}

#endif

void eimp_dots(const int8_t *rows, size_t stride, uint32_t count, const int8_t *vector, uint32_t dim, int32_t *out) {
    for_this_processor().dots(rows, stride, count, vector, dim, out);
}

const char *eimp_kernels_name(void) {
    return for_this_processor().name;
}

#else
typedef int eimp_kernels_linux_not_here; /* ISO C wants a declaration */
#endif
