/* The steps of latent attention that its operators have in common: attention.c for one sequence, batch_attention.c for several. */
#ifndef YOUTU_ATTENTION_H
#define YOUTU_ATTENTION_H

#include <stdatomic.h>

#include "kernels.h"
#include "tensor.h"

enum {
    EXPANDS_FROM = 64,     /* new tokens; from here on the products saved outweigh those of expanding */
    TOKENS_TOGETHER = 64,  /* new tokens whose absorbed queries are in memory at once */
    QUERIES_OF_A_TASK = MOST_QUERIES,
    LEAST_KEYS = 64,       /* of a task, where few queries are over many keys */
    MOST_RANGES = 8,       /* of keys up to KEYS_OF_A_RANGE each; then more */
    KEYS_OF_A_RANGE = 1024,
};

typedef struct {
    OrtApi api;
    const Kernels *kernels;
    Latent latent;
    int64_t offset;
    float epsilon;
    const float *gain;
} Attention;

/* Where a token's sequence is, in a step of several. */
typedef struct {
    uint8_t *rows;             /* its cache */
    int64_t past;              /* tokens before it */
    int64_t parts, ranges;     /* of its keys: where its ranges begin among those of all tokens, and how many they are */
} Place;

/* One sequence's step, or a part of its new tokens; or a token of each of several sequences. */
typedef struct {
    const Attention *self;
    int64_t tokens, past;      /* new ones; those before the first of them */
    const float *q, *kv, *cos, *sin;
    int64_t q_width, kv_width;
    uint8_t *rows;             /* present */
    const Place *places;       /* [tokens], of several sequences; NULL: all are of one */
    int together;              /* all keys are one range: what comes out doesn't depend on the number of tokens */
    const uint8_t *mask;       /* [past + tokens] or NULL */
    float *context;            /* [tokens, heads · value] */

    int64_t queries, ranges, step; /* tokens · heads; of keys, and keys in each */
    int64_t room, context_room;    /* bytes of a query's codes; floats of a context as kernels make it */
    float *floats;             /* [queries, width] */
    int8_t *codes;             /* [queries, room] */
    float *scales;             /* [queries] */
    int32_t *sums;             /* [queries] */
    int64_t *seen;             /* [queries] */
    float *most, *total;       /* [ranges, queries] */
    float *contexts;           /* [ranges, queries, context_room] */
    unsigned char *blocks;     /* of keys, prepared */
    atomic_int out_of_memory;
} Step;

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline void *aligned(void *from) { return (void *)(((uintptr_t)from + 63) & ~(uintptr_t)63); }
static inline int64_t past_of(const Step *step, int64_t token) { return step->places ? step->places[token].past : step->past + token; }
static inline uint8_t *rows_of(const Step *step, int64_t token) { return step->places ? step->places[token].rows : step->rows; }

/* Memory, or NULL, and then the step knows. */
void *step_memory(Step *step, int64_t size);
/* How many ranges `total` keys are cut into for few queries. */
int64_t ranges_for(int64_t total);

/* Tasks, by token: its row goes behind its past; by head: its queries of all tokens. */
void append_row(void *step, size_t token);
void make_queries(void *step, size_t head);
/* Queries of all tokens of one sequence over everything before them, the rows of which are there. */
OrtStatus *attend_sequence(Step *step, const OrtKernelContext *context);

/* Constants and attributes of a node; `type`: of a row's numbers; `first`: the place of its first constant. */
OrtStatus *read_attention(OrtApi api, const OrtKernelInfo *info, int type, size_t first, Attention *self);
/* The type of a row's numbers. */
int row_type(const Latent *latent);
/* Whether a tensor is float [a, b, at least `least`]. */
int is_projection(const Tensor *x, int64_t a, int64_t b, int64_t least);

#endif
