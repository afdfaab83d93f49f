#include "halves.h"

#include <string.h>

enum { CUT = 13, DIGITS = 10, LEAST = 1 << DIGITS, MOST = 32 << DIGITS, LOOKED_AT = 4096 };
#define SIGN UINT32_C(0x80000000)

static uint32_t bits_of(const float *number) {
    uint32_t bits;
    memcpy(&bits, number, sizeof bits);
    return bits;
}

int64_t halves_offset(const float *scales, int64_t count) {
    uint32_t largest = 0, smallest = UINT32_MAX, lost = 0;
    for (int64_t start = 0; start < count; start += LOOKED_AT) { /* of most matrices that can't be, a few numbers tell */
        const int64_t stop = count - start < LOOKED_AT ? count : start + LOOKED_AT;
        for (int64_t i = start; i < stop; i++) {
            const uint32_t bits = bits_of(scales + i), size = bits & ~SIGN;
            lost |= bits & ((1 << CUT) - 1);
            largest = size > largest ? size : largest;
            smallest = size < smallest ? size : smallest;
        }
        if (lost) return -1;
    }
    /* Exponents 1 to 31 of a half are those up to the largest scale's. */
    const int64_t offset = (int64_t)(largest >> (CUT + DIGITS)) - 31;
    const int within = count > 0 && offset >= 0 && offset <= 127 && (int64_t)(smallest >> CUT) - (offset << DIGITS) >= LEAST;
    return within ? offset << DIGITS : -1;
}

void make_halves(const float *scales, int64_t count, int64_t offset, uint16_t *halves) {
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(scales + i);
        halves[i] = (uint16_t)(((bits & ~SIGN) >> CUT) - (uint32_t)offset) | (uint16_t)((bits & SIGN) >> 16);
    }
}

float halves_unit(int64_t offset) {
    const uint32_t bits = (uint32_t)((offset >> DIGITS) + 127) << (CUT + DIGITS);
    float unit;
    memcpy(&unit, &bits, sizeof unit);
    return unit;
}
