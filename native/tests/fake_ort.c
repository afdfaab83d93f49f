#include "fake_ort.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, PLACES = 300 };
static const int64_t MOST_BYTES = 64 << 20; /* of an output: more is refused, as a machine without memory would */

int64_t element_size(int type) { return type == ORT_INT64 ? 8 : type == ORT_FLOAT ? 4 : type == ORT_HALF ? 2 : 1; }

int64_t elements(size_t rank, const int64_t *shape, int64_t most) {
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] < 0) return -1;
        if (shape[i] == 0) count = 0;
    }
    for (size_t i = 0; i < rank && count; i++)
        if (__builtin_mul_overflow(count, shape[i], &count) || count > most) return -1;
    return count;
}

OrtValue *new_value(int type, size_t rank, const int64_t *shape) {
    OrtValue *made = calloc(1, sizeof *made);
    made->is.type = type;
    made->is.rank = rank;
    if (rank) memcpy(made->is.shape, shape, rank * sizeof *shape);
    made->data = malloc((size_t)(elements(rank, shape, MOST_BYTES) * element_size(type)));
    return made;
}

void free_value(OrtValue *value) {
    if (!value) return;
    if (!value->borrowed) free(value->data);
    free(value);
}

static OrtStatus *create_status(int code, const char *text) {
    OrtStatus *made = calloc(1, sizeof *made);
    made->code = code;
    snprintf(made->text, sizeof made->text, "%s", text);
    return made;
}
static void release_status(OrtStatus *status) { free(status); }

static OrtStatus *create_domain(const char *name, OrtDomain **domain) {
    (void)name;
    *domain = calloc(1, sizeof **domain);
    return NULL;
}
static OrtStatus *add_to_domain(OrtDomain *domain, const OrtOperator *operator) {
    if (domain->count == MOST_OPERATORS) return create_status(ORT_FAIL, "too many operators");
    domain->operators[domain->count++] = operator;
    return NULL;
}
static void release_domain(OrtDomain *domain) { free(domain); }
static OrtStatus *add_domain(OrtSessionOptions *options, OrtDomain *domain) {
    options->domain = domain;
    return NULL;
}

static OrtStatus *data(OrtValue *value, void **found) { return *found = value->data, NULL; }
static OrtStatus *shape_of(const OrtValue *value, OrtShape **shape) {
    *shape = malloc(sizeof **shape);
    **shape = value->is;
    return NULL;
}
static OrtStatus *element_type(const OrtShape *shape, int *type) { return *type = shape->type, NULL; }
static OrtStatus *rank(const OrtShape *shape, size_t *found) { return *found = shape->rank, NULL; }
static OrtStatus *dimensions(const OrtShape *shape, int64_t *found, size_t count) {
    if (count) memcpy(found, shape->shape, count * sizeof *found);
    return NULL;
}
static void release_shape(OrtShape *shape) { free(shape); }

static const Attribute *attribute(const OrtKernelInfo *info, const char *name, int is_float) {
    for (size_t i = 0; i < info->attribute_count; i++)
        if (!strcmp(info->attributes[i].name, name) && info->attributes[i].is_float == is_float) return &info->attributes[i];
    return NULL;
}
static OrtStatus *attribute_float(const OrtKernelInfo *info, const char *name, float *found) {
    const Attribute *one = attribute(info, name, 1);
    if (!one) return create_status(ORT_FAIL, "no such attribute");
    *found = one->number;
    return NULL;
}
static OrtStatus *attribute_int(const OrtKernelInfo *info, const char *name, int64_t *found) {
    const Attribute *one = attribute(info, name, 0);
    if (!one) return create_status(ORT_FAIL, "no such attribute");
    *found = one->integer;
    return NULL;
}
static OrtStatus *constant_input(const OrtKernelInfo *info, size_t index, int *constant, const OrtValue **value) {
    *value = info->constants[index];
    *constant = *value != NULL;
    return NULL;
}

static OrtStatus *input_count(const OrtKernelContext *context, size_t *count) { return *count = context->input_count, NULL; }
static OrtStatus *output_count(const OrtKernelContext *context, size_t *count) { return *count = context->output_count, NULL; }
static OrtStatus *input(const OrtKernelContext *context, size_t index, const OrtValue **value) {
    if (index >= context->input_count) return create_status(ORT_FAIL, "no such input");
    *value = context->inputs[index];
    return NULL;
}
static OrtStatus *output(OrtKernelContext *context, size_t index, const int64_t *shape, size_t count, OrtValue **value) {
    if (index >= context->output_count) return create_status(ORT_FAIL, "no such output");
    const size_t declared = context->operator->output_count(context->operator), kind = index < declared ? index : declared - 1;
    OrtValue *made = &context->outputs[index];
    const int64_t many = elements(count, shape, MOST_BYTES / 8);
    if (many < 0 || count > MOST_RANK) return create_status(ORT_FAIL, "an output can't be allocated");
    if (made->data && elements(made->is.rank, made->is.shape, MOST_BYTES) != many)
        return create_status(ORT_FAIL, "an output's place has another size");
    made->is = (OrtShape){.type = context->operator->output_type(context->operator, kind), .rank = count};
    if (count) memcpy(made->is.shape, shape, count * sizeof *shape);
    if (!made->data) made->data = malloc((size_t)(many * element_size(made->is.type)));
    *value = made;
    return NULL;
}

typedef struct {
    void (*task)(void *, size_t);
    void *data;
    size_t count;
    atomic_size_t next;
} Work;

static void *work(void *from) {
    Work *work = from;
    for (size_t i = atomic_fetch_add(&work->next, 1); i < work->count; i = atomic_fetch_add(&work->next, 1)) work->task(work->data, i);
    return NULL;
}

static OrtStatus *parallel_for(const OrtKernelContext *context, void (*task)(void *, size_t), size_t count, size_t batches, void *data) {
    (void)context, (void)batches;
    Work shared = {.task = task, .data = data, .count = count};
    pthread_t threads[THREADS];
    const size_t started = count < THREADS ? count : THREADS;
    for (size_t i = 0; i < started; i++)
        if (pthread_create(&threads[i], NULL, work, &shared)) abort();
    for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    return NULL;
}

#define PLACE(name) [ORT_##name] = (void *)name
static void *const TABLE[PLACES] = {
    PLACE(create_status), PLACE(create_domain),   PLACE(add_to_domain),  PLACE(add_domain),     PLACE(data),
    PLACE(element_type),  PLACE(rank),            PLACE(dimensions),     PLACE(shape_of),       PLACE(attribute_float),
    PLACE(attribute_int), PLACE(input_count),     PLACE(output_count),   PLACE(input),          PLACE(output),
    PLACE(release_status), PLACE(release_shape),  PLACE(constant_input), PLACE(parallel_for),
    PLACE(release_domain),
};

static OrtApi get_api(uint32_t version) { return version == ORT_API_VERSION ? TABLE : NULL; }
static const char *version(void) { return "fake"; }
const OrtApiBase FAKE_ORT = {get_api, version};
