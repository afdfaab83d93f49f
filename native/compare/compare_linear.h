/* Products of quantized rows with quantized matrices, against sums in doubles of what the bytes mean. */
#include "check.h"
#include "halves.h"

/* Numbers of a kind: EXACT ones are integers that every order of adding keeps exactly; EXTREME ones are as large as they get;
 * ANY are fractions, of which the quantization is part of what is compared. */
enum { EXACT, EXTREME, ANY, KINDS };

typedef struct {
    Matrix w;
    int64_t count;
    int kind;
    float *x;         /* [count, columns] */
    double *expected; /* [count, rows] */
    double *bound;
} Product;

static double code_of(const Matrix *w, int64_t n, int64_t k) {
    const uint8_t *row = w->codes + n * w->stride;
    const int64_t g = k / w->block;
    double zero = w->bits == 4 ? 8 : 128;
    if (w->zeros && w->bits == 4) zero = w->zeros[n * w->zero_stride + g / 2] >> (g % 2 ? 4 : 0) & 15;
    if (w->zeros && w->bits == 8) zero = w->zeros[n * w->zero_stride + g];
    return (w->bits == 4 ? row[k / 2] >> (k % 2 ? 4 : 0) & 15 : row[k]) - zero;
}

static void fill_row(const Matrix *w, float *x, int kind) {
    for (int64_t g = 0; g < w->groups; g++) {
        const int64_t start = g * w->block, stop = start + w->block < w->columns ? start + w->block : w->columns;
        const int64_t largest = within(start, stop - 1);
        const float scale = kind == EXTREME ? 1 : (float)(1 << number(2));
        const int nothing = number(8) == 0;
        for (int64_t k = start; k < stop; k++) {
            if (kind == ANY) x[k] = nothing ? 0 : fraction() * 3;
            if (kind == EXTREME) x[k] = number(2) ? 127 : -127;
            if (kind == EXACT) x[k] = (k == largest ? 127 : (float)within(-7, 7)) * scale;
        }
    }
}

/* What y is, and by how much it may differ: by float rounding, and by a step where a number lies between two of its bytes. */
static void expect(Product *p) {
    const Matrix *w = &p->w;
    for (int64_t m = 0; m < p->count; m++)
        for (int64_t n = 0; n < w->rows; n++) {
            double sum = 0, size = 0, ties = 0;
            for (int64_t g = 0; g < w->groups; g++) {
                const float *x = p->x + m * w->columns;
                const int64_t start = g * w->block, stop = start + w->block < w->columns ? start + w->block : w->columns;
                double most = 0, part = 0;
                for (int64_t k = start; k < stop; k++) most = fabs(x[k]) > most ? fabs(x[k]) : most;
                for (int64_t k = start; k < stop && most > 0; k++) {
                    const double at = x[k] * 127 / most, code = nearbyint(at), c = code_of(w, n, k);
                    part += c * code;
                    size += 255 * fabs(code) * most / 127 * w->scales[n * w->groups + g];
                    if (fabs(fabs(at - floor(at)) - 0.5) < 1e-4) ties += fabs(c) * most / 127 * w->scales[n * w->groups + g];
                }
                sum += part * most / 127 * w->scales[n * w->groups + g];
            }
            p->expected[m * w->rows + n] = sum;
            p->bound[m * w->rows + n] = p->kind == ANY ? ties + 1e-6 * size : 0;
        }
}

/* What a half holds of a number. */
static float short_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= ~UINT32_C(0x1fff);
    memcpy(&x, &bits, sizeof x);
    return x;
}

static Product product_of(int bits, int block, int64_t columns, int64_t rows, int64_t count, int zeros, int kind) {
    Matrix w = {.rows = rows, .columns = columns, .bits = bits, .block = block, .groups = (columns + block - 1) / block};
    w.stride = w.groups * block * bits / 8;
    w.zero_stride = bits == 4 ? (w.groups + 1) / 2 : w.groups;
    uint8_t *codes = room(rows * w.stride), *zero = room(rows * w.zero_stride);
    float *scales = room(rows * w.groups * 4);
    for (int64_t i = 0; i < rows * w.stride; i++) codes[i] = kind == EXTREME ? (number(8) ? 255 : 0) : (uint8_t)number(256);
    for (int64_t i = 0; i < rows * w.zero_stride; i++) zero[i] = (uint8_t)number(256);
    for (int64_t i = 0; i < rows * w.groups; i++) scales[i] = kind == ANY ? 0.01f + fabsf(fraction()) : kind == EXACT ? (float)(1 << number(2)) : 1;
    for (int64_t i = 0; i < rows * w.groups; i++) scales[i] = short_of(scales[i]);
    const int64_t offset = halves_offset(scales, rows * w.groups);
    uint16_t *halves = room((rows * w.groups + MOST_LANES) * 2);
    same(offset >= 0, 1, 0, "scales have halves");
    make_halves(scales, rows * w.groups, offset, halves);
    w.codes = codes, w.scales = scales, w.halves = halves, w.unit = halves_unit(offset), w.zeros = zeros ? zero : NULL;
    if (!zeros) free(zero);
    Product p = {.w = w, .count = count, .kind = kind, .x = room(count * columns * 4)};
    p.expected = room(count * rows * 8), p.bound = room(count * rows * 8);
    for (int64_t m = 0; m < count; m++) fill_row(&w, p.x + m * columns, kind);
    expect(&p);
    return p;
}

static void forget(Product *p) {
    free((void *)p->w.codes), free((void *)p->w.scales), free((void *)p->w.halves), free((void *)p->w.zeros);
    free(p->x), free(p->expected), free(p->bound);
}

/* `few` gives a row the same bits in any company: rows of `together` [count, width] are those that each row has alone. */
static void compare_alone(const Kernels *k, const Product *p, const float *together, int64_t width) {
    const Matrix *w = &p->w;
    Activations a = {.count = 1, .stride = k->stride(w), .room = whole(w->groups, MOST_LANES), .spread = k->spread(w)};
    a.codes = room(a.stride), a.scales = room(a.room * 4), a.sums = room(a.room * 4), a.lanes = room(a.spread * 4);
    float *y = room(w->rows * 4);
    for (int64_t m = 0; m < p->count; m++) {
        k->quantize(w, p->x + m * w->columns, &a, 0);
        k->few(w, &a, 0, w->rows, y, w->rows);
        for (int64_t n = 0; n < w->rows; n++)
            same(y[n], together[m * width + n], 0, "%s few, %d bits, blocks of %d, %d × %d: row %d of %d alone, y[%d]", k->name, w->bits, w->block,
                 (int)w->rows, (int)w->columns, (int)m, (int)p->count, (int)n);
    }
    free(a.codes), free(a.scales), free(a.sums), free(a.lanes), free(y);
}

static void compare_product(const Kernels *k, const Product *p, int many) {
    const Matrix *w = &p->w;
    Activations a = {.count = p->count, .stride = k->stride(w), .room = whole(w->groups, MOST_LANES), .spread = k->spread(w)};
    void *all[2];
    a.codes = scratch(a.count * a.stride, &all[0]), a.scales = room(a.count * a.room * 4), a.sums = room(a.count * a.room * 4);
    a.lanes = room(a.count * a.spread * 4);
    for (int64_t m = 0; m < a.count; m++) k->quantize(w, p->x + m * w->columns, &a, m);
    const int64_t width = w->rows + 3;
    float *y = room(a.count * width * 4);
    for (int64_t i = 0; i < a.count * width; i++) y[i] = -1;
    void *own = scratch(many ? k->many_scratch(w) : 0, &all[1]);
    const int64_t piece = many ? k->strip : within(1, w->rows);
    for (int64_t first = 0; first < w->rows; first += piece) {
        const int64_t last = first + piece < w->rows ? first + piece : w->rows;
        if (many)
            k->many(w, &a, first, last, y + first, width, own);
        else
            k->few(w, &a, first, last, y + first, width);
    }
    for (int64_t m = 0; m < a.count; m++)
        for (int64_t n = 0; n < width; n++) {
            const int there = n < w->rows;
            same(y[m * width + n], there ? p->expected[m * w->rows + n] : -1, there ? p->bound[m * w->rows + n] : 0,
                 "%s %s, %d bits, blocks of %d, %d × %d, %szero points, numbers %d, y[%d][%d]", k->name, many ? "many" : "few", w->bits,
                 w->block, (int)w->rows, (int)w->columns, w->zeros ? "" : "no ", p->kind, (int)m, (int)n);
        }
    if (!many) compare_alone(k, p, y, width);
    free(all[0]), free(all[1]), free(a.scales), free(a.sums), free(a.lanes), free(y);
}

static void compare_linear(const Kernels *const sets[], int count) {
    static const int blocks[] = {16, 32, 64, 128, 256};
    static const int counts[] = {1, 2, 3, 4, 5, 7, 8, 13};
    for (int bits = 4; bits <= 8; bits += 4)
        for (int b = 0; b < 5; b++)
            for (int shape = 0; shape < 6; shape++)
                for (int kind = 0; kind < KINDS; kind++) {
                    const int64_t columns[] = {1, blocks[b], 2 * blocks[b] - 5, 3 * blocks[b] + 1, 500, 512};
                    const int64_t wide = kind == ANY && shape == 5 ? 1100 : columns[shape];
                    if (wide > 516 && kind != ANY) continue; /* sums would not be exact */
                    const int64_t rows = within(1, 70), some = counts[number(8)], zeros = number(2);
                    Product p = product_of(bits, blocks[b], wide, rows, some, (int)zeros, kind);
                    const uint16_t *halves = p.w.halves;
                    for (int i = 0; i < 2 * count; i++) {
                        p.w.halves = i % 2 ? halves : NULL;
                        compare_product(sets[i / 2], &p, 0), compare_product(sets[i / 2], &p, 1);
                    }
                    forget(&p);
                }
}

/* Halves are the numbers that they were made of; and none are made of what they would lose. */
static void compare_halves(void) {
    enum { COUNT = 500 };
    float scales[COUNT];
    uint16_t halves[COUNT];
    for (int largest = -70; largest <= 31; largest++) {
        for (int i = 0; i < COUNT; i++) scales[i] = (number(2) ? -1.0f : 1.0f) * ldexpf(1024 + (float)number(1024), largest - 10 - (int)(i ? number(31) : 0));
        int64_t offset = halves_offset(scales, COUNT);
        same(offset >= 0, 1, 0, "numbers up to 2^%d have halves", largest);
        make_halves(scales, COUNT, offset, halves);
        for (int i = 0; i < COUNT; i++) {
            const double size = ldexp(1024 + halves[i] % 1024, (halves[i] >> 10 & 31) - 127 - 10) * halves_unit(offset);
            same(halves[i] >> 15 ? -size : size, scales[i], 0, "a half of numbers up to 2^%d", largest);
        }
        const float none[] = {0, ldexpf(1, largest - 31), ldexpf(1 + 0x1p-11f, largest), INFINITY, NAN, 0x1p33f};
        for (int i = 0; i < 6; i++) {
            scales[COUNT - 1] = none[i];
            same(halves_offset(scales, COUNT), -1, 0, "%g has no half beside numbers up to 2^%d", none[i], largest);
        }
    }
}

/* The functions of one row: within a millionth of the largest term. */
static void compare_rows(const Kernels *k) {
    static const int widths[] = {1, 3, 4, 8, 15, 16, 17, 64, 129};
    for (int i = 0; i < 9; i++) {
        const int64_t width = widths[i];
        float *x = room(width * 4), *z = room(width * 4), *y = room(width * 4);
        double squares = 0;
        for (int64_t j = 0; j < width; j++) x[j] = fraction() * 20, z[j] = fraction(), squares += (double)x[j] * x[j];
        k->normalize(x, z, 1e-3f, width, y);
        for (int64_t j = 0; j < width; j++) same(y[j], x[j] * z[j] / sqrt(squares / (double)width + 1e-3), 2e-6, "%s normalize[%d]", k->name, (int)j);
        x[0] = -200; /* a gate that lets nothing through, and no overflow on the way */
        k->gated(x, z, width, y);
        for (int64_t j = 0; j < width; j++) same(y[j], z[j] * x[j] / (1 + exp(-(double)x[j])), 1e-5, "%s gated[%d]", k->name, (int)j);
        memcpy(y, z, (size_t)width * 4);
        k->add(x, width, y);
        for (int64_t j = 0; j < width; j++) same(y[j], x[j] + z[j], 0, "%s add[%d]", k->name, (int)j);
        free(x), free(y), free(z);
    }
}
