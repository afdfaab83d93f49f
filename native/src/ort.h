/* What of ONNX Runtime's C interface these operators use, declared here so that a C compiler is all that a build needs.
 *
 * OrtApi is a table of function pointers to which releases only ever append, so a function is known by its place in it.
 * Version 17 (ONNX Runtime 1.17) is the first that has all of them.
 */
#ifndef YOUTU_ORT_H
#define YOUTU_ORT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && !defined(_WIN64)
#error "32-bit Windows has another calling convention"
#endif

#define ORT_API_VERSION 17

typedef struct OrtStatus OrtStatus;
typedef struct OrtValue OrtValue;
typedef struct OrtShape OrtShape;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtDomain OrtDomain;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtShapeInference OrtShapeInference;
typedef void *const *OrtApi;

typedef struct {
    OrtApi (*get_api)(uint32_t version);
    const char *(*version)(void);
} OrtApiBase;

enum { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };
enum { ORT_ANY = 0, ORT_FLOAT = 1, ORT_UINT8 = 2, ORT_INT8 = 3, ORT_INT64 = 7, ORT_HALF = 10 };
enum { ORT_REQUIRED = 0, ORT_OPTIONAL = 1, ORT_VARIADIC = 2 };

/* An operator, as ONNX Runtime asks for it. */
typedef struct OrtOperator {
    uint32_t version;
    void *(*create)(const struct OrtOperator *, OrtApi, const OrtKernelInfo *);
    const char *(*name)(const struct OrtOperator *);
    const char *(*provider)(const struct OrtOperator *);
    int (*input_type)(const struct OrtOperator *, size_t);
    size_t (*input_count)(const struct OrtOperator *);
    int (*output_type)(const struct OrtOperator *, size_t);
    size_t (*output_count)(const struct OrtOperator *);
    void (*compute)(void *, OrtKernelContext *);
    void (*destroy)(void *);
    int (*input_kind)(const struct OrtOperator *, size_t);
    int (*output_kind)(const struct OrtOperator *, size_t);
    int (*input_memory)(const struct OrtOperator *, size_t);
    int (*variadic_input_least)(const struct OrtOperator *);
    int (*variadic_input_alike)(const struct OrtOperator *);
    int (*variadic_output_least)(const struct OrtOperator *);
    int (*variadic_output_alike)(const struct OrtOperator *);
    OrtStatus *(*create_or_fail)(const struct OrtOperator *, OrtApi, const OrtKernelInfo *, void **);
    OrtStatus *(*compute_or_fail)(void *, OrtKernelContext *);
    OrtStatus *(*infer_shapes)(const struct OrtOperator *, OrtShapeInference *);
    int (*first_version)(const struct OrtOperator *);
    int (*last_version)(const struct OrtOperator *);
    size_t (*in_place)(int **, int **);
    void (*release_in_place)(int *, int *);
} OrtOperator;

/* Places in the table. */
enum {
    ORT_create_status = 0,
    ORT_create_domain = 26,
    ORT_add_to_domain = 27,
    ORT_add_domain = 28,
    ORT_data = 51,
    ORT_element_type = 60,
    ORT_rank = 61,
    ORT_dimensions = 62,
    ORT_shape_of = 65,
    ORT_attribute_float = 85,
    ORT_attribute_int = 86,
    ORT_input_count = 88,
    ORT_output_count = 89,
    ORT_input = 90,
    ORT_output = 91,
    ORT_release_status = 93,
    ORT_release_shape = 99,
    ORT_release_domain = 101,
    ORT_constant_input = 249,
    ORT_parallel_for = 274,
};

/* Their types; ORT(api, data)(…) calls one. */
typedef OrtStatus *(*ORT_create_status_f)(int, const char *);
typedef OrtStatus *(*ORT_create_domain_f)(const char *, OrtDomain **);
typedef OrtStatus *(*ORT_add_to_domain_f)(OrtDomain *, const OrtOperator *);
typedef OrtStatus *(*ORT_add_domain_f)(OrtSessionOptions *, OrtDomain *);
typedef OrtStatus *(*ORT_data_f)(OrtValue *, void **);
typedef OrtStatus *(*ORT_element_type_f)(const OrtShape *, int *);
typedef OrtStatus *(*ORT_rank_f)(const OrtShape *, size_t *);
typedef OrtStatus *(*ORT_dimensions_f)(const OrtShape *, int64_t *, size_t);
typedef OrtStatus *(*ORT_shape_of_f)(const OrtValue *, OrtShape **);
typedef OrtStatus *(*ORT_attribute_float_f)(const OrtKernelInfo *, const char *, float *);
typedef OrtStatus *(*ORT_attribute_int_f)(const OrtKernelInfo *, const char *, int64_t *);
typedef OrtStatus *(*ORT_input_count_f)(const OrtKernelContext *, size_t *);
typedef OrtStatus *(*ORT_output_count_f)(const OrtKernelContext *, size_t *);
typedef OrtStatus *(*ORT_input_f)(const OrtKernelContext *, size_t, const OrtValue **);
typedef OrtStatus *(*ORT_output_f)(OrtKernelContext *, size_t, const int64_t *, size_t, OrtValue **);
typedef void (*ORT_release_status_f)(OrtStatus *);
typedef void (*ORT_release_shape_f)(OrtShape *);
typedef void (*ORT_release_domain_f)(OrtDomain *);
typedef OrtStatus *(*ORT_constant_input_f)(const OrtKernelInfo *, size_t, int *, const OrtValue **);
typedef OrtStatus *(*ORT_parallel_for_f)(const OrtKernelContext *, void (*)(void *, size_t), size_t, size_t, void *);

#define ORT(api, name) ((ORT_##name##_f)(api)[ORT_##name])

#endif
