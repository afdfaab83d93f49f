#include <immintrin.h>

#define NAME "avxvnni"
#define LANES 8
#define BIAS 0
#define FUSED(sums, a, b) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(sums))
#include "lanes.h"

INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) {
    return (i32)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)unsigned_, (__m256i)signed_);
}
INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) { return dot4(sums, nibbles, signed_); }

#include "lanes_avx.h"
#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_avxvnni(void) { return &table; }
