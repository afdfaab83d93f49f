/* What instruction sets of ARM have in common. */
#ifndef YOUTU_LANES_NEON_H
#define YOUTU_LANES_NEON_H

INLINE f32 spread_scales(const float *from, int wide) {
    (void)wide; /* 2, always */
    return (f32){from[0], from[0], from[1], from[1]};
}

INLINE f32 widened_halves(const uint16_t *from) { return (f32)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }

INLINE void weave(const u8 rows[4], u8 out[4]) {
    const uint8x16_t a = (uint8x16_t)rows[0], b = (uint8x16_t)rows[1], c = (uint8x16_t)rows[2], d = (uint8x16_t)rows[3];
    const uint16x8_t ab = vreinterpretq_u16_u8(vzip1q_u8(a, b)), cd = vreinterpretq_u16_u8(vzip1q_u8(c, d));
    const uint16x8_t ab_high = vreinterpretq_u16_u8(vzip2q_u8(a, b)), cd_high = vreinterpretq_u16_u8(vzip2q_u8(c, d));
    out[0] = (u8)vzip1q_u16(ab, cd), out[1] = (u8)vzip2q_u16(ab, cd);
    out[2] = (u8)vzip1q_u16(ab_high, cd_high), out[3] = (u8)vzip2q_u16(ab_high, cd_high);
}

#endif
