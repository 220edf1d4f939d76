/* For compilers that come without a C library; maths.c defines these. */
#ifndef EIMP_FREESTANDING_MATH_H
#define EIMP_FREESTANDING_MATH_H

float fabsf(float x);
float rintf(float x);
float sqrtf(float x);

#endif
