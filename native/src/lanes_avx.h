/* What instruction sets of 32-byte vectors on x86-64 have in common. */
#ifndef YOUTU_LANES_AVX_H
#define YOUTU_LANES_AVX_H

INLINE f32 spread_scales(const float *from, int wide) {
    const __m256i order = wide == 4 ? _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0) : _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
    const __m128 some = wide == 4 ? _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)from)) : _mm_loadu_ps(from);
    return (f32)_mm256_permutevar8x32_ps(_mm256_castps128_ps256(some), order);
}

INLINE f32 widened_halves(const uint16_t *from) { return (f32)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)); }

INLINE void weave(const u8 rows[4], u8 out[4]) {
    const __m256i a = (__m256i)rows[0], b = (__m256i)rows[1], c = (__m256i)rows[2], d = (__m256i)rows[3];
    const __m256i ab = _mm256_unpacklo_epi8(a, b), cd = _mm256_unpacklo_epi8(c, d);
    const __m256i ab_high = _mm256_unpackhi_epi8(a, b), cd_high = _mm256_unpackhi_epi8(c, d);
    out[0] = (u8)_mm256_unpacklo_epi16(ab, cd), out[1] = (u8)_mm256_unpackhi_epi16(ab, cd);
    out[2] = (u8)_mm256_unpacklo_epi16(ab_high, cd_high), out[3] = (u8)_mm256_unpackhi_epi16(ab_high, cd_high);
}

#endif
