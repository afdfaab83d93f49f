#define NAME "plain"
#define LANES 4
#define BIAS 0
#define FUSED(sums, a, b) ((sums) + (a) * (b))
#include "lanes.h"

INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) {
    for (int i = 0; i < BYTES; i++) sums[i / 4] += (int32_t)unsigned_[i] * (int32_t)signed_[i];
    return sums;
}
INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) { return dot4(sums, nibbles, signed_); }

INLINE f32 spread_scales(const float *from, int wide) {
    (void)wide; /* 2, always */
    return (f32){from[0], from[0], from[1], from[1]};
}

INLINE f32 widened_halves(const uint16_t *from) { return (f32){number_of(from[0]), number_of(from[1]), number_of(from[2]), number_of(from[3])}; }

INLINE void weave(const u8 rows[4], u8 out[4]) {
    for (int i = 0; i < 4 * BYTES; i++) ((uint8_t *)out)[i] = rows[i % 4][i / 4];
}

#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_plain(void) { return &table; }
