#include "tensor.h"

OrtStatus *failure(OrtApi api, const char *what) { return ORT(api, create_status)(ORT_INVALID_ARGUMENT, what); }

OrtStatus *read_tensor(OrtApi api, const OrtValue *value, Tensor *tensor) {
    *tensor = (Tensor){0};
    if (!value) return NULL;
    OrtShape *shape = NULL;
    TRY(ORT(api, shape_of)(value, &shape));
    OrtStatus *status = ORT(api, element_type)(shape, &tensor->type);
    if (!status) status = ORT(api, rank)(shape, &tensor->rank);
    if (!status && tensor->rank > MOST_DIMENSIONS) status = failure(api, "a tensor has too many dimensions");
    if (!status) status = ORT(api, dimensions)(shape, tensor->shape, tensor->rank);
    ORT(api, release_shape)(shape);
    TRY(status);
    tensor->count = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        CHECK(api, !__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count) && tensor->shape[i] >= 0,
              "a tensor is too large");
    return ORT(api, data)((OrtValue *)value, &tensor->data);
}

OrtStatus *read_input(OrtApi api, const OrtKernelContext *context, size_t index, Tensor *tensor) {
    const OrtValue *value = NULL;
    TRY(ORT(api, input)(context, index, &value));
    return read_tensor(api, value, tensor);
}

OrtStatus *read_constant(OrtApi api, const OrtKernelInfo *info, size_t index, Tensor *tensor) {
    const OrtValue *value = NULL;
    int constant = 0;
    TRY(ORT(api, constant_input)(info, index, &constant, &value));
    return read_tensor(api, constant ? value : NULL, tensor);
}

OrtStatus *read_output(OrtApi api, OrtKernelContext *context, size_t index, const int64_t *shape, size_t rank, void **data) {
    OrtValue *value = NULL;
    TRY(ORT(api, output)(context, index, shape, rank, &value));
    return ORT(api, data)(value, data);
}

int64_t attribute_int(OrtApi api, const OrtKernelInfo *info, const char *name, int64_t otherwise) {
    int64_t found = otherwise;
    OrtStatus *status = ORT(api, attribute_int)(info, name, &found);
    if (!status) return found;
    ORT(api, release_status)(status);
    return otherwise;
}

float attribute_float(OrtApi api, const OrtKernelInfo *info, const char *name, float otherwise) {
    float found = otherwise;
    OrtStatus *status = ORT(api, attribute_float)(info, name, &found);
    if (!status) return found;
    ORT(api, release_status)(status);
    return otherwise;
}

OrtStatus *on_threads(OrtApi api, const OrtKernelContext *context, void (*task)(void *, size_t), size_t count, void *data) {
    if (count == 1) return task(data, 0), NULL;
    return ORT(api, parallel_for)(context, task, count, 0, data);
}
