/* As much of ONNX Runtime as the operators call, so that they can be run by a program that sanitizers watch. Every buffer is as long
 * as its shape says and no longer. */
#ifndef YOUTU_FAKE_ORT_H
#define YOUTU_FAKE_ORT_H

#include "ort.h"

enum { MOST_RANK = 9, MOST_INPUTS = 20, MOST_ATTRIBUTES = 12, MOST_OUTPUTS = 6, MOST_OPERATORS = 8 };

struct OrtStatus {
    int code;
    char text[160];
};

struct OrtShape {
    int type;
    size_t rank;
    int64_t shape[MOST_RANK];
};

struct OrtValue {
    struct OrtShape is;
    void *data;
    int borrowed; /* the data is another's */
};

typedef struct {
    const char *name;
    int is_float;
    int64_t integer;
    float number;
} Attribute;

/* A node: what it has before anything runs. */
struct OrtKernelInfo {
    Attribute attributes[MOST_ATTRIBUTES];
    size_t attribute_count;
    OrtValue *constants[MOST_INPUTS]; /* NULL: not constant, or not there */
};

/* A run of it. */
struct OrtKernelContext {
    const OrtOperator *operator;
    OrtValue *inputs[MOST_INPUTS];
    size_t input_count, output_count;
    OrtValue outputs[MOST_OUTPUTS]; /* data: where it is to be, NULL: it is allocated */
};

struct OrtDomain {
    const OrtOperator *operators[MOST_OPERATORS];
    size_t count;
};

struct OrtSessionOptions {
    OrtDomain *domain;
};

extern const OrtApiBase FAKE_ORT;

/* Elements of a shape; -1 where they are more than `most`, or a dimension is negative. */
int64_t elements(size_t rank, const int64_t *shape, int64_t most);
int64_t element_size(int type);
OrtValue *new_value(int type, size_t rank, const int64_t *shape);
void free_value(OrtValue *value);

#endif
