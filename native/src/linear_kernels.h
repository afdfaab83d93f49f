/* Products of quantized rows with quantized matrices; included by an instruction set behind lanes.h.
 *
 * Bytes of a matrix are read where they lie. With four bits, the low halves of a vector's bytes are the even columns and the high
 * halves the odd ones, so activations are kept in that order: 4·LANES even ones, then 4·LANES odd ones. A lane of the sum then
 * is of 8 (with eight bits 4) columns that are neighbours, and a block of the matrix is so many lanes.
 *
 * An instruction set gives dot4, dot4_small (of bytes below 16), BIAS (what dot4 takes off its unsigned bytes) and
 * spread_scales(from, wide): LANES / wide floats, each of them in `wide` lanes.
 */
#include "kernels.h"

/* Columns in a vector of the matrix. */
INLINE int64_t per_vector(const Matrix *w) { return w->bits == 4 ? 2 * BYTES : BYTES; }
INLINE int64_t vectors(const Matrix *w) { return (w->stride + BYTES - 1) / BYTES; }
/* Whether a vector holds several blocks. */
INLINE int several(const Matrix *w) { return w->block < per_vector(w); }

static int64_t stride_of(const Matrix *w) { return vectors(w) * per_vector(w); }
static int64_t spread_of(const Matrix *w) { return several(w) ? vectors(w) * LANES : 0; }

static void quantize(const Matrix *w, const float *x, Activations *a, int64_t row) {
    const int64_t each = per_vector(w), columns = w->columns;
    int8_t *codes = a->codes + row * a->stride;
    float *scales = a->scales + row * a->room, *sums = a->sums + row * a->room;
    float *lanes = several(w) ? a->lanes + row * a->spread : NULL;
    memset(codes, 0, a->stride);
    if (lanes) memset(lanes, 0, a->spread * sizeof *lanes);
    for (int64_t g = w->groups; g < a->room; g++) scales[g] = sums[g] = 0;
    for (int64_t g = 0; g < w->groups; g++) {
        const int64_t start = g * w->block;
        const int64_t count = columns - start < w->block ? columns - start : w->block;
        float most = 0;
        int64_t i = 0;
        if (count >= LANES) {
            f32 found = splat(0);
            for (; i + LANES <= count; i += LANES) found = larger(found, magnitude(load_f32(x + start + i)));
            most = largest(found);
        }
        for (; i < count; i++) most = fabsf(x[start + i]) > most ? fabsf(x[start + i]) : most;
        const float scale = most / 127, inverse = most > 1e-28f ? 127 / most : 0;
        uint32_t total = 0; /* of what is no number, codes may be anything: their sum wraps */
        int32_t rounded[256] = {0};
        for (i = 0; i + LANES <= count; i += LANES)
            store_i32(rounded + i, __builtin_convertvector(nearest(load_f32(x + start + i) * inverse), i32));
        for (; i < count; i++) rounded[i] = (int32_t)nearbyintf(x[start + i] * inverse);
        for (i = 0; i < count; i++) total += (uint32_t)rounded[i];
        if (w->bits == 4) {
            const int64_t piece = w->block < each ? w->block : each;
            for (int64_t at = 0; at < w->block; at += piece) {
                const int64_t within = (start + at) % each;
                int8_t *even = codes + start + at - within + within / 2, *odd = even + BYTES;
                for (i = 0; i < piece / 2; i++) even[i] = (int8_t)rounded[at + 2 * i], odd[i] = (int8_t)rounded[at + 2 * i + 1];
            }
        } else {
            for (i = 0; i < w->block; i++) codes[start + i] = (int8_t)rounded[i];
        }
        scales[g] = scale;
        sums[g] = scale * (float)(int32_t)total;
        if (lanes) {
            const int64_t wide = w->block * LANES / each;
            for (int64_t lane = g * wide; lane < (g + 1) * wide && lane < a->spread; lane++) lanes[lane] = scale;
        }
    }
}

/* Scales of LANES blocks, or of one, from their halves. */
INLINE f32 widened(const Matrix *w, const uint16_t *from) {
    typedef int16_t short_lanes __attribute__((vector_size(2 * LANES)));
    short_lanes some;
    memcpy(&some, from, sizeof some);
    const i32 bits = (__builtin_convertvector(some, i32) << 13) & (int32_t)0x8fffe000;
    return (f32)bits * w->unit;
}
INLINE float scale_at(const Matrix *w, int64_t n, int64_t g) {
    if (!w->halves) return w->scales[n * w->groups + g];
    const uint32_t half = w->halves[n * w->groups + g], bits = (half & 0x8000) << 16 | (half & 0x7fff) << 13;
    float made;
    memcpy(&made, &bits, sizeof made);
    return made * w->unit;
}

/* A row's scales as floats, where they are or in `room`, which has MOST_HALVES + LANES. Behind the last half there are LANES more. */
INLINE const float *scales_of(const Matrix *w, int64_t n, float *room) {
    if (!w->halves) return w->scales + n * w->groups;
    for (int64_t g = 0; g < w->groups; g += LANES) store_f32(room + g, widened(w, w->halves + n * w->groups + g));
    return room;
}

INLINE float zero_of(const Matrix *w, int64_t n, int64_t g) {
    if (!w->zeros) return w->bits == 4 ? 8 : 128;
    const uint8_t *zeros = w->zeros + n * w->zero_stride;
    return w->bits == 4 ? (zeros[g / 2] >> 4 * (g & 1)) & 15 : zeros[g];
}

/* R rows of a matrix with M of activations: R · M are at most so many. */
enum { MOST = 8 };

/* A row's scales and zero points, LANES blocks at a time. What is read behind the last block belongs to the next row; the last rows
 * have it copied to where more may be read. */
typedef struct {
    const float *scales, *last_scales;
    const uint8_t *zeros, *last_zeros;
    int64_t full; /* blocks in whole vectors; the rest are in `last_…` */
} Row;

typedef struct {
    float scales[MOST_HALVES + LANES], last_scales[LANES];
    uint8_t last_zeros[LANES];
} RowRoom;

INLINE Row row_at(const Matrix *w, int64_t n, RowRoom *room) {
    const int64_t full = w->groups / LANES * LANES, rest = w->groups - full;
    Row row = {.scales = scales_of(w, n, room->scales), .full = full};
    row.last_scales = row.scales + full;
    if (!w->halves && n * w->groups + full + LANES > w->rows * w->groups) {
        memset(room->last_scales, 0, sizeof room->last_scales);
        memcpy(room->last_scales, row.scales + full, rest * sizeof *room->last_scales);
        row.last_scales = room->last_scales;
    }
    if (w->zeros) {
        const int64_t before = w->bits == 4 ? full / 2 : full;
        row.zeros = w->zeros + n * w->zero_stride;
        row.last_zeros = row.zeros + before;
        if (n * w->zero_stride + before + LANES > w->rows * w->zero_stride) {
            memset(room->last_zeros, 0, sizeof room->last_zeros);
            memcpy(room->last_zeros, row.last_zeros, w->zero_stride - before);
            row.last_zeros = room->last_zeros;
        }
    }
    return row;
}

/* scale · zero point of LANES blocks from `start` on, 0 behind the last one. */
INLINE f32 shares_at(const Matrix *w, const Row *row, int64_t start, f32 scale) {
    const int bits = w->bits;
    const float bias = bits == 8 ? BIAS : 0;
    i32 lane;
    UNROLL for (int i = 0; i < LANES; i++) lane[i] = i;
    f32 zero = splat((bits == 4 ? 8 : 128) - bias);
    if (row->zeros) {
        const uint8_t *from = start < row->full ? row->zeros + (bits == 4 ? start / 2 : start) : row->last_zeros;
        i32 codes;
        if (bits == 4) {
            uint32_t words[LANES > 8 ? 2 : 1];
            memcpy(words, from, LANES / 2 < 4 ? 2 : sizeof words);
            UNROLL for (int i = 0; i < LANES; i++) codes[i] = (int32_t)words[i / 8];
            codes = (codes >> (lane & 7) * 4) & 15;
        } else {
            typedef uint8_t narrow __attribute__((vector_size(LANES)));
            narrow some;
            memcpy(&some, from, sizeof some);
            codes = __builtin_convertvector(some, i32);
        }
        zero = to_f32(codes) - bias;
    }
    const i32 there = lane < (int32_t)(w->groups - start < LANES ? w->groups - start : LANES);
    return (f32)((i32)(scale * zero) & there);
}

/* Bytes from what is multiplied to what memory is asked for: processors look ahead only within a page. Into the second cache: the
 * nearest has room for too few requests on their way. */
enum { AHEAD = 8192 };
INLINE void look_ahead(const uint8_t *from) { __builtin_prefetch((const void *)((uintptr_t)from + AHEAD), 0, 2); }

/* One vector of R rows of the matrix with M rows of activations, onto whole sums. */
INLINE void onto(i32 sums[], const uint8_t *const rows[], const int8_t *const codes[], int64_t v,
                 const int bits, const int R, const int M) {
    if (bits == 4) {
        s8 even[MOST], odd[MOST];
        UNROLL for (int m = 0; m < M; m++) {
            even[m] = load_s8(codes[m] + v * 2 * BYTES);
            odd[m] = load_s8(codes[m] + v * 2 * BYTES + BYTES);
            if (R > 1) {
                HOLD(even[m]);
                HOLD(odd[m]);
            }
        }
        UNROLL for (int r = 0; r < R; r++) {
            u8 both = load_u8(rows[r] + v * BYTES);
            HOLD(both);
            const u8 low = low_nibbles(both), high = high_nibbles(both);
            UNROLL for (int m = 0; m < M; m++) sums[r * M + m] = dot4_small(dot4_small(sums[r * M + m], low, even[m]), high, odd[m]);
        }
    } else {
        UNROLL for (int r = 0; r < R; r++) {
            const u8 one = load_u8(rows[r] + v * BYTES);
            UNROLL for (int m = 0; m < M; m++) sums[r * M + m] = dot4(sums[r * M + m], one, load_s8(codes[m] + v * BYTES));
        }
    }
}

/* R rows of the matrix, n and those `apart` rows behind it, with M rows of activations from `first` on; bits and `wide` are known
 * where this is called, so that what is made of it has no branches. wide: lanes that share a scale, 0 where all do. */
INLINE void products(const Matrix *w, const Activations *a, int64_t n, int64_t apart, int64_t first, const int R, const int M, const int bits,
                     const int wide, float *y, int64_t width) {
    const uint8_t *rows[2];
    RowRoom room[2];
    Row numbers[2];
    const int8_t *codes[MOST];
    f32 made[MOST];
    UNROLL for (int r = 0; r < R; r++) rows[r] = w->codes + (n + r * apart) * w->stride, numbers[r] = row_at(w, n + r * apart, &room[r]);
    UNROLL for (int m = 0; m < M; m++) codes[m] = a->codes + (first + m) * a->stride;
    UNROLL for (int i = 0; i < R * M; i++) made[i] = splat(0);
    for (int64_t start = 0; start < w->groups; start += LANES) { /* as many blocks as a vector has scales of */
        const int64_t there = start < numbers->full ? LANES : w->groups - start;
        float times[MOST][LANES];
        UNROLL for (int r = 0; r < R; r++) {
            const f32 scale = load_f32(start < numbers->full ? numbers[r].scales + start : numbers[r].last_scales);
            const f32 share = shares_at(w, &numbers[r], start, scale);
            UNROLL for (int m = 0; m < M; m++) {
                const int64_t at = (first + m) * a->room + start;
                made[r * M + m] = plus(made[r * M + m], -share, load_f32(a->sums + at));
                if (!wide) store_f32(times[r * M + m], scale * load_f32(a->scales + at));
            }
        }
        if (wide) continue;
        const int64_t each = w->block / per_vector(w);
        for (int64_t g = 0; g < there; g++) {
            const int64_t from = (start + g) * each;
            i32 sums[MOST];
            UNROLL for (int i = 0; i < R * M; i++) sums[i] = (i32){0};
            for (int64_t v = from; v < from + each; v++) {
                UNROLL for (int r = 0; r < R; r++) look_ahead(rows[r] + v * BYTES);
                onto(sums, rows, codes, v, bits, R, M);
            }
            UNROLL for (int i = 0; i < R * M; i++) made[i] = plus(made[i], to_f32(sums[i]), splat(times[i][g]));
        }
    }
    if (wide) {
        const int64_t whole = w->stride / BYTES;
        const int blocks = LANES / wide;
        for (int64_t v = 0; v < whole; v++) {
            i32 sums[MOST];
            UNROLL for (int i = 0; i < R * M; i++) sums[i] = (i32){0};
            UNROLL for (int r = 0; r < R; r++) look_ahead(rows[r] + v * BYTES);
            onto(sums, rows, codes, v, bits, R, M);
            UNROLL for (int r = 0; r < R; r++) {
                const f32 scale = spread_scales(numbers[r].scales + v * blocks, wide);
                UNROLL for (int m = 0; m < M; m++)
                    made[r * M + m] = plus(made[r * M + m], to_f32(sums[r * M + m]),
                                           scale * load_f32(a->lanes + (first + m) * a->spread + v * LANES));
            }
        }
        if (w->stride % BYTES) { /* the rest of a row, in a vector of its own: behind the last row there may be nothing to read */
            uint8_t rest[2][BYTES];
            float few[LANES];
            const uint8_t *ends[2];
            const int8_t *last[MOST];
            i32 sums[MOST];
            UNROLL for (int i = 0; i < R * M; i++) sums[i] = (i32){0};
            memset(rest, 0, sizeof rest);
            UNROLL for (int r = 0; r < R; r++) memcpy(rest[r], rows[r] + whole * BYTES, w->stride % BYTES), ends[r] = rest[r];
            UNROLL for (int m = 0; m < M; m++) last[m] = codes[m] + whole * (bits == 4 ? 2 : 1) * BYTES;
            onto(sums, ends, last, 0, bits, R, M);
            UNROLL for (int r = 0; r < R; r++) {
                memset(few, 0, sizeof few);
                memcpy(few, numbers[r].scales + whole * blocks, (w->groups - whole * blocks) * sizeof *few);
                const f32 scale = spread_scales(few, wide);
                UNROLL for (int m = 0; m < M; m++)
                    made[r * M + m] = plus(made[r * M + m], to_f32(sums[r * M + m]),
                                           scale * load_f32(a->lanes + (first + m) * a->spread + whole * LANES));
            }
        }
    }
    float found[LANES];
    store_f32(found, sums_of_some(made, R * M));
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int m = 0; m < M; m++) y[m * width + r * apart] = found[r * M + m];
}

INLINE void rows_of(const Matrix *w, const Activations *a, int64_t first, int64_t last, int64_t row, const int R, const int M,
                    const int bits, const int wide, float *y, int64_t width) {
    const int64_t apart = (last - first) / R;
    float *to = y + row * width;
    for (int64_t n = 0; n < apart; n++) products(w, a, first + n, apart, row, R, M, bits, wide, to + n, width);
    for (int64_t n = R * apart; n < last - first; n++) products(w, a, first + n, 0, row, 1, M, bits, wide, to + n, width);
}

/* Bytes of activations that stay in the nearest cache while a row of the matrix passes. */
enum { NEAR = 20 * 1024 };

/* Rows of the matrix at once, for so many rows of activations: two share what is loaded of activations. They are far apart, each of
 * them read from front to back with those that follow it; side by side they would take half as long again. */
#define ROWS(M) (LANES == 16 && 1 < (M) && (M) <= 4 ? 2 : 1)

#define FEW(bits, wide, name)                                                                                            \
    static void few_##name(const Matrix *w, const Activations *a, int64_t first, int64_t last, float *y, int64_t width) { \
        int64_t row = 0;                                                                                                 \
        while (row < a->count) {                                                                                         \
            const int64_t left = a->count - row;                                                                         \
            if (left >= 8 && LANES == 16 && !wide && a->stride <= NEAR / 8) {                                            \
                rows_of(w, a, first, last, row, ROWS(8), 8, bits, wide, y, width), row += 8;                             \
            } else if (left >= 4) {                                                                                      \
                rows_of(w, a, first, last, row, ROWS(4), 4, bits, wide, y, width), row += 4;                             \
            } else if (left == 3) {                                                                                      \
                rows_of(w, a, first, last, row, ROWS(3), 3, bits, wide, y, width), row += 3;                             \
            } else if (left == 2) {                                                                                      \
                rows_of(w, a, first, last, row, ROWS(2), 2, bits, wide, y, width), row += 2;                             \
            } else {                                                                                                     \
                rows_of(w, a, first, last, row, ROWS(1), 1, bits, wide, y, width), row += 1;                             \
            }                                                                                                            \
        }                                                                                                                \
    }

FEW(4, 0, 4_whole)
FEW(4, 2, 4_two)
FEW(8, 0, 8_whole)
#if LANES >= 8
FEW(4, 4, 4_four)
FEW(8, 4, 8_four)
#endif
#if LANES >= 16
FEW(4, 8, 4_eight)
FEW(8, 8, 8_eight)
#endif

static void few(const Matrix *w, const Activations *a, int64_t first, int64_t last, float *y, int64_t width) {
    const int64_t wide = several(w) ? w->block * LANES / per_vector(w) : 0;
    if (w->bits == 4) {
        if (wide == 0) few_4_whole(w, a, first, last, y, width);
        if (wide == 2) few_4_two(w, a, first, last, y, width);
#if LANES >= 8
        if (wide == 4) few_4_four(w, a, first, last, y, width);
#endif
#if LANES >= 16
        if (wide == 8) few_4_eight(w, a, first, last, y, width);
#endif
    } else {
        if (wide == 0) few_8_whole(w, a, first, last, y, width);
#if LANES >= 8
        if (wide == 4) few_8_four(w, a, first, last, y, width);
#endif
#if LANES >= 16
        if (wide == 8) few_8_eight(w, a, first, last, y, width);
#endif
    }
}

/* Many rows of activations: a strip of 2·LANES rows of the matrix is unpacked so that lanes are rows of it, a panel of columns at
 * a time, and every tile of activations goes over the panel while it is in the nearest cache. */
enum { PANEL = 512 };     /* columns; whole blocks of up to 256 */
enum { TILE = LANES == 16 ? 6 : LANES == 8 ? 3 : 4 };

static int64_t many_scratch(const Matrix *w) {
    (void)w;
    return PANEL / 4 * 2 * BYTES + PANEL / 16 * 4 * LANES * sizeof(float);
}

/* Columns [start, stop) of 2·LANES rows from n on, as quads[(stop - start) / 4][2][LANES] of four bytes, in the order of the
 * activations; scales and shares [blocks][2][LANES], a share being scale · zero point. */
static void unpack(const Matrix *w, int64_t n, int64_t last, int64_t start, int64_t stop, u8 *quads, f32 *scales, f32 *shares) {
    const int64_t each = per_vector(w);
    for (int64_t half = 0; half < 2; half++) {
        for (int64_t at = start; at < stop; at += each) {
            i32 low[LANES], high[LANES];
            const int64_t byte = at / each * BYTES, there = w->stride - byte < BYTES ? w->stride - byte : BYTES;
            UNROLL for (int r = 0; r < LANES; r++) {
                const int64_t row = n + half * LANES + r;
                u8 both = {0};
                if (row < last) {
                    const uint8_t *from = w->codes + row * w->stride + byte;
                    if (there == BYTES)
                        both = load_u8(from);
                    else
                        memcpy(&both, from, there);
                }
                low[r] = (i32)(w->bits == 4 ? low_nibbles(both) : both);
                high[r] = (i32)high_nibbles(both);
            }
            u8 *to = quads + (at - start) / 4 * 2 + half;
            transpose(low);
            UNROLL for (int i = 0; i < LANES; i++) to[2 * i] = (u8)low[i];
            if (w->bits == 4) {
                transpose(high);
                UNROLL for (int i = 0; i < LANES; i++) to[2 * (LANES + i)] = (u8)high[i];
            }
        }
        const int64_t from = start / w->block, to = (stop + w->block - 1) / w->block;
        for (int64_t g = from; g < to && g < w->groups; g++) {
            f32 scale = splat(0), share = splat(0);
            UNROLL for (int r = 0; r < LANES; r++) {
                const int64_t row = n + half * LANES + r;
                if (row >= last) break;
                scale[r] = scale_at(w, row, g);
                share[r] = scale[r] * (zero_of(w, row, g) - (w->bits == 8 ? BIAS : 0));
            }
            scales[(g - from) * 2 + half] = scale;
            shares[(g - from) * 2 + half] = share;
        }
    }
}

/* The quads of a vector that are of one block, `count` of them from `quad` on. */
INLINE void quads_onto(i32 sums[], const u8 *quads, const int8_t *const codes[], int64_t quad, int64_t count, const int bits, const int M) {
    for (int64_t q = quad; q < quad + count; q++) {
        const u8 left = quads[2 * q], right = quads[2 * q + 1];
        UNROLL for (int m = 0; m < M; m++) {
            const s8 four = splat4(codes[m] + 4 * q);
            sums[2 * m] = bits == 4 ? dot4_small(sums[2 * m], left, four) : dot4(sums[2 * m], left, four);
            sums[2 * m + 1] = bits == 4 ? dot4_small(sums[2 * m + 1], right, four) : dot4(sums[2 * m + 1], right, four);
        }
    }
}

INLINE void tile(const Matrix *w, const Activations *a, int64_t row, int64_t start, int64_t stop, const u8 *quads, const f32 *scales,
                 const f32 *shares, const int bits, const int M, float *y, int64_t width, int64_t columns) {
    const int64_t from = start / w->block, to = (stop + w->block - 1) / w->block, each = per_vector(w);
    const int8_t *codes[TILE];
    f32 made[2 * TILE];
    UNROLL for (int m = 0; m < M; m++) {
        codes[m] = a->codes + (row + m) * a->stride + start;
        UNROLL for (int half = 0; half < 2; half++) {
            f32 before = splat(0);
            if (start) {
                const int64_t there = columns - half * LANES;
                if (there >= LANES)
                    before = load_f32(y + m * width + half * LANES);
                else if (there > 0)
                    memcpy(&before, y + m * width + half * LANES, there * sizeof(float));
            }
            made[2 * m + half] = before;
        }
    }
    for (int64_t g = from; g < to && g < w->groups; g++) {
        i32 sums[2 * TILE];
        UNROLL for (int i = 0; i < 2 * M; i++) sums[i] = (i32){0};
        const int64_t begin = (g - from) * w->block, size = w->block;
        if (bits == 8) {
            quads_onto(sums, quads, codes, begin / 4, size / 4, bits, M);
        } else if (size >= each) {
            quads_onto(sums, quads, codes, begin / 4, size / 4, bits, M);
        } else { /* even columns of the block, and odd ones LANES quads further */
            const int64_t within = begin % each, quad = (begin - within) / 4 + within / 8;
            quads_onto(sums, quads, codes, quad, size / 8, bits, M);
            quads_onto(sums, quads, codes, quad + LANES, size / 8, bits, M);
        }
        const f32 left = scales[2 * (g - from)], right = scales[2 * (g - from) + 1];
        const f32 left_share = shares[2 * (g - from)], right_share = shares[2 * (g - from) + 1];
        UNROLL for (int m = 0; m < M; m++) {
            const f32 scale = splat(a->scales[(row + m) * a->room + g]), less = splat(-a->sums[(row + m) * a->room + g]);
            made[2 * m] = plus(plus(made[2 * m], to_f32(sums[2 * m]) * left, scale), left_share, less);
            made[2 * m + 1] = plus(plus(made[2 * m + 1], to_f32(sums[2 * m + 1]) * right, scale), right_share, less);
        }
    }
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int half = 0; half < 2; half++) {
            const int64_t there = columns - half * LANES;
            if (there >= LANES)
                store_f32(y + m * width + half * LANES, made[2 * m + half]);
            else if (there > 0)
                memcpy(y + m * width + half * LANES, &made[2 * m + half], there * sizeof(float));
        }
}

INLINE void strip_of(const Matrix *w, const Activations *a, int64_t first, int64_t last, float *y, int64_t width, void *scratch,
                     const int bits) {
    u8 *quads = scratch;
    f32 *scales = (f32 *)(quads + PANEL / 4 * 2), *shares = scales + PANEL / 16 * 2;
    const int64_t columns = stride_of(w), count = last - first;
    for (int64_t start = 0; start < columns; start += PANEL) {
        const int64_t stop = start + PANEL < columns ? start + PANEL : columns;
        unpack(w, first, last, start, stop, quads, scales, shares);
        int64_t row = 0;
        for (; row + TILE <= a->count; row += TILE)
            tile(w, a, row, start, stop, quads, scales, shares, bits, TILE, y + row * width, width, count);
        for (; row < a->count; row++) tile(w, a, row, start, stop, quads, scales, shares, bits, 1, y + row * width, width, count);
    }
}

static void many(const Matrix *w, const Activations *a, int64_t first, int64_t last, float *y, int64_t width, void *scratch) {
    if (w->bits == 4)
        strip_of(w, a, first, last, y, width, scratch, 4);
    else
        strip_of(w, a, first, last, y, width, scratch, 8);
}

static void normalize(const float *x, const float *gain, float epsilon, int64_t width, float *y) {
    f32 squares = splat(0);
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        const f32 some = load_f32(x + i);
        squares = plus(squares, some, some);
    }
    float total = sum(squares);
    for (; i < width; i++) total += x[i] * x[i];
    const float factor = 1 / sqrtf(total / (float)width + epsilon);
    for (i = 0; i + LANES <= width; i += LANES) store_f32(y + i, load_f32(x + i) * factor * load_f32(gain + i));
    for (; i < width; i++) y[i] = x[i] * factor * gain[i];
}

static void gated(const float *gate, const float *up, int64_t width, float *y) {
    for (int64_t i = 0; i < width; i += LANES) {
        f32 g = splat(0), u = splat(0);
        const int64_t there = width - i < LANES ? width - i : LANES;
        memcpy(&g, gate + i, there * sizeof(float));
        memcpy(&u, up + i, there * sizeof(float));
        const f32 made = g * u / (1.0f + exponential(smaller(-g, splat(87.0f))));
        memcpy(y + i, &made, there * sizeof(float));
    }
}

static void add(const float *x, int64_t width, float *y) {
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) store_f32(y + i, load_f32(y + i) + load_f32(x + i));
    for (; i < width; i++) y[i] += x[i];
}
