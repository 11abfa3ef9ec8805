/* SPDX-License-Identifier: MIT
 *
 * copier.h: an op that copies x, right in everything, with one sin put in: for heed check, which must find it. The sin
 * is what a file defines before it includes this: SCRATCH (bytes that are measured), SIN(c) (in a tile, behind the copy
 * of row c->row).
 */
#ifndef COPIER_H
#define COPIER_H

#include <string.h>

#include <heed/abi/abi.h>

#ifndef SCRATCH
#define SCRATCH 0
#endif

typedef struct copier {
    const heed_call *call;
    int64_t rows, row;
    uint32_t lane;
    const float *x;
    float *y;
    int64_t n, x_stride, y_stride;
} copier;

static int64_t offset(const heed_tensor *t, int64_t row)
{
    int64_t at = 0;
    for (int a = t->rank - 2; a >= 0; row /= t->dim[a--]) at += row % t->dim[a] * t->stride[a];
    return at;
}

static void tile(void *arg, int64_t index, uint32_t lane)
{
    copier one = *(copier *)arg, *c = &one;
    const heed_tensor *x = c->call->tensor[0], *y = c->call->tensor[1];
    c->row = index, c->lane = lane;
    c->x = (const float *)x->data + offset(x, index), c->y = (float *)y->data + offset(y, index);
    c->n = x->dim[x->rank - 1], c->x_stride = x->stride[x->rank - 1], c->y_stride = y->stride[y->rank - 1];
    for (int64_t i = 0; i < c->n; i++) c->y[i * c->y_stride] = c->x[i * c->x_stride];
    SIN(c);
}

static int32_t forward(const void *instance, const heed_call *call)
{
    (void)instance;
    copier c = {.call = call, .rows = 1};
    for (int a = 0; a < call->tensor[0]->rank - 1; a++) c.rows *= call->tensor[0]->dim[a];
    return call->host->parallel_for(call->host, c.rows, tile, &c);
}

static int32_t measure(const heed_open *open, uint64_t *bytes) { return (void)open, *bytes = 0, HEED_OK; }
static int32_t init(void *memory, const heed_open *open) { return (void)memory, (void)open, HEED_OK; }
static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance, (void)call;
    size->scratch = SCRATCH;
    return HEED_OK;
}

static const heed_port ports[] = {
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "x", "... M", "what is copied"},
    {sizeof(heed_port), HEED_OUTPUT, 0, HEED_BIT(HEED_F32), 0, 0, "out", "... M", "x"},
};
static const heed_path paths[] = {{sizeof(heed_path), 0, 0, "scalar", forward, 0}};
static const heed_op ops[] = {
    {.size = sizeof(heed_op), .id = "norm/copier", .version = "1.0", .summary = "copies x", .formula = "out = x",
     .reference = "none", .ports = {ports, 2, sizeof *ports}, .paths = {paths, 1, sizeof *paths}, .measure = measure,
     .init = init, .measure_call = measure_call},
};

__attribute__((visibility("default"))) int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply);
int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply)
{
    if (HEED_ABI_VERSION < offer->abi_min || HEED_ABI_VERSION > offer->abi_max) return HEED_E_ABI;
    reply->abi = HEED_ABI_VERSION;
    reply->name = "copier";
    reply->licence = "MIT";
    reply->ops = (heed_table){ops, 1, sizeof *ops};
    return HEED_OK;
}

#endif
