#include <arm_neon.h>

#define NAME "i8mm"
#define LANES 4
#define BIAS 0
#define FUSED(sums, a, b) vfmaq_f32((float32x4_t)(sums), (float32x4_t)(a), (float32x4_t)(b))
#include "lanes.h"

INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) {
    return (i32)vusdotq_s32((int32x4_t)sums, (uint8x16_t)unsigned_, (int8x16_t)signed_);
}
INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) { return dot4(sums, nibbles, signed_); }

#include "lanes_neon.h"
#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_i8mm(void) { return &table; }
