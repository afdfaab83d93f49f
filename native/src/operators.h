/* The operators of this library, and what they share. */
#ifndef YOUTU_OPERATORS_H
#define YOUTU_OPERATORS_H

#include "kernels.h"
#include "ort.h"

extern const OrtOperator LINEAR;
extern const OrtOperator LATENT_ATTENTION, HALF_LATENT_ATTENTION, BYTE_LATENT_ATTENTION;
extern const OrtOperator BATCH_LATENT_ATTENTION, BATCH_HALF_LATENT_ATTENTION, BATCH_BYTE_LATENT_ATTENTION;

/* The kernels that all operators use: those that YOUTU_ONNX_INSTRUCTIONS names, or the fastest. NULL: it names none of this machine. */
const Kernels *chosen_kernels(void);

const char *any_provider(const OrtOperator *);
int default_memory(const OrtOperator *, size_t);
int zero(const OrtOperator *);
int one(const OrtOperator *);
int any_version(const OrtOperator *);
void destroy(void *);

#define OPERATOR_DEFAULTS                                                                              \
    .version = ORT_API_VERSION, .provider = any_provider, .input_memory = default_memory,              \
    .variadic_input_least = zero, .variadic_input_alike = one, .variadic_output_least = zero,          \
    .variadic_output_alike = one, .destroy = destroy, .first_version = one, .last_version = any_version

#endif
