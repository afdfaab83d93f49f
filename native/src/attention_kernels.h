/* Attention over rows of a latent cache; included by an instruction set behind linear_kernels.h.
 *
 * L rank, R rope, N nope, V value: widths of the latent, of a rotated key, and of a head's unrotated query and value.
 * A block of BLOCK keys is turned so that lanes are keys for the scores; for the sums over keys, four rows are woven together so
 * that a lane is a column. The order of woven columns is that of `place`.
 *
 * An instruction set gives weave(rows, out): four vectors of bytes → the same bytes with those of one column side by side; and
 * widened_halves(from): so many numbers of half precision as a vector has lanes.
 */
#include "kernels.h"

enum { BLOCK = ATTENTION_BLOCK, PARTS = BLOCK / LANES, WOVEN = 4 };

/* The fractions of i times the golden ratio fill [0, 1) evenly, over any run of keys. */
static const float THRESHOLDS[ATTENTION_BLOCK] = {
    0.0000f, 0.6180f, 0.2361f, 0.8541f, 0.4721f, 0.0902f, 0.7082f, 0.3262f,
    0.9443f, 0.5623f, 0.1803f, 0.7984f, 0.4164f, 0.0344f, 0.6525f, 0.2705f,
    0.8885f, 0.5066f, 0.1246f, 0.7426f, 0.3607f, 0.9787f, 0.5967f, 0.2148f,
    0.8328f, 0.4508f, 0.0689f, 0.6869f, 0.3050f, 0.9230f, 0.5410f, 0.1591f,
    0.7771f, 0.3951f, 0.0132f, 0.6312f, 0.2492f, 0.8673f, 0.4853f, 0.1033f,
    0.7214f, 0.3394f, 0.9574f, 0.5755f, 0.1935f, 0.8115f, 0.4296f, 0.0476f,
    0.6656f, 0.2837f, 0.9017f, 0.5197f, 0.1378f, 0.7558f, 0.3738f, 0.9919f,
    0.6099f, 0.2279f, 0.8460f, 0.4640f, 0.0820f, 0.7001f, 0.3181f, 0.9361f,
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

/* Bytes of a task's scratch: scores, weights, a woven part of byte rows, and a block of halves as floats. */
static int64_t attend_scratch(const Latent *latent, int64_t queries) {
    const int64_t floats = latent->halves ? whole(BLOCK * latent->width * 4, 64) : 0;
    return floats + BLOCK / 4 * WOVEN * BYTES + whole(BLOCK * 4, 64) + queries * (BLOCK * 4 + 2 * BLOCK + 16) + 64;
}

/* The row of a key; behind the last one it is read again. */
INLINE const void *row_of(const void *rows, int64_t size, int64_t key, int64_t count) {
    return (const unsigned char *)rows + least(key, count - 1) * size;
}

/* Has memory bring a share of what is read after the next `size` bytes: several rows are read side by side, which no processor looks
 * ahead of. In shares, because only so many lines can be on their way at once. */
INLINE void bring(const void *from, int64_t size, int64_t share, int64_t shares) {
    const uintptr_t start = (uintptr_t)from + (uintptr_t)size;
    const int64_t stop = whole(size * (share + 1) / shares, 64);
    for (int64_t at = whole(size * share / shares, 64); at < stop; at += 64) __builtin_prefetch((const void *)(start + (uintptr_t)at), 0, 2);
}

/* The products of AT_ONCE rows with LANES / AT_ONCE queries, of which each has its own sum in made[query][row]. Bytes of 16 queries
 * stay in the nearest cache, so two of them share what is loaded of rows. Floats don't: as many queries as rows share what is loaded,
 * which is the least that can be, and a group of rows stays while the queries go by. */
#define SCORES(name, element, vector, query_vector, sum_vector, AT_ONCE, product, sums_of, finished, PER)                        \
    INLINE void name(const element *const from[], const void *const queries[], int64_t width, float *made) {                     \
        sum_vector sums[LANES];                                                                                                  \
        UNROLL for (int i = 0; i < LANES; i++) sums[i] = (sum_vector){0};                                                        \
        int64_t at = 0;                                                                                                          \
        for (; at + PER <= width; at += PER) {                                                                                   \
            UNROLL for (int k = 0; k < AT_ONCE; k++) {                                                                           \
                const vector row = (vector)load_u8(from[k] + at);                                                                \
                UNROLL for (int q = 0; q < LANES / AT_ONCE; q++) {                                                               \
                    const query_vector x = (query_vector)load_u8((const element *)queries[q] + at);                              \
                    sums[q * AT_ONCE + k] = product(sums[q * AT_ONCE + k], row, x);                                              \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
        if (at < width) {                                                                                                        \
            const int64_t rest = (width - at) * (int64_t)sizeof(element);                                                        \
            UNROLL for (int k = 0; k < AT_ONCE; k++) {                                                                           \
                const vector row = (vector)load_some(from[k] + at, rest);                                                        \
                UNROLL for (int q = 0; q < LANES / AT_ONCE; q++) {                                                               \
                    const query_vector x = (query_vector)load_some((const element *)queries[q] + at, rest);                      \
                    sums[q * AT_ONCE + k] = product(sums[q * AT_ONCE + k], row, x);                                              \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
        store_f32(made, finished(sums_of(sums)));                                                                                \
    }
#define AS_IT_IS(x) (x)
enum { BYTE_ROWS = LANES / 2, FLOAT_ROWS = LANES >= 8 ? 4 : 2, FLOAT_QUERIES = LANES / FLOAT_ROWS };
SCORES(byte_products, uint8_t, u8, s8, i32, BYTE_ROWS, dot4, sums_of_integers, to_f32, BYTES)
SCORES(float_products, float, f32, f32, f32, FLOAT_ROWS, plus, sums_of_floats, AS_IT_IS, LANES)
#undef SCORES

/* s[query][BLOCK] of `count` keys from `rows` on; those behind are of no meaning. */
INLINE void byte_scores(const Latent *latent, const Attend *a, const uint8_t *rows, int64_t count, const float *scales, float *s) {
    const int64_t width = latent->width, room = whole(width, BYTES);
    for (int64_t key = 0; key < count; key += BYTE_ROWS) {
        const uint8_t *from[BYTE_ROWS];
        UNROLL for (int k = 0; k < BYTE_ROWS; k++) from[k] = row_of(rows, width, key + k, count);
        for (int64_t q = 0; q < a->queries; q += 2) {
            const int64_t other = least(q + 1, a->queries - 1);
            const void *const queries[2] = {a->codes + q * room, a->codes + other * room};
            float made[LANES];
            bring(from[0], BYTE_ROWS * width, q, a->queries + 1);
            bring(from[0], BYTE_ROWS * width, q + 1, a->queries + 1);
            byte_products(from, queries, width, made);
            memcpy(s + q * BLOCK + key, made, sizeof made / 2);
            memcpy(s + other * BLOCK + key, made + BYTE_ROWS, sizeof made / 2);
        }
    }
    for (int64_t q = 0; q < a->queries; q++) {
        const float off = (float)a->sums[q] * (128 - BIAS);
        UNROLL for (int part = 0; part < PARTS; part++) {
            float *at = s + q * BLOCK + part * LANES;
            store_f32(at, (load_f32(at) - off) * (load_f32(scales + part * LANES) * a->scales[q]));
        }
    }
}

INLINE void float_scores(const Latent *latent, const Attend *a, const float *rows, int64_t count, float *s) {
    const int64_t width = latent->width;
    for (int64_t key = 0; key < count; key += FLOAT_ROWS) {
        const float *from[FLOAT_ROWS];
        UNROLL for (int k = 0; k < FLOAT_ROWS; k++) from[k] = row_of(rows, 4 * width, key + k, count);
        for (int64_t q = 0; q < a->queries; q += FLOAT_QUERIES) {
            const void *queries[FLOAT_QUERIES];
            int64_t query[FLOAT_QUERIES];
            float made[LANES];
            UNROLL for (int i = 0; i < FLOAT_QUERIES; i++) {
                query[i] = least(q + i, a->queries - 1), queries[i] = a->floats + query[i] * width;
                bring(from[0], FLOAT_ROWS * 4 * width, query[i], a->queries);
            }
            float_products(from, queries, width, made);
            UNROLL for (int i = 0; i < FLOAT_QUERIES; i++)
                memcpy(s + query[i] * BLOCK + key, made + i * FLOAT_ROWS, FLOAT_ROWS * sizeof *made);
        }
    }
}

/* A query's scores of a block → weights relative to the largest so far, 0 where a key is not seen. Returns by how much what was
 * summed before has to be multiplied. */
INLINE float soften(float *s, int64_t count, int64_t seen, const uint8_t *mask, float *most, float *total) {
    const f32 none = splat(-INFINITY);
    for (int64_t k = least(seen, count) > 0 ? least(seen, count) : 0; k < BLOCK; k++) s[k] = -INFINITY;
    if (mask)
        for (int64_t k = 0; k < count; k++)
            if (!mask[k]) s[k] = -INFINITY;
    f32 found = none;
    for (int part = 0; part < PARTS; part++) found = larger(found, load_f32(s + part * LANES));
    const float now = largest(found) > *most ? largest(found) : *most;
    if (now == -INFINITY) {
        memset(s, 0, BLOCK * sizeof *s);
        return 1;
    }
    f32 sums = splat(0);
    for (int part = 0; part < PARTS; part++) {
        const f32 x = load_f32(s + part * LANES);
        const i32 counts = x - now > splat(-80); /* less is nothing, and products of it would be denormal, which take long */
        const f32 weight = (f32)((i32)exponential(x - now) & counts);
        store_f32(s + part * LANES, weight);
        sums += weight;
    }
    const float before = *most == -INFINITY ? 0 : expf(*most - now);
    *total = *total * before + sum(sums);
    *most = now;
    return before;
}

/* Weights [BLOCK] times the rows' scales, as bytes of the block's largest: 14 bits in two halves where the block weighs much,
 * else 7, rounded up as often as they are large: by a threshold that differs from key to key. Seven bits are enough for a block
 * whose largest weight is below LIGHT of all so far: a thousandth of the sum that it is added to. Returns the number of halves. */
static const float LIGHT = 1.0f / 32;
INLINE int halve(const float *weights, const float *scales, float total, int8_t *high, int8_t *low, float *factors) {
    typedef int8_t narrow __attribute__((vector_size(LANES)));
    f32 scaled[PARTS], found = splat(0), heaviest = splat(0);
    UNROLL for (int part = 0; part < PARTS; part++) {
        const f32 weight = load_f32(weights + part * LANES);
        scaled[part] = weight * load_f32(scales + part * LANES);
        found = larger(found, scaled[part]), heaviest = larger(heaviest, weight);
    }
    const float most = largest(found);
    const int halves = largest(heaviest) < LIGHT * total ? 1 : 2;
    const float top = halves == 2 ? 127 * 128 : 126, inverse = most > 0 ? top / most : 0;
    f32 sums = splat(0);
    UNROLL for (int part = 0; part < PARTS; part++) {
        const f32 up = halves == 2 ? splat(0.5f) : load_f32(THRESHOLDS + part * LANES);
        const i32 steps = __builtin_convertvector(plus(up, scaled[part], splat(inverse)), i32);
        sums += to_f32(steps);
        const narrow first = __builtin_convertvector(halves == 2 ? steps >> 7 : steps, narrow);
        const narrow second = __builtin_convertvector(halves == 2 ? steps & 127 : (i32){0}, narrow);
        memcpy(high + part * LANES, &first, LANES);
        memcpy(low + part * LANES, &second, LANES);
    }
    factors[0] = most / top;
    factors[1] = most / top * sum(sums) * (128 - BIAS);
    return halves;
}

/* Sums over keys of byte rows, onto contexts in woven order [queries][padded rank]. */
INLINE void byte_context(const Latent *latent, const Attend *a, const uint8_t *rows, int64_t count, const float *scales,
                         const float *before, const float *s, int8_t *codes, float *factors, u8 *woven) {
    uint8_t halves[MOST_QUERIES];
    for (int64_t q = 0; q < a->queries; q++)
        halves[q] = (uint8_t)halve(s + q * BLOCK, scales, a->total[q], codes + 2 * q * BLOCK, codes + (2 * q + 1) * BLOCK, factors + 2 * q);
    const int64_t width = latent->width, rank = latent->rank, room = whole(rank, BYTES), fours = (count + 3) / 4;
    for (int64_t at = 0; at < rank; at += BYTES) {
        for (int64_t t = 0; t < fours; t++) {
            const uint8_t *from = rows + 4 * t * width + at;
            if (width - at >= BYTES && 4 * t + 4 <= count)
                weave_four(from, width, woven + t * WOVEN);
            else
                weave_some(from, width, count - 4 * t, width - at, woven + t * WOVEN);
        }
        int64_t q = 0;
#define SOME(M)                                                                                                                  \
    {                                                                                                                            \
        i32 sums[M * WOVEN];                                                                                                     \
        UNROLL for (int i = 0; i < M * WOVEN; i++) sums[i] = (i32){0};                                                                  \
        int all = 1;                                                                                                             \
        UNROLL for (int m = 0; m < M; m++) all = halves[q + m] > all ? halves[q + m] : all;                                      \
        for (int half = 0; half < all; half++) {                                                                                 \
            UNROLL for (int m = 0; m < M; m++)                                                                                   \
                if (half && halves[q + m] == 2)                                                                                  \
                    UNROLL for (int j = 0; j < WOVEN; j++) sums[m * WOVEN + j] <<= 7;                                            \
            for (int64_t t = 0; t < fours; t++)                                                                                  \
                UNROLL for (int m = 0; m < M; m++) {                                                                                    \
                    const s8 four = splat4(codes + (2 * (q + m) + half) * BLOCK + 4 * t);                                       \
                    UNROLL for (int j = 0; j < WOVEN; j++) sums[m * WOVEN + j] = dot4(sums[m * WOVEN + j], woven[t * WOVEN + j], four); \
                }                                                                                                                \
        }                                                                                                                        \
        UNROLL for (int m = 0; m < M; m++)                                                                                              \
            UNROLL for (int j = 0; j < WOVEN; j++) {                                                                                    \
                float *to = a->context + (q + m) * room + at + j * LANES;                                                        \
                const f32 block = plus(splat(-factors[2 * (q + m) + 1]), to_f32(sums[m * WOVEN + j]), splat(factors[2 * (q + m)]));\
                store_f32(to, plus(block, load_f32(to), splat(before[q + m])));                                                  \
            }                                                                                                                    \
    }
        for (; q + 4 <= a->queries; q += 4) SOME(4)
        for (; q < a->queries; q++) SOME(1)
#undef SOME
    }
}

/* Sums over keys of M queries, 4·LANES columns of them. whole: rows have so many; where they may have fewer, a compiler has to
 * expect a call within the loop, and keeps no sum in a register. */
INLINE void floats_onto(const float *rows, int64_t count, int64_t width, int64_t columns, float *context, int64_t room,
                        const float *before, const float *s, const int M, const int whole) {
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
            UNROLL for (int j = 0; j < 4; j++) sums[m * 4 + j] = plus(sums[m * 4 + j], row[j], splat(s[m * BLOCK + t]));
    }
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int j = 0; j < 4; j++) store_f32(context + m * room + j * LANES, sums[m * 4 + j]);
}

INLINE void float_context(const Latent *latent, const Attend *a, const float *rows, int64_t count, const float *before, const float *s) {
    const int64_t width = latent->width, rank = latent->rank, room = whole(rank, BYTES);
    for (int64_t at = 0; at < rank; at += BYTES) {
        const int64_t columns = width - at;
        int64_t q = 0;
#define SOME(M, whole) floats_onto(rows + at, count, width, columns, a->context + q * room + at, room, before + q, s + q * BLOCK, M, whole)
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
    const int64_t width = latent->width, room = whole(latent->rank, BYTES);
    unsigned char *at = scratch;
    float *floats = scratch;
    if (latent->halves) at += whole(BLOCK * width * 4, 64);
    u8 *woven = (u8 *)at;
    float *scales = (float *)(at += BLOCK / 4 * WOVEN * BYTES);
    float *s = (float *)(at += whole(BLOCK * 4, 64));
    int8_t *codes = (int8_t *)(at += a->queries * BLOCK * 4);
    float *before = (float *)(at += a->queries * 2 * BLOCK);
    float *factors = before + a->queries;
    for (int64_t q = 0; q < a->queries; q++) a->most[q] = -INFINITY, a->total[q] = 0;
    memset(a->context, 0, a->queries * room * sizeof(float));
    for (int64_t start = a->first; start < a->last; start += BLOCK) {
        const int64_t count = least(BLOCK, a->last - start);
        const uint8_t *rows = (const uint8_t *)a->rows + start * row_size(latent);
        if (latent->halves) widen((const uint16_t *)rows, count * width, floats), rows = (const uint8_t *)floats;
        if (latent->bytes) {
            for (int64_t k = 0; k < BLOCK; k++) scales[k] = k < count ? scale_of(rows + k * width) : 0;
            byte_scores(latent, a, rows, count, scales, s);
        } else {
            float_scores(latent, a, (const float *)rows, count, s);
        }
        for (int64_t q = 0; q < a->queries; q++)
            before[q] = soften(s + q * BLOCK, count, a->seen[q] - start, a->mask ? a->mask + start : NULL, a->most + q, a->total + q);
        if (latent->bytes)
            byte_context(latent, a, rows, count, scales, before, s, codes, factors, woven);
        else
            float_context(latent, a, (const float *)rows, count, before, s);
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
