/* LatentAttention: from projections to contexts, over a latent cache that it appends to.
 *
 *     kv ─ [c_kv normalized ‖ k_rope rotated] ─ a row ─┐
 *     past ────────────────────────────────────────────┴─ present
 *     q ─ [q_nope · W_UK ‖ q_rope rotated] ─ softmax(q · presentᵀ) · present[:rank] ─ · W_UV ─ context
 *
 * Shapes: B sequences, S new tokens, P past ones, T = P + S; H heads, N nope, R rope, L rank, V value.
 * Inputs: q float [B, S, ≥ H·(N + R)], all heads' nope parts first; kv float [B, S, ≥ offset + L + R]; cos and sin float
 * [B, S, R / 2]; mask int64 [B, T], 0 where a token is not seen; past [B, 1, P, L + R]; and constants: gain float [L], W_UK int8
 * [H, L / part, N, part] with its offsets float [H, L], W_UV int8 [H, L, V] with its offsets and scales float [H, V].
 * Outputs: context float [B, S, H·V], present [B, 1, T, L + R]. past may lie where present lies: then nothing is copied.
 * LatentAttention has float rows, HalfLatentAttention float16, ByteLatentAttention bytes (`to_row` in attention_kernels.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "operators.h"

enum { Q, KV, COS, SIN, MASK, PAST, CONSTANTS, INPUTS = CONSTANTS + 6 };
enum { CONTEXT, PRESENT, OUTPUTS };

void *step_memory(Step *step, int64_t size) {
    void *found = malloc((size_t)size + 64);
    if (!found) atomic_store(&step->out_of_memory, 1);
    return found;
}

int64_t ranges_for(int64_t total) {
    const int64_t ranges = total > MOST_RANGES * KEYS_OF_A_RANGE ? total / KEYS_OF_A_RANGE : smaller(total / LEAST_KEYS, MOST_RANGES);
    return ranges < 1 ? 1 : ranges;
}

/* Halves are pairs: column i with i + R/2. */
static void rotate(const float *x, const float *cos, const float *sin, int64_t rope, float *y) {
    for (int64_t i = 0; i < rope / 2; i++) {
        const float a = x[i], b = x[i + rope / 2];
        y[i] = a * cos[i] - b * sin[i];
        y[i + rope / 2] = b * cos[i] + a * sin[i];
    }
}

/* The nearest half, of two that are as near the even one; of larger numbers the largest half. */
static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;            /* not a number */
    if (bits >= 0x477fe000) return sign | 0x7bff;           /* 65504 and more */
    if (bits >= 0x38800000) return sign | (uint16_t)((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13);
    const float sum = fabsf(x) + 0.5f; /* below 2^-14 halves are 2^-24 apart, as floats from 0.5 on: the sum is rounded to them */
    memcpy(&bits, &sum, sizeof bits);
    return sign | (uint16_t)(bits - 0x3f000000);
}

void append_row(void *data, size_t index) {
    Step *step = data;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const int64_t token = (int64_t)index, half = latent->rope / 2;
    const float *kv = step->kv + token * step->kv_width + self->offset;
    uint8_t *to = rows_of(step, token) + past_of(step, token) * row_size(latent);
    float *row = latent->bytes || latent->halves ? step_memory(step, latent->width * 4) : (float *)to;
    if (!row) return;
    self->kernels->normalize(kv, self->gain, self->epsilon, latent->rank, row);
    rotate(kv + latent->rank, step->cos + token * half, step->sin + token * half, latent->rope, row + latent->rank);
    if (latent->bytes) self->kernels->to_row(row, latent->width, to);
    if (latent->halves)
        for (int64_t i = 0; i < latent->width; i++) ((uint16_t *)to)[i] = half_of(row[i]);
    if (row != (float *)to) free(row);
}

/* A head's queries, in the order [token, head]. */
void make_queries(void *data, size_t index) {
    Step *step = data;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const int64_t head = (int64_t)index, tokens = step->tokens, half = latent->rope / 2;
    unsigned char *scratch = step_memory(step, tokens * (whole(latent->nope, 4) + 4));
    if (!scratch) return;
    float *own = (float *)scratch;
    self->kernels->absorb(latent, head, step->q + head * latent->nope, step->q_width, tokens, step->floats + head * latent->width,
                          latent->heads * latent->width, scratch + tokens * 4, own);
    for (int64_t token = 0; token < tokens; token++) {
        const int64_t query = token * latent->heads + head;
        float *x = step->floats + query * latent->width;
        const float *rope = step->q + token * step->q_width + latent->heads * latent->nope + head * latent->rope;
        rotate(rope, step->cos + token * half, step->sin + token * half, latent->rope, x + latent->rank);
        step->seen[query] = past_of(step, token) + 1;
        if (latent->bytes) {
            int8_t *codes = step->codes + query * step->room;
            step->scales[query] = self->kernels->to_bytes(x, latent->width, (uint8_t *)codes, step->room);
            int32_t sum = 0;
            for (int64_t i = 0; i < step->room; i++) codes[i] = (int8_t)((uint8_t)codes[i] ^ 128), sum += codes[i];
            step->sums[query] = sum;
        }
    }
    free(scratch);
}

/* Some queries over a range of keys. */
static void attend(void *data, size_t index) {
    Step *step = data;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const int64_t range = (int64_t)index % step->ranges, first = (int64_t)index / step->ranges * QUERIES_OF_A_TASK;
    const int64_t count = smaller(QUERIES_OF_A_TASK, step->queries - first), at = range * step->queries + first;
    const int64_t visible = step->seen[first + count - 1];
    void *scratch = step_memory(step, self->kernels->attend_scratch(latent, count));
    if (!scratch) return;
    Attend a = {
        .queries = count,
        .first = smaller(range * step->step, visible),
        .last = smaller((range + 1) * step->step, visible),
        .rows = step->rows,
        .mask = step->mask,
        .seen = step->seen + first,
        .floats = step->floats + first * latent->width,
        .codes = step->codes + first * step->room,
        .scales = step->scales + first,
        .sums = step->sums + first,
        .most = step->most + at,
        .total = step->total + at,
        .context = step->contexts + at * step->context_room,
    };
    self->kernels->attend(latent, &a, aligned(scratch));
    free(scratch);
}

static void finish(void *data, size_t index) {
    Step *step = data;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const int64_t head = (int64_t)index, tokens = step->tokens;
    float *scratch = step_memory(step, tokens * (latent->rank * 4 + 4 + whole(latent->rank, 4)));
    if (!scratch) return;
    float *own = scratch + tokens * latent->rank;
    for (int64_t token = 0; token < tokens; token++) {
        const int64_t query = token * latent->heads + head;
        self->kernels->merge(latent, step->ranges, step->most + query, step->total + query, step->queries,
                             step->contexts + query * step->context_room, step->queries * step->context_room, scratch + token * latent->rank);
    }
    self->kernels->values(latent, head, scratch, latent->rank, tokens, step->context + head * latent->value, latent->heads * latent->value,
                          (uint8_t *)(own + tokens), own);
    free(scratch);
}

/* Queries of step->tokens tokens over everything before them. */
static OrtStatus *absorbed(Step *step, const OrtKernelContext *context) {
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    OrtApi api = self->api;
    const int64_t total = step->past + step->tokens, vector = 4 * self->kernels->lanes;
    step->queries = step->tokens * latent->heads;
    step->room = whole(latent->width, vector);
    step->context_room = whole(latent->rank, vector);
    const int64_t ranges = step->queries <= QUERIES_OF_A_TASK && !step->together ? ranges_for(total) : 1;
    step->step = whole((total + ranges - 1) / ranges, vector / 4);
    step->ranges = (total + step->step - 1) / step->step;
    const int64_t queries = step->queries, parts = step->ranges * queries;
    unsigned char *found = step_memory(step, queries * (latent->width * 4 + step->room + 16 + 8) + parts * (8 + step->context_room * 4) + 512);
    CHECK(api, found, "out of memory");
    unsigned char *at = aligned(found);
    step->contexts = (float *)at;
    step->floats = (float *)(at += parts * step->context_room * 4);
    step->seen = (int64_t *)(at += whole(queries * latent->width * 4, 64));
    step->most = (float *)(at += queries * 8);
    step->total = step->most + parts;
    step->scales = step->total + parts;
    step->sums = (int32_t *)(step->scales + queries);
    step->codes = (int8_t *)(step->sums + queries);
    OrtStatus *status = on_threads(api, context, make_queries, (size_t)latent->heads, step);
    if (!status && !atomic_load(&step->out_of_memory)) {
        const int64_t tasks = (queries + QUERIES_OF_A_TASK - 1) / QUERIES_OF_A_TASK * step->ranges;
        status = on_threads(api, context, attend, (size_t)tasks, step);
    }
    if (!status && !atomic_load(&step->out_of_memory)) status = on_threads(api, context, finish, (size_t)latent->heads, step);
    free(found);
    return status;
}

static void prepare(void *data, size_t index) {
    Step *step = data;
    const Latent *latent = &step->self->latent;
    const Kernels *kernels = step->self->kernels;
    const int64_t first = (int64_t)index * ATTENTION_BLOCK, count = smaller(ATTENTION_BLOCK, step->past + step->tokens - first);
    const void *rows = step->rows + first * row_size(latent);
    float *floats = NULL;
    if (latent->halves) {
        floats = step_memory(step, count * latent->width * 4);
        if (!floats) return;
        kernels->widen(rows, count * latent->width, floats);
        rows = floats;
    }
    kernels->prepare_block(latent, rows, count, step->blocks + (int64_t)index * kernels->block_size(latent));
    free(floats);
}

static void attend_head(void *data, size_t index) {
    Step *step = data;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const int64_t head = (int64_t)index, width = latent->nope + latent->rope, half = latent->rope / 2;
    const int64_t size = whole(step->tokens * width * 4, 64);
    void *found = step_memory(step, size + self->kernels->head_scratch(latent, step->tokens));
    if (!found) return;
    float *q = aligned(found);
    for (int64_t token = 0; token < step->tokens; token++) {
        const float *from = step->q + token * step->q_width;
        memcpy(q + token * width, from + head * latent->nope, (size_t)latent->nope * sizeof(float));
        rotate(from + latent->heads * latent->nope + head * latent->rope, step->cos + token * half, step->sin + token * half, latent->rope,
               q + token * width + latent->nope);
    }
    self->kernels->attend_head(latent, head, q, step->tokens, step->past + 1, step->mask, step->blocks, step->past + step->tokens,
                               step->context + head * latent->value, latent->heads * latent->value, (unsigned char *)q + size);
    free(found);
}

/* The same as `absorbed`, with each head's keys and values. */
static OrtStatus *expanded(Step *step, const OrtKernelContext *context) {
    const Attention *self = step->self;
    OrtApi api = self->api;
    const int64_t blocks = (step->past + step->tokens + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
    void *found = step_memory(step, blocks * self->kernels->block_size(&self->latent));
    CHECK(api, found, "out of memory");
    step->blocks = aligned(found);
    OrtStatus *status = on_threads(api, context, prepare, (size_t)blocks, step);
    if (!status) status = on_threads(api, context, attend_head, (size_t)self->latent.heads, step);
    free(found);
    return status;
}

OrtStatus *attend_sequence(Step *step, const OrtKernelContext *context) {
    const Attention *self = step->self;
    OrtApi api = self->api;
    const int64_t half = self->latent.rope / 2, tokens = step->tokens;
    if (tokens >= EXPANDS_FROM && self->latent.part % 4 == 0) {
        TRY(expanded(step, context));
    } else {
        for (int64_t first = 0; first < tokens; first += TOKENS_TOGETHER) {
            Step part = *step;
            part.tokens = smaller(TOKENS_TOGETHER, tokens - first);
            part.past = step->past + first;
            part.q += first * step->q_width;
            part.cos += first * half;
            part.sin += first * half;
            part.context += first * self->latent.heads * self->latent.value;
            TRY(absorbed(&part, context));
            if (atomic_load(&part.out_of_memory)) atomic_store(&step->out_of_memory, 1);
        }
    }
    CHECK(api, !atomic_load(&step->out_of_memory), "out of memory");
    return NULL;
}

int is_projection(const Tensor *x, int64_t a, int64_t b, int64_t least) {
    return x->type == ORT_FLOAT && x->rank == 3 && x->shape[0] == a && x->shape[1] == b && x->shape[2] >= least;
}

static OrtStatus *run(void *kernel, OrtKernelContext *context) {
    const Attention *self = kernel;
    const Latent *latent = &self->latent;
    OrtApi api = self->api;
    Tensor q, kv, cos, sin, mask, past;
    TRY(read_input(api, context, Q, &q));
    TRY(read_input(api, context, KV, &kv));
    TRY(read_input(api, context, COS, &cos));
    TRY(read_input(api, context, SIN, &sin));
    TRY(read_input(api, context, MASK, &mask));
    TRY(read_input(api, context, PAST, &past));
    CHECK(api, q.rank == 3, "q has not three dimensions");
    const int64_t batch = q.shape[0], tokens = q.shape[1], half = latent->rope / 2;
    CHECK(api, is_projection(&q, batch, tokens, latent->heads * (latent->nope + latent->rope)), "q is too narrow, or not float");
    CHECK(api, is_projection(&kv, batch, tokens, self->offset + latent->width), "kv is too narrow, or not like q");
    CHECK(api, is_projection(&cos, batch, tokens, half) && cos.shape[2] == half, "cos is not float [B, S, R / 2]");
    CHECK(api, is_projection(&sin, batch, tokens, half) && sin.shape[2] == half, "sin is not float [B, S, R / 2]");
    CHECK(api, past.type == row_type(latent) && past.rank == 4, "past is of another type or rank");
    CHECK(api, past.shape[0] == batch && past.shape[1] == 1 && past.shape[3] == latent->width, "past is not [B, 1, P, L + R]");
    CHECK(api, past.shape[2] <= INT32_MAX && tokens <= INT32_MAX, "there are too many tokens"); /* of no sequences there may be any number */
    const int64_t before = past.shape[2], total = before + tokens;
    CHECK(api, mask.type == ORT_INT64 && mask.rank == 2 && mask.shape[0] == batch && mask.shape[1] == total, "mask is not int64 [B, T]");
    void *made = NULL, *present = NULL;
    TRY(read_output(api, context, CONTEXT, (int64_t[]){batch, tokens, latent->heads * latent->value}, 3, &made));
    TRY(read_output(api, context, PRESENT, (int64_t[]){batch, 1, total, latent->width}, 4, &present));
    const int64_t size = row_size(latent);
    const uint8_t *from = past.data;
    uint8_t *to = present;
    const int apart = from + batch * before * size <= to || to + batch * total * size <= from;
    CHECK(api, apart || (from == to && batch == 1) || !before, "past and present overlap and are not one");
    uint8_t *seen = NULL;
    const int64_t *masked = mask.data;
    for (int64_t i = 0; i < mask.count && !seen; i++)
        if (!masked[i]) {
            seen = malloc((size_t)mask.count);
            CHECK(api, seen, "out of memory");
            for (int64_t k = 0; k < mask.count; k++) seen[k] = masked[k] != 0;
        }
    OrtStatus *status = NULL;
    for (int64_t b = 0; b < batch && !status; b++) {
        if (from != to && before) memcpy(to + b * total * size, from + b * before * size, (size_t)(before * size));
        Step step = {
            .self = self,
            .past = before,
            .q = (const float *)q.data + b * tokens * q.shape[2],
            .kv = (const float *)kv.data + b * tokens * kv.shape[2],
            .cos = (const float *)cos.data + b * tokens * half,
            .sin = (const float *)sin.data + b * tokens * half,
            .q_width = q.shape[2],
            .kv_width = kv.shape[2],
            .rows = to + b * total * size,
            .mask = seen ? seen + b * total : NULL,
            .context = (float *)made + b * tokens * latent->heads * latent->value,
            .tokens = tokens,
        };
        status = on_threads(api, context, append_row, (size_t)tokens, &step);
        if (!status && atomic_load(&step.out_of_memory)) status = failure(api, "out of memory");
        if (!status) status = attend_sequence(&step, context);
    }
    free(seen);
    return status;
}

static int has(const Tensor *x, int type, int64_t count) { return x->type == type && x->count == count; }

int row_type(const Latent *latent) { return latent->bytes ? ORT_UINT8 : latent->halves ? ORT_HALF : ORT_FLOAT; }

OrtStatus *read_attention(OrtApi api, const OrtKernelInfo *info, int type, size_t first, Attention *self) {
    Latent *latent = &self->latent;
    latent->bytes = type == ORT_UINT8;
    latent->halves = type == ORT_HALF;
    latent->heads = attribute_int(api, info, "heads", 0);
    latent->nope = attribute_int(api, info, "nope", 0);
    latent->rope = attribute_int(api, info, "rope", 0);
    latent->rank = attribute_int(api, info, "rank", 0);
    latent->value = attribute_int(api, info, "value", 0);
    latent->part = attribute_int(api, info, "part", latent->rank);
    self->offset = attribute_int(api, info, "offset", 0);
    self->epsilon = attribute_float(api, info, "epsilon", 1e-6f);
    const int64_t most = 1 << 16;
    const int64_t sizes[] = {latent->heads, latent->nope, latent->rope, latent->rank, latent->value, latent->part};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(api, sizes[i] > 0 && sizes[i] <= most, "heads, nope, rope, rank, value and part must be within 1 and 65536");
    CHECK(api, latent->rope % 2 == 0, "rope must be even");
    CHECK(api, latent->rank % latent->part == 0, "part must divide rank");
    CHECK(api, self->offset >= 0 && self->offset <= INT32_MAX, "offset must not be negative");
    CHECK(api, !latent->bytes || latent->rank >= 8, "byte rows must have eight codes of the latent, for their scale");
    latent->width = latent->rank + latent->rope;
    const int64_t heads = latent->heads, rank = latent->rank, value = latent->value;
    Tensor gain, uk, uk_offsets, uv, uv_offsets, uv_scales;
    TRY(read_constant(api, info, first, &gain));
    TRY(read_constant(api, info, first + 1, &uk));
    TRY(read_constant(api, info, first + 2, &uk_offsets));
    TRY(read_constant(api, info, first + 3, &uv));
    TRY(read_constant(api, info, first + 4, &uv_offsets));
    TRY(read_constant(api, info, first + 5, &uv_scales));
    CHECK(api, has(&gain, ORT_FLOAT, rank), "gain is not float [L]");
    CHECK(api, has(&uk, ORT_INT8, heads * rank * latent->nope), "W_UK is not int8 [H, L / part, N, part]");
    CHECK(api, has(&uk_offsets, ORT_FLOAT, heads * rank), "W_UK's offsets are not float [H, L]");
    CHECK(api, has(&uv, ORT_INT8, heads * rank * value), "W_UV is not int8 [H, L, V]");
    CHECK(api, has(&uv_offsets, ORT_FLOAT, heads * value) && has(&uv_scales, ORT_FLOAT, heads * value),
          "W_UV's offsets and scales are not float [H, V]");
    self->gain = gain.data;
    latent->uk = uk.data;
    latent->uk_offsets = uk_offsets.data;
    latent->uv = uv.data;
    latent->uv_offsets = uv_offsets.data;
    latent->uv_scales = uv_scales.data;
    return NULL;
}

/* Of a row's numbers. */
static int type_of(const OrtOperator *operator) {
    return operator == &BYTE_LATENT_ATTENTION ? ORT_UINT8 : operator == &HALF_LATENT_ATTENTION ? ORT_HALF : ORT_FLOAT;
}

static OrtStatus *create(const OrtOperator *operator, OrtApi api, const OrtKernelInfo *info, void **kernel) {
    Attention made = {.api = api, .kernels = chosen_kernels()};
    CHECK(api, made.kernels, "YOUTU_ONNX_INSTRUCTIONS names an instruction set that this processor or build doesn't have");
    TRY(read_attention(api, info, type_of(operator), CONSTANTS, &made));
    Attention *self = malloc(sizeof *self);
    CHECK(api, self, "out of memory");
    *self = made;
    *kernel = self;
    return NULL;
}

static const char *name(const OrtOperator *operator) {
    const int type = type_of(operator);
    return type == ORT_UINT8 ? "ByteLatentAttention" : type == ORT_HALF ? "HalfLatentAttention" : "LatentAttention";
}
static size_t input_count(const OrtOperator *operator) { return (void)operator, INPUTS; }
static size_t output_count(const OrtOperator *operator) { return (void)operator, OUTPUTS; }
static int kind(const OrtOperator *operator, size_t index) { return (void)operator, (void)index, ORT_REQUIRED; }
static int input_type(const OrtOperator *operator, size_t index) {
    if (index == MASK) return ORT_INT64;
    if (index == CONSTANTS + 1 || index == CONSTANTS + 3) return ORT_INT8; /* W_UK, W_UV */
    return index == PAST ? type_of(operator) : ORT_FLOAT;
}
static int output_type(const OrtOperator *operator, size_t index) {
    return index == PRESENT ? type_of(operator) : ORT_FLOAT;
}

#define ATTENTION                                                                                                         \
    {                                                                                                                     \
        OPERATOR_DEFAULTS, .name = name, .input_count = input_count, .input_type = input_type, .input_kind = kind,         \
        .output_count = output_count, .output_type = output_type, .output_kind = kind, .create_or_fail = create,           \
        .compute_or_fail = run,                                                                                           \
    }

const OrtOperator LATENT_ATTENTION = ATTENTION;
const OrtOperator HALF_LATENT_ATTENTION = ATTENTION;
const OrtOperator BYTE_LATENT_ATTENTION = ATTENTION;
