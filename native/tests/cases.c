#include "cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t draw(Chance *chance, int64_t below) {
    uint64_t x = chance->state;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    chance->state = x;
    return (int64_t)((x * 0x2545f4914f6cdd1d >> 11) % (uint64_t)below);
}

static int sometimes(Chance *chance, int64_t of) { return draw(chance, of) == 0; }
static int64_t one_of(Chance *chance, const int64_t *from, size_t count) { return from[draw(chance, (int64_t)count)]; }
#define ONE_OF(chance, ...) \
    one_of(chance, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void fill(Chance *chance, OrtValue *value, int strange) {
    const int64_t count = elements(value->is.rank, value->is.shape, INT64_MAX);
    static const float STRANGE[] = {0, -0.0f, 1e-45f, 1e-39f, 1e-37f, 1e30f, 3e38f, INFINITY, -INFINITY, NAN};
    const int halves = sometimes(chance, 2); /* numbers of which a matrix's scales could be kept in half the bytes */
    for (int64_t i = 0; i < count; i++) {
        if (value->is.type == ORT_FLOAT && halves && !strange)
            ((float *)value->data)[i] = (float)(draw(chance, 1024) + 1) / (sometimes(chance, 2) ? 1024 : -1024);
        else if (value->is.type == ORT_FLOAT)
            ((float *)value->data)[i] = strange && sometimes(chance, 3) ? STRANGE[draw(chance, sizeof STRANGE / sizeof *STRANGE)]
                                                                       : (float)draw(chance, 2001) / 1000 - 1;
        else if (value->is.type == ORT_HALF) /* up to one; or any, those among which there is no number as well */
            ((uint16_t *)value->data)[i] = (uint16_t)(strange ? draw(chance, 1 << 16) : draw(chance, 0x3c01) | draw(chance, 2) << 15);
        else if (value->is.type == ORT_INT64)
            ((int64_t *)value->data)[i] = strange ? draw(chance, 5) - 1 : !sometimes(chance, 20);
        else
            ((uint8_t *)value->data)[i] = (uint8_t)draw(chance, 256);
    }
}

static OrtValue *filled(Chance *chance, int type, int strange, size_t rank, const int64_t *shape) {
    OrtValue *made = new_value(type, rank, shape);
    fill(chance, made, strange);
    return made;
}
#define FILLED(chance, type, strange, ...) \
    filled(chance, type, strange, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]){__VA_ARGS__})

static void integer(Case *made, const char *name, int64_t value) {
    made->info.attributes[made->info.attribute_count++] = (Attribute){.name = name, .integer = value};
}
static void number(Case *made, const char *name, float value) {
    made->info.attributes[made->info.attribute_count++] = (Attribute){.name = name, .is_float = 1, .number = value};
}

static void make_linear(Chance *chance, Case *made) {
    const int64_t bits = ONE_OF(chance, 4, 8), block = ONE_OF(chance, 16, 32, 64, 128, 256), gated = sometimes(chance, 3);
    const int64_t rows = (1 + draw(chance, sometimes(chance, 4) ? 400 : 40)) * (gated ? 2 : 1), columns = 1 + draw(chance, 600);
    const int64_t groups = (columns + block - 1) / block, offset = sometimes(chance, 3) ? draw(chance, 5) : 0;
    const int64_t many = sometimes(chance, 40) ? 513 : draw(chance, sometimes(chance, 3) ? 40 : 6), width = gated ? rows / 2 : rows;
    integer(made, "K", columns), integer(made, "N", rows), integer(made, "bits", bits), integer(made, "block_size", block);
    integer(made, "offset", offset), integer(made, "gated", gated), number(made, "epsilon", 1e-6f);
    OrtValue **constants = made->info.constants;
    constants[1] = FILLED(chance, ORT_UINT8, 0, rows, groups, block * bits / 8);
    constants[2] = FILLED(chance, ORT_FLOAT, made->strange, rows * groups);
    if (sometimes(chance, 2)) constants[3] = FILLED(chance, ORT_UINT8, 0, rows * (bits == 4 ? (groups + 1) / 2 : groups));
    if (sometimes(chance, 2)) constants[4] = FILLED(chance, ORT_FLOAT, made->strange, rows);
    if (sometimes(chance, 2)) constants[5] = FILLED(chance, ORT_FLOAT, made->strange, columns);
    made->context.input_count = 8;
    made->context.output_count = 1;
    made->context.inputs[0] = FILLED(chance, ORT_FLOAT, made->strange, many, columns + offset + draw(chance, 3));
    if (sometimes(chance, 2)) made->context.inputs[6] = FILLED(chance, ORT_FLOAT, made->strange, many, width);
    if (sometimes(chance, 3)) made->context.inputs[7] = FILLED(chance, ORT_INT64, 0, 1, draw(chance, many + 3));
}

typedef struct {
    int64_t heads, nope, rope, rank, value, part, offset, width;
    int type;
} Sizes;

/* Attributes, and constants from input `first` on. */
static Sizes make_layer(Chance *chance, Case *made, int type, size_t first) {
    Sizes s = {.heads = 1 + draw(chance, 6), .nope = 1 + draw(chance, 40), .rope = 2 + 2 * draw(chance, 20), .value = 1 + draw(chance, 90)};
    s.part = sometimes(chance, 2) ? 4 * (2 + draw(chance, 20)) : 8 + draw(chance, 40);
    s.rank = s.part * (1 + draw(chance, 3));
    s.offset = sometimes(chance, 3) ? draw(chance, 9) : 0;
    s.width = s.rank + s.rope;
    s.type = type;
    integer(made, "heads", s.heads), integer(made, "nope", s.nope), integer(made, "rope", s.rope), integer(made, "rank", s.rank);
    integer(made, "value", s.value), integer(made, "part", s.part), integer(made, "offset", s.offset), number(made, "epsilon", 1e-6f);
    OrtValue **constants = made->info.constants + first;
    constants[0] = FILLED(chance, ORT_FLOAT, made->strange, s.rank);
    constants[1] = FILLED(chance, ORT_INT8, 0, s.heads, s.rank / s.part, s.nope, s.part);
    constants[2] = FILLED(chance, ORT_FLOAT, made->strange, s.heads, s.rank);
    constants[3] = FILLED(chance, ORT_INT8, 0, s.heads, s.rank, s.value);
    constants[4] = FILLED(chance, ORT_FLOAT, made->strange, s.heads, s.value);
    constants[5] = FILLED(chance, ORT_FLOAT, made->strange, s.heads, s.value);
    return s;
}

static void make_projections(Chance *chance, Case *made, const Sizes *s, int64_t batch, int64_t tokens) {
    OrtValue **inputs = made->context.inputs;
    inputs[0] = FILLED(chance, ORT_FLOAT, made->strange, batch, tokens, s->heads * (s->nope + s->rope) + draw(chance, 3));
    inputs[1] = FILLED(chance, ORT_FLOAT, made->strange, batch, tokens, s->offset + s->width + draw(chance, 3));
    inputs[2] = FILLED(chance, ORT_FLOAT, made->strange, batch, tokens, s->rope / 2);
    inputs[3] = FILLED(chance, ORT_FLOAT, made->strange, batch, tokens, s->rope / 2);
}

/* Past and what follows of it; now and then past lies where present does. */
static void make_cache(Chance *chance, Case *made, const Sizes *s, int64_t batch, int64_t past, int64_t tokens, size_t input, size_t output) {
    OrtValue *rows = made->context.inputs[input] = FILLED(chance, s->type, made->strange, batch, 1, past, s->width);
    if (batch != 1 || sometimes(chance, 2)) return;
    OrtValue *present = FILLED(chance, s->type, made->strange, batch, 1, past + tokens, s->width);
    made->context.outputs[output] = *present;
    free(present);
    free(rows->data);
    rows->data = made->context.outputs[output].data;
    rows->borrowed = 1;
}

static int64_t some_past(Chance *chance) {
    return sometimes(chance, 30) ? 8000 + draw(chance, 2000) : sometimes(chance, 3) ? 0 : 60 + draw(chance, 200);
}

static void make_attention(Chance *chance, Case *made, int type) {
    const Sizes s = make_layer(chance, made, type, 6);
    const int64_t batch = sometimes(chance, 3) ? draw(chance, 4) : 1, past = some_past(chance);
    const int64_t tokens = sometimes(chance, 4) ? 60 + draw(chance, 80) : draw(chance, 6);
    made->context.input_count = 12;
    made->context.output_count = 2;
    make_projections(chance, made, &s, batch, tokens);
    made->context.inputs[4] = FILLED(chance, ORT_INT64, made->strange, batch, past + tokens);
    make_cache(chance, made, &s, batch, past, tokens, 5, 1);
}

static void make_batch(Chance *chance, Case *made, int type) {
    enum { MOST_SLOTS = MOST_OUTPUTS - 2 };
    const Sizes s = make_layer(chance, made, type, 6);
    const int64_t slots = draw(chance, MOST_SLOTS + 1), past = some_past(chance);
    const int64_t chunk = sometimes(chance, 3) ? 0 : sometimes(chance, 4) ? 60 + draw(chance, 80) : draw(chance, 6);
    OrtValue *each = made->context.inputs[4] = FILLED(chance, ORT_INT64, 0, slots);
    int64_t tokens = chunk;
    for (int64_t i = 0; i < slots; i++) tokens += ((int64_t *)each->data)[i] = draw(chance, 2);
    made->context.input_count = 12 + (size_t)slots + 1;
    made->context.output_count = 1 + (size_t)slots + 1;
    make_projections(chance, made, &s, 1, tokens);
    made->context.inputs[5] = FILLED(chance, ORT_INT64, made->strange, 1, past + chunk);
    for (int64_t i = 0; i < slots; i++)
        make_cache(chance, made, &s, 1, some_past(chance), ((int64_t *)each->data)[i], 12 + (size_t)i, 1 + (size_t)i);
    make_cache(chance, made, &s, 1, past, chunk, 12 + (size_t)slots, 1 + (size_t)slots);
}

static void spoil_attribute(Chance *chance, OrtKernelInfo *info) {
    const size_t i = (size_t)draw(chance, (int64_t)info->attribute_count);
    Attribute *one = &info->attributes[i];
    if (sometimes(chance, 6)) {
        *one = info->attributes[--info->attribute_count];
    } else if (one->is_float) {
        one->number = sometimes(chance, 2) ? NAN : -1;
    } else if (sometimes(chance, 2)) {
        one->integer = (int64_t)((uint64_t)one->integer + (uint64_t)draw(chance, 9) - 4);
    } else {
        one->integer = ONE_OF(chance, 0, -1, 1, 2, 3, 4, 8, 16, 65536, 65537, INT32_MAX, INT32_MIN, (int64_t)((uint64_t)UINT32_MAX + 1 + (uint64_t)one->integer),
                              INT64_MAX, INT64_MIN, INT64_MAX / 2);
    }
}

/* Another shape or type, or nothing. */
static void spoil_value(Chance *chance, OrtValue **value) {
    OrtValue *old = *value;
    if (!old || sometimes(chance, 8)) {
        free_value(old);
        *value = old ? NULL : FILLED(chance, ORT_FLOAT, 0, 1 + draw(chance, 40));
        return;
    }
    struct OrtShape is = old->is;
    const size_t i = is.rank ? (size_t)draw(chance, (int64_t)is.rank) : 0;
    switch (draw(chance, 5)) {
    case 0: is.type = (int)ONE_OF(chance, ORT_FLOAT, ORT_HALF, ORT_UINT8, ORT_INT8, ORT_INT64); break;
    case 1: is.shape[i] += draw(chance, 5) - 2; break;
    case 2: is.shape[i] = ONE_OF(chance, 0, 1, 2); break;
    case 3: /* none at all, of shapes whose products don't fit */
        for (size_t k = 0; k < is.rank; k++) is.shape[k] = ONE_OF(chance, 0, INT32_MAX, INT64_MAX, (int64_t)1 << 40, 3);
        is.shape[i] = 0;
        break;
    default: is.rank = (size_t)draw(chance, MOST_RANK + 1);
        for (size_t k = 0; k < is.rank; k++)
            if (k >= old->is.rank) is.shape[k] = 1;
    }
    if (elements(is.rank, is.shape, 1 << 22) < 0) return;
    free_value(old);
    *value = filled(chance, is.type, 0, is.rank, is.shape);
}

static void spoil(Chance *chance, Case *made) {
    made->wrong = 1;
    for (int64_t times = 1 + draw(chance, 2); times; times--) {
        if (sometimes(chance, 2) && made->info.attribute_count) {
            spoil_attribute(chance, &made->info);
        } else if (sometimes(chance, 8)) {
            made->context.input_count = (size_t)draw(chance, (int64_t)made->context.input_count + 1);
        } else {
            const size_t i = (size_t)draw(chance, (int64_t)made->context.input_count + 1) % MOST_INPUTS;
            OrtValue **value = made->info.constants[i] ? &made->info.constants[i] : &made->context.inputs[i];
            if (*value && (*value)->borrowed) continue;
            if (value == &made->info.constants[i] && sometimes(chance, 4)) { /* it could change between runs */
                made->context.inputs[i] = *value;
                *value = NULL;
            } else {
                spoil_value(chance, value);
            }
        }
    }
}

void make_case(Chance *chance, const OrtOperator *operator, Case *made) {
    memset(made, 0, sizeof *made);
    made->operator = made->context.operator = operator;
    made->strange = sometimes(chance, 8);
    const char *name = operator->name(operator);
    const int rows = strstr(name, "Byte") ? ORT_UINT8 : strstr(name, "Half") ? ORT_HALF : ORT_FLOAT;
    if (!strcmp(name, "Linear"))
        make_linear(chance, made);
    else if (!strncmp(name, "Batch", 5))
        make_batch(chance, made, rows);
    else
        make_attention(chance, made, rows);
    if (!sometimes(chance, 3)) spoil(chance, made);
}

void free_case(Case *made) {
    for (size_t i = 0; i < MOST_INPUTS; i++) free_value(made->context.inputs[i]), free_value(made->info.constants[i]);
    for (size_t i = 0; i < MOST_OUTPUTS; i++) free(made->context.outputs[i].data);
}
