/* SPDX-License-Identifier: MIT
 *
 * attention/dynamic_span, the maths: each token's reach from its input, one dot product a head;
 * then kit/flash/flash.h with the soft mask of kit/flash/span.h. A dot product is 16 chains of fma
 * (element modulo 16), summed by halves.
 */
#include <heed/kit.h>
#include <heed/kit/flash/span.h>

#ifdef KIT_FIRST
enum { X = FLASH_PORT_COUNT, WEIGHT, BIAS, TABLE, REACH };
typedef struct dynamic_span {
    kit_flash_soft soft; /* first: what the hooks see, once z is there */
    const heed_tensor *weight, *bias;
    kit_flash_table table;
    float room[];
} dynamic_span;

/* Bytes of the workspace before z. */
KIT_INLINE uint64_t dynamic_before(const heed_call *call)
{
    return kit_line(kit_flash_workspace(call->tensor[FLASH_DOCUMENTS], HEED_AXIS(call->axis, 'B')));
}

/* One call: the reach z [B, T, H] of every row, and, if asked for, as an output. */
typedef struct dynamic_call {
    const dynamic_span *self;
    const heed_tensor *x, *out;
    float *z;
} dynamic_call;
#endif
#include <heed/kit/flash/flash.h>

/* z of one token: tile = sequence * T + query. */
static void KIT(reach)(void *arg, int64_t tile, uint32_t lane)
{
    (void)lane;
    const dynamic_call *c = arg;
    const heed_tensor *x = c->x, *w = c->self->weight, *bias = c->self->bias;
    const int64_t M = x->dim[2], H = w->dim[0], at[2] = {tile / x->dim[1], tile % x->dim[1]};
    const char *from = kit_at(x, at, 2);
    for (int64_t h = 0; h < H; h++) {
        const char *row = kit_at(w, &h, 1);
        vf sum = v_set(0.0f);
        float b[16];
        v_store(b, v_read(kit_at(bias, &h, 1), bias->dtype, 1, 1));
        for (int64_t m = 0; m < M; m += 16) {
            const int n = M - m < 16 ? (int)(M - m) : 16;
            sum = v_fma(
                v_read(from + m * x->stride[2] * kit_width(x->dtype), x->dtype, x->stride[2], n),
                v_read(row + m * w->stride[1] * kit_width(w->dtype), w->dtype, w->stride[1], n),
                sum);
        }
        const float z =
            (float)((double)c->self->soft.limit / (1 + exp(-(double)(v_sum(sum) + b[0]))));
        c->z[tile * H + h] = z;
        if (c->out) *(float *)(void *)kit_at(c->out, (int64_t[]){at[0], at[1], h}, 3) = z;
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    dynamic_span self = *(const dynamic_span *)f.variant;
    dynamic_call c = {&self, call->tensor[X], call->tensor[REACH],
                      (float *)((char *)call->workspace + dynamic_before(call))};
    int32_t failed = kit_flash_setup(&f);
    self.soft.batch = f.T * f.H, self.soft.query = f.H, self.soft.head = 1;
    self.soft.z = c.z, f.variant = &self;
    if (!failed) failed = call->host->parallel_for(call->host, f.B * f.T, KIT(reach), &c);
    return failed ? failed : KIT(flash_run)(&f);
}

/* ---- backward ---- */

#include <heed/kit/flash/span_backward.h>
#include <heed/kit/gemm/gemm.h>
#include <heed/kit/gemm/backward.h>

#ifdef KIT_FIRST
/* The reaches, their gradients, and what the sums over these need. */
typedef struct dynamic_room {
    float *z, *dz, *columns, *outer, *packed;
    kit_flash_back_relative relative;
} dynamic_room;
static uint64_t dynamic_place(kit_flash *f, dynamic_room *r)
{
    const heed_call *call = f->call;
    const dynamic_span *self = f->variant;
    const int64_t *axis = call->axis, H = HEED_AXIS(axis, 'H'), M = HEED_AXIS(axis, 'M'),
                  tokens = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T');
    const int64_t size[] = {kit_lanes(tokens * H), kit_lanes(tokens * H),
                            kit_column_floats(tokens, H), kit_outer_floats(tokens, H, M),
                            kit_packed_floats(H, M)};
    float **to[] = {&r->z, &r->dz, &r->columns, &r->outer, &r->packed};
    uint64_t at = kit_flash_soft_place(f, &self->soft, &r->relative);
    for (uint32_t i = 0; i < KIT_COUNT(size); at += sizeof(float) * (uint64_t)size[i++])
        *to[i] = call->workspace ? (float *)(void *)((char *)call->workspace + at) : NULL;
    return at;
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const int64_t *axis = g->call->axis;
    const uint64_t outer = kit_outer_scratch(HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T')),
                   gemm = kit_gemm_scratch();
    kit_flash f = kit_flash_call(instance, g->call);
    const dynamic_span *self = f.variant;
    dynamic_room room;
    size->workspace = dynamic_place(&f, &room);
    size->scratch = kit_flash_soft_scratch(&f, &self->soft);
    if (size->scratch < outer) size->scratch = outer;
    if (size->scratch < gemm) size->scratch = gemm;
    return HEED_OK;
}
#endif

/* What is asked of the reaches themselves. */
static void KIT(dynamic_add_reach)(const heed_tensor *more, const dynamic_room *r)
{
    for (int64_t t = 0, i = 0; t < more->dim[0] * more->dim[1]; t++)
        for (int64_t h = 0; h < more->dim[2]; h++, i++) {
            const int64_t at[3] = {t / more->dim[1], t % more->dim[1], h};
            r->dz[i] += *(const float *)(const void *)kit_at(more, at, 3);
        }
}

/* From dz: z = limit sigmoid(a) has the slope z (1 - z / limit). */
static int32_t KIT(reach_back)(const dynamic_span *self, const heed_grad_call *g,
                               const dynamic_room *r)
{
    const heed_call *call = g->call;
    const heed_tensor *const *d = g->gradient, *x = call->tensor[X], *w = self->weight;
    const int64_t H = w->dim[0], M = w->dim[1], tokens = x->dim[0] * x->dim[1];
    const float limit = (float)self->soft.limit;
    const heed_tensor rows = kit_matrix(r->dz, tokens, H, H);
    int32_t failed = HEED_OK;
    if (d[REACH]) KIT(dynamic_add_reach)(d[REACH], r);
    for (int64_t i = 0; i < tokens * H; i++) r->dz[i] *= r->z[i] * (1 - r->z[i] / limit);
    if (d[BIAS])
        failed = KIT(kit_column_sums)(call, kit_all_columns(&rows), tokens, d[BIAS], r->columns);
    if (!failed && d[WEIGHT])
        failed = KIT(kit_outer_run)(call, kit_all_columns(&rows), kit_all_columns(x), tokens,
                                    d[WEIGHT], r->outer);
    if (failed || !d[X]) return failed;
    const kit_weights back = kit_weights_at(KIT_STORED_F32, r->packed, kit_panels(M), H);
    failed = KIT(kit_repack_run)(call, (kit_repack){r->packed, H, 0, 16, w});
    return failed ? failed : KIT(kit_gemm_run)(call, &back, &rows, 0, d[X], 0, tokens, NULL, NULL);
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    kit_flash_backward w = KIT(flash_backward_call)(instance, g);
    dynamic_span self = *(const dynamic_span *)w.f.variant;
    dynamic_room r;
    dynamic_place(&w.f, &r);
    dynamic_call c = {&self, call->tensor[X], NULL, r.z};
    int32_t failed = kit_flash_back_child(g, FLASH_POSITION);
    if (!failed) failed = kit_flash_setup(&w.f);
    self.soft.batch = w.f.T * w.f.H, self.soft.query = w.f.H, self.soft.head = 1;
    self.soft.z = r.z, w.f.variant = &self;
    w.rows_wanted = g->gradient[X] || g->gradient[WEIGHT] || g->gradient[BIAS];
    w.own = w.rows_wanted ? r.dz : NULL;
    if (!failed) failed = call->host->parallel_for(call->host, w.f.B * w.f.T, KIT(reach), &c);
    if (self.soft.table) w.relative = &r.relative;
    if (!failed) failed = KIT(flash_soft_backward)(&w, &r.relative, g, g->gradient[TABLE]);
    return failed || !w.own ? failed : KIT(reach_back)(&self, g, &r);
}

static const void *KIT(extension)(const char *id)
{
    static const heed_grad grad = {sizeof grad,
                                   HEED_GRAD_INNER,
                                   KIT_FLASH_GIVES | KIT_PORT(X) | KIT_PORT(WEIGHT) |
                                       KIT_PORT(BIAS) | KIT_PORT(TABLE),
                                   KIT_FLASH_TAKES | KIT_PORT(REACH),
                                   KIT_FLASH_TAKES,
                                   0,
                                   measure_backward,
                                   KIT(backward)};
    return strcmp(id, HEED_GRAD_ID) == 0 ? &grad : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
