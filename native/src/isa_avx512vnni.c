#include <immintrin.h>

#define NAME "avx512vnni"
#define LANES 16
#define BIAS 0
#define FUSED(sums, a, b) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(sums))
#include "lanes.h"

INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) {
    return (i32)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)unsigned_, (__m512i)signed_);
}
INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) { return dot4(sums, nibbles, signed_); }

INLINE f32 spread_scales(const float *from, int wide) {
    const __m512i order = _mm512_srli_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), wide == 8 ? 3 : wide == 4 ? 2 : 1);
    __m512 some;
    if (wide == 8)
        some = _mm512_castps128_ps512(_mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)from)));
    else if (wide == 4)
        some = _mm512_castps128_ps512(_mm_loadu_ps(from));
    else
        some = _mm512_castps256_ps512(_mm256_loadu_ps(from));
    return (f32)_mm512_permutexvar_ps(order, some);
}

INLINE f32 widened_halves(const uint16_t *from) { return (f32)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from)); }

INLINE void weave(const u8 rows[4], u8 out[4]) {
    const __m512i a = (__m512i)rows[0], b = (__m512i)rows[1], c = (__m512i)rows[2], d = (__m512i)rows[3];
    const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    const __m512i ab_high = _mm512_unpackhi_epi8(a, b), cd_high = _mm512_unpackhi_epi8(c, d);
    out[0] = (u8)_mm512_unpacklo_epi16(ab, cd), out[1] = (u8)_mm512_unpackhi_epi16(ab, cd);
    out[2] = (u8)_mm512_unpacklo_epi16(ab_high, cd_high), out[3] = (u8)_mm512_unpackhi_epi16(ab_high, cd_high);
}

#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_avx512vnni(void) { return &table; }
