/* SPDX-License-Identifier: MIT
 *
 * attention/flash_linear, the maths, in three passes: what is made of the base and of v, once, into
 * blocks of a chunk each; the sums K^T V of the chunks before each one; and kit/flash/flash.h
 * inside the chunks, with squared ReLU for weights, whose outputs begin with the linear part.
 *
 * A block holds everything that a token of its chunk needs, and is what a state remembers
 * (flash_linear_block.h). Sums are in panels of 16 channels, [D][16], so that a token's share of
 * them streams.
 *
 * The one invariant: a sum is one chain over the tokens, an output one over d of the linear part
 * and then over the keys of its chunk. Calls, tiles and threads decide when a link is added, never
 * the order.
 *
 * Error: that of float32 products of length D, squared, and of chains over the chunk; of the linear
 * part, of chains over all tokens and D; silu within 4 ulp.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#define FLASH_SQUARED_RELU 1
#define FLASH_BEGIN(f, r) KIT(begin_linear)(f, r)
#define FLASH_FACTORS(f, r, inverse) KIT(factors)(f, r, inverse)
#define FLASH_OUTPUT(f, r, i, e, y, n) KIT(open_gate)(f, r, i, e, y, n)
static void KIT(begin_linear)(const kit_flash *f, const kit_flash_rows *r);
static void KIT(factors)(const kit_flash *f, const kit_flash_rows *r, float *inverse);
static void KIT(open_gate)(const kit_flash *f, const kit_flash_rows *r, int i, int64_t e, vf *y,
                           int n);

#include <heed/kit/flash/flash.h>
#ifdef KIT_FIRST
#include "flash_linear_block.h"
#endif

KIT_INLINE vf KIT(silu)(vf x) { return v_mul(x, v_sigmoid(x)); }

/* silu of one row of 16 channels at a time; gain w[2 i] and offset w[2 i + 1] make of it what goes
 * to to[i], if that is wanted. */
KIT_INLINE void KIT(spread)(const int n, const heed_tensor *t, const int64_t *at,
                            const float *const *w, float *const *to)
{
    const char *from = kit_at(t, at, 3);
    const int64_t D = t->dim[3], step = t->stride[3] * kit_width(t->dtype);
    for (int64_t d = 0; d < D; d += 16) {
        const int m = D - d < 16 ? (int)(D - d) : 16;
        const vf x = KIT(silu)(v_read(from + d * step, t->dtype, t->stride[3], m));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf y = x;
            if (w[2 * i]) y = v_mul(y, v_load(w[2 * i] + d));
            if (w[2 * i + 1]) y = v_add(y, v_load(w[2 * i + 1] + d));
            if (m == 16 || n == 1) v_store(to[i] + d, y);
            else v_store_n(to[i] + d, y, m); /* values: whole vectors */
        }
    }
}

static void KIT(prepare)(void *arg, int64_t tile, uint32_t lane)
{
    static const float *const none[2] = {NULL, NULL};
    const flash_linear_call *c = arg;
    float *nowhere = (float *)(void *)(c->call->scratch + lane * c->call->scratch_stride);
    for (int64_t t = tile * FLASH_LINEAR_TOKENS;
         t < (tile + 1) * FLASH_LINEAR_TOKENS && t < c->B * c->T; t++)
        for (int64_t h = 0; h < c->H; h++) {
            const int64_t at[3] = {t / c->T, t % c->T, h}, p = flash_linear_past(c, at[0]) + at[1],
                          row = p % c->chunk;
            const int key = p < flash_linear_keys(c, at[0]);
            float *block = key ? flash_linear_block(c, at[0], p / c->chunk) : NULL;
            float *const made[4] = {c->q + (t * c->H + h) * c->D,
                                    key ? flash_linear_k(c, block, h, row) : nowhere,
                                    c->q_linear + (t * c->H + h) * c->D,
                                    key ? flash_linear_k_linear(c, block, h, row) : nowhere};
            KIT(spread)(4, c->base, at, c->self->weight, made);
            if (key) KIT(spread)(1, c->v, at, none, (float *[]){flash_linear_v(c, block, h, row)});
        }
}

/* n channels of the base, on nv registers: to = from + sum over rows of k_linear v; from NULL: 0 */
KIT_INLINE void KIT(add_channels)(const int n, const int nv, const float *k, int64_t D,
                                  const float *v, int64_t rows, const float *from, float *to,
                                  int64_t panel)
{
    vr acc[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            const int64_t at = i * 16 + j * VR_LANES / 16 * panel + j * VR_LANES % 16;
            acc[i][j] = from ? vr_load(from + at) : vr_set(0.0f);
        }
    KIT(flash_multiply_add)(n, nv, FLASH_ALL, acc, k, 1, D, v, nv * VR_LANES, rows, 0, 1,
                     kit_flash_no_prefetch);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++)
            vr_store(to + i * 16 + j * VR_LANES / 16 * panel + j * VR_LANES % 16, acc[i][j]);
}

/* to = from + the first rows of a block, for `panels` panels of one head; `room` takes a piece of
 * their values. */
KIT_INLINE void KIT(add_rows)(const flash_linear_call *c, const int panels, int64_t h, int64_t p,
                              const float *block, int64_t rows, const float *from, float *to,
                              float *room)
{
    enum { NV = 16 / VR_LANES };
    const int64_t D = c->D;
    for (int64_t j = 0, n; j < rows; j += n, from = to) {
        const float *k = flash_linear_k_linear(c, (float *)(uintptr_t)block, h, j);
        n = rows - j < FLASH_LINEAR_PIECE ? rows - j : FLASH_LINEAR_PIECE;
        for (int64_t i = 0; i < n; i++)
            for (int x = 0; x < panels; x++)
                v_store(
                    room + (i * panels + x) * 16,
                    v_load(flash_linear_v(c, (float *)(uintptr_t)block, h, j + i) + 16 * (p + x)));
        int64_t d = 0;
        for (; d + FLASH_N <= D; d += FLASH_N)
            KIT(add_channels)(FLASH_N, panels * NV, k + d, D, room, n, from ? from + 16 * d : NULL,
                              to + 16 * d, 16 * D);
        for (; d < D; d++)
            KIT(add_channels)(1, panels * NV, k + d, D, room, n, from ? from + 16 * d : NULL,
                              to + 16 * d, 16 * D);
    }
}

/* The sums of one head and two panels: before each chunk that somebody looks from, and of all
 * tokens. */
static void KIT(scan)(void *arg, int64_t tile, uint32_t lane)
{
    const flash_linear_call *c = arg;
    const int64_t pairs = (c->E16 / 16 + 1) / 2, b = tile / pairs / c->H, h = tile / pairs % c->H;
    float *room = (float *)(void *)(c->call->scratch + lane * c->call->scratch_stride);
    for (int64_t p = tile % pairs * 2, n, end = p + 2 < c->E16 / 16 ? p + 2 : c->E16 / 16; p < end;
         p += n) {
        flash_linear_step s = {.g = -1};
        n = 16 / VR_LANES * 2 <= FLASH_WIDE ? end - p : 1;
        while (flash_linear_next(c, b, &s)) {
            const int64_t at = (h * c->E16 / 16 + p) * c->D * 16;
#if defined KIT_AVX512
            if (n == 2)
                KIT(add_rows)(c, 2, h, p, s.block, s.rows, s.from ? s.from + at : NULL, s.to + at,
                              room);
            else
#endif
                KIT(add_rows)(c, 1, h, p, s.block, s.rows, s.from ? s.from + at : NULL, s.to + at,
                              room);
        }
    }
}

/* O = c^2 / m times q_linear times the sums, m tokens of them: where rows are in the lanes, and
 * where they are not. */
KIT_INLINE void KIT(linear_many)(const kit_flash_rows *r, const float *sums, int64_t D, int64_t E16)
{
    for (int64_t e = 0; e < E16; e += FLASH_N)
        for (int row = 0; row < KIT_FLASH_ROWS; row += FLASH_WIDE * VR_LANES) {
            vr acc[FLASH_N][FLASH_WIDE];
            for (int i = 0; i < FLASH_N * FLASH_WIDE; i++)
                acc[i / FLASH_WIDE][i % FLASH_WIDE] = vr_set(0.0f);
            KIT(flash_multiply_add)(FLASH_N, FLASH_WIDE, FLASH_ALL, acc,
                                    sums + e / 16 * D * 16 + e % 16, 1, 16, r->own + row,
                                    KIT_FLASH_ROWS, D, 0, 1, kit_flash_no_prefetch);
            KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
                KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++)
                    vr_store(r->O + (e + i) * KIT_FLASH_ROWS + row + j * VR_LANES, acc[i][j]);
        }
}
KIT_INLINE void KIT(linear_few)(const int n, const kit_flash_rows *r, int row, const float *sums,
                                int64_t D, int64_t E16)
{
    enum { NV = 16 / VR_LANES };
    for (int64_t e = 0; e < E16; e += 16) {
        vr acc[FLASH_N][FLASH_WIDE];
        KIT_UNROLL for (int i = 0; i < n * NV; i++) acc[i / NV][i % NV] = vr_set(0.0f);
        KIT(flash_multiply_add)(n, NV, FLASH_ALL, acc, r->own + row * kit_lanes(D), kit_lanes(D), 1,
                         sums + e * D, 16, D, 0, 1, kit_flash_no_prefetch);
        KIT_UNROLL for (int i = 0; i < n * NV; i++)
            vr_store(r->O + (row + i / NV) * E16 + e + i % NV * VR_LANES, acc[i / NV][i % NV]);
    }
}

static void KIT(begin_linear)(const kit_flash *f, const kit_flash_rows *r)
{
    const flash_linear_run *run = f->variant;
    const flash_linear_call *c = run->c;
    int64_t m;
    const float *sums = flash_linear_sums(c, run->b, run->g + r->batch, r->head[0], &m);
    const float factor = m ? (float)((double)c->chunk * (double)c->chunk / (double)m) : 0.0f;
    const char *from[KIT_FLASH_ROWS];
    if (m == 0) return;
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++)
        from[i] =
            (const char *)(c->q_linear +
                           ((run->b * c->T + flash_linear_query(run, r, i)) * c->H + r->head[i]) *
                               c->D);
    if (!r->few) {
        memset(r->own, 0, sizeof(float) * (size_t)(KIT_FLASH_ROWS * c->D));
        KIT(flash_load_columns)(from, HEED_F32, 1, KIT_FLASH_CELL * r->groups, c->D, factor,
                                r->own);
        KIT(linear_many)(r, sums, c->D, c->E16);
        return;
    }
    for (int i = 0; i < r->rows; i++)
        for (int64_t d = 0; d < c->D; d += 16) {
            const int n = c->D - d < 16 ? (int)(c->D - d) : 16;
            v_store(
                r->own + i * kit_lanes(c->D) + d,
                v_mul(v_read(from[i] + d * (int64_t)sizeof(float), HEED_F32, 1, n), v_set(factor)));
        }
    int i = 0;
    for (; i + FLASH_N <= r->rows; i += FLASH_N) KIT(linear_few)(FLASH_N, r, i, sums, c->D, c->E16);
    for (; i < r->rows; i++) KIT(linear_few)(1, r, i, sums, c->D, c->E16);
}

static void KIT(factors)(const kit_flash *f, const kit_flash_rows *r, float *inverse)
{
    const double chunk = (double)((const flash_linear_run *)f->variant)->c->chunk;
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++) inverse[i] = (float)(1 / (chunk * chunk));
}

static void KIT(open_gate)(const kit_flash *f, const kit_flash_rows *r, int i, int64_t e, vf *y,
                           int n)
{
    const flash_linear_run *run = f->variant;
    const heed_tensor *gate = run->c->gate;
    if (!gate) return; /* backward wants what the gate meets */
    for (int l = 0; l < 16 && i + l < r->rows; l++) {
        const int64_t at[4] = {run->b, flash_linear_query(run, r, i + l), r->head[i + l], e};
        y[l] = v_mul(y[l], KIT(silu)(v_read(kit_at(gate, at, 4), gate->dtype, gate->stride[3], n)));
    }
}

/* Each run of chunks by kit/flash, as sequences of a chunk. */
static int32_t KIT(inside)(flash_linear_call *c)
{
    flash_linear_run run = {.c = c};
    int32_t failed = HEED_OK;
    while (!failed && flash_linear_run_next(&run)) {
        kit_flash f = {.call = &run.call,
                       .q = &run.q,
                       .k = &run.k,
                       .v = &run.v,
                       .out = &run.out,
                       .variant = &run,
                       .begins = 1,
                       .scale = (float)KIT_LN2,
                       .own = KIT_FLASH_ROWS * kit_lanes(c->D)}; /* a scale of 1: no log2 */
        failed = kit_flash_setup(&f);
        if (!failed) failed = KIT(flash_run)(&f);
    }
    return failed;
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_host *host = call->host;
    flash_linear_call c;
    int32_t failed = flash_linear_begin(&c, instance, call);
    const int64_t tiles = (c.B * c.T + FLASH_LINEAR_TOKENS - 1) / FLASH_LINEAR_TOKENS;
    if (failed || c.T == 0) return failed;
    failed = host->parallel_for(host, tiles, KIT(prepare), &c);
    if (!failed)
        failed = host->parallel_for(host, c.B * c.H * ((c.E16 / 16 + 1) / 2), KIT(scan), &c);
    return failed ? failed : KIT(inside)(&c);
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
#include "flash_linear_backward.h"

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
