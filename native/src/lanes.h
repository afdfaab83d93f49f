/* Vectors of LANES 32-bit numbers, or of four times as many bytes. An instruction set defines LANES, FUSED and dot4 (isa_*.c) and
 * includes the kernels, which are written once in terms of these.
 */
#ifndef YOUTU_LANES_H
#define YOUTU_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BYTES (4 * LANES)
/* AS_WRITTEN: functions and loops stay what they are. For sanitizers: the same loads and stores, in an eighth of the time to compile. */
#define APART static __attribute__((noinline)) /* compilers share out registers by functions, and badly in large ones */
#ifdef AS_WRITTEN
#define INLINE static __attribute__((unused))
#define UNROLL
#else
#define INLINE static inline __attribute__((always_inline))
/* Before a loop over a small array: only when it is written out are the array's elements registers. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#endif

typedef float f32 __attribute__((vector_size(BYTES)));
typedef int32_t i32 __attribute__((vector_size(BYTES)));
typedef uint32_t u32 __attribute__((vector_size(BYTES)));
typedef uint8_t u8 __attribute__((vector_size(BYTES)));
typedef int8_t s8 __attribute__((vector_size(BYTES)));
typedef uint16_t u16 __attribute__((vector_size(BYTES)));

#define LOAD(type)                                   \
    INLINE type load_##type(const void *from) {      \
        type made;                                   \
        memcpy(&made, from, sizeof made);            \
        return made;                                 \
    }                                                \
    INLINE void store_##type(void *to, type value) { \
        memcpy(to, &value, sizeof value);            \
    }
LOAD(f32)
LOAD(i32)
LOAD(u8)
LOAD(s8)
#undef LOAD

/* What is used several times is loaded once: compilers take an operand from memory as often as it is used. */
#if defined(__x86_64__) && LANES == 16
#define HOLD(value) __asm__("" : "+v"(value))
#elif defined(__x86_64__)
#define HOLD(value) __asm__("" : "+x"(value))
#else
#define HOLD(value) (void)0
#endif

INLINE f32 splat(float value) { return value - (f32){0}; }
/* sums + a · b, rounded once where the instruction set can. Compilers are told to fuse nothing by themselves: they would in one
 * function and not in the next, and what becomes of a row would depend on how many are computed beside it. */
INLINE f32 plus(f32 sums, f32 a, f32 b) { return (f32)FUSED(sums, a, b); }
INLINE f32 to_f32(i32 value) { return __builtin_convertvector(value, f32); }

/* What a half says: five bits of exponent, ten of digits. */
INLINE float number_of(uint16_t half) {
    const uint32_t exponent = half >> 10 & 31, digits = half & 1023, sign = (uint32_t)(half >> 15) << 31;
    uint32_t bits = sign | (exponent == 31 ? 0x7f800000 | digits << 13 : (exponent + 112) << 23 | digits << 13);
    float made;
    if (!exponent) made = (float)digits * 5.9604644775390625e-8f, memcpy(&bits, &made, sizeof bits), bits |= sign; /* 2^-24 */
    memcpy(&made, &bits, sizeof made);
    return made;
}

/* The same four bytes in each lane. */
INLINE s8 splat4(const int8_t *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return (s8)(four - (i32){0});
}

INLINE u8 low_nibbles(u8 value) { return value & 15; }
INLINE u8 high_nibbles(u8 value) { return (u8)((u16)value >> 4) & 15; }

INLINE f32 larger(f32 a, f32 b) {
    i32 first = a > b;
    return (f32)(((i32)a & first) | ((i32)b & ~first));
}
INLINE f32 smaller(f32 a, f32 b) {
    i32 first = a < b;
    return (f32)(((i32)a & first) | ((i32)b & ~first));
}
INLINE f32 magnitude(f32 a) { return (f32)((i32)a & 0x7fffffff); }

/* To the nearest integer, for |x| below 2^22: compiled without -ffast-math, the sum is rounded before the difference is taken. */
INLINE f32 nearest(f32 x) {
    const float magic = 12582912.0f; /* 1.5 · 2^23 */
    return (x + magic) - magic;
}

#if LANES == 16
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define STEP1_LOW 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define STEP1_HIGH 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define STEP2_LOW 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define STEP2_HIGH 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define STEP4_LOW 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define STEP4_HIGH 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define STEP8_LOW 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define STEP8_HIGH 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define NEXT1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define NEXT2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define NEXT4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define NEXT8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#elif LANES == 8
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define STEP1_LOW 0, 8, 2, 10, 4, 12, 6, 14
#define STEP1_HIGH 1, 9, 3, 11, 5, 13, 7, 15
#define STEP2_LOW 0, 1, 8, 9, 4, 5, 12, 13
#define STEP2_HIGH 2, 3, 10, 11, 6, 7, 14, 15
#define STEP4_LOW 0, 1, 2, 3, 8, 9, 10, 11
#define STEP4_HIGH 4, 5, 6, 7, 12, 13, 14, 15
#define NEXT1 1, 0, 3, 2, 5, 4, 7, 6
#define NEXT2 2, 3, 0, 1, 6, 7, 4, 5
#define NEXT4 4, 5, 6, 7, 0, 1, 2, 3
#elif LANES == 4
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define STEP1_LOW 0, 4, 2, 6
#define STEP1_HIGH 1, 5, 3, 7
#define STEP2_LOW 0, 1, 4, 5
#define STEP2_HIGH 2, 3, 6, 7
#define NEXT1 1, 0, 3, 2
#define NEXT2 2, 3, 0, 1
#else
#error "LANES is 4, 8 or 16"
#endif

/* LANES vectors of LANES lanes: lane i of vector j goes to lane j of vector i. */
INLINE void transpose(i32 v[LANES]) {
#define SWAP(step)                                                              \
    UNROLL for (int i = 0; i < LANES; i++)                                      \
        if (!(i & step)) {                                                      \
            i32 low = PICK(v[i], v[i + step], STEP##step##_LOW);                \
            v[i + step] = PICK(v[i], v[i + step], STEP##step##_HIGH);           \
            v[i] = low;                                                         \
        }
    SWAP(1)
    SWAP(2)
#if LANES >= 8
    SWAP(4)
#endif
#if LANES >= 16
    SWAP(8)
#endif
#undef SWAP
}

/* Neighbours first: so do all sums of a vector's lanes, that of one vector and those of several at once. */
INLINE f32 folded(f32 v, const int from) {
    if (from <= 1) v += PICK(v, v, NEXT1);
    if (from <= 2) v += PICK(v, v, NEXT2);
#if LANES >= 8
    if (from <= 4) v += PICK(v, v, NEXT4);
#endif
#if LANES >= 16
    v += PICK(v, v, NEXT8);
#endif
    return v;
}
INLINE float sum(f32 v) { return folded(v, 1)[0]; }

/* The sum of vector i of up to 8 in lane i. */
INLINE f32 sums_of_some(const f32 v[], const int count) {
    f32 some[8];
    if (count == 1) return folded(v[0], 1);
    UNROLL for (int i = 0; i < 8; i++) some[i] = i < count ? v[i] : splat(0);
    UNROLL for (int i = 0; i < count; i += 2)
        some[i] = PICK(some[i], some[i + 1], STEP1_LOW) + PICK(some[i], some[i + 1], STEP1_HIGH);
    if (count == 2) return folded(some[0], 2);
    UNROLL for (int i = 0; i < count; i += 4)
        some[i] = PICK(some[i], some[i + 2], STEP2_LOW) + PICK(some[i], some[i + 2], STEP2_HIGH);
    if (count <= 4) return folded(some[0], 4);
#if LANES >= 8
    some[0] = PICK(some[0], some[4], STEP4_LOW) + PICK(some[0], some[4], STEP4_HIGH);
#endif
    return folded(some[0], 8);
}

INLINE float largest(f32 v) {
#if LANES >= 16
    v = larger(v, PICK(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = larger(v, PICK(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    v = larger(v, PICK(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
#elif LANES >= 8
    v = larger(v, PICK(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
    v = larger(v, PICK(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
#else
    v = larger(v, PICK(v, v, 2, 3, 0, 1));
#endif
    return v[0] > v[1] ? v[0] : v[1];
}

/* e^x for x within [-87, 88]; below it is nearly 0. Error below 2^-22 of the value: x = n·ln 2 + r, a polynomial of r, times 2^n. */
INLINE f32 exponential(f32 x) {
    x = larger(x, splat(-87.0f));
    f32 n = nearest(x * 1.44269504f);
    f32 r = plus(plus(x, n, splat(-0.693359375f)), n, splat(2.12194440e-4f));
    f32 p = plus(splat(1.3981999507e-3f), splat(1.9875691500e-4f), r);
    p = plus(splat(8.3334519073e-3f), p, r);
    p = plus(splat(4.1665795894e-2f), p, r);
    p = plus(splat(1.6666665459e-1f), p, r);
    p = plus(splat(5.0000001201e-1f), p, r);
    p = plus(r, p, r * r) + 1.0f;
    i32 power = (__builtin_convertvector(n, i32) + 127) << 23;
    return p * (f32)power;
}

#endif
