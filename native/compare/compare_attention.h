/* Attention over rows of a latent cache, against softmax in doubles over what the rows mean. */
#include "check.h"

typedef struct {
    Latent latent;
    int64_t keys;
    void *rows;      /* [keys, width] */
    double *numbers; /* the same, as they are read */
    uint8_t *mask;   /* or NULL */
} Cache;

static double power_of(const uint8_t *row) {
    int byte = 0;
    for (int i = 0; i < 8; i++) byte |= (row[i] & 1) << i;
    return exp2(byte / 8.0 - 24);
}

/* The numbers of a row, by what they are kept as. */
enum { OF_FLOATS, OF_BYTES, OF_HALVES, ROW_KINDS };
static const char *const KIND[] = {"float", "byte", "half"};

/* IEEE 754's binary16, by its formula; and the one that says a number of its digits, from 2^-14 on. */
static double meant_by(uint16_t half) {
    const int exponent = half >> 10 & 31, digits = half & 1023;
    const double size = exponent == 31 ? (digits ? NAN : INFINITY) : exponent ? ldexp(1024 + digits, exponent - 25) : ldexp(digits, -24);
    return half >> 15 ? -size : size;
}
static uint16_t half_saying(double number) {
    int exponent;
    const int digits = (int)(frexp(fabs(number), &exponent) * 2048); /* 1024 and ten more */
    return number == 0 ? 0 : (uint16_t)((number < 0) << 15 | (exponent + 14) << 10 | (digits - 1024));
}

static Latent latent_of(int kind, int64_t heads, int64_t nope, int64_t rope, int64_t rank, int64_t value, int64_t part) {
    Latent made = {.heads = heads, .nope = nope, .rope = rope, .rank = rank, .value = value, .width = rank + rope, .part = part};
    made.bytes = kind == OF_BYTES, made.halves = kind == OF_HALVES;
    int8_t *uk = room(heads * rank * nope), *uv = room(heads * rank * value);
    float *uk_offsets = room(heads * rank * 4), *uv_offsets = room(heads * value * 4), *uv_scales = room(heads * value * 4);
    for (int64_t i = 0; i < heads * rank * nope; i++) uk[i] = (int8_t)within(-127, 127);
    for (int64_t i = 0; i < heads * rank * value; i++) uv[i] = (int8_t)within(-127, 127);
    for (int64_t h = 0; h < heads; h++) {
        for (int64_t i = 0; i < rank; i++) {
            int64_t sum = 0;
            for (int64_t n = 0; n < nope; n++) sum += uk[(h * rank + i / part * part) * nope + n * part + i % part];
            uk_offsets[h * rank + i] = (float)(128 * sum);
        }
        for (int64_t v = 0; v < value; v++) {
            int64_t sum = 0;
            for (int64_t i = 0; i < rank; i++) sum += uv[(h * rank + i) * value + v];
            uv_offsets[h * value + v] = (float)(128 * sum);
            uv_scales[h * value + v] = 1.0f / (float)(1 << number(4));
        }
    }
    made.uk = uk, made.uv = uv, made.uk_offsets = uk_offsets, made.uv_offsets = uv_offsets, made.uv_scales = uv_scales;
    return made;
}
static void forget_latent(Latent *latent) {
    free((void *)latent->uk), free((void *)latent->uv), free((void *)latent->uk_offsets), free((void *)latent->uv_offsets);
    free((void *)latent->uv_scales);
}

static double uk_at(const Latent *l, int64_t head, int64_t n, int64_t i) {
    return l->uk[(head * l->rank + i / l->part * l->part) * l->nope + n * l->part + i % l->part];
}
static double uv_at(const Latent *l, int64_t head, int64_t i, int64_t v) {
    return l->uv[(head * l->rank + i) * l->value + v] * (double)l->uv_scales[head * l->value + v];
}

/* Integers up to 127, of which one is 127, so that they are their own bytes. */
static void integers(float *x, int64_t count, float scale) {
    for (int64_t i = 0; i < count; i++) x[i] = (float)within(-127, 127) * scale;
    x[number((uint32_t)count)] = 127 * scale;
}

/* absorb and values are exact for such queries and contexts: sums of integers, times powers of two. */
static void compare_heads(const Kernels *k, const Latent *l) {
    const int64_t count = within(1, 9), head = within(0, l->heads - 1), gap = 5;
    for (int which = 0; which < 2; which++) {
        const int64_t from = which ? l->rank : l->nope, to = which ? l->value : l->rank;
        float *x = room((count * (from + gap) - gap) * 4), *y = room((count * (to + gap) - gap) * 4), *own = room(count * 4);
        uint8_t *codes = room(count * whole(from, 4));
        for (int64_t m = 0; m < count; m++) integers(x + m * (from + gap), from, 0.25f);
        (which ? k->values : k->absorb)(l, head, x, from + gap, count, y, to + gap, codes, own);
        for (int64_t m = 0; m < count; m++)
            for (int64_t j = 0; j < to; j++) {
                double sum = 0;
                for (int64_t i = 0; i < from; i++) sum += x[m * (from + gap) + i] * (which ? uv_at(l, head, i, j) : uk_at(l, head, i, j));
                same(y[m * (to + gap) + j], sum, 0, "%s %s of %d and %d, [%d][%d]", k->name, which ? "values" : "absorb", (int)from, (int)to,
                     (int)m, (int)j);
            }
        free(x), free(y), free(own), free(codes);
    }
}

/* Rows of a byte cache: the bytes of plain C, and what they mean within half a step, or a whole one where the scale is kept. */
static void compare_to_row(const Kernels *k, const Kernels *plain) {
    static const float sizes[] = {0, 1e-9f, 1e-3f, 1, 77, 1e4f, 1e9f};
    for (int i = 0; i < 7; i++) {
        const int64_t width = within(8, 90);
        float *x = room(width * 4);
        uint8_t *row = room(width), *expected = room(width);
        for (int64_t j = 0; j < width; j++) x[j] = fraction() * sizes[i];
        k->to_row(x, width, row), plain->to_row(x, width, expected);
        const double step = power_of(row), furthest = 126.999 * step;
        for (int64_t j = 0; j < width; j++) {
            const double clipped = fmax(-furthest, fmin(furthest, x[j]));
            same(row[j], expected[j], 0, "%s to_row[%d]", k->name, (int)j);
            same((row[j] - 128.0) * step, clipped, (j < 8 ? 1.001 : 0.501) * step, "%s meaning of to_row[%d]", k->name, (int)j);
        }
        const float scale = k->to_bytes(x, width - 3, row, width);
        for (int64_t j = 0; j < width; j++)
            same((row[j] - 128.0) * scale, j < width - 3 ? x[j] : 0, 0.501 * scale, "%s to_bytes[%d]", k->name, (int)j);
        free(x), free(row), free(expected);
    }
}

/* All halves, those among which there is no number as well; and so many of them as are no whole vectors. */
static void compare_widen(const Kernels *k) {
    uint16_t *halves = room(2 << 16);
    float *floats = room(4 << 16);
    for (int i = 0; i < 1 << 16; i++) halves[i] = (uint16_t)i;
    k->widen(halves, 1 << 16, floats);
    for (int i = 0; i < 1 << 16; i++) {
        const double expected = meant_by((uint16_t)i);
        const int alike = isnan(expected) ? isnan(floats[i]) : floats[i] == (float)expected && !signbit(floats[i]) == !signbit(expected);
        same(alike, 1, 0, "%s widen(%04x)", k->name, i);
    }
    free(floats), floats = room(4 * 13), k->widen(halves + 12345, 13, floats);
    for (int i = 0; i < 13; i++) same(floats[i], meant_by(halves[12345 + i]), 0, "%s widen of 13, [%d]", k->name, i);
    free(halves), free(floats);
}

static Cache cache_of(const Latent *l, const Kernels *plain, int64_t keys, int masked) {
    Cache made = {.latent = *l, .keys = keys, .rows = room(keys * row_size(l)), .numbers = room(keys * l->width * 8)};
    float *row = room(l->width * 4);
    for (int64_t t = 0; t < keys; t++) {
        integers(row, l->rank, 1.0f / 256); /* floats that attend_head's bytes hold exactly */
        for (int64_t i = l->rank; i < l->width; i++) row[i] = fraction() / 2;
        uint8_t *bytes = (uint8_t *)made.rows + t * l->width;
        if (l->bytes) {
            plain->to_row(row, l->width, bytes);
        } else if (l->halves) {
            uint16_t *halves = (uint16_t *)made.rows + t * l->width;
            for (int64_t i = 0; i < l->width; i++) {
                if (i >= l->rank) row[i] = (float)within(-1024, 1024) / 2048;
                halves[i] = half_saying(row[i]);
            }
        } else
            memcpy((float *)made.rows + t * l->width, row, (size_t)l->width * 4);
        for (int64_t i = 0; i < l->width; i++) made.numbers[t * l->width + i] = l->bytes ? (bytes[i] - 128.0) * power_of(bytes) : row[i];
    }
    free(row);
    if (masked) {
        made.mask = room(keys);
        for (int64_t t = 0; t < keys; t++) made.mask[t] = number(4) != 0;
    }
    return made;
}

/* Scores [keys] → weights; all are 0 where nothing is seen. */
static void weigh(const Cache *c, int64_t seen, double *s) {
    double most = -INFINITY, total = 0;
    for (int64_t t = 0; t < c->keys; t++)
        if (t >= seen || (c->mask && !c->mask[t])) s[t] = -INFINITY;
    for (int64_t t = 0; t < c->keys; t++) most = s[t] > most ? s[t] : most;
    for (int64_t t = 0; t < c->keys; t++) total += s[t] = most == -INFINITY ? 0 : exp(s[t] - most);
    for (int64_t t = 0; t < c->keys; t++) s[t] = total > 0 ? s[t] / total : 0;
}

/* How far sums of column i may be from the true ones. Over float rows, by float rounding. Over byte rows, weights are bytes as well:
 * each may be off by a 126th of its block's largest where that is below a 32nd of all, and by half a 16256th where it is not. Blocks
 * begin with a range of `step` keys. */
static double bound_of(const Cache *c, const double *weights, int64_t step, int64_t i) {
    const Latent *l = &c->latent;
    double bound = 2e-6;
    for (int64_t start = 0, stop; start < c->keys && l->bytes; start = stop) {
        stop = start + ATTENTION_BLOCK, stop = stop < start / step * step + step ? stop : start / step * step + step;
        double heaviest = 0, most = 0, codes = 0;
        for (int64_t t = start; t < c->keys && t < stop; t++) {
            const uint8_t *row = (const uint8_t *)c->rows + t * l->width;
            heaviest = fmax(heaviest, weights[t]), most = fmax(most, weights[t] * power_of(row)), codes += fabs(row[i] - 128.0);
        }
        bound += codes * most / (heaviest < 1.0 / 31 ? 126 : 2 * 16256);
    }
    return bound;
}

/* attend over ranges of keys, and merge. */
static void compare_absorbed(const Kernels *k, const Cache *c, int64_t queries) {
    const Latent *l = &c->latent;
    const int64_t vector = 4 * k->lanes, codes_room = whole(l->width, vector), context_room = whole(l->rank, vector);
    const int64_t ranges = within(1, 3), step = whole((c->keys + ranges - 1) / ranges, k->lanes);
    int64_t *seen = room(queries * 8);
    float *floats = room(queries * l->width * 4), *scales = room(queries * 4), *y = room(l->rank * 4);
    int8_t *codes = room(queries * codes_room);
    int32_t *sums = room(queries * 4);
    float *most = room(ranges * queries * 4), *total = room(ranges * queries * 4);
    void *all[2];
    float *contexts = scratch(ranges * queries * context_room * 4, &all[0]);
    for (int64_t q = 0; q < queries; q++) {
        for (int64_t i = 0; i < l->width; i++) floats[q * l->width + i] = fraction() * (float)(q % 3) / 2;
        scales[q] = k->to_bytes(floats + q * l->width, l->width, (uint8_t *)codes + q * codes_room, codes_room);
        sums[q] = 0, seen[q] = q == 1 ? 0 : within(1, c->keys);
        for (int64_t i = 0; i < codes_room; i++) codes[q * codes_room + i] ^= -128, sums[q] += codes[q * codes_room + i];
    }
    void *own = scratch(k->attend_scratch(l, queries), &all[1]);
    for (int64_t r = 0; r < ranges; r++) {
        const Attend a = {
            .queries = queries, .first = r * step < c->keys ? r * step : c->keys, .last = (r + 1) * step < c->keys ? (r + 1) * step : c->keys,
            .rows = c->rows, .mask = c->mask, .seen = seen, .floats = floats, .codes = codes, .scales = scales, .sums = sums,
            .most = most + r * queries, .total = total + r * queries, .context = contexts + r * queries * context_room,
        };
        k->attend(l, &a, own);
    }
    double *s = room(c->keys * 8);
    for (int64_t q = 0; q < queries; q++) {
        for (int64_t t = 0; t < c->keys; t++) {
            s[t] = 0;
            for (int64_t i = 0; i < l->width; i++)
                s[t] += c->numbers[t * l->width + i] * (l->bytes ? codes[q * codes_room + i] * (double)scales[q] : floats[q * l->width + i]);
        }
        weigh(c, seen[q], s);
        k->merge(l, ranges, most + q, total + q, queries, contexts + q * context_room, queries * context_room, y);
        for (int64_t i = 0; i < l->rank; i++) {
            double expected = 0;
            for (int64_t t = 0; t < c->keys; t++) expected += s[t] * c->numbers[t * l->width + i];
            same(y[i], expected, bound_of(c, s, step, i), "%s attend, %s rows, %d queries over %d keys, rank %d, [%d][%d]", k->name,
                 KIND[l->bytes ? OF_BYTES : l->halves ? OF_HALVES : OF_FLOATS], (int)queries, (int)c->keys, (int)l->rank, (int)q, (int)i);
        }
    }
    free(seen), free(floats), free(scales), free(y), free(codes), free(sums), free(most), free(total), free(all[0]), free(all[1]), free(s);
}

/* The expanded order: prepare_block and attend_head, within float rounding. */
static void compare_expanded(const Kernels *k, const Cache *c, int64_t count) {
    const Latent *l = &c->latent;
    const int64_t blocks = (c->keys + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK, wide = l->nope + l->rope, stride = l->heads * l->value;
    const int64_t head = within(0, l->heads - 1), seen = c->keys - count + 1, size = k->block_size(l);
    void *all[2];
    unsigned char *prepared = scratch(blocks * size, &all[0]);
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t start = b * ATTENTION_BLOCK, there = c->keys - start < ATTENTION_BLOCK ? c->keys - start : ATTENTION_BLOCK;
        const void *rows = (const unsigned char *)c->rows + start * row_size(l);
        float *floats = room(there * l->width * 4);
        if (l->halves) k->widen(rows, there * l->width, floats), rows = floats;
        k->prepare_block(l, rows, there, prepared + b * size);
        free(floats);
    }
    float *q = room(count * wide * 4), *y = room((count * stride - (stride - l->value)) * 4);
    for (int64_t i = 0; i < count * wide; i++) q[i] = fraction() / (i % wide < l->nope ? 400 : 1);
    void *own = scratch(k->head_scratch(l, count), &all[1]);
    k->attend_head(l, head, q, count, seen, c->mask, prepared, c->keys, y, stride, own);
    double *keys = room(c->keys * wide * 8), *made = room(c->keys * l->value * 8), *s = room(c->keys * 8);
    for (int64_t t = 0; t < c->keys; t++) {
        const double *row = c->numbers + t * l->width;
        for (int64_t n = 0; n < wide; n++) {
            keys[t * wide + n] = n < l->nope ? 0 : row[l->rank + n - l->nope];
            for (int64_t i = 0; i < l->rank && n < l->nope; i++) keys[t * wide + n] += row[i] * uk_at(l, head, n, i);
        }
        for (int64_t v = 0; v < l->value; v++) {
            made[t * l->value + v] = 0;
            for (int64_t i = 0; i < l->rank; i++) made[t * l->value + v] += row[i] * uv_at(l, head, i, v);
        }
    }
    for (int64_t i = 0; i < count; i++) {
        for (int64_t t = 0; t < c->keys; t++) {
            s[t] = 0;
            for (int64_t n = 0; n < wide; n++) s[t] += q[i * wide + n] * keys[t * wide + n];
        }
        weigh(c, seen + i, s);
        for (int64_t v = 0; v < l->value; v++) {
            double expected = 0, sum = 0;
            for (int64_t t = 0; t < c->keys; t++) expected += s[t] * made[t * l->value + v], sum += s[t] * fabs(made[t * l->value + v]);
            same(y[i * stride + v], expected, 2e-5 * sum + 1e-6, "%s attend_head, %s rows, %d queries over %d keys, rank %d, value %d, [%d][%d]",
                 k->name, KIND[l->bytes ? OF_BYTES : l->halves ? OF_HALVES : OF_FLOATS], (int)count, (int)c->keys, (int)l->rank, (int)l->value, (int)i, (int)v);
        }
    }
    free(all[0]), free(all[1]), free(q), free(y), free(keys), free(made), free(s);
}

static void compare_attention(const Kernels *const sets[], int count, const Kernels *plain) {
    static const struct {
        int64_t heads, nope, rope, rank, value, part;
    } shapes[] = {{2, 8, 4, 16, 8, 16}, {3, 13, 6, 24, 10, 12}, {1, 16, 8, 72, 24, 36}, {2, 33, 2, 100, 65, 20}, {2, 128, 64, 512, 128, 256}};
    static const int keys[] = {1, 5, 63, 64, 65, 150}, queries[] = {1, 2, 3, 16, 17, 64};
    for (int shape = 0; shape < 5; shape++)
        for (int kind = 0; kind < ROW_KINDS; kind++) {
            Latent l = latent_of(kind, shapes[shape].heads, shapes[shape].nope, shapes[shape].rope, shapes[shape].rank, shapes[shape].value, shapes[shape].part);
            for (int i = 0; i < count && kind != OF_HALVES; i++) compare_heads(sets[i], &l); /* which know nothing of rows */
            for (int j = 0; j < (shape == 4 ? kind != OF_HALVES ? 2 : 0 : 6); j++) {
                Cache c = cache_of(&l, plain, shape == 4 ? 70 : keys[j], j % 2);
                const int64_t asked = shape == 4 ? 17 : queries[number(6)], new = within(1, c.keys < 60 ? c.keys : 60);
                for (int i = 0; i < count; i++) {
                    compare_absorbed(sets[i], &c, asked);
                    if (l.part % 4 == 0) compare_expanded(sets[i], &c, shape == 4 && new > 8 ? 8 : new);
                }
                free(c.rows), free(c.numbers), free(c.mask);
            }
            forget_latent(&l);
        }
    for (int i = 0; i < count; i++) compare_to_row(sets[i], plain), compare_widen(sets[i]);
}
