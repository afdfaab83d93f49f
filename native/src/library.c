/* What ONNX Runtime calls when the library is registered, and what others may ask of it. */
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "operators.h"
#include "tensor.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

const char *any_provider(const OrtOperator *operator) { return (void)operator, NULL; }
int default_memory(const OrtOperator *operator, size_t index) { return (void)operator, (void)index, 0; }
int zero(const OrtOperator *operator) { return (void)operator, 0; }
int one(const OrtOperator *operator) { return (void)operator, 1; }
int any_version(const OrtOperator *operator) { return (void)operator, INT_MAX; }
void destroy(void *kernel) { free(kernel); }

const Kernels *chosen_kernels(void) {
    const char *wanted = getenv("YOUTU_ONNX_INSTRUCTIONS");
    return kernels(wanted && *wanted ? wanted : NULL);
}

/* Of the operators' inputs and attributes: whoever puts them into a graph has to know the same. */
enum { INTERFACE = 2 };
EXPORT int youtu_onnx_interface(void) { return INTERFACE; }

/* The name of the instruction set in use; "" where YOUTU_ONNX_INSTRUCTIONS asks for one that is not there. */
EXPORT const char *youtu_onnx_instructions(void) {
    const Kernels *found = chosen_kernels();
    return found ? found->name : "";
}

/* The i-th instruction set of this build, and whether the processor has it; NULL behind the last. */
EXPORT const char *youtu_onnx_known_instructions(int i, int *runs) { return kernels_known(i, runs); }

EXPORT OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base) {
    /* Sessions point to the domain as long as they live, and nobody tells when the last of them is gone. */
    static _Atomic(OrtDomain *) domain;
    OrtApi api = base->get_api(ORT_API_VERSION);
    if (!api) return NULL; /* older than 1.18, and without a table there is no way to say so: the session misses the operators */
    OrtDomain *found = atomic_load(&domain);
    if (!found) {
        OrtDomain *made = NULL;
        TRY(ORT(api, create_domain)("youtu_onnx", &made));
        const OrtOperator *operators[] = {&LINEAR, &LATENT_ATTENTION, &HALF_LATENT_ATTENTION, &BYTE_LATENT_ATTENTION,
                                          &BATCH_LATENT_ATTENTION, &BATCH_HALF_LATENT_ATTENTION, &BATCH_BYTE_LATENT_ATTENTION};
        for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) TRY(ORT(api, add_to_domain)(made, operators[i]));
        if (atomic_compare_exchange_strong(&domain, &found, made))
            found = made;
        else
            ORT(api, release_domain)(made); /* another thread was first */
    }
    return ORT(api, add_domain)(options, found);
}
