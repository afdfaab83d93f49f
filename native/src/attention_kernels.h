/* Attention over rows of a latent cache; included by an instruction set behind linear_kernels.h.
 *
 * L rank, R rope, N nope, V value: widths of the latent, of a rotated key, and of a head's unrotated query and value.
 * For the scores a lane is a query: what all queries of a vector need of a row is taken from memory once, and nothing is summed over
 * lanes, neither scores nor the softmax over keys. For the sums over keys a lane is a column: four byte rows are woven together. The
 * order of woven columns is that of `place`.
 *
 * An instruction set gives weave(rows, out): four vectors of bytes → the same bytes with those of one column side by side; and
 * widened_halves(from): so many numbers of half precision as a vector has lanes. Where it multiplies by one lane of a vector it has a
 * Piece of its own.
 */
#include "kernels.h"

enum { SPAN = 128, ROWS = LANES == 16 ? 16 : 8, WOVEN = 4 }; /* keys that are attended together; rows whose scores are summed at once */

/* The fractions of i times the golden ratio fill [0, 1) evenly, over any run of keys. */
static const float THRESHOLDS[SPAN] = {
    0.0000f, 0.6180f, 0.2360f, 0.8541f, 0.4721f, 0.0901f, 0.7082f, 0.3262f,
    0.9442f, 0.5623f, 0.1803f, 0.7983f, 0.4164f, 0.0344f, 0.6524f, 0.2705f,
    0.8885f, 0.5065f, 0.1246f, 0.7426f, 0.3606f, 0.9787f, 0.5967f, 0.2147f,
    0.8328f, 0.4508f, 0.0688f, 0.6869f, 0.3049f, 0.9229f, 0.5410f, 0.1590f,
    0.7770f, 0.3951f, 0.0131f, 0.6311f, 0.2492f, 0.8672f, 0.4852f, 0.1033f,
    0.7213f, 0.3393f, 0.9574f, 0.5754f, 0.1934f, 0.8115f, 0.4295f, 0.0475f,
    0.6656f, 0.2836f, 0.9016f, 0.5197f, 0.1377f, 0.7558f, 0.3738f, 0.9918f,
    0.6099f, 0.2279f, 0.8459f, 0.4640f, 0.0820f, 0.7000f, 0.3181f, 0.9361f,
    0.5541f, 0.1722f, 0.7902f, 0.4082f, 0.0263f, 0.6443f, 0.2623f, 0.8804f,
    0.4984f, 0.1164f, 0.7345f, 0.3525f, 0.9705f, 0.5886f, 0.2066f, 0.8246f,
    0.4427f, 0.0607f, 0.6787f, 0.2968f, 0.9148f, 0.5328f, 0.1509f, 0.7689f,
    0.3869f, 0.0050f, 0.6230f, 0.2410f, 0.8591f, 0.4771f, 0.0951f, 0.7132f,
    0.3312f, 0.9492f, 0.5673f, 0.1853f, 0.8033f, 0.4214f, 0.0394f, 0.6575f,
    0.2755f, 0.8935f, 0.5116f, 0.1296f, 0.7476f, 0.3657f, 0.9837f, 0.6017f,
    0.2198f, 0.8378f, 0.4558f, 0.0739f, 0.6919f, 0.3099f, 0.9280f, 0.5460f,
    0.1640f, 0.7821f, 0.4001f, 0.0181f, 0.6362f, 0.2542f, 0.8722f, 0.4903f,
};

/* The column of lane i of woven vector j. */
INLINE int place(int j, int i) { return i / 4 * 16 + 4 * j + i % 4; }

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE u8 load_some(const void *from, int64_t count) {
    u8 made = {0};
    if (count >= BYTES)
        made = load_u8(from);
    else if (count > 0)
        memcpy(&made, from, count);
    return made;
}

/* Woven sums to where they belong, `count` of them. */
INLINE void unweave(const f32 from[WOVEN], float *to, int64_t count) {
    if (count >= BYTES) {
        for (int group = 0; group < LANES / 4; group++)
            UNROLL for (int j = 0; j < WOVEN; j++) memcpy(to + 16 * group + 4 * j, (const float *)&from[j] + 4 * group, 16);
    } else {
        UNROLL for (int j = 0; j < WOVEN; j++)
            UNROLL for (int i = 0; i < LANES; i++)
                if (place(j, i) < count) to[place(j, i)] = ((const float *)&from[j])[i];
    }
}
INLINE void weave_floats(const float *from, f32 to[WOVEN], int64_t count) {
    UNROLL for (int j = 0; j < WOVEN; j++)
        for (int i = 0; i < LANES; i++) ((float *)&to[j])[i] = place(j, i) < count ? from[place(j, i)] : 0;
}

/* Bytes around 128 of a row of floats; returns their scale. `codes` has room for `room` of them, the rest are 128. */
static float to_bytes(const float *x, int64_t count, uint8_t *codes, int64_t room) {
    f32 found = splat(0);
    float most = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) found = larger(found, magnitude(load_f32(x + i)));
    most = largest(found);
    for (; i < count; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    const float scale = most > 1e-28f ? most / 127 : 1e-30f, inverse = most > 1e-28f ? 127 / most : 0;
    int32_t whole[LANES];
    for (i = 0; i + LANES <= count; i += LANES) {
        store_i32(whole, __builtin_convertvector(nearest(load_f32(x + i) * inverse), i32) + 128);
        for (int l = 0; l < LANES; l++) codes[i + l] = (uint8_t)whole[l];
    }
    for (; i < count; i++) codes[i] = (uint8_t)((int32_t)nearbyintf(x[i] * inverse) + 128);
    for (; i < room; i++) codes[i] = 128;
    return scale;
}

/* Four rows of bytes, of each one vector, or what there is of it. */
INLINE void weave_four(const void *from, int64_t stride, u8 woven[]) {
    u8 four[4];
    UNROLL for (int r = 0; r < 4; r++) four[r] = load_u8((const uint8_t *)from + r * stride);
    weave(four, woven);
}
INLINE void weave_some(const void *from, int64_t stride, int64_t rows, int64_t columns, u8 woven[]) {
    u8 four[4];
    UNROLL for (int r = 0; r < 4; r++) four[r] = r < rows ? load_some((const uint8_t *)from + r * stride, columns) : (u8){0};
    weave(four, woven);
}

/* x[m] [rows] as bytes around 128, times one vector's columns of w [rows, stride], in woven order; the sums hold 128 - BIAS times
 * the sums of w's columns too many. whole: there are so many columns, and rows by fours. next: what memory is to bring meanwhile, as
 * much as is read here; this is read in strips, and processors don't see what follows. */
INLINE void column_sums(const int8_t *w, int64_t stride, int64_t rows, int64_t columns, const uint8_t *const x[], const int M,
                        const int whole, uintptr_t next, i32 sums[]) {
    UNROLL for (int i = 0; i < M * WOVEN; i++) sums[i] = (i32){0};
    for (int64_t k = 0; k < rows; k += 4) {
        u8 woven[WOVEN];
        UNROLL for (int line = 0; line < 4 * BYTES; line += 64) __builtin_prefetch((const void *)(next + (uintptr_t)(k * BYTES + line)), 0, 2);
        if (whole)
            weave_four(w + k * stride, stride, woven);
        else
            weave_some(w + k * stride, stride, rows - k, columns, woven);
        UNROLL for (int m = 0; m < M; m++)
            UNROLL for (int j = 0; j < WOVEN; j++) sums[m * WOVEN + j] = dot4(sums[m * WOVEN + j], (u8)splat4((const int8_t *)x[m] + k), (s8)woven[j]);
    }
}

/* y[m] [columns] = (x[m] · w - offsets) · scales · own[m], for one to four x; scales may be NULL: all are one. */
INLINE void through_bytes(const int8_t *w, int64_t stride, int64_t rows, int64_t columns, const float *offsets, const float *scales,
                          const uint8_t *const x[], const float own[], const int M, float *const y[]) {
    for (int64_t at = 0; at < columns; at += BYTES) {
        i32 sums[4 * WOVEN];
        f32 off[WOVEN], times[WOVEN];
        const uintptr_t next = (uintptr_t)w + (uintptr_t)(rows * (stride + at)); /* of the next part, or the next head */
        if (columns - at >= BYTES && rows % 4 == 0)
            column_sums(w + at, stride, rows, columns - at, x, M, 1, next, sums);
        else
            column_sums(w + at, stride, rows, columns - at, x, M, 0, next, sums);
        weave_floats(offsets + at, off, columns - at);
        if (scales) weave_floats(scales + at, times, columns - at);
        UNROLL for (int m = 0; m < M; m++) {
            f32 made[WOVEN];
            UNROLL for (int j = 0; j < WOVEN; j++) {
                made[j] = plus(to_f32(sums[m * WOVEN + j]), off[j], splat((BIAS - 128) / 128.0f));
                made[j] *= scales ? times[j] * own[m] : splat(own[m]);
            }
            unweave(made, y[m] + at, columns - at);
        }
    }
}

/* Four rows of x at a time [count, x_stride], each as bytes, through w. */
static void head_rows(const int8_t *w, int64_t stride, int64_t rows, int64_t columns, const float *offsets, const float *scales,
                      const uint8_t *codes, int64_t codes_stride, const float *own, int64_t count, float *y, int64_t y_stride) {
    int64_t m = 0;
    for (; m + 4 <= count; m += 4) {
        const uint8_t *x[4];
        float *to[4];
        UNROLL for (int i = 0; i < 4; i++) x[i] = codes + (m + i) * codes_stride, to[i] = y + (m + i) * y_stride;
        through_bytes(w, stride, rows, columns, offsets, scales, x, own + m, 4, to);
    }
    for (; m < count; m++) {
        const uint8_t *x[1] = {codes + m * codes_stride};
        float *to[1] = {y + m * y_stride};
        through_bytes(w, stride, rows, columns, offsets, scales, x, own + m, 1, to);
    }
}

/* Queries [count, N], `stride` floats apart, through W_UK of a head → y [count, L], y_stride apart. `codes` has room for count·N
 * bytes in fours, `own` for count floats. */
static void absorb(const Latent *latent, int64_t head, const float *x, int64_t stride, int64_t count, float *y, int64_t y_stride,
                   uint8_t *codes, float *own) {
    const int64_t room = whole(latent->nope, 4);
    for (int64_t m = 0; m < count; m++) own[m] = to_bytes(x + m * stride, latent->nope, codes + m * room, room);
    for (int64_t at = 0; at < latent->rank; at += latent->part) {
        const int8_t *w = latent->uk + (head * latent->rank + at) * latent->nope;
        head_rows(w, latent->part, latent->nope, latent->part, latent->uk_offsets + head * latent->rank + at, NULL, codes, room, own,
                  count, y + at, y_stride);
    }
}

/* Contexts [count, L] through W_UV of a head → y [count, V]. */
static void values(const Latent *latent, int64_t head, const float *x, int64_t stride, int64_t count, float *y, int64_t y_stride,
                   uint8_t *codes, float *own) {
    const int64_t room = whole(latent->rank, 4);
    for (int64_t m = 0; m < count; m++) own[m] = to_bytes(x + m * stride, latent->rank, codes + m * room, room);
    head_rows(latent->uv + head * latent->rank * latent->value, latent->value, latent->rank, latent->value,
              latent->uv_offsets + head * latent->value, latent->uv_scales + head * latent->value, codes, room, own, count, y, y_stride);
}

/* The power of two that a byte row's scale is, from the lowest bits of its first eight codes. */
INLINE float scale_of(const uint8_t *row) {
    static const float EIGHTHS[8] = {1.0f,        1.09050773f, 1.18920712f, 1.29683955f,
                                     1.41421356f, 1.54221083f, 1.68179283f, 1.83400809f};
    uint64_t codes; /* little-endian, as all that this is built for: bit i is the lowest of byte i, and the product brings it to 56 + i */
    memcpy(&codes, row, 8);
    const int byte = (int)((codes & 0x0101010101010101) * 0x0102040810204080 >> 56);
    const int32_t bits = ((byte >> 3) + 127 - 24) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return power * EIGHTHS[byte & 7];
}

/* A row of numbers as the cache has it: codes around 128, and the scale's logarithm in the lowest bits of the first eight. */
static void to_row(const float *x, int64_t width, uint8_t *row) {
    float most = 0;
    for (int64_t i = 0; i < width; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float wanted = most / 127;
    wanted = wanted < 5.7081e-08f ? 5.7081e-08f : wanted > 2.2487e+02f ? 2.2487e+02f : wanted; /* 2^(-0.5/8 - 24), 2^(254.5/8 - 24) */
    int byte = (int)ceilf(log2f(wanted) * 8) + 192;
    byte = byte < 0 ? 0 : byte > 255 ? 255 : byte;
    const float inverse = 1 / (ldexpf(1, (byte >> 3) - 24) * exp2f((float)(byte & 7) / 8));
    for (int64_t i = 0; i < width; i++) {
        float number = x[i] * inverse;
        number = number > 126.999f ? 126.999f : number >= -126.999f ? number : -126.999f;
        if (i >= 8) {
            row[i] = (uint8_t)(int)(number + 128.5f);
        } else {
            const int below = (int)(number + 128);
            row[i] = (uint8_t)(below + ((below ^ (byte >> i)) & 1));
        }
    }
}

static void widen(const uint16_t *x, int64_t count, float *y) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store_f32(y + i, widened_halves(x + i));
    for (; i < count; i++) y[i] = number_of(x[i]);
}

/* Has memory bring a share of what is read after the next `size` bytes: several rows are read side by side, which no processor looks
 * ahead of. In shares, because only so many lines can be on their way at once. */
INLINE void bring(const void *from, int64_t size, int64_t share, int64_t shares) {
    const uintptr_t start = (uintptr_t)from + (uintptr_t)size;
    const int64_t stop = whole(size * (share + 1) / shares, 64);
    for (int64_t at = whole(size * share / shares, 64); at < stop; at += 64) __builtin_prefetch((const void *)(start + (uintptr_t)at), 0, 2);
}

/* LANES queries, of which each has a lane; what is in lanes behind the last one is of no meaning. */
typedef struct {
    f32 most, total;       /* the largest score so far, the sum of weights relative to it */
    f32 before;            /* by how much what was summed before this span has to be multiplied */
    f32 heaviest;          /* weight of this span */
    f32 scales, offsets;   /* over byte rows: of the queries' codes, and what their products are too large by */
    f32 steps, too_much;   /* over byte rows, of this span: what a step of a weight's code means, and all of them times 128 - BIAS */
    i32 shift;             /* over byte rows, of this span: bits of a weight's second code, 0 where it has none */
} Group;

/* A task's scratch. */
typedef struct {
    Group *groups;         /* [groups] */
    f32 *queries;          /* [groups, width], or of byte rows codes [groups, width in whole vectors / 4], four to a lane */
    f32 *weights;          /* [groups, SPAN]: scores first */
    i32 *codes;            /* [groups, 2, SPAN / 4]: of weights, of four keys each */
    u8 *woven;             /* [SPAN / 4, WOVEN]: columns of byte rows */
    float *scales;         /* [SPAN]: of byte rows */
    float *floats;         /* [SPAN, width]: rows of half precision */
} Room;

INLINE int64_t groups_of(int64_t queries) { return (queries + LANES - 1) / LANES; }
/* Vectors of a group's queries. */
INLINE int64_t depth_of(const Latent *latent) { return latent->bytes ? whole(latent->width, BYTES) / 4 : latent->width; }

/* Lays out a room at an address; returns where it ends. */
static uintptr_t lay_out(const Latent *latent, int64_t queries, uintptr_t at, Room *room) {
    const int64_t groups = groups_of(queries), bytes = latent->bytes, halves = latent->halves;
#define TAKE(name, size) room->name = (void *)at, at += (uintptr_t)whole(size, 64)
    TAKE(groups, groups * (int64_t)sizeof(Group));
    TAKE(queries, groups * depth_of(latent) * BYTES);
    TAKE(weights, groups * SPAN * BYTES);
    TAKE(codes, bytes ? groups * 2 * (SPAN / 4) * BYTES : 0);
    TAKE(woven, bytes ? SPAN / 4 * WOVEN * BYTES : 0);
    TAKE(scales, bytes ? SPAN * 4 : 0);
    TAKE(floats, halves ? SPAN * latent->width * 4 : 0);
#undef TAKE
    return at;
}
static int64_t attend_scratch(const Latent *latent, int64_t queries) {
    Room room;
    return (int64_t)lay_out(latent, queries, 0, &room);
}

/* Queries, one after the other, to where a lane is a query. */
INLINE void turn_queries(const Latent *latent, const Attend *a, Room *room) {
    const int64_t depth = depth_of(latent), wide = latent->bytes ? whole(latent->width, BYTES) : latent->width * 4; /* bytes of a query */
    const unsigned char *from = latent->bytes ? (const void *)a->codes : (const void *)a->floats;
    for (int64_t q = 0; q < a->queries; q += LANES) {
        f32 *to = room->queries + q / LANES * depth;
        for (int64_t at = 0; at < wide; at += BYTES) {
            i32 v[LANES];
            UNROLL for (int i = 0; i < LANES; i++)
                v[i] = q + i < a->queries ? (i32)load_some(from + (q + i) * wide + at, wide - at) : (i32){0};
            transpose(v);
            for (int i = 0; i < least(LANES, depth - at / 4); i++) to[at / 4 + i] = (f32)v[i];
        }
        Group *group = room->groups + q / LANES;
        *group = (Group){.most = splat(-INFINITY)};
        for (int64_t i = 0; latent->bytes && i < least(LANES, a->queries - q); i++) {
            ((float *)&group->scales)[i] = a->scales[q + i];
            ((float *)&group->offsets)[i] = (float)a->sums[q + i] * (128 - BIAS);
        }
    }
}

/* Sixteen bytes of a row, and sums plus the products of its bytes 4j to 4j + 3 with those of LANES queries. */
#ifndef OWN_PIECE
typedef const uint8_t *Piece;
INLINE Piece piece_of(const uint8_t *row) { return row; }
#define DOT4_PIECE(sums, piece, j, queries) dot4(sums, (u8)splat4((const int8_t *)(piece) + 4 * (j)), queries)
#endif

/* Onto sums of M rows, `width` apart. */
INLINE void sixteen_columns(i32 sums[ROWS], const uint8_t *rows, int64_t width, const f32 queries[4], const int M) {
    Piece piece[ROWS];
    UNROLL for (int k = 0; k < M; k++) piece[k] = piece_of(rows + k * width);
#define COLUMNS(j) UNROLL for (int k = 0; k < M; k++) sums[k] = DOT4_PIECE(sums[k], piece[k], j, (s8)queries[j])
    COLUMNS(0);
    COLUMNS(1);
    COLUMNS(2);
    COLUMNS(3);
#undef COLUMNS
}

/* Scales of M byte rows from a key of a span on, and their scores [groups][SPAN]. */
INLINE void score_bytes(const Latent *latent, int64_t groups, const uint8_t *rows, int64_t key, const Room *room, const int M) {
    const int64_t width = latent->width, sixteens = width / 16 * 16, rest = width % 16, depth = depth_of(latent);
    uint8_t last[ROWS][16] = {{0}};
    rows += key * width;
    for (int k = 0; k < M; k++) room->scales[key + k] = scale_of(rows + k * width);
    if (rest)
        for (int k = 0; k < M; k++) memcpy(last[k], rows + k * width + sixteens, rest);
    for (int64_t g = 0; g < groups; g++) {
        const Group *group = room->groups + g;
        const f32 *queries = room->queries + g * depth;
        i32 sums[ROWS];
        UNROLL for (int k = 0; k < M; k++) sums[k] = (i32){0};
        for (int64_t at = 0; at < sixteens; at += 16) {
            if (M == ROWS && !g) bring(rows, ROWS * width, at / 16, sixteens / 16);
            sixteen_columns(sums, rows + at, width, queries + at / 4, M);
        }
        if (rest) sixteen_columns(sums, last[0], 16, queries + sixteens / 4, M);
        UNROLL for (int k = 0; k < M; k++)
            room->weights[g * SPAN + key + k] = (to_f32(sums[k]) - group->offsets) * (splat(room->scales[key + k]) * group->scales);
    }
}

/* Scores of M rows of floats; four columns at a time, so that a row's address is made once for four products. Of 64 columns each
 * there is a sum of its own: of all at once errors would be three times as large. */
INLINE void score_floats(const Latent *latent, int64_t groups, const float *rows, int64_t key, const Room *room, const int M) {
    const int64_t width = latent->width;
    rows += key * width;
    for (int64_t g = 0; g < groups; g++) {
        const f32 *queries = room->queries + g * width;
        f32 *to = room->weights + g * SPAN + key;
        for (int64_t first = 0; first < width; first += 64) {
            f32 sums[ROWS];
            UNROLL for (int k = 0; k < M; k++) sums[k] = splat(0);
            for (int64_t at = first; at < least(first + 64, width); at += 16) {
                if (M == ROWS && !g) bring(rows, ROWS * width * 4, at / 16, (width + 15) / 16);
                const int64_t stop = least(at + 16, width);
                int64_t i = at;
                for (; i + 4 <= stop; i += 4)
                    UNROLL for (int k = 0; k < M; k++) {
                        const float *row = rows + k * width + i;
                        UNROLL for (int j = 0; j < 4; j++) sums[k] = plus(sums[k], splat(row[j]), queries[i + j]);
                    }
                for (; i < stop; i++)
                    UNROLL for (int k = 0; k < M; k++) sums[k] = plus(sums[k], splat(rows[k * width + i]), queries[i]);
            }
            UNROLL for (int k = 0; k < M; k++) to[k] = first ? to[k] + sums[k] : sums[k];
        }
    }
}

/* Scores [groups][SPAN] of `count` rows from a span's first on; and the scales of byte rows. */
#define EACH(score)                                                                                     \
    int64_t key = 0;                                                                                    \
    for (; key + ROWS <= count; key += ROWS) score(latent, groups, rows, key, room, ROWS);              \
    for (; key + 4 <= count; key += 4) score(latent, groups, rows, key, room, 4);                       \
    for (; key < count; key++) score(latent, groups, rows, key, room, 1);
APART void byte_scores(const Latent *latent, int64_t groups, const uint8_t *rows, int64_t count, const Room *room) { EACH(score_bytes) }
APART void float_scores(const Latent *latent, int64_t groups, const float *rows, int64_t count, const Room *room) { EACH(score_floats) }
#undef EACH

/* e^x; less than e^-80 is nothing, and products of it would be denormal, which take long. */
INLINE f32 weight_of(f32 x) {
    const i32 counts = x > splat(-80);
    return (f32)((i32)exponential(x) & counts);
}

/* A group's scores of a span → weights relative to the largest so far, 0 where a key is not seen and up to a multiple of four behind
 * the last. `start`: the first key; `first`: the first query. */
APART void soften_span(const Attend *a, int64_t start, int64_t count, int64_t first, Group *group, f32 *weights) {
    for (int64_t q = first; q < least(first + LANES, a->queries); q++)
        for (int64_t k = a->seen[q] > start ? a->seen[q] - start : 0; k < count; k++) ((float *)&weights[k])[q - first] = -INFINITY;
    if (a->mask)
        for (int64_t k = 0; k < count; k++)
            if (!a->mask[start + k]) weights[k] = splat(-INFINITY);
    const int64_t fours = whole(count, 4);
    for (int64_t k = count; k < fours; k++) weights[k] = splat(-INFINITY);
    f32 found[4], sums = splat(0);
    UNROLL for (int j = 0; j < 4; j++) found[j] = weights[j];
    for (int64_t k = 4; k < fours; k += 4)
        UNROLL for (int j = 0; j < 4; j++) found[j] = larger(found[j], weights[k + j]);
    const f32 largest_ = larger(larger(found[0], found[1]), larger(found[2], found[3]));
    const f32 most = larger(group->most, largest_), base = larger(most, splat(-1e38f)); /* all may be hidden */
    for (int64_t k = 0; k < fours; k++) sums += weights[k] = weight_of(weights[k] - base);
    group->heaviest = weight_of(largest_ - base);
    group->before = weight_of(group->most - base);
    group->total = group->total * group->before + sums;
    group->most = most;
}

/* Weights times the rows' scales, as bytes of the span's largest: 14 bits in two halves where the span weighs much, else 7, rounded up
 * as often as they are large: by a threshold that differs from key to key. Seven bits are enough for a span whose largest weight is
 * below LIGHT of all so far: a thousandth of the sum that it is added to. */
static const float LIGHT = 1.0f / 32;
APART void halve(int64_t count, const float *scales, Group *group, f32 *weights, i32 *high, i32 *low) {
    f32 found = splat(0), sums = splat(0);
    for (int64_t k = 0; k < count; k++) weights[k] *= splat(scales[k]), found = larger(found, weights[k]);
    const i32 light = group->heaviest < group->total * LIGHT, none = ~(found > 0);
    const f32 top = (f32)(((i32)splat(126) & light) | ((i32)splat(127 * 128) & ~light));
    const f32 inverse = (f32)((i32)(top / found) & ~none);
    const i32 shift = ~light & 7, kept = ~light & 127, rounding = (i32)splat(0.5f) & ~light;
    for (int64_t four = 0; four < (count + 3) / 4; four++) {
        i32 first = {0}, second = {0};
        UNROLL for (int j = 0; j < 4; j++) {
            const f32 up = (f32)(((i32)splat(THRESHOLDS[4 * four + j]) & light) | rounding);
            const i32 steps = __builtin_convertvector(plus(up, weights[4 * four + j], inverse), i32);
            sums += to_f32(steps);
            first |= (steps >> shift) << 8 * j;
            second |= (steps & kept) << 8 * j;
        }
        high[four] = first, low[four] = second;
    }
    group->steps = found / top;
    group->too_much = group->steps * sums * (128 - BIAS);
    group->shift = shift;
}

/* Sums over keys of byte rows, onto contexts in woven order [queries][padded rank]. */
APART void byte_context(const Latent *latent, const Attend *a, const uint8_t *rows, int64_t count, const Room *room) {
    const int64_t width = latent->width, rank = latent->rank, padded = whole(rank, BYTES), fours = (count + 3) / 4;
    u8 *woven = room->woven;
    for (int64_t at = 0; at < rank; at += BYTES) {
        for (int64_t t = 0; t < fours; t++) {
            const uint8_t *from = rows + 4 * t * width + at;
            if (width - at >= BYTES && 4 * t + 4 <= count)
                weave_four(from, width, woven + t * WOVEN);
            else
                weave_some(from, width, count - 4 * t, width - at, woven + t * WOVEN);
        }
        int64_t q = 0;
#define LANE(name, m) ((const float *)&group->name)[lane + (m)]
#define SOME(M)                                                                                                                  \
    {                                                                                                                            \
        const Group *group = room->groups + q / LANES;                                                                           \
        const int64_t lane = q % LANES;                                                                                          \
        const int8_t *codes = (const int8_t *)(room->codes + q / LANES * 2 * (SPAN / 4)) + 4 * lane;                             \
        int shift[M], halves = 1;                                                                                                \
        UNROLL for (int m = 0; m < M; m++) shift[m] = ((const int32_t *)&group->shift)[lane + m], halves = shift[m] ? 2 : halves; \
        i32 sums[M * WOVEN];                                                                                                     \
        UNROLL for (int i = 0; i < M * WOVEN; i++) sums[i] = (i32){0};                                                           \
        for (int half = 0; half < halves; half++, codes += SPAN / 4 * BYTES) {                                                   \
            if (half)                                                                                                            \
                UNROLL for (int i = 0; i < M * WOVEN; i++) sums[i] <<= shift[i / WOVEN];                                         \
            for (int64_t t = 0; t < fours; t++)                                                                                  \
                UNROLL for (int m = 0; m < M; m++) {                                                                             \
                    const s8 four = splat4(codes + t * BYTES + 4 * m);                                                           \
                    UNROLL for (int j = 0; j < WOVEN; j++) sums[m * WOVEN + j] = dot4(sums[m * WOVEN + j], woven[t * WOVEN + j], four); \
                }                                                                                                                \
        }                                                                                                                        \
        UNROLL for (int m = 0; m < M; m++)                                                                                       \
            UNROLL for (int j = 0; j < WOVEN; j++) {                                                                             \
                float *to = a->context + (q + m) * padded + at + j * LANES;                                                      \
                const f32 span = plus(splat(-LANE(too_much, m)), to_f32(sums[m * WOVEN + j]), splat(LANE(steps, m)));            \
                store_f32(to, plus(span, load_f32(to), splat(LANE(before, m))));                                                 \
            }                                                                                                                    \
    }
        for (; q + 4 <= a->queries; q += 4) SOME(4)
        for (; q < a->queries; q++) SOME(1)
#undef SOME
#undef LANE
    }
}

/* Sums over keys of M queries, 4·LANES columns of them; `weights` [count, LANES]. whole: rows have so many; where they may have fewer,
 * a compiler has to expect a call within the loop, and keeps no sum in a register. */
INLINE void floats_onto(const float *rows, int64_t count, int64_t width, int64_t columns, float *context, int64_t room,
                        const float *before, const float *weights, const int M, const int whole) {
    f32 sums[16];
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int j = 0; j < 4; j++) sums[m * 4 + j] = load_f32(context + m * room + j * LANES) * before[m];
    for (int64_t t = 0; t < count; t++) {
        f32 row[4];
        UNROLL for (int j = 0; j < 4; j++) {
            const float *from = rows + t * width + j * LANES;
            row[j] = whole ? load_f32(from) : (f32)load_some(from, 4 * (columns - j * LANES));
        }
        UNROLL for (int m = 0; m < M; m++)
            UNROLL for (int j = 0; j < 4; j++) sums[m * 4 + j] = plus(sums[m * 4 + j], row[j], splat(weights[t * LANES + m]));
    }
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int j = 0; j < 4; j++) store_f32(context + m * room + j * LANES, sums[m * 4 + j]);
}

APART void float_context(const Latent *latent, const Attend *a, const float *rows, int64_t count, const Room *room) {
    const int64_t width = latent->width, rank = latent->rank, padded = whole(rank, BYTES);
    for (int64_t at = 0; at < rank; at += BYTES) {
        const int64_t columns = width - at;
        int64_t q = 0;
#define SOME(M, whole)                                                                                                            \
    floats_onto(rows + at, count, width, columns, a->context + q * padded + at, padded,                                           \
                (const float *)&room->groups[q / LANES].before + q % LANES,                                                       \
                (const float *)(room->weights + q / LANES * SPAN) + q % LANES, M, whole)
        if (columns >= BYTES) {
            for (; q + 4 <= a->queries; q += 4) SOME(4, 1);
            for (; q < a->queries; q++) SOME(1, 1);
        } else {
            for (; q < a->queries; q++) SOME(1, 0);
        }
#undef SOME
    }
}

/* The absorbed order: all queries over keys [first, last), and what merge needs to join several such ranges. */
static void attend(const Latent *latent, const Attend *a, void *scratch) {
    const int64_t width = latent->width, groups = groups_of(a->queries);
    Room room;
    lay_out(latent, a->queries, (uintptr_t)scratch, &room);
    turn_queries(latent, a, &room);
    memset(a->context, 0, a->queries * whole(latent->rank, BYTES) * sizeof(float));
    for (int64_t start = a->first; start < a->last; start += SPAN) {
        const int64_t count = least(SPAN, a->last - start);
        const void *rows = (const uint8_t *)a->rows + start * row_size(latent);
        if (latent->halves) widen(rows, count * width, room.floats), rows = room.floats;
        if (latent->bytes)
            byte_scores(latent, groups, rows, count, &room);
        else
            float_scores(latent, groups, rows, count, &room);
        for (int64_t g = 0; g < groups; g++) {
            i32 *codes = room.codes + g * 2 * (SPAN / 4);
            soften_span(a, start, count, g * LANES, room.groups + g, room.weights + g * SPAN);
            if (latent->bytes) halve(count, room.scales, room.groups + g, room.weights + g * SPAN, codes, codes + SPAN / 4);
        }
        if (latent->bytes)
            byte_context(latent, a, rows, count, &room);
        else
            float_context(latent, a, rows, count, &room);
    }
    for (int64_t q = 0; q < a->queries; q++) {
        a->most[q] = ((const float *)&room.groups[q / LANES].most)[q % LANES];
        a->total[q] = ((const float *)&room.groups[q / LANES].total)[q % LANES];
    }
}

/* One query's contexts over `parts` ranges of keys [parts][step] → their sum as it was, [rank]; most and total of each are
 * `parts_step` apart. */
static void merge(const Latent *latent, int64_t parts, const float *most, const float *total, int64_t parts_step, const float *contexts,
                  int64_t step, float *y) {
    float largest_ = -INFINITY, sum_ = 0;
    for (int64_t p = 0; p < parts; p++) largest_ = most[p * parts_step] > largest_ ? most[p * parts_step] : largest_;
    for (int64_t p = 0; p < parts; p++)
        if (most[p * parts_step] > -INFINITY) sum_ += total[p * parts_step] * expf(most[p * parts_step] - largest_);
    for (int64_t at = 0; at < latent->rank; at += BYTES) {
        f32 made[WOVEN];
        UNROLL for (int j = 0; j < WOVEN; j++) made[j] = splat(0);
        for (int64_t p = 0; p < parts; p++) {
            if (most[p * parts_step] == -INFINITY) continue;
            const float times = expf(most[p * parts_step] - largest_) / sum_;
            UNROLL for (int j = 0; j < WOVEN; j++) made[j] = plus(made[j], load_f32(contexts + p * step + at + j * LANES), splat(times));
        }
        if (latent->bytes)
            unweave(made, y + at, latent->rank - at);
        else
            UNROLL for (int j = 0; j < WOVEN; j++) {
                const int64_t there = latent->rank - at - j * LANES;
                if (there > 0) memcpy(y + at + j * LANES, &made[j], least(there, LANES) * sizeof(float));
            }
    }
}
