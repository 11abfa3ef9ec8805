/* SPDX-License-Identifier: MIT
 *
 * attention/gau, the maths: queries, keys and values are made of the base and of v once, into the
 * workspace; then kit/flash/flash.h with squared ReLU for weights. A row's factor, which stands
 * where softmax has 1 / sum, counts its live keys, and the gate meets the outputs on their way out.
 *
 * Error: that of float32 products of length s, squared, and sums over the keys; silu within 4 ulp.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#define FLASH_SQUARED_RELU 1
#define FLASH_FACTORS(f, r, inverse) KIT(factors)(f, r, inverse)
#define FLASH_OUTPUT(f, r, i, e, y, n) KIT(open_gate)(f, r, i, e, y, n)
static void KIT(factors)(const kit_flash *f, const kit_flash_rows *r, float *inverse);
static void KIT(open_gate)(const kit_flash *f, const kit_flash_rows *r, int i, int64_t e, vf *y,
                           int n);

#include <heed/kit/flash/flash.h>

#ifdef KIT_FIRST
enum { Q, V, GATE, KEY_LENGTHS, DOCUMENTS, Q_GAIN, Q_OFFSET, K_GAIN, K_OFFSET, OUT };
enum { BASE, WIDTH, SCALE, LENGTH };
enum { GAU_WEIGHTS = K_OFFSET - Q_GAIN + 1, GAU_TOKENS = 16 }; /* of a tile of the preparation */
typedef struct gau {
    int64_t length; /* 0: the keys that a query sees */
    int by_width;
    const float *weight[GAU_WEIGHTS]; /* [D padded]; NULL: absent */
    _Alignas(64) float room[];
} gau;

typedef struct gau_call {
    kit_flash f;
    const gau *self;
    const heed_tensor *base, *v, *gate;
    heed_tensor made[3]; /* q, k, v: float32, in the workspace */
} gau_call;

static gau_call gau_begin(const gau *self, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    gau_call c = {
        .self = self, .base = t[Q], .v = t[V], .gate = t[GATE], .made = {*t[Q], *t[Q], *t[V]}};
    const int64_t B = t[Q]->dim[0], T = t[Q]->dim[1], H = t[Q]->dim[2];
    const int64_t n[] = {t[Q]->dim[3], t[Q]->dim[3], t[V]->dim[3]};
    char *behind = call->workspace
                       ? (char *)call->workspace + kit_line(kit_flash_workspace(t[DOCUMENTS], B))
                       : NULL;
    float *room = (float *)behind;
    for (int i = 0; i < 3; i++) {
        const int64_t stride[] = {T * H * n[i], H * n[i], n[i], 1};
        c.made[i].dtype = HEED_F32, c.made[i].data = room;
        memcpy(c.made[i].stride, stride, sizeof stride);
        if (room) room += kit_lanes(B * T * H * n[i]);
    }
    c.f = (kit_flash){.call = call,
                      .v = t[V],
                      .out = t[OUT],
                      .key_lengths = t[KEY_LENGTHS],
                      .documents = t[DOCUMENTS],
                      .scale = (float)KIT_LN2}; /* and so 1: no log2 here */
    return c;
}
#endif

KIT_INLINE vf KIT(silu)(vf x) { return v_mul(x, v_sigmoid(x)); }

/* One head of one token: 16 channels of silu(x), and what the gains and offsets make of it. */
KIT_INLINE void KIT(made)(const heed_tensor *t, const char *from, float *to, int64_t d, int64_t n,
                          const float *gain, const float *offset)
{
    const int m = n - d < 16 ? (int)(n - d) : 16;
    vf x =
        KIT(silu)(v_read(from + d * t->stride[3] * kit_width(t->dtype), t->dtype, t->stride[3], m));
    if (gain) x = v_mul(x, v_load(gain + d));
    if (offset) x = v_add(x, v_load(offset + d));
    v_store_n(to + d, x, m);
}

static void KIT(prepare)(void *arg, int64_t tile, uint32_t lane)
{
    const gau_call *c = arg;
    const int64_t T = c->base->dim[1], H = c->base->dim[2], tokens = c->base->dim[0] * T;
    const float *const *w = c->self->weight;
    (void)lane;
    for (int64_t n = tile * GAU_TOKENS; n < (tile + 1) * GAU_TOKENS && n < tokens; n++)
        for (int64_t h = 0; h < H; h++) {
            const int64_t at[3] = {n / T, n % T, h}, D = c->base->dim[3], E = c->v->dim[3];
            const char *base = kit_at(c->base, at, 3), *v = kit_at(c->v, at, 3);
            float *q = (float *)kit_at(&c->made[0], at, 3),
                  *k = (float *)kit_at(&c->made[1], at, 3);
            float *made_v = (float *)kit_at(&c->made[2], at, 3);
            for (int64_t d = 0; d < D; d += 16) KIT(made)(c->base, base, q, d, D, w[0], w[1]);
            for (int64_t d = 0; d < D; d += 16) KIT(made)(c->base, base, k, d, D, w[2], w[3]);
            for (int64_t e = 0; e < E; e += 16) KIT(made)(c->v, v, made_v, e, E, NULL, NULL);
        }
}

/* 1 / n^2, or 1 / (n s); 0 where no key is left. */
static void KIT(factors)(const kit_flash *f, const kit_flash_rows *r, float *inverse)
{
    const gau *self = ((const gau_call *)f->variant)->self;
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++) {
        const double live =
            (double)kit_flash_count(f, r->batch, r->query[i], r->position[i], &r->live[i]);
        const double n = self->length ? (double)self->length : live;
        inverse[i] = live == 0 ? 0.0f : (float)(1 / (n * (self->by_width ? (double)f->D : n)));
    }
}

static void KIT(open_gate)(const kit_flash *f, const kit_flash_rows *r, int i, int64_t e, vf *y,
                           int n)
{
    const heed_tensor *gate = ((const gau_call *)f->variant)->gate;
    if (!gate) return; /* backward wants what the gate meets */
    for (int l = 0; l < 16 && i + l < r->rows; l++) {
        const int64_t at[4] = {r->batch, r->query[i + l], r->head[i + l], e};
        y[l] = v_mul(y[l], KIT(silu)(v_read(kit_at(gate, at, 4), gate->dtype, gate->stride[3], n)));
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    gau_call c = gau_begin(instance, call);
    c.f.q = &c.made[0], c.f.k = &c.made[1], c.f.v = &c.made[2], c.f.variant = &c;
    int32_t failed = kit_flash_setup(&c.f);
    const int64_t tiles = (c.f.B * c.f.T + GAU_TOKENS - 1) / GAU_TOKENS;
    if (!failed) failed = call->host->parallel_for(call->host, tiles, KIT(prepare), &c);
    return failed ? failed : KIT(flash_run)(&c.f);
}

/* ---- backward ---- */

#define FLASH_BACK_SQUARED_RELU 1
#define FLASH_BACK_BEGIN(w, t) KIT(unit_begin)(w, t, KIT(factors))
struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(unit_begin)(const struct kit_flash_backward *w, struct kit_flash_back_rows *t,
                            void (*factors)(const kit_flash *, const kit_flash_rows *, float *));
#include <heed/kit/flash/unit_backward.h>
#include <heed/kit/gemm/gemm.h>
#include <heed/kit/gemm/backward.h>

#ifdef KIT_FIRST
/* Behind what forward has in the workspace: A v, what comes for it, and the gradients of made q, k
 * and v; sums over the rows. */
typedef struct gau_backward {
    gau_call c;
    const heed_grad_call *g;
    heed_tensor open, d_open, d_made[3];
    float *columns;
} gau_backward;

static uint64_t gau_place(gau_backward *w, const gau *self, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    const int64_t *axis = call->axis,
                  rows = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T') * HEED_AXIS(axis, 'H'),
                  D = HEED_AXIS(axis, 'D'), E = HEED_AXIS(axis, 'E');
    uint64_t at = kit_line(kit_flash_workspace(call->tensor[DOCUMENTS], HEED_AXIS(axis, 'B'))) +
                  (uint64_t)(2 * kit_lanes(rows * D) + kit_lanes(rows * E)) * sizeof(float);
    *w = (gau_backward){.c = gau_begin(self, call), .g = g};
    w->open = w->d_open = w->c.made[2];
    memcpy(w->d_made, w->c.made, sizeof w->d_made);
    heed_tensor *const to[] = {&w->open, &w->d_open, &w->d_made[0], &w->d_made[1], &w->d_made[2]};
    for (int i = 0; i < 5; i++) {
        to[i]->data = call->workspace ? (char *)call->workspace + at : NULL;
        at += (uint64_t)kit_lanes(rows * to[i]->dim[3]) * sizeof(float);
    }
    w->columns = call->workspace ? (float *)(void *)((char *)call->workspace + at) : NULL;
    return at + (uint64_t)kit_column_floats(rows, D) * sizeof(float);
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const int64_t *axis = g->call->axis;
    gau_backward w;
    size->workspace = gau_place(&w, instance, g);
    w.c.f.q = &w.c.made[0], w.c.f.k = &w.c.made[1], w.c.f.v = &w.c.made[2];
    size->scratch = kit_flash_back_scratch(w.c.f);
    const uint64_t forward =
        kit_flash_scratch(HEED_AXIS(axis, 'D'), HEED_AXIS(axis, 'E'), kit_flash_most_keys(g->call));
    if (size->scratch < forward) size->scratch = forward;
    return HEED_OK;
}
#endif

/* The gate of some tokens: what comes for A v, and dgate. */
static void KIT(gate_back)(void *arg, int64_t tile, uint32_t lane)
{
    const gau_backward *w = arg;
    const heed_tensor *gate = w->c.gate, *d = w->g->gradient[OUT];
    const int64_t T = gate->dim[1], H = gate->dim[2], E = gate->dim[3], tokens = gate->dim[0] * T;
    (void)lane;
    for (int64_t n = tile * GAU_TOKENS; n < (tile + 1) * GAU_TOKENS && n < tokens; n++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t e = 0; e < E; e += 16) {
                const int64_t at[3] = {n / T, n % T, h};
                const int m = E - e < 16 ? (int)(E - e) : 16;
                vf slope;
                const vf dy = KIT(unit_get)(d, at, e, m),
                         u = KIT(unit_silu)(KIT(unit_get)(gate, at, e, m), &slope);
                KIT(unit_put)(&w->d_open, at, e, m, v_mul(dy, u));
                KIT(unit_put)
                (w->g->gradient[GATE], at, e, m,
                 v_mul(v_mul(dy, KIT(unit_get)(&w->open, at, e, m)), slope));
            }
}

/* The base and v of some tokens. What the gains' sums are of takes the place of made q and k. */
static void KIT(base_back)(void *arg, int64_t tile, uint32_t lane)
{
    const gau_backward *w = arg;
    const heed_tensor *base = w->c.base, *v = w->c.v;
    const float *const *weight = w->c.self->weight;
    const int64_t T = base->dim[1], H = base->dim[2], D = base->dim[3], E = v->dim[3];
    (void)lane;
    for (int64_t n = tile * GAU_TOKENS; n < (tile + 1) * GAU_TOKENS && n < base->dim[0] * T; n++)
        for (int64_t h = 0; h < H; h++) {
            const int64_t at[3] = {n / T, n % T, h};
            vf slope;
            for (int64_t d = 0; d < D; d += 16) {
                const int m = D - d < 16 ? (int)(D - d) : 16;
                const vf z = KIT(unit_silu)(KIT(unit_get)(base, at, d, m), &slope),
                         dq = KIT(unit_get)(&w->d_made[0], at, d, m),
                         dk = KIT(unit_get)(&w->d_made[1], at, d, m);
                vf dz = weight[0] ? v_mul(dq, v_load(weight[0] + d)) : dq;
                dz = v_add(dz, weight[2] ? v_mul(dk, v_load(weight[2] + d)) : dk);
                KIT(unit_put)(w->g->gradient[Q], at, d, m, v_mul(dz, slope));
                KIT(unit_put)(&w->c.made[0], at, d, m, v_mul(dq, z));
                KIT(unit_put)(&w->c.made[1], at, d, m, v_mul(dk, z));
            }
            for (int64_t e = 0; e < E; e += 16) {
                const int m = E - e < 16 ? (int)(E - e) : 16;
                KIT(unit_silu)(KIT(unit_get)(v, at, e, m), &slope);
                KIT(unit_put)
                (w->g->gradient[V], at, e, m, v_mul(KIT(unit_get)(&w->d_made[2], at, e, m), slope));
            }
        }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    const heed_host *host = call->host;
    gau_backward b;
    gau_place(&b, instance, g);
    kit_flash *f = &b.c.f;
    const heed_tensor *gate = b.c.gate;
    f->q = &b.c.made[0], f->k = &b.c.made[1], f->v = &b.c.made[2], f->variant = &b.c;
    f->out = &b.open, b.c.gate = NULL;
    int32_t failed = kit_flash_setup(f);
    const int64_t tiles = (f->B * f->T + GAU_TOKENS - 1) / GAU_TOKENS, rows = f->B * f->T * f->H;
    if (!failed) failed = host->parallel_for(host, tiles, KIT(prepare), &b.c);
    if (!failed) failed = KIT(flash_run)(f);
    b.c.gate = gate;
    if (!failed) failed = host->parallel_for(host, tiles, KIT(gate_back), &b);
    kit_flash_backward w = {
        .f = *f, .d_out = &b.d_open, .d_q = &b.d_made[0], .d_k = &b.d_made[1], .d_v = &b.d_made[2]};
    w.f.scale = 1;
    if (!failed) failed = KIT(flash_backward_run)(&w);
    if (!failed) failed = host->parallel_for(host, tiles, KIT(base_back), &b);
    const heed_tensor *const of[] = {&b.c.made[0], &b.d_made[0], &b.c.made[1], &b.d_made[1]};
    for (int i = 0; i < GAU_WEIGHTS && !failed; i++) {
        const heed_tensor x = kit_matrix(of[i]->data, rows, f->D, f->D);
        if (g->gradient[Q_GAIN + i])
            failed = KIT(kit_column_sums)(call, kit_all_columns(&x), rows, g->gradient[Q_GAIN + i],
                                          b.columns);
    }
    return failed;
}
KIT_BACKWARD(KIT_PORT(Q) | KIT_PORT(V) | KIT_PORT(GATE) | KIT_PORT(Q_GAIN) | KIT_PORT(Q_OFFSET) |
                 KIT_PORT(K_GAIN) | KIT_PORT(K_OFFSET),
             KIT_PORT(OUT), 0, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
