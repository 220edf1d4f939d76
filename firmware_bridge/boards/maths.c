/* What the library takes from math.h, rounded as IEEE 754 says, for builds without a C library. */
#include <math.h>
#include <stdint.h>

typedef union number {
    float value;
    uint32_t bits;
} number;

float fabsf(float x) {
    number n;
    n.value = x;
    n.bits &= 0x7FFFFFFFu;
    return n.value;
}

/* To the nearest whole number, halves to the even one: behind 2^23 there is no place for a fraction. */
float rintf(float x) {
    const volatile float whole = 8388608.0f;
    const float size = fabsf(x);
    if (!(size < whole)) return x;
    volatile float rounded = size + whole;
    rounded = rounded - whole;
    number n, sign;
    sign.value = x;
    n.value = rounded;
    n.bits |= sign.bits & 0x80000000u;
    return n.value;
}

#if defined(__ARM_FP) && (__ARM_FP & 4)
float sqrtf(float x) {
    float root;
    __asm__("vsqrt.f32 %0, %1" : "=t"(root) : "t"(x));
    return root;
}
#else
float sqrtf(float x) {
    number n;
    n.value = x;
    if (n.bits << 1 == 0 || n.bits == 0x7F800000u) return x;
    if (n.bits > 0x7F800000u) return (x - x) / (x - x);
    int32_t exponent = (int32_t)(n.bits >> 23);
    uint32_t mantissa = n.bits & 0x7FFFFFu;
    if (exponent == 0) {
        for (exponent = 1; !(mantissa & 0x800000u); exponent--) mantissa <<= 1;
    }
    mantissa |= 0x800000u;
    /* x = square 2^(2 half), so that the root has 25 digits, the last of which rounds: it is never a tie. */
    const int32_t shift = exponent & 1 ? 25 : 26;
    uint64_t rest = (uint64_t)mantissa << shift, root = 0;
    for (uint64_t bit = (uint64_t)1 << 48; bit; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    const uint32_t rounded = ((uint32_t)root + 1u) >> 1;
    const int32_t biased = (exponent - 150 - shift) / 2 + 151;
    n.bits = ((uint32_t)biased << 23) + (rounded - 0x800000u);
    return n.value;
}
#endif
