/* SPDX-License-Identifier: MIT
 *
 * depth.c: what flows between the layers, by looking on while a text is read. The numbers of rows
 * are made by compare/rows; here they are added up.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/depth.h"
#include "model/session.h"

int32_t depth_open(depth *d, heed_engine *engine, const heed_stack *stack, heed_error *error)
{
    *d = (depth){.stack = stack,
                 .layers = heed_stack_number(stack, "layers"),
                 .width = heed_stack_number(stack, "width")};
    d->cosine = heed_instance_open(engine, "compare/rows(by=cosine)", NULL, error);
    if (!d->cosine) return error->code;
    d->distance = heed_instance_open(engine, "compare/rows(by=distance)", NULL, error);
    if (!d->distance) return error->code;
    d->zeros = calloc((size_t)d->width, sizeof *d->zeros);
    d->size = calloc((size_t)d->layers + 1, sizeof *d->size);
    d->similarity = calloc((size_t)d->layers + 1, sizeof *d->similarity);
    return d->zeros && d->size && d->similarity ? HEED_OK : error_memory(error);
}

void depth_close(depth *d)
{
    heed_instance_close(d->cosine);
    heed_instance_close(d->distance);
    free(d->before);
    free(d->told);
    free(d->zeros);
    free(d->size);
    free(d->similarity);
}

static int32_t make_room(depth *d, int64_t rows, heed_error *error)
{
    if (rows <= d->room) return HEED_OK;
    float *before = reallocarray(d->before, (size_t)rows, (size_t)d->width * sizeof *before);
    if (before) d->before = before;
    float *told = reallocarray(d->told, (size_t)rows, sizeof *told);
    if (told) d->told = told;
    if (!before || !told) return error_memory(error);
    d->room = rows;
    return HEED_OK;
}

/* Adds to *sum what the op says of each row of x, and of `with` or, for NULL, of zeros. */
static int32_t add(depth *d, const heed_instance *op, heed_tensor *x, float *with, double *sum,
                   heed_error *error)
{
    const int64_t rows = x->dim[1], dim[] = {1, with ? rows : 1, d->width}, told_dim[] = {1, rows};
    heed_tensor y = heed_tensor_of(with ? with : d->zeros, HEED_F32, 3, dim),
                told = heed_tensor_of(d->told, HEED_F32, 2, told_dim);
    if (!with) y.dim[1] = rows, y.stride[1] = 0;
    const heed_binding in[] = {{"x", x}, {"y", &y}}, out = {"out", &told};
    TRY(heed_run(op, in, 2, &out, 1, NULL, error));
    for (int64_t r = 0; r < rows; r++) *sum += (double)d->told[r];
    return HEED_OK;
}

static int32_t see(void *self, heed_session *s, uint32_t done, heed_error *error)
{
    depth *d = self;
    for (uint32_t l = 0; l < d->stack->n_flows; l++) {
        if (d->stack->flows[l].steps != done) continue;
        heed_tensor *x = &s->tensors[d->stack->flows[l].view];
        TRY(make_room(d, x->dim[1], error));
        TRY(add(d, d->distance, x, NULL, &d->size[l], error));
        if (l) TRY(add(d, d->cosine, x, d->before, &d->similarity[l - 1], error));
        memcpy(d->before, x->data, x->bytes);
    }
    return HEED_OK;
}

int32_t depth_read(depth *d, heed_session *session, const int32_t *tokens, int64_t n,
                   int64_t longest, heed_error *error)
{
    const int64_t call = longest ? longest : n;
    int32_t failed = HEED_OK;
    memset(d->size, 0, sizeof *d->size * (size_t)(d->layers + 1));
    memset(d->similarity, 0, sizeof *d->similarity * (size_t)d->layers);
    TRY(heed_session_reset(session, error));
    session->watch = (session_watch){see, d};
    for (int64_t at = 0; at < n && !failed; at += call)
        failed =
            heed_session_feed(session, tokens + at, n - at < call ? n - at : call, NULL, 0, error);
    session->watch = (session_watch){0};
    for (int64_t l = 0; l <= d->layers; l++) d->size[l] /= (double)n * sqrt((double)d->width);
    for (int64_t l = 0; l < d->layers; l++) d->similarity[l] /= (double)n;
    return failed;
}
