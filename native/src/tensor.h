/* Tensors and errors, between ONNX Runtime's handles and plain C. */
#ifndef YOUTU_TENSOR_H
#define YOUTU_TENSOR_H

#include "ort.h"

enum { MOST_DIMENSIONS = 8 };

typedef struct {
    void *data;
    int type; /* ORT_FLOAT and so on; ORT_ANY: there is no tensor */
    size_t rank;
    int64_t shape[MOST_DIMENSIONS];
    int64_t count; /* of elements */
} Tensor;

/* An error that ONNX Runtime reports with the node's name before it. */
OrtStatus *failure(OrtApi api, const char *what);

/* A value's tensor; a NULL value is none. */
OrtStatus *read_tensor(OrtApi api, const OrtValue *value, Tensor *tensor);
OrtStatus *read_input(OrtApi api, const OrtKernelContext *context, size_t index, Tensor *tensor);
/* An input that is the same in every run; one that could change is taken for none. */
OrtStatus *read_constant(OrtApi api, const OrtKernelInfo *info, size_t index, Tensor *tensor);
OrtStatus *read_output(OrtApi api, OrtKernelContext *context, size_t index, const int64_t *shape, size_t rank, void **data);
/* An attribute, or `otherwise` where it is not there. */
int64_t attribute_int(OrtApi api, const OrtKernelInfo *info, const char *name, int64_t otherwise);
float attribute_float(OrtApi api, const OrtKernelInfo *info, const char *name, float otherwise);

/* Calls task(data, 0 … count - 1) on the session's threads. */
OrtStatus *on_threads(OrtApi api, const OrtKernelContext *context, void (*task)(void *, size_t), size_t count, void *data);

#define TRY(call)                        \
    do {                                 \
        OrtStatus *status_ = (call);     \
        if (status_) return status_;     \
    } while (0)

#define CHECK(api, condition, what)                          \
    do {                                                     \
        if (!(condition)) return failure((api), (what));     \
    } while (0)

#endif
