/* BatchLatentAttention: LatentAttention of several sequences in one step, each over a cache of its own.
 *
 * K sequences are in slots and have one new token each or none, D in all; one more has a chunk of C new tokens of its prompt. Their
 * tokens are side by side, those in slots first: N = D + C.
 * Inputs: q, kv, cos, sin as LatentAttention has them, with B = 1 and S = N; slot_tokens int64 [K], 1 or 0; chunk_mask int64 [1, T],
 * where T = P + C of the chunk's sequence; the same constants; then K + 1 pasts [1, 1, P, L + R], the chunk's last.
 * Outputs: context float [1, N, H·V], then the presents. What a token's context is doesn't depend on its company.
 * BatchLatentAttention has float rows, BatchHalfLatentAttention float16, BatchByteLatentAttention bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "operators.h"

enum { Q, KV, COS, SIN, SLOT_TOKENS, CHUNK_MASK, CONSTANTS, PASTS = CONSTANTS + 6, INPUTS };
enum { CONTEXT, PRESENTS, OUTPUTS };
enum { MOST_SLOTS = 256 };

/* One token's queries over a range of its sequence's keys. */
typedef struct {
    int64_t token, first, last;
} Range;

typedef struct {
    Step step;
    const Range *ranges;
} SlotStep;

static void attend_range(void *data, size_t index) {
    SlotStep *slots = data;
    Step *step = &slots->step;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const Range *range = slots->ranges + index;
    const int64_t heads = latent->heads, first = range->token * heads;
    for (int64_t at = 0; at < heads; at += QUERIES_OF_A_TASK) {
        const int64_t count = smaller(QUERIES_OF_A_TASK, heads - at), made = (int64_t)index * heads + at;
        void *scratch = step_memory(step, self->kernels->attend_scratch(latent, count));
        if (!scratch) return;
        Attend a = {
            .queries = count,
            .first = range->first,
            .last = range->last,
            .rows = step->places[range->token].rows,
            .seen = step->seen + first + at,
            .floats = step->floats + (first + at) * latent->width,
            .codes = step->codes + (first + at) * step->room,
            .scales = step->scales + first + at,
            .sums = step->sums + first + at,
            .most = step->most + made,
            .total = step->total + made,
            .context = step->contexts + made * step->context_room,
        };
        self->kernels->attend(latent, &a, aligned(scratch));
        free(scratch);
    }
}

static void finish(void *data, size_t index) {
    Step *step = &((SlotStep *)data)->step;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    const int64_t head = (int64_t)index, tokens = step->tokens, heads = latent->heads;
    float *scratch = step_memory(step, tokens * (latent->rank * 4 + 4 + whole(latent->rank, 4)));
    if (!scratch) return;
    float *own = scratch + tokens * latent->rank;
    for (int64_t token = 0; token < tokens; token++) {
        const int64_t at = step->places[token].parts * heads + head;
        self->kernels->merge(latent, step->places[token].ranges, step->most + at, step->total + at, heads, step->contexts + at * step->context_room,
                             heads * step->context_room, scratch + token * latent->rank);
    }
    self->kernels->values(latent, head, scratch, latent->rank, tokens, step->context + head * latent->value, heads * latent->value,
                          (uint8_t *)(own + tokens), own);
    free(scratch);
}

/* Tokens in slots, whose rows are there, over everything before them. */
static OrtStatus *attend_slots(SlotStep *slots, Place *places, Range *ranges, int64_t count, const OrtKernelContext *context) {
    Step *step = &slots->step;
    const Attention *self = step->self;
    const Latent *latent = &self->latent;
    OrtApi api = self->api;
    const int64_t vector = 4 * self->kernels->lanes, queries = step->tokens * latent->heads, made = count * latent->heads;
    step->queries = queries;
    step->places = places;
    slots->ranges = ranges;
    step->room = whole(latent->width, vector);
    step->context_room = whole(latent->rank, vector);
    unsigned char *found = step_memory(step, queries * (latent->width * 4 + step->room + 16 + 8) + made * (8 + step->context_room * 4) + 512);
    CHECK(api, found, "out of memory");
    unsigned char *at = aligned(found);
    step->contexts = (float *)at;
    step->floats = (float *)(at += made * step->context_room * 4);
    step->seen = (int64_t *)(at += whole(queries * latent->width * 4, 64));
    step->most = (float *)(at += queries * 8);
    step->total = step->most + made;
    step->scales = step->total + made;
    step->sums = (int32_t *)(step->scales + queries);
    step->codes = (int8_t *)(step->sums + queries);
    OrtStatus *status = on_threads(api, context, make_queries, (size_t)latent->heads, step);
    if (!status && !atomic_load(&step->out_of_memory)) status = on_threads(api, context, attend_range, (size_t)count, slots);
    if (!status && !atomic_load(&step->out_of_memory)) status = on_threads(api, context, finish, (size_t)latent->heads, slots);
    free(found);
    if (!status && atomic_load(&step->out_of_memory)) status = failure(api, "out of memory");
    return status;
}

static OrtStatus *read_past(const Attention *self, const OrtKernelContext *context, size_t lane, Tensor *past) {
    OrtApi api = self->api;
    const Latent *latent = &self->latent;
    TRY(read_input(api, context, PASTS + lane, past));
    CHECK(api, past->type == row_type(latent) && past->rank == 4, "a past is of another type or rank");
    CHECK(api, past->shape[0] == 1 && past->shape[1] == 1 && past->shape[3] == latent->width, "a past is not [1, 1, P, L + R]");
    return NULL;
}

/* A lane's past where its present has to lie. `to` may be where it lies already. */
static OrtStatus *open_lane(const Attention *self, OrtKernelContext *context, size_t lane, int64_t tokens, uint8_t **rows, int64_t *past) {
    OrtApi api = self->api;
    const Latent *latent = &self->latent;
    Tensor given;
    TRY(read_past(self, context, lane, &given));
    void *made = NULL;
    *past = given.shape[2];
    TRY(read_output(api, context, PRESENTS + lane, (int64_t[]){1, 1, *past + tokens, latent->width}, 4, &made));
    const int64_t size = row_size(latent), before = *past * size, after = (*past + tokens) * size;
    const uint8_t *from = given.data;
    *rows = made;
    CHECK(api, from == *rows || !before || from + before <= *rows || *rows + after <= from, "a past and its present overlap and are not one");
    if (from != *rows && before) memcpy(*rows, from, (size_t)before);
    return NULL;
}

static OrtStatus *run_lanes(const Attention *self, OrtKernelContext *context, Step step, const int64_t *slot_tokens, size_t slots,
                            int64_t chunk, int64_t chunk_total, Place *places, Range *ranges, int64_t most_ranges) {
    OrtApi api = self->api;
    const Latent *latent = &self->latent;
    int64_t tokens = 0, count = 0;
    for (size_t slot = 0; slot < slots; slot++) {
        uint8_t *rows = NULL;
        int64_t past = 0;
        TRY(open_lane(self, context, slot, slot_tokens[slot], &rows, &past));
        if (!slot_tokens[slot]) continue;
        const int64_t total = past + 1, wanted = ranges_for(total), size = whole((total + wanted - 1) / wanted, self->kernels->lanes);
        places[tokens] = (Place){.rows = rows, .past = past, .parts = count};
        for (int64_t first = 0; first < total; first += size) {
            CHECK(api, count < most_ranges, "slots have more keys than the pasts say");
            ranges[count++] = (Range){tokens, first, smaller(first + size, total)};
        }
        places[tokens].ranges = count - places[tokens].parts;
        tokens++;
    }
    uint8_t *rows;
    int64_t past;
    TRY(open_lane(self, context, slots, chunk, &rows, &past));
    CHECK(api, !chunk || past + chunk == chunk_total, "chunk_mask is not int64 [1, T]");
    SlotStep of_slots = {.step = step};
    of_slots.step.tokens = tokens;
    of_slots.step.places = places;
    if (tokens) {
        TRY(on_threads(api, context, append_row, (size_t)tokens, &of_slots.step));
        CHECK(api, !atomic_load(&of_slots.step.out_of_memory), "out of memory");
        TRY(attend_slots(&of_slots, places, ranges, count, context));
    }
    if (!chunk) return NULL;
    const int64_t half = latent->rope / 2;
    step.tokens = chunk;
    step.past = past;
    step.rows = rows;
    step.together = 1;
    step.q += tokens * step.q_width;
    step.kv += tokens * step.kv_width;
    step.cos += tokens * half;
    step.sin += tokens * half;
    step.context += tokens * latent->heads * latent->value;
    TRY(on_threads(api, context, append_row, (size_t)chunk, &step));
    CHECK(api, !atomic_load(&step.out_of_memory), "out of memory");
    return attend_sequence(&step, context);
}

static OrtStatus *run(void *kernel, OrtKernelContext *context) {
    const Attention *self = kernel;
    const Latent *latent = &self->latent;
    OrtApi api = self->api;
    Tensor q, kv, cos, sin, slot_tokens, mask;
    size_t inputs = 0, outputs = 0;
    TRY(read_input(api, context, Q, &q));
    TRY(read_input(api, context, KV, &kv));
    TRY(read_input(api, context, COS, &cos));
    TRY(read_input(api, context, SIN, &sin));
    TRY(read_input(api, context, SLOT_TOKENS, &slot_tokens));
    TRY(read_input(api, context, CHUNK_MASK, &mask));
    TRY(ORT(api, input_count)(context, &inputs));
    TRY(ORT(api, output_count)(context, &outputs));
    CHECK(api, slot_tokens.type == ORT_INT64 && slot_tokens.rank == 1 && slot_tokens.count <= MOST_SLOTS, "slot_tokens is not int64 [K]");
    const size_t slots = (size_t)slot_tokens.count;
    CHECK(api, inputs == PASTS + slots + 1 && outputs == PRESENTS + slots + 1, "there are not K + 1 pasts and presents");
    CHECK(api, q.rank == 3, "q has not three dimensions");
    const int64_t tokens = q.shape[1], half = latent->rope / 2;
    CHECK(api, is_projection(&q, 1, tokens, latent->heads * (latent->nope + latent->rope)), "q is too narrow, or not float [1, N, …]");
    CHECK(api, is_projection(&kv, 1, tokens, self->offset + latent->width), "kv is too narrow, or not like q");
    CHECK(api, is_projection(&cos, 1, tokens, half) && cos.shape[2] == half, "cos is not float [1, N, R / 2]");
    CHECK(api, is_projection(&sin, 1, tokens, half) && sin.shape[2] == half, "sin is not float [1, N, R / 2]");
    CHECK(api, mask.type == ORT_INT64 && mask.rank == 2 && mask.shape[0] == 1, "chunk_mask is not int64 [1, T]");
    const int64_t *each = slot_tokens.data;
    int64_t in_slots = 0, most_ranges = 0;
    for (size_t slot = 0; slot < slots; slot++) {
        CHECK(api, each[slot] == 0 || each[slot] == 1, "slot_tokens has other numbers than 0 and 1");
        in_slots += each[slot];
        Tensor past;
        TRY(read_past(self, context, slot, &past));
        most_ranges += ranges_for(past.shape[2] + 1) + 1;
    }
    CHECK(api, in_slots <= tokens, "slots have more tokens than there are");
    void *made = NULL;
    TRY(read_output(api, context, CONTEXT, (int64_t[]){1, tokens, latent->heads * latent->value}, 3, &made));
    Step step = {.self = self, .q = q.data, .kv = kv.data, .cos = cos.data, .sin = sin.data, .q_width = q.shape[2], .kv_width = kv.shape[2], .context = made};
    Place *places = malloc((slots + 1) * sizeof *places);
    Range *ranges = malloc((size_t)(most_ranges + 1) * sizeof *ranges);
    uint8_t *seen = NULL;
    const int64_t *masked = mask.data;
    OrtStatus *status = places && ranges ? NULL : failure(api, "out of memory");
    for (int64_t i = 0; i < mask.count && !seen && !status; i++)
        if (!masked[i]) {
            seen = malloc((size_t)mask.count);
            if (!seen) status = failure(api, "out of memory");
            for (int64_t k = 0; k < mask.count && seen; k++) seen[k] = masked[k] != 0;
        }
    step.mask = seen;
    if (!status) status = run_lanes(self, context, step, each, slots, tokens - in_slots, mask.count, places, ranges, most_ranges);
    free(places);
    free(ranges);
    free(seen);
    return status;
}

/* Of a row's numbers. */
static int type_of(const OrtOperator *operator) {
    return operator == &BATCH_BYTE_LATENT_ATTENTION ? ORT_UINT8 : operator == &BATCH_HALF_LATENT_ATTENTION ? ORT_HALF : ORT_FLOAT;
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
    return type == ORT_UINT8 ? "BatchByteLatentAttention" : type == ORT_HALF ? "BatchHalfLatentAttention" : "BatchLatentAttention";
}
static size_t input_count(const OrtOperator *operator) { return (void)operator, INPUTS; }
static size_t output_count(const OrtOperator *operator) { return (void)operator, OUTPUTS; }
static int input_kind(const OrtOperator *operator, size_t index) { return (void)operator, index == PASTS ? ORT_VARIADIC : ORT_REQUIRED; }
static int output_kind(const OrtOperator *operator, size_t index) {
    return (void)operator, index == PRESENTS ? ORT_VARIADIC : ORT_REQUIRED;
}
static int input_type(const OrtOperator *operator, size_t index) {
    if (index == SLOT_TOKENS || index == CHUNK_MASK) return ORT_INT64;
    if (index == CONSTANTS + 1 || index == CONSTANTS + 3) return ORT_INT8; /* W_UK, W_UV */
    return index == PASTS ? type_of(operator) : ORT_FLOAT;
}
static int output_type(const OrtOperator *operator, size_t index) {
    return index == PRESENTS ? type_of(operator) : ORT_FLOAT;
}

#define BATCH_ATTENTION                                                                                                    \
    {                                                                                                                      \
        OPERATOR_DEFAULTS, .name = name, .input_count = input_count, .input_type = input_type, .input_kind = input_kind,    \
        .output_count = output_count, .output_type = output_type, .output_kind = output_kind, .create_or_fail = create,     \
        .compute_or_fail = run,                                                                                            \
    }

const OrtOperator BATCH_LATENT_ATTENTION = BATCH_ATTENTION;
const OrtOperator BATCH_HALF_LATENT_ATTENTION = BATCH_ATTENTION;
const OrtOperator BATCH_BYTE_LATENT_ATTENTION = BATCH_ATTENTION;
