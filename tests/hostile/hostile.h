/* SPDX-License-Identifier: MIT
 *
 * hostile.h: a small plugin that is right in everything, which each file of this folder spoils in one place. Written
 * without the kit, so that nothing in it is right by construction. HOSTILE(...) is the entry, with the sin in brackets.
 *
 * It copies x, a row a tile, through the lane's scratch. A sin of a running plugin is a ROW_SIN: what each tile does
 * besides, with everything of the row at hand; heed check must find it.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <heed/abi/abi.h>

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = 64;
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    (void)memory, (void)open;
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    size->workspace = 64;
    size->scratch = (uint64_t)HEED_AXIS(call->axis, 'M') * sizeof(float);
    return HEED_OK;
}

/* Element i, counted over all axes. */
static float *at(const heed_tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int a = t->rank - 1; a >= 0; i /= t->dim[a--]) offset += i % t->dim[a] * t->stride[a];
    return (float *)t->data + offset;
}

static int64_t rows_of(const heed_tensor *t)
{
    int64_t n = 1;
    for (int a = 0; a < t->rank - 1; a++) n *= t->dim[a];
    return n;
}

static void copy_row(void *arg, int64_t row, uint32_t lane)
{
    const heed_call *call = arg;
    const int64_t M = HEED_AXIS(call->axis, 'M');
    float *scratch = (float *)(call->scratch + lane * call->scratch_stride);
    for (int64_t i = 0; i < M; i++) scratch[i] = *at(call->tensor[0], row * M + i);
    for (int64_t i = 0; i < M; i++) *at(call->tensor[1], row * M + i) = scratch[i];
}

static int32_t each_row(const heed_call *call, heed_tile_fn tile)
{
    return call->host->parallel_for(call->host, rows_of(call->tensor[0]), tile, (void *)call);
}

static int32_t forward(const void *instance, const heed_call *call)
{
    (void)instance;
    return each_row(call, copy_row);
}

/* forward_sin: as forward, and each tile does what is in brackets besides. */
#define ROW_SIN(...)                                                                                                  \
    static void row_sin(void *arg, int64_t row, uint32_t lane)                                                        \
    {                                                                                                                 \
        const heed_call *call = arg;                                                                                  \
        const int64_t M = HEED_AXIS(call->axis, 'M');                                                                 \
        const heed_tensor *x = call->tensor[0], *out = call->tensor[1];                                               \
        float *scratch = (float *)(call->scratch + lane * call->scratch_stride);                                      \
        (void)M, (void)x, (void)out, (void)scratch;                                                                   \
        copy_row(arg, row, lane);                                                                                     \
        if (M > 0) {                                                                                                  \
            __VA_ARGS__;                                                                                              \
        }                                                                                                             \
    }                                                                                                                 \
    static int32_t forward_sin(const void *instance, const heed_call *call)                                           \
    {                                                                                                                 \
        (void)instance;                                                                                               \
        return each_row(call, row_sin);                                                                               \
    }

static heed_port ports[] = {
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "x", "... M", "what is copied"},
    {sizeof(heed_port), HEED_OUTPUT, 0, HEED_BIT(HEED_F32), 0, 0, "out", "... M", "x"},
};
static heed_param params[] = {
    {sizeof(heed_param), HEED_PARAM_FLOAT, 0, 0, 0, 1, 0.5, "eps", 0, "a number"},
};
static heed_path paths[] = {
    {sizeof(heed_path), 0, 0, "scalar", forward, 0},
#if defined __aarch64__
    {sizeof(heed_path), 0, HEED_CPU_NEON, "neon", forward, 0},
#else
    {sizeof(heed_path), 0, HEED_CPU_AVX2, "avx2", forward, 0},
#endif
};
static heed_op ops[] = {
    {.size = sizeof(heed_op), .id = "norm/hostile", .version = "1.0", .summary = "copies x", .formula = "out = x",
     .reference = "none", .ports = {ports, 2, sizeof *ports}, .params = {params, 1, sizeof *params},
     .paths = {paths, 2, sizeof *paths}, .measure = measure, .init = init,
     .measure_call = measure_call},
    {.size = sizeof(heed_op), .id = "norm/hostile2", .version = "1.0", .summary = "copies x", .formula = "out = x",
     .reference = "none", .ports = {ports, 2, sizeof *ports}, .params = {params, 1, sizeof *params},
     .paths = {paths, 2, sizeof *paths}, .measure = measure, .init = init,
     .measure_call = measure_call},
};

/* The entry of one that sins while it runs: one op, on all paths. */
#define HOSTILE_RUN(...)                                                                                              \
    HOSTILE(reply->ops.count = 1; for (int i = 0; i < 2; i++) paths[i].forward = forward_sin; __VA_ARGS__)

#define HOSTILE(...)                                                                                                  \
    __attribute__((visibility("default"))) int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply);        \
    int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply)                                                \
    {                                                                                                                 \
        if (HEED_ABI_VERSION < offer->abi_min || HEED_ABI_VERSION > offer->abi_max) return HEED_E_ABI;                \
        reply->abi = HEED_ABI_VERSION;                                                                                \
        reply->name = "hostile";                                                                                      \
        reply->licence = "MIT";                                                                                       \
        reply->ops = (heed_table){ops, 2, sizeof *ops};                                                               \
        __VA_ARGS__;                                                                                                  \
        return HEED_OK;                                                                                               \
    }

#endif
