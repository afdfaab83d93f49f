/* What the comparisons share: numbers that are the same on every machine, buffers of exactly the size asked for, and the count of
 * what was compared. */
#ifndef YOUTU_CHECK_H
#define YOUTU_CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

static long compared, failed;
static uint64_t state = 88172645463325252u;

static uint32_t number(uint32_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}
static int64_t within(int64_t low, int64_t high) { return low + number((uint32_t)(high - low + 1)); }
static float fraction(void) { return (float)number(1 << 20) / (1 << 19) - 1; } /* [-1, 1) */

/* Of exactly so many bytes, so that a sanitizer sees who reads behind them; never NULL. */
static void *room(int64_t size) {
    if (size < 1) size = 1;
    void *made = malloc((size_t)size);
    if (!made) fprintf(stderr, "out of memory\n"), exit(2);
    memset(made, 0xa5, (size_t)size);
    return made;
}
/* The same at a multiple of 64, as the operators give scratch memory; `whole_` is what is to be freed. */
static void *scratch(int64_t size, void **whole_) {
    unsigned char *made = *whole_ = room(size + 63);
    return made + (64 - ((uintptr_t)made & 63)) % 64;
}

/* |found - expected| within `bound`, which 0 makes equality. */
static void same(double found, double expected, double bound, const char *what, ...) {
    compared++;
    if (fabs(found - expected) <= bound) return;
    if (++failed > 20) return;
    va_list more;
    va_start(more, what);
    printf("FAILED ");
    vprintf(what, more);
    printf(": %.9g, not %.9g ± %.3g\n", found, expected, bound);
    va_end(more);
}

#endif
