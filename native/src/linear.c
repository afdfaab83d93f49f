/* Linear: a product with a quantized matrix, and what stands before and behind it in a decoder layer.
 *
 *     x ─ [normalize] ─ quantize by blocks ─ product ─ [+ bias] ─ [gate · sigmoid(gate) · up] ─ [+ residual] ─ y
 *
 * Inputs: x float [..., W] of which columns [offset, offset + K) count; codes uint8 [N, blocks, bytes], scales float [N · blocks],
 * zero_points uint8 (optional), as MatMulNBits has them; bias float [N] (optional), gain float [K] (optional, with it x is
 * normalized by its root mean square), residual float like y (optional), and slots int64 [..., D] (optional). Only x, residual and
 * slots may change between runs. With slots the first D rows of x are computed as few rows are, however many there are of both, and
 * the others as many are: so what a row becomes doesn't depend on the rows beside it.
 * Attributes: K, N, bits, block_size, offset, epsilon, gated (1: the matrix is gates' N/2 rows, then those of what they gate; y has
 * N/2 columns).
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "halves.h"
#include "kernels.h"
#include "operators.h"
#include "tensor.h"

enum { X, CODES, SCALES, ZERO_POINTS, BIAS, GAIN, RESIDUAL, SLOTS, INPUTS };
enum { ROWS_TOGETHER = 512 };        /* of activations: a panel of theirs stays in the second-level cache */
enum { BYTES_OF_A_TASK = 128 * 1024 }; /* of a matrix */

typedef struct {
    OrtApi api;
    const Kernels *kernels;
    Matrix matrix;
    int64_t offset;
    int gated;
    float epsilon;
    const float *bias, *gain;
} Linear;

typedef struct {
    const Linear *self;
    Activations rows;
    int64_t few;           /* so many of them are computed as few rows are, the others as many */
    const float *x;        /* its first row */
    int64_t x_width;
    float *y;              /* [count, width] */
    const float *residual; /* like y, or NULL */
    int64_t width;         /* columns of y */
    int64_t step;          /* columns of y in a task */
    atomic_int out_of_memory;
} Job;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void quantize_rows(void *data, size_t index) {
    Job *job = data;
    const Linear *self = job->self;
    const int64_t columns = self->matrix.columns;
    const float *x = job->x + (int64_t)index * job->x_width + self->offset;
    if (!self->gain) {
        self->kernels->quantize(&self->matrix, x, &job->rows, (int64_t)index);
        return;
    }
    float *normal = malloc((size_t)columns * sizeof *normal);
    if (!normal) {
        atomic_store(&job->out_of_memory, 1);
        return;
    }
    self->kernels->normalize(x, self->gain, self->epsilon, columns, normal);
    self->kernels->quantize(&self->matrix, normal, &job->rows, (int64_t)index);
    free(normal);
}

static Activations part_of(const Activations *rows, int64_t first, int64_t count) {
    Activations part = *rows;
    part.count = count;
    part.codes += first * rows->stride;
    part.scales += first * rows->room;
    part.sums += first * rows->room;
    part.lanes += first * rows->spread;
    return part;
}

/* Rows [first, last) of the matrix into to[count][width]. */
static void product(const Job *job, int64_t first, int64_t last, float *to, int64_t width, void *scratch) {
    const Linear *self = job->self;
    if (job->few) {
        const Activations front = part_of(&job->rows, 0, job->few);
        self->kernels->few(&self->matrix, &front, first, last, to, width);
    }
    if (job->few < job->rows.count) {
        const Activations back = part_of(&job->rows, job->few, job->rows.count - job->few);
        self->kernels->many(&self->matrix, &back, first, last, to + job->few * width, width, scratch);
    }
    if (self->bias)
        for (int64_t m = 0; m < job->rows.count; m++) self->kernels->add(self->bias + first, last - first, to + m * width);
}

static void multiply(void *data, size_t index) {
    Job *job = data;
    const Linear *self = job->self;
    const int64_t start = (int64_t)index * job->step, stop = smaller(start + job->step, job->width), count = job->rows.count;
    const int64_t piece = job->few < count ? self->kernels->strip : job->step;
    const int64_t scratch_size = job->few < count ? self->kernels->many_scratch(&self->matrix) : 0;
    const int64_t gates_size = self->gated ? 2 * count * piece * (int64_t)sizeof(float) : 0;
    unsigned char *memory = NULL;
    if (scratch_size + gates_size) {
        memory = malloc((size_t)(scratch_size + gates_size + 64));
        if (!memory) {
            atomic_store(&job->out_of_memory, 1);
            return;
        }
    }
    unsigned char *aligned = (unsigned char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    void *scratch = aligned;
    float *gates = (float *)(aligned + scratch_size);
    for (int64_t at = start; at < stop; at += piece) {
        const int64_t end = smaller(at + piece, stop), wide = end - at;
        if (self->gated) {
            float *ups = gates + count * piece;
            product(job, at, end, gates, piece, scratch);
            product(job, at + job->width, end + job->width, ups, piece, scratch);
            for (int64_t m = 0; m < count; m++)
                self->kernels->gated(gates + m * piece, ups + m * piece, wide, job->y + m * job->width + at);
        } else {
            product(job, at, end, job->y + at, job->width, scratch);
        }
        if (job->residual)
            for (int64_t m = 0; m < count; m++)
                self->kernels->add(job->residual + m * job->width + at, wide, job->y + m * job->width + at);
    }
    free(memory);
}

/* How many columns of y a task computes. */
static int64_t step_of(const Job *job) {
    const Linear *self = job->self;
    const int64_t strip = self->kernels->strip;
    if (job->few < job->rows.count) return strip;
    const int64_t rows = BYTES_OF_A_TASK / (self->matrix.stride * (self->gated ? 2 : 1)) / strip * strip;
    return rows > strip ? rows : strip;
}

/* What could change was not there when the kernel was made, and would be left out. */
static OrtStatus *check_constants(const Linear *self, const OrtKernelContext *context, size_t inputs) {
    const void *const known[] = {[ZERO_POINTS] = self->matrix.zeros, [BIAS] = self->bias, [GAIN] = self->gain};
    for (size_t i = ZERO_POINTS; i <= GAIN && i < inputs; i++) {
        const OrtValue *value = NULL;
        if (!known[i]) TRY(ORT(self->api, input)(context, i, &value));
        CHECK(self->api, !value, "zero_points, bias and gain must be constants");
    }
    return NULL;
}

static OrtStatus *run(void *kernel, OrtKernelContext *context) {
    const Linear *self = kernel;
    OrtApi api = self->api;
    const Matrix *w = &self->matrix;
    Tensor x, residual = {0}, slots = {0};
    TRY(read_input(api, context, X, &x));
    CHECK(api, x.type == ORT_FLOAT && x.rank >= 1 && x.shape[x.rank - 1] - self->offset >= w->columns, "x is too narrow, or not float");
    size_t inputs = 0;
    TRY(ORT(api, input_count)(context, &inputs));
    TRY(check_constants(self, context, inputs));
    if (inputs > RESIDUAL) TRY(read_input(api, context, RESIDUAL, &residual));
    if (inputs > SLOTS) TRY(read_input(api, context, SLOTS, &slots));
    CHECK(api, !slots.type || (slots.type == ORT_INT64 && slots.rank >= 1), "slots is not int64 [..., D]");
    const int64_t x_width = x.shape[x.rank - 1], width = self->gated ? w->rows / 2 : w->rows;
    x.shape[x.rank - 1] = width;
    int64_t count = 1;
    for (size_t i = 0; i + 1 < x.rank; i++) count *= x.shape[i];
    CHECK(api, !residual.type || (residual.type == ORT_FLOAT && residual.count == count * width), "residual is not like y");
    void *y = NULL;
    TRY(read_output(api, context, 0, x.shape, x.rank, &y));
    if (!count) return NULL;
    const int64_t few = slots.type ? smaller(slots.shape[slots.rank - 1], count) : count <= self->kernels->rows_at_once ? count : 0;

    const int64_t together = smaller(count, ROWS_TOGETHER), room = whole(w->groups, MOST_LANES);
    const int64_t stride = self->kernels->stride(w), spread = self->kernels->spread(w);
    const size_t floats = (size_t)(together * (2 * room + spread)) * sizeof(float);
    unsigned char *memory = malloc(floats + (size_t)(together * stride) + 64);
    CHECK(api, memory, "out of memory");
    float *numbers = (float *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    OrtStatus *status = NULL;
    for (int64_t first = 0; first < count && !status; first += together) {
        Job job = {.self = self, .x = (const float *)x.data + first * x_width, .x_width = x_width, .width = width};
        const int64_t rows = smaller(together, count - first);
        job.few = smaller(few > first ? few - first : 0, rows);
        job.rows = (Activations){.count = rows, .stride = stride, .room = room, .spread = spread};
        job.rows.scales = numbers;
        job.rows.sums = numbers + together * room;
        job.rows.lanes = job.rows.sums + together * room;
        job.rows.codes = (int8_t *)(job.rows.lanes + together * spread);
        job.y = (float *)y + first * width;
        job.residual = residual.type ? (const float *)residual.data + first * width : NULL;
        job.step = step_of(&job);
        status = on_threads(api, context, quantize_rows, (size_t)rows, &job);
        if (!status) status = on_threads(api, context, multiply, (size_t)((width + job.step - 1) / job.step), &job);
        if (!status && atomic_load(&job.out_of_memory)) status = failure(api, "out of memory");
    }
    free(memory);
    return status;
}

static OrtStatus *read_matrix(OrtApi api, const OrtKernelInfo *info, Linear *self) {
    Matrix *w = &self->matrix;
    w->columns = attribute_int(api, info, "K", 0);
    w->rows = attribute_int(api, info, "N", 0);
    const int64_t bits = attribute_int(api, info, "bits", 4), block = attribute_int(api, info, "block_size", 0);
    CHECK(api, w->columns > 0 && w->rows > 0 && w->columns <= INT32_MAX && w->rows <= INT32_MAX, "K and N must be positive");
    CHECK(api, bits == 4 || bits == 8, "bits must be 4 or 8");
    CHECK(api, block == 16 || block == 32 || block == 64 || block == 128 || block == 256, "block_size must be 16, 32, 64, 128 or 256");
    w->bits = (int)bits;
    w->block = (int)block;
    w->groups = (w->columns + w->block - 1) / w->block;
    w->stride = w->groups * w->block * w->bits / 8;
    w->zero_stride = w->bits == 4 ? (w->groups + 1) / 2 : w->groups;
    Tensor codes, scales, zeros, bias, gain;
    TRY(read_constant(api, info, CODES, &codes));
    TRY(read_constant(api, info, SCALES, &scales));
    TRY(read_constant(api, info, ZERO_POINTS, &zeros));
    TRY(read_constant(api, info, BIAS, &bias));
    TRY(read_constant(api, info, GAIN, &gain));
    CHECK(api, codes.type == ORT_UINT8 && codes.count == w->rows * w->stride, "codes are not uint8 [N, blocks, bytes]");
    CHECK(api, scales.type == ORT_FLOAT && scales.count == w->rows * w->groups, "scales are not float [N, blocks]");
    CHECK(api, !zeros.type || (zeros.type == ORT_UINT8 && zeros.count == w->rows * w->zero_stride), "zero_points are not uint8 [N, blocks]");
    CHECK(api, !bias.type || (bias.type == ORT_FLOAT && bias.count == w->rows), "bias is not float [N]");
    CHECK(api, !gain.type || (gain.type == ORT_FLOAT && gain.count == w->columns), "gain is not float [K]");
    w->codes = codes.data;
    w->scales = scales.data;
    w->zeros = zeros.data;
    self->bias = bias.data;
    self->gain = gain.data;
    return NULL;
}

static OrtStatus *create(const OrtOperator *operator, OrtApi api, const OrtKernelInfo *info, void **kernel) {
    (void)operator;
    Linear made = {.api = api, .kernels = chosen_kernels()};
    CHECK(api, made.kernels, "YOUTU_ONNX_INSTRUCTIONS names an instruction set that this processor or build doesn't have");
    TRY(read_matrix(api, info, &made));
    made.offset = attribute_int(api, info, "offset", 0);
    made.gated = attribute_int(api, info, "gated", 0) != 0;
    made.epsilon = attribute_float(api, info, "epsilon", 1e-6f);
    CHECK(api, made.offset >= 0 && made.offset <= INT32_MAX, "offset must not be negative");
    CHECK(api, !made.gated || made.matrix.rows % 2 == 0, "N must be even where it is gates and what they gate");
    Matrix *w = &made.matrix;
    const int64_t scales = w->rows * w->groups, offset = w->groups > MOST_HALVES ? -1 : halves_offset(w->scales, scales);
    Linear *self = malloc(sizeof *self + (offset < 0 ? 0 : (size_t)(scales + MOST_LANES) * sizeof *w->halves));
    CHECK(api, self, "out of memory");
    if (offset >= 0) {
        uint16_t *halves = (uint16_t *)(self + 1); /* behind it, so that one call frees both */
        make_halves(w->scales, scales, offset, halves);
        memset(halves + scales, 0, MOST_LANES * sizeof *halves);
        w->halves = halves;
        w->unit = halves_unit(offset);
    }
    *self = made;
    *kernel = self;
    return NULL;
}

static const char *name(const OrtOperator *operator) { return (void)operator, "Linear"; }
static size_t input_count(const OrtOperator *operator) { return (void)operator, INPUTS; }
static size_t output_count(const OrtOperator *operator) { return (void)operator, 1; }
static int output_type(const OrtOperator *operator, size_t index) { return (void)operator, (void)index, ORT_FLOAT; }
static int output_kind(const OrtOperator *operator, size_t index) { return (void)operator, (void)index, ORT_REQUIRED; }
static int input_kind(const OrtOperator *operator, size_t index) {
    return (void)operator, index <= SCALES ? ORT_REQUIRED : ORT_OPTIONAL;
}
static int input_type(const OrtOperator *operator, size_t index) {
    return (void)operator, index == CODES || index == ZERO_POINTS ? ORT_UINT8 : index == SLOTS ? ORT_INT64 : ORT_FLOAT;
}

const OrtOperator LINEAR = {
    OPERATOR_DEFAULTS,
    .name = name,
    .input_count = input_count,
    .input_type = input_type,
    .input_kind = input_kind,
    .output_count = output_count,
    .output_type = output_type,
    .output_kind = output_kind,
    .create_or_fail = create,
    .compute_or_fail = run,
};
