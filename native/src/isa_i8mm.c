#include <arm_neon.h>

#define NAME "i8mm"
#define LANES 4
#define BIAS 0
#include "lanes.h"

INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) {
    return (i32)vusdotq_s32((int32x4_t)sums, (uint8x16_t)unsigned_, (int8x16_t)signed_);
}
INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) { return dot4(sums, nibbles, signed_); }

INLINE f32 spread_scales(const float *from, int wide) {
    (void)wide; /* 2, always */
    return (f32){from[0], from[0], from[1], from[1]};
}

INLINE void weave(const u8 rows[4], u8 out[4]) {
    const uint8x16_t a = (uint8x16_t)rows[0], b = (uint8x16_t)rows[1], c = (uint8x16_t)rows[2], d = (uint8x16_t)rows[3];
    const uint16x8_t ab = vreinterpretq_u16_u8(vzip1q_u8(a, b)), cd = vreinterpretq_u16_u8(vzip1q_u8(c, d));
    const uint16x8_t ab_high = vreinterpretq_u16_u8(vzip2q_u8(a, b)), cd_high = vreinterpretq_u16_u8(vzip2q_u8(c, d));
    out[0] = (u8)vzip1q_u16(ab, cd), out[1] = (u8)vzip2q_u16(ab, cd);
    out[2] = (u8)vzip1q_u16(ab_high, cd_high), out[3] = (u8)vzip2q_u16(ab_high, cd_high);
}

#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_i8mm(void) { return &table; }
