/* Runs the operators on nodes and inputs by chance, for a sanitizer to watch:  hostile SEED CASES THREADS
 *
 * Each thread registers the library and makes its own cases. A case that is as it should be runs, twice at once, and both runs
 * have the same finite numbers; a case with something wrong is refused with words, or runs. What is printed of the outputs is the
 * same for the same seed, whatever memory holds before it is written.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

OrtStatus *RegisterCustomOps(OrtSessionOptions *, const OrtApiBase *);

typedef struct {
    uint64_t seed;
    int64_t cases, ran, refused;
    uint64_t seen; /* a number that all outputs take part in */
    const char *failed;
} Share;

typedef struct {
    const Case *made;
    void *kernel;
    OrtKernelContext context;
    OrtStatus *status;
} Run;

static void *run(void *from) {
    Run *run = from;
    run->status = run->made->operator->compute_or_fail(run->kernel, &run->context);
    return NULL;
}

static void forget(OrtStatus *status, Share *share) {
    if (!status) return;
    if (!status->text[0]) share->failed = "an error without words";
    free(status);
}

static int all_finite(const OrtValue *value) {
    const int64_t count = elements(value->is.rank, value->is.shape, INT64_MAX);
    for (int64_t i = 0; i < count && value->is.type == ORT_FLOAT; i++)
        if (!isfinite(((const float *)value->data)[i])) return 0;
    return 1;
}

static int alike(const OrtValue *a, const OrtValue *b) {
    const int64_t count = elements(a->is.rank, a->is.shape, INT64_MAX);
    if (!a->data || !b->data) return a->data == b->data;
    return !memcmp(a->data, b->data, (size_t)(count * element_size(a->is.type)));
}

static void take_part(const OrtValue *value, Share *share) {
    const int64_t size = value->data ? elements(value->is.rank, value->is.shape, INT64_MAX) * element_size(value->is.type) : 0;
    for (int64_t i = 0; i < size; i++) share->seen = (share->seen ^ ((const uint8_t *)value->data)[i]) * 0x100000001b3;
}

/* Runs at once by one kernel; where past lies in present, one alone. */
static void run_case(const Case *made, void *kernel, Share *share) {
    Run runs[2] = {{.made = made, .kernel = kernel, .context = made->context}, {.made = made, .kernel = kernel, .context = made->context}};
    int count = 2;
    for (size_t i = 0; i < MOST_OUTPUTS; i++)
        if (made->context.outputs[i].data) count = 1;
    pthread_t other;
    if (count == 2 && pthread_create(&other, NULL, run, &runs[1])) abort();
    run(&runs[0]);
    if (count == 2) pthread_join(other, NULL);
    if (runs[0].status ? !made->wrong : 0) {
        fprintf(stderr, "%s: %s\n", made->operator->name(made->operator), runs[0].status->text);
        share->failed = "a case that is as it should be was refused";
    }
    if (!runs[0].status) {
        share->ran++;
        for (size_t i = 0; i < MOST_OUTPUTS; i++) {
            const OrtValue *found = &runs[0].context.outputs[i];
            take_part(found, share);
            if (!made->strange && !made->wrong && found->data && !all_finite(found)) share->failed = "a number isn't finite";
            if (count == 2 && !alike(found, &runs[1].context.outputs[i])) share->failed = "two runs at once differ";
        }
    } else {
        share->refused++;
    }
    for (int k = 0; k < count; k++) {
        forget(runs[k].status, share);
        for (size_t i = 0; i < MOST_OUTPUTS; i++)
            if (runs[k].context.outputs[i].data != made->context.outputs[i].data) free(runs[k].context.outputs[i].data);
    }
}

static void *cases(void *from) {
    Share *share = from;
    OrtSessionOptions options = {0};
    OrtStatus *status = RegisterCustomOps(&options, &FAKE_ORT);
    if (status || !options.domain) return share->failed = "the library didn't register", NULL;
    for (int64_t i = 0; i < share->cases && !share->failed; i++) {
        Chance chance = {(share->seed * 1000003 + (uint64_t)i) * 0x9e3779b97f4a7c15 | 1};
        for (int k = 0; k < 8; k++) draw(&chance, 2);
        Case made;
        make_case(&chance, options.domain->operators[draw(&chance, (int64_t)options.domain->count)], &made);
        void *kernel = NULL;
        status = made.operator->create_or_fail(made.operator, FAKE_ORT.get_api(ORT_API_VERSION), &made.info, &kernel);
        if (status) {
            if (!made.wrong) {
                fprintf(stderr, "%s: %s\n", made.operator->name(made.operator), status->text);
                share->failed = "a node that is as it should be was refused";
            }
            share->refused++;
            forget(status, share);
        } else {
            run_case(&made, kernel, share);
            made.operator->destroy(kernel);
        }
        free_case(&made);
        if (share->failed) fprintf(stderr, "seed %llu, case %lld\n", (unsigned long long)share->seed, (long long)i);
    }
    return NULL;
}

int main(int count, char **words) {
    enum { MOST_THREADS = 8 };
    if (count != 4) return fprintf(stderr, "hostile SEED CASES THREADS\n"), 2;
    const int threads = atoi(words[3]) < MOST_THREADS ? atoi(words[3]) : MOST_THREADS;
    Share shares[MOST_THREADS] = {0};
    pthread_t started[MOST_THREADS];
    for (int i = 0; i < threads; i++) {
        shares[i] = (Share){.seed = (uint64_t)atoll(words[1]) + (uint64_t)i, .cases = atoll(words[2])};
        if (pthread_create(&started[i], NULL, cases, &shares[i])) abort();
    }
    int64_t ran = 0, refused = 0;
    uint64_t seen = 0;
    int failed = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(started[i], NULL);
        ran += shares[i].ran, refused += shares[i].refused, seen ^= shares[i].seen;
        if (shares[i].failed) failed = 1, fprintf(stderr, "%s\n", shares[i].failed);
    }
    printf("%lld ran, %lld were refused; outputs %016llx\n", (long long)ran, (long long)refused, (unsigned long long)seen);
    return failed;
}
