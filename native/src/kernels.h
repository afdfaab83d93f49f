/* What an instruction set offers: one table of functions for each, of which one is chosen when the library is loaded. */
#ifndef YOUTU_KERNELS_H
#define YOUTU_KERNELS_H

#include <stdint.h>

static inline int64_t whole(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

/* A quantized matrix [rows, columns] as MatMulNBits has it: blocks along a row share a scale and a zero point. */
typedef struct {
    int64_t rows, columns;
    int bits, block;       /* 4 or 8; 16, 32, 64, 128 or 256 */
    int64_t groups;        /* blocks in a row */
    int64_t stride;        /* bytes from a row to the next */
    int64_t zero_stride;
    const uint8_t *codes;  /* [rows, stride], two to a byte where bits are 4, the first one low */
    const float *scales;   /* [rows, groups] */
    const uint16_t *halves;/* the same in half the bytes, or NULL (halves.h); then groups are at most MOST_HALVES */
    float unit;            /* what they are multiplied with */
    const uint8_t *zeros;  /* [rows, zero_stride], or NULL: all are the middle, 2^(bits-1) */
} Matrix;

/* Rows that a matrix is multiplied with, as signed bytes with a scale for each block; their order is the instruction set's. */
typedef struct {
    int64_t count;         /* rows */
    int64_t stride;        /* bytes from a row to the next */
    int64_t room;          /* floats from a row of `scales`, and of `sums`, to the next: of its blocks, in whole vectors */
    int64_t spread;        /* floats from a row of `lanes` to the next */
    int8_t *codes;
    float *scales;         /* [count, room] */
    float *sums;           /* [count, room]: a block's scale times the sum of its codes */
    float *lanes;          /* [count, spread]: the scales, once for each lane, where a vector holds several blocks */
} Activations;

/* The attention of one layer: 16 heads of 128 + 64 columns over rows of 512 + 64 in Youtu-LLM-2B. */
typedef struct {
    int64_t heads, nope, rope, rank, value, width; /* width: rank + rope */
    int bytes, halves;        /* rows are bytes around 128, or numbers of half precision; else floats */
    int64_t part;             /* columns of rank that lie together in uk */
    const int8_t *uk;         /* [heads, rank / part, nope, part], of scales that the queries' weights have taken */
    const float *uk_offsets;  /* [heads, rank]: 128 times the sums of uk over nope */
    const int8_t *uv;         /* [heads, rank, value] */
    const float *uv_offsets, *uv_scales; /* [heads, value] */
} Latent;

/* Bytes from a row to the next. */
static inline int64_t row_size(const Latent *latent) { return latent->width * (latent->bytes ? 1 : latent->halves ? 2 : 4); }

enum { MOST_HALVES = 1024, MOST_LANES = 16 };

enum { ATTENTION_BLOCK = 64, MOST_QUERIES = 64 }; /* keys that are attended together; queries of one Attend at most */

/* Queries, each of which sees keys below its `seen`, over the keys [first, last). */
typedef struct {
    int64_t queries, first, last;
    const void *rows;      /* [keys, width] */
    const uint8_t *mask;   /* of keys, 0: nobody sees it; NULL: all are seen */
    const int64_t *seen;   /* [queries] */
    const float *floats;   /* [queries, width], over float rows */
    const int8_t *codes;   /* [queries, width in whole vectors], over byte rows */
    const float *scales;   /* [queries], of codes */
    const int32_t *sums;   /* [queries], of codes */
    float *most, *total;   /* [queries], made: the largest score, and the sum of weights relative to it */
    float *context;        /* [queries, rank in whole vectors], made: sums of rows, in the instruction set's order */
} Attend;

typedef struct {
    const char *name;
    int lanes;
    int rows_at_once;      /* up to so many rows, `few` is the faster of the two */

    /* Sizes of an Activations' rows for a matrix. */
    int64_t (*stride)(const Matrix *);
    int64_t (*spread)(const Matrix *);
    /* Row `row` of x [columns] into its place. */
    void (*quantize)(const Matrix *, const float *x, Activations *, int64_t row);
    /* y[m][n - first] for all activations and rows [first, last) of the matrix; y has `width` floats to a row. */
    void (*few)(const Matrix *, const Activations *, int64_t first, int64_t last, float *y, int64_t width);
    /* The same for rows [first, last), at most `strip` of them; `scratch` has many_scratch bytes. */
    void (*many)(const Matrix *, const Activations *, int64_t first, int64_t last, float *y, int64_t width, void *scratch);
    int64_t strip;
    int64_t (*many_scratch)(const Matrix *);

    /* x·gain / sqrt(mean(x²) + epsilon) */
    void (*normalize)(const float *x, const float *gain, float epsilon, int64_t width, float *y);
    /* y = gate · sigmoid(gate) · up */
    void (*gated)(const float *gate, const float *up, int64_t width, float *y);
    void (*add)(const float *x, int64_t width, float *y);

    /* Queries [count, nope], x_stride apart, through W_UK of a head → [count, rank]; contexts [count, rank] through W_UV → [count,
     * value]. `codes` has room for count rows of x in multiples of four bytes, `own` for count floats. */
    void (*absorb)(const Latent *, int64_t head, const float *x, int64_t x_stride, int64_t count, float *y, int64_t y_stride,
                   uint8_t *codes, float *own);
    void (*values)(const Latent *, int64_t head, const float *x, int64_t x_stride, int64_t count, float *y, int64_t y_stride,
                   uint8_t *codes, float *own);
    /* Numbers of half precision as floats. */
    void (*widen)(const uint16_t *x, int64_t count, float *y);
    /* A row of numbers as a byte cache has it. */
    void (*to_row)(const float *x, int64_t width, uint8_t *row);
    /* x [count] as bytes around 128, `room` of them with those that follow; returns their scale. */
    float (*to_bytes)(const float *x, int64_t count, uint8_t *codes, int64_t room);
    void (*attend)(const Latent *, const Attend *, void *scratch);
    int64_t (*attend_scratch)(const Latent *, int64_t queries);
    /* One query's context over several ranges of keys [parts, step] → [rank]; `most` and `total` are parts_step apart. */
    void (*merge)(const Latent *, int64_t parts, const float *most, const float *total, int64_t parts_step, const float *contexts,
                  int64_t step, float *y);

    /* The expanded order: blocks of ATTENTION_BLOCK keys are prepared, `block_size` bytes each, then each head attends to them. */
    int64_t (*block_size)(const Latent *);
    void (*prepare_block)(const Latent *, const void *rows, int64_t count, void *block); /* of halves, rows are floats already */
    /* Queries [count, nope + rope] of a head, of which query i sees keys below seen + i → y [count, value], y_stride apart. */
    void (*attend_head)(const Latent *, int64_t head, const float *q, int64_t count, int64_t seen, const uint8_t *mask, const void *blocks,
                        int64_t keys, float *y, int64_t y_stride, void *scratch);
    int64_t (*head_scratch)(const Latent *, int64_t queries);
} Kernels;

/* The best for this processor; `name` asks for one by name, and NULL is returned where the processor or the build has it not. */
const Kernels *kernels(const char *name);
/* The i-th name that this build knows, NULL behind the last; `runs`: whether this processor has it. */
const char *kernels_known(int i, int *runs);

#endif
