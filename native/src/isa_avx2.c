#include <immintrin.h>

#define NAME "avx2"
#define LANES 8
#define BIAS 0
#define FUSED(sums, a, b) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(sums))
#include "lanes.h"

/* Products of a byte below 16 with a signed one: two of them fit 16 bits. */
INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)nibbles, (__m256i)signed_);
    return sums + (i32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
/* Of any byte they don't: the even bytes and the odd ones apart, in 16 bits each. */
INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) {
    const __m256i a = (__m256i)unsigned_, b = (__m256i)signed_;
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
    return sums + (i32)_mm256_add_epi32(even, odd);
}

#include "lanes_avx.h"
#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_avx2(void) { return &table; }
