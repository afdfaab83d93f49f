/* The expanded order: keys and values of each head are made from the rows for the time of a step, a block of keys at a time.
 * Included by an instruction set behind attention_kernels.h.
 *
 * What all heads need of a block is prepared once: the latent's codes turned so that lanes are keys, their scales, and the rotated
 * keys as floats, turned too.
 */
#include "kernels.h"

enum { BLOCK = ATTENTION_BLOCK, PARTS = BLOCK / LANES };
enum { SIDE = 4, TALL = LANES == 8 ? 2 : LANES == 4 ? 4 : 6 }; /* vectors of keys or columns, and rows, that are summed at once */
enum { GROUPS = PARTS / SIDE, SHARE = 48 };                   /* SHARE: queries whose scores are in memory at once */

INLINE int64_t quads_of(const Latent *latent) { return whole(latent->rank, BYTES) / 4; }
static int64_t block_size(const Latent *latent) { return quads_of(latent) * BLOCK * 4 + BLOCK * 4 + latent->rope * BLOCK * 4; }

/* A block of up to BLOCK rows → codes [PARTS][quads] of LANES keys, scales [BLOCK], rotated keys [R][BLOCK]. */
static void prepare_block(const Latent *latent, const void *rows, int64_t count, void *to) {
    const int64_t rank = latent->rank, rope = latent->rope, width = latent->width, quads = quads_of(latent);
    u8 *codes = to;
    float *scales = (float *)(codes + PARTS * quads), *turned = scales + BLOCK;
    uint8_t made[LANES][BYTES];
    for (int64_t k = 0; k < BLOCK; k++) scales[k] = 0;
    for (int part = 0; part < PARTS; part++) {
        float inverse[LANES];
        for (int k = 0; k < LANES; k++) {
            const int64_t key = part * LANES + k;
            inverse[k] = 0;
            if (key >= count) continue;
            if (latent->bytes) {
                scales[key] = scale_of((const uint8_t *)rows + key * width);
            } else {
                const float *row = (const float *)rows + key * width;
                float most = 0;
                for (int64_t i = 0; i < rank; i++) most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
                scales[key] = most > 1e-28f ? most / 127 : 1e-30f;
                inverse[k] = most > 1e-28f ? 127 / most : 0;
            }
        }
        for (int64_t at = 0; at < rank; at += BYTES) {
            i32 v[LANES];
            for (int k = 0; k < LANES; k++) {
                const int64_t key = part * LANES + k;
                memset(made[k], 0, BYTES);
                if (key >= count) {
                } else if (latent->bytes) {
                    memcpy(made[k], (const uint8_t *)rows + key * width + at, least(BYTES, rank - at));
                } else {
                    const float *row = (const float *)rows + key * width + at;
                    for (int64_t i = 0; i < least(BYTES, rank - at); i++) made[k][i] = (uint8_t)(int)(row[i] * inverse[k] + 128.5f);
                }
                v[k] = load_i32(made[k]);
            }
            transpose(v);
            for (int i = 0; i < LANES; i++) codes[part * quads + at / 4 + i] = (u8)v[i];
        }
    }
    for (int64_t i = 0; i < rope; i++)
        for (int64_t key = 0; key < BLOCK; key++) {
            float x = 0;
            if (key < count)
                x = latent->bytes ? scales[key] * ((float)((const uint8_t *)rows)[key * width + rank + i] - 128)
                                  : ((const float *)rows)[key * width + rank + i];
            turned[i * BLOCK + key] = x;
        }
}

/* Keys of a head, turned [N][BLOCK], of a prepared block. `sums` [N]: of the codes of W_UK's rows, times 128 - BIAS. */
static void make_keys(const Latent *latent, int64_t head, const u8 *codes, const float *scales, const int32_t *sums, float *keys) {
    const int64_t nope = latent->nope, quads = quads_of(latent), part = latent->part;
    for (int group = 0; group < GROUPS; group++) {
        const u8 *from = codes + group * SIDE * quads;
        int64_t n = 0;
#define SOME(M)                                                                                                              \
    {                                                                                                                        \
        i32 made[M * SIDE];                                                                                                  \
        UNROLL for (int i = 0; i < M * SIDE; i++) made[i] = (i32){0} - sums[n + i / SIDE];                                   \
        for (int64_t at = 0; at < latent->rank; at += part) {                                                                \
            const int8_t *w = latent->uk + (head * latent->rank + at) * nope + n * part;                                     \
            for (int64_t k = 0; k < part / 4; k++) {                                                                         \
                u8 four[SIDE];                                                                                               \
                UNROLL for (int j = 0; j < SIDE; j++) four[j] = from[j * quads + at / 4 + k];                                \
                UNROLL for (int m = 0; m < M; m++) {                                                                         \
                    const s8 x = splat4(w + m * part + 4 * k);                                                               \
                    UNROLL for (int j = 0; j < SIDE; j++) made[m * SIDE + j] = dot4(made[m * SIDE + j], four[j], x);         \
                }                                                                                                            \
            }                                                                                                                \
        }                                                                                                                    \
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < SIDE; j++) {                                           \
            const int64_t key = (group * SIDE + j) * LANES;                                                                  \
            store_f32(keys + (n + m) * BLOCK + key, to_f32(made[m * SIDE + j]) * load_f32(scales + key));                    \
        }                                                                                                                    \
    }
        for (; n + TALL <= nope; n += TALL) SOME(TALL)
        for (; n < nope; n++) SOME(1)
#undef SOME
    }
}

/* Values of a head [BLOCK][padded V] in woven order, of a prepared block; `w` W_UV woven [V in vectors][quads][WOVEN]. */
static void make_values(const Latent *latent, const u8 *codes, const float *scales, int64_t count, const u8 *w, const f32 *offsets,
                        const f32 *times, float *made_values) {
    const int64_t quads = quads_of(latent), fours = (latent->rank + 3) / 4, room = whole(latent->value, BYTES);
    for (int64_t at = 0; at < room / BYTES; at++) {
        const u8 *columns = w + at * fours * WOVEN;
        int64_t t = 0;
#define SOME(M)                                                                                                              \
    {                                                                                                                        \
        i32 made[M * WOVEN];                                                                                                 \
        const int8_t *x[M];                                                                                                  \
        UNROLL for (int i = 0; i < M * WOVEN; i++) made[i] = (i32){0};                                                       \
        UNROLL for (int m = 0; m < M; m++)                                                                                   \
            x[m] = (const int8_t *)(codes + (t + m) / LANES * quads) + (t + m) % LANES * 4;                                  \
        for (int64_t k = 0; k < fours; k++) {                                                                                \
            UNROLL for (int m = 0; m < M; m++) {                                                                             \
                const u8 four = (u8)splat4(x[m] + k * BYTES);                                                                \
                UNROLL for (int j = 0; j < WOVEN; j++)                                                                       \
                    made[m * WOVEN + j] = dot4(made[m * WOVEN + j], four, (s8)columns[k * WOVEN + j]);                       \
            }                                                                                                                \
        }                                                                                                                    \
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < WOVEN; j++)                                            \
            store_f32(made_values + (t + m) * room + at * BYTES + j * LANES,                                                 \
                      (to_f32(made[m * WOVEN + j]) - offsets[at * WOVEN + j]) * times[at * WOVEN + j] * scales[t + m]);      \
    }
        for (; t + 4 <= count; t += 4) SOME(4)
        for (; t < count; t++) SOME(1)
#undef SOME
    }
}

/* s[q][BLOCK] of `count` queries [count, N + R]. */
static void head_scores(const Latent *latent, const float *q, int64_t count, const float *keys, const float *rotated, float *s) {
    const int64_t nope = latent->nope, width = nope + latent->rope;
    for (int group = 0; group < GROUPS; group++) {
        const int64_t key = group * SIDE * LANES;
        int64_t at = 0;
#define SOME(M)                                                                                                              \
    {                                                                                                                        \
        f32 sums[M * SIDE];                                                                                                  \
        UNROLL for (int i = 0; i < M * SIDE; i++) sums[i] = splat(0);                                                        \
        for (int64_t k = 0; k < width; k++) {                                                                                \
            const float *from = (k < nope ? keys + k * BLOCK : rotated + (k - nope) * BLOCK) + key;                          \
            f32 row[SIDE];                                                                                                   \
            UNROLL for (int j = 0; j < SIDE; j++) row[j] = load_f32(from + j * LANES);                                       \
            UNROLL for (int m = 0; m < M; m++) {                                                                             \
                const f32 x = splat(q[(at + m) * width + k]);                                                                \
                UNROLL for (int j = 0; j < SIDE; j++) sums[m * SIDE + j] = plus(sums[m * SIDE + j], row[j], x);               \
            }                                                                                                                \
        }                                                                                                                    \
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < SIDE; j++)                                             \
            store_f32(s + (at + m) * BLOCK + key + j * LANES, sums[m * SIDE + j]);                                           \
    }
        for (; at + TALL <= count; at += TALL) SOME(TALL)
        for (; at < count; at++) SOME(1)
#undef SOME
    }
}

/* y[q][padded V] = y · before + s · values */
static void head_context(const Latent *latent, const float *s, int64_t count, const float *before, const float *made_values, int64_t keys,
                         float *y) {
    const int64_t room = whole(latent->value, BYTES);
    for (int64_t column = 0; column < room; column += BYTES) {
        int64_t at = 0;
#define SOME(M)                                                                                                              \
    {                                                                                                                        \
        f32 sums[M * SIDE];                                                                                                  \
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < SIDE; j++)                                             \
            sums[m * SIDE + j] = load_f32(y + (at + m) * room + column + j * LANES) * before[at + m];                        \
        for (int64_t t = 0; t < keys; t++) {                                                                                 \
            f32 row[SIDE];                                                                                                   \
            UNROLL for (int j = 0; j < SIDE; j++) row[j] = load_f32(made_values + t * room + column + j * LANES);            \
            UNROLL for (int m = 0; m < M; m++) {                                                                             \
                const f32 x = splat(s[(at + m) * BLOCK + t]);                                                                \
                UNROLL for (int j = 0; j < SIDE; j++) sums[m * SIDE + j] = plus(sums[m * SIDE + j], row[j], x);               \
            }                                                                                                                \
        }                                                                                                                    \
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < SIDE; j++)                                             \
            store_f32(y + (at + m) * room + column + j * LANES, sums[m * SIDE + j]);                                         \
    }
        for (; at + TALL <= count; at += TALL) SOME(TALL)
        for (; at < count; at++) SOME(1)
#undef SOME
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
        const f32 weight = weight_of(load_f32(s + part * LANES) - now);
        store_f32(s + part * LANES, weight);
        sums += weight;
    }
    const float before = *most == -INFINITY ? 0 : expf(*most - now);
    *total = *total * before + sum(sums);
    *most = now;
    return before;
}

static int64_t head_scratch(const Latent *latent, int64_t queries) {
    const int64_t room = whole(latent->value, BYTES), fours = (latent->rank + 3) / 4;
    return fours * room * 4 + 2 * room * 4 + whole(latent->nope * 4, 64) + latent->nope * BLOCK * 4 + BLOCK * room * 4 +
           SHARE * BLOCK * 4 + queries * room * 4 + whole(queries * 8, 64) + whole(SHARE * 4, 64);
}

/* Queries [count, N + R] of a head, of which query i sees keys below seen + i, over prepared blocks of `keys` keys; y [count, V],
 * y_stride apart. */
static void attend_head(const Latent *latent, int64_t head, const float *q, int64_t count, int64_t seen, const uint8_t *mask,
                        const void *blocks, int64_t keys, float *y, int64_t y_stride, void *scratch) {
    const int64_t room = whole(latent->value, BYTES), fours = (latent->rank + 3) / 4, value = latent->value, nope = latent->nope;
    unsigned char *at = scratch;
    u8 *w = (u8 *)at;
    f32 *offsets = (f32 *)(at += fours * room * 4), *times = (f32 *)(at += room * 4);
    int32_t *sums = (int32_t *)(at += room * 4);
    float *turned = (float *)(at += whole(nope * 4, 64));
    float *made_values = (float *)(at += nope * BLOCK * 4);
    float *s = (float *)(at += BLOCK * room * 4);
    float *contexts = (float *)(at += SHARE * BLOCK * 4);
    float *most = (float *)(at += count * room * 4), *total = most + count;
    float *before = (float *)(at += whole(count * 8, 64));

    const int8_t *uv = latent->uv + head * latent->rank * value;
    for (int64_t column = 0; column < room; column += BYTES) {
        for (int64_t k = 0; k < fours; k++) {
            weave_some(uv + 4 * k * value + column, value, latent->rank - 4 * k, value - column, w + (column / BYTES * fours + k) * WOVEN);
        }
        weave_floats(latent->uv_offsets + head * value + column, offsets + column / LANES, value - column);
        weave_floats(latent->uv_scales + head * value + column, times + column / LANES, value - column);
        for (int j = 0; j < WOVEN; j++) offsets[column / LANES + j] *= (128 - BIAS) / 128.0f;
    }
    for (int64_t n = 0; n < nope; n++) {
        sums[n] = 0;
        for (int64_t i = 0; i < latent->rank; i++)
            sums[n] += latent->uk[(head * latent->rank + i / latent->part * latent->part) * nope + n * latent->part + i % latent->part];
        sums[n] *= 128 - BIAS;
    }
    memset(contexts, 0, count * room * sizeof(float));
    for (int64_t i = 0; i < count; i++) most[i] = -INFINITY, total[i] = 0;
    for (int64_t start = 0; start < keys; start += BLOCK) {
        const int64_t there = least(BLOCK, keys - start);
        const u8 *codes = (const u8 *)((const unsigned char *)blocks + start / BLOCK * block_size(latent));
        const float *scales = (const float *)(codes + PARTS * quads_of(latent)), *rotated = scales + BLOCK;
        make_keys(latent, head, codes, scales, sums, turned);
        make_values(latent, codes, scales, there, w, offsets, times, made_values);
        for (int64_t first = 0; first < count; first += SHARE) {
            const int64_t some = least(SHARE, count - first);
            if (seen + first + some - 1 <= start) continue; /* none of them sees a key of this block */
            head_scores(latent, q + first * (nope + latent->rope), some, turned, rotated, s);
            for (int64_t i = 0; i < some; i++)
                before[i] = soften(s + i * BLOCK, there, seen + first + i - start, mask ? mask + start : NULL, most + first + i, total + first + i);
            head_context(latent, s, some, before, made_values, there, contexts + first * room);
        }
    }
    for (int64_t i = 0; i < count; i++) {
        const float inverse = total[i] > 0 ? 1 / total[i] : 0;
        for (int64_t column = 0; column < room; column += BYTES) {
            f32 made[WOVEN];
            for (int j = 0; j < WOVEN; j++) made[j] = load_f32(contexts + i * room + column + j * LANES) * inverse;
            unweave(made, y + i * y_stride + column, value - column);
        }
    }
}
