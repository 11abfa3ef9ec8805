/* SPDX-License-Identifier: MIT
 *
 * attention/dynamic_conv, the maths: rows behind their gate, into the workspace if they are not
 * there already; the logits of all tokens' taps, one product of kit/gemm/gemm.h; then kit/conv.h,
 * where each tile normalises its taps.
 *
 * Error: kit/gemm/gemm.h's of the logits, which the softmax takes over, and kit/conv.h's.
 */
#include <heed/kit.h>
#include <heed/kit/conv/conv.h>
#include <heed/kit/gemm/gemm.h>

#ifdef KIT_FIRST
enum { TAPS = CONV_PORT_COUNT, GENERATOR, GENERATOR_OFFSET };
typedef struct dynamic_conv {
    kit_weights generator; /* [H K, H E]; no panels: taps are given */
    const float *offset;   /* [H][E padded], or NULL */
    int softmax;
    float data[] __attribute__((aligned(64)));
} dynamic_conv;

typedef struct dynamic_call {
    kit_conv c, given; /* `given`: with v and gate as they came */
    heed_tensor rows, logits;
} dynamic_call;

/* A float32 tensor [B, T, a, b] of this call, at `*room`, which moves on. */
static heed_tensor dynamic_tensor(const heed_call *call, int64_t a, int64_t b, float **room)
{
    const int64_t B = HEED_AXIS(call->axis, 'B'), T = HEED_AXIS(call->axis, 'T');
    heed_tensor t = {.size = sizeof t,
                     .dtype = HEED_F32,
                     .rank = 4,
                     .data = *room,
                     .dim = {B, T, a, b},
                     .stride = {T * a * b, a * b, b, 1}};
    if (*room) *room += kit_lanes(B * T * a * b);
    return t;
}

/* The same rows, all heads side by side: [B, T, a b]. */
static heed_tensor dynamic_joined(const heed_tensor *t)
{
    heed_tensor x = *t;
    x.rank = 3, x.dim[2] = t->dim[2] * t->dim[3], x.stride[2] = t->stride[3];
    return x;
}

/* Whether v is such a tensor as it is. */
static int dynamic_is_made(const heed_call *call)
{
    const heed_tensor *v = call->tensor[CONV_V];
    return !call->tensor[CONV_GATE] && (v->stride[2] == v->dim[3] * v->stride[3] || v->dim[2] == 1);
}

static dynamic_call dynamic_begin(const dynamic_conv *self, const heed_call *call)
{
    const int64_t *axis = call->axis;
    float *room = call->workspace;
    dynamic_call d = {.c = kit_conv_call(call, self->offset)};
    d.c.logits = call->tensor[TAPS], d.c.softmax = self->softmax;
    d.given = d.c;
    d.c.own_row = d.c.logits == NULL;
    d.rows = *d.c.v;
    if (d.c.own_row)
        d.logits = dynamic_tensor(call, HEED_AXIS(axis, 'H'), HEED_AXIS(axis, 'K'), &room);
    if (d.c.own_row && !dynamic_is_made(call)) /* last: the only one that may be left out */
        d.rows = dynamic_tensor(call, HEED_AXIS(axis, 'H'), HEED_AXIS(axis, 'E'), &room);
    return d;
}
#endif

static void KIT(make)(void *arg, int64_t tile, uint32_t lane)
{
    const dynamic_call *d = arg;
    const int64_t T = d->c.T, end = (tile + 1) * KIT_CONV_TOKENS;
    (void)lane;
    for (int64_t n = tile * KIT_CONV_TOKENS; n < end && n < d->c.B * T; n++)
        for (int64_t h = 0; h < d->c.H; h++)
            KIT(conv_make)(&d->given, n / T, n % T, h,
                           (float *)d->rows.data + (n * d->c.H + h) * d->c.E, 0);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const dynamic_conv *self = instance;
    dynamic_call d = dynamic_begin(self, call);
    int32_t failed = kit_conv_setup(&d.c, HEED_AXIS(call->axis, 'K'));
    if (failed || !d.c.own_row) return failed ? failed : KIT(conv_run)(&d.c);
    d.given.B = d.c.B, d.given.T = d.c.T, d.given.H = d.c.H, d.given.E = d.c.E;
    d.c.logits = &d.logits;
    if (!dynamic_is_made(call)) {
        const int64_t tiles = (d.c.B * d.c.T + KIT_CONV_TOKENS - 1) / KIT_CONV_TOKENS;
        failed = call->host->parallel_for(call->host, tiles, KIT(make), &d);
        d.c.v = &d.rows, d.c.gate = NULL;
    }
    const heed_tensor x = dynamic_joined(&d.rows), y = dynamic_joined(&d.logits);
    if (!failed)
        failed = KIT(kit_gemm_run)(call, &self->generator, &x, 0, &y, 0, d.c.B * d.c.T, NULL, NULL);
    return failed ? failed : KIT(conv_run)(&d.c);
}

/* ---- backward ---- */

#include <heed/kit/conv/backward.h>
#include <heed/kit/gemm/backward.h>

#ifdef KIT_FIRST
/* What lies in the workspace, in this order; of a generator its matrix, that packed the other way,
 * and its gradient. */
typedef struct dynamic_room {
    float *x, *dx, *w, *dw, *offsets, *columns, *matrix, *packed, *outer, *d_matrix, *taps;
} dynamic_room;
static uint64_t dynamic_place(const dynamic_conv *self, const heed_call *call, dynamic_room *r)
{
    const int64_t *axis = call->axis, H = HEED_AXIS(axis, 'H'), E = HEED_AXIS(axis, 'E'),
                  rows = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T'), N = H * HEED_AXIS(axis, 'K'),
                  made = self->generator.data != NULL;
    const int64_t size[] = {kit_conv_matrix(call),
                            kit_conv_matrix(call),
                            kit_lanes(rows * N),
                            kit_lanes(rows * N),
                            kit_conv_offsets(call),
                            kit_column_floats(rows, N),
                            made * kit_lanes(N * H * E),
                            made * kit_packed_floats(N, H * E),
                            made * kit_outer_floats(rows, N, H * E),
                            made * kit_lanes(N * H * E),
                            made * kit_lanes(N)};
    float **to[] = {&r->x,      &r->dx,     &r->w,     &r->dw,       &r->offsets, &r->columns,
                    &r->matrix, &r->packed, &r->outer, &r->d_matrix, &r->taps};
    uint64_t floats = 0;
    for (uint32_t i = 0; i < KIT_COUNT(size); floats += (uint64_t)size[i++])
        *to[i] = call->workspace ? (float *)call->workspace + floats : NULL;
    return floats * sizeof(float);
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const int64_t *axis = g->call->axis, rows = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T');
    dynamic_room room;
    const uint64_t outer = kit_outer_scratch(rows), gemm = kit_gemm_scratch();
    size->workspace = dynamic_place(instance, g->call, &room);
    size->scratch = gemm > outer ? gemm : outer;
    return HEED_OK;
}
#endif

/* The taps of a block's tokens, out of their logits. */
static void KIT(taps_made)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const kit_conv *c = &w->c;
    float column[16];
    (void)lane;
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, c->B * c->T); n++)
        for (int64_t h = 0; h < c->H; h++) {
            float *to = (float *)(uintptr_t)w->w + (n * c->H + h) * c->K, sum = 0, max;
            const int64_t at[] = {n / c->T, n % c->T, h};
            if (c->logits)
                kit_read_row(to, kit_at(c->logits, at, 3), c->logits->dtype, c->logits->stride[3],
                             c->K);
            if (!c->softmax || !kit_conv_has_taps(c, n / c->T, n % c->T)) continue;
            max = to[0];
            for (int64_t t = 1; t < c->K; t++) max = max > to[t] ? max : to[t];
            for (int64_t t = 0; t < c->K; t += 16) {
                const int m = c->K - t < 16 ? (int)(c->K - t) : 16;
                v_store(column, v_exp(v_sub(v_load_n(to + t, m), v_set(max))));
                for (int l = 0; l < m; l++) to[t + l] = column[l], sum += column[l];
            }
            for (int64_t t = 0; t < c->K; t++) to[t] /= sum;
        }
}

/* The gradients of a block's logits, in their place. */
static void KIT(taps_back)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const kit_conv *c = &w->c;
    (void)lane;
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, c->B * c->T); n++)
        for (int64_t h = 0; h < c->H; h++) {
            const int64_t at = (n * c->H + h) * c->K;
            if (c->softmax && kit_conv_has_taps(c, n / c->T, n % c->T))
                KIT(conv_back_softmax)(w->w + at, 1, c->K, w->dw + at);
        }
}

/* dX += dlogits G, dG += dlogits^T X, and the sums of dlogits: through the generator, [H K, H E]. */
static void KIT(add_inputs)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const int64_t width = w->c.H * w->c.E, end = kit_block_end(block, w->c.B * w->c.T) * width;
    (void)lane;
    for (int64_t i = block * KIT_BLOCK_ROWS * width; i < end; i += 16) {
        const int m = end - i < 16 ? (int)(end - i) : 16;
        v_store_n(w->dx + i, v_add(v_load_n(w->dx + i, m), v_load_n(w->x + i, m)), m);
    }
}
static int32_t KIT(generator_back)(const kit_conv_backward *w, const heed_grad_call *g,
                                   const dynamic_room *r)
{
    const kit_conv *c = &w->c;
    const heed_call *call = c->call;
    const heed_tensor *d = g->gradient[GENERATOR], *more = g->gradient[GENERATOR_OFFSET],
                      *from = g->weight[GENERATOR];
    const int64_t rows = c->B * c->T, N = c->H * c->K, M = c->H * c->E;
    const heed_tensor dl = kit_matrix(w->dw, rows, N, N), x = kit_matrix(w->x, rows, M, M),
                      G = kit_matrix(r->matrix, N, M, M), dG = kit_matrix(r->d_matrix, N, M, M);
    int32_t failed = HEED_OK;
    if (d) {
        memset(r->d_matrix, 0, (size_t)(N * M) * sizeof(float));
        failed = KIT(kit_outer_run)(call, kit_all_columns(&dl), kit_all_columns(&x), rows, &dG,
                                    r->outer);
        for (int64_t i = 0; i < N * M && !failed; i++)
            *(float *)(void *)kit_element(d, i) += r->d_matrix[i];
    }
    if (more && !failed) {
        const heed_tensor flat = {.size = sizeof flat,
                                  .dtype = HEED_F32,
                                  .rank = 1,
                                  .data = r->taps,
                                  .dim = {N},
                                  .stride = {1}};
        memset(r->taps, 0, (size_t)N * sizeof(float));
        failed = KIT(kit_column_sums)(call, kit_all_columns(&dl), rows, &flat, r->columns);
        for (int64_t i = 0; i < N && !failed; i++)
            *(float *)(void *)kit_element(more, i) += r->taps[i];
    }
    if (failed || !(w->d_v || w->d_gate)) return failed;
    for (int64_t i = 0; i < N * c->H; i++)
        kit_read_row(r->matrix + i * c->E,
                     kit_at(from, (const int64_t[]){i / c->H / c->K, i / c->H % c->K, i % c->H}, 3),
                     from->dtype, from->stride[3], c->E);
    const kit_weights back = kit_weights_at(KIT_STORED_F32, r->packed, kit_panels(M), N);
    failed = KIT(kit_repack_run)(call, (kit_repack){r->packed, N, 0, 16, &G});
    if (!failed) failed = KIT(kit_gemm_run)(call, &back, &dl, 0, &x, 0, rows, NULL, NULL);
    if (!failed) /* x is not needed any more: what the product gives lies there */
        failed = call->host->parallel_for(call->host, kit_conv_blocks(c), KIT(add_inputs),
                                          (void *)(uintptr_t)w);
    return failed;
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const dynamic_conv *self = instance;
    const heed_call *call = g->call;
    const heed_tensor *const *d = g->gradient;
    const int64_t K = HEED_AXIS(call->axis, 'K');
    dynamic_room r;
    dynamic_place(self, call, &r);
    kit_conv_backward w = {.c = dynamic_begin(self, call).c,
                           .d_out = d[CONV_OUT],
                           .d_v = d[CONV_V],
                           .d_gate = d[CONV_GATE],
                           .d_offset = d[CONV_OFFSET],
                           .x = r.x,
                           .dx = r.dx,
                           .w = r.w,
                           .dw = r.dw,
                           .tap = 1,
                           .head = K,
                           .offsets = r.offsets};
    int32_t failed = kit_conv_setup(&w.c, K);
    if (failed) return failed;
    const int64_t rows = w.c.B * w.c.T, N = w.c.H * K, blocks = kit_conv_blocks(&w.c);
    w.token = N;
    failed = KIT(conv_back_make)(&w);
    const heed_tensor x = kit_matrix(r.x, rows, w.c.H * w.c.E, w.c.H * w.c.E),
                      y = kit_matrix(r.w, rows, N, N);
    if (!failed && w.c.own_row)
        failed = KIT(kit_gemm_run)(call, &self->generator, &x, 0, &y, 0, rows, NULL, NULL);
    if (!failed) failed = call->host->parallel_for(call->host, blocks, KIT(taps_made), &w);
    if (!failed) failed = KIT(conv_back_run)(&w);
    if (!failed) failed = call->host->parallel_for(call->host, blocks, KIT(taps_back), &w);
    if (!failed && w.c.own_row) failed = KIT(generator_back)(&w, g, &r);
    for (int64_t i = 0; d[TAPS] && !failed && i < rows * N; i++)
        *(float *)(void *)kit_element(d[TAPS], i) = r.dw[i];
    return failed ? failed : KIT(conv_back_end)(&w);
}
KIT_BACKWARD(KIT_PORT(CONV_V) | KIT_PORT(CONV_GATE) | KIT_PORT(CONV_OFFSET) | KIT_PORT(TAPS) |
                 KIT_PORT(GENERATOR) | KIT_PORT(GENERATOR_OFFSET),
             KIT_PORT(CONV_OUT), 0, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
