/* Nodes and runs of them by chance: as they should be, or with something wrong. */
#ifndef YOUTU_CASES_H
#define YOUTU_CASES_H

#include "fake_ort.h"

typedef struct {
    uint64_t state;
} Chance;

/* Within [0, below). */
int64_t draw(Chance *chance, int64_t below);

typedef struct {
    const OrtOperator *operator;
    OrtKernelInfo info;
    OrtKernelContext context;
    int wrong;   /* something was changed: it may be refused */
    int strange; /* numbers that aren't finite, or nearly so: what comes out may be anything */
} Case;

/* One for an operator of this name. */
void make_case(Chance *chance, const OrtOperator *operator, Case *made);
void free_case(Case *made);

#endif
