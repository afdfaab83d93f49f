#include <arm_neon.h>

#define NAME "dotprod"
#define LANES 4
#define BIAS 128 /* products are of two signed bytes, so an unsigned one is taken less 128 */
#define FUSED(sums, a, b) vfmaq_f32((float32x4_t)(sums), (float32x4_t)(a), (float32x4_t)(b))
#include "lanes.h"

INLINE i32 dot4_small(i32 sums, u8 nibbles, s8 signed_) {
    return (i32)vdotq_s32((int32x4_t)sums, (int8x16_t)nibbles, (int8x16_t)signed_);
}
INLINE i32 dot4(i32 sums, u8 unsigned_, s8 signed_) { return dot4_small(sums, unsigned_ ^ 128, signed_); }

#define OWN_PIECE
typedef int8x16_t Piece;
INLINE Piece piece_of(const uint8_t *row) { return (int8x16_t)(load_u8(row) ^ 128); }
#define DOT4_PIECE(sums, piece, j, queries) (i32)vdotq_laneq_s32((int32x4_t)(sums), (int8x16_t)(queries), piece, j)

#include "lanes_neon.h"
#include "linear_kernels.h"
#include "attention_kernels.h"
#include "expanded_kernels.h"
#include "table.h"

const Kernels *kernels_dotprod(void) { return &table; }
