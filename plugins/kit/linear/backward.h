/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/backward.h: the backward of kit/linear/linear.h (arXiv 2006.16236, section 3.3, and
 * 2406.06484, appendix A, by chunks). Include it in a kernel file behind linear.h; a variant with
 * hooks of its own sets their twins before (linear/backward_hooks.h), and ends with
 *
 *     KIT_LINEAR_BACKWARD(ports of its own that have gradients, outputs that it reads)
 *
 * With dS the gradient of S behind a chunk, in linear.h's words, and dN = dO times the factor of an
 * output:
 *
 *     dU_j = e^(G_32 - G_j) k_j dS + sum over i >= j of P[i][j] dN_i
 *     t_j  = dU_j, or, by the delta rule, dU_j - sum over i > j of A[i][j] b_i t_i
 *     dv   = b t      db = t . u / b
 *     dP[i][j] = dN_i . u_j e^(G_i - G_j)
 *     dq_i = e^G_i S dN_i + sum over j <= i of dP[i][j] k_j
 *     dk_j = e^(G_32 - G_j) dS u_j + sum over i >= j of dP[i][j] q_i
 *     dS  <- e^G_32 dS + sum over i of e^G_i q_i dN_i^T
 *
 * In the delta rule a key reads as a query does that sees the rows above it, and -b t is its dN: so
 * keys are one more head of queries. A divisor is one more channel of values, all 1. A log decay
 * stands between what was written before it and who reads it at its token or later:
 *
 *     dg_t = sum over i >= t > j of dP[i][j] q_i . k_j + sum over i >= t of q_i . (e^G_i S dN_i)
 *            + sum over j < t of k_j . (e^(G_32 - G_j) dS u_j) + e^G_32 <dS, S>
 *
 * S is made in a first sweep and kept at each chunk, if that takes no more than KIT_LINEAR_ALL bytes
 * of a lane; else at each eighth one, and going backwards those of eight chunks are made again: no
 * bit depends on it. A task is a sequence and a head of keys, and has memory of T / 32, or of
 * T / 256 + 8 S's. What comes through S is made as columns of dq and dk, [F][32], since S and dS are
 * read in the order in which they lie for that. Each number is one chain in the order of rows, of
 * heads and of chunks, the last chunk first, so that no bit depends on the threads.
 */
#include <heed/kit/core/grad.h>
#include <heed/kit/linear/op.h>
#include <heed/kit/linear/backward_hooks.h>
#include <heed/kit/linear/backward_tile.h>
#include <heed/kit/linear/relay.h>
#include <heed/kit/reduce/blocks.h>

#ifndef HEED_KIT_LINEAR_BACKWARD_ONCE
#define HEED_KIT_LINEAR_BACKWARD_ONCE

enum {
    KIT_LINEAR_APART = 8,
    KIT_LINEAR_ALL = 8 << 20, /* bytes of a lane within which S's of all chunks are kept */
    KIT_LINEAR_SUMS = 2
};

typedef struct kit_linear_backward {
    kit_linear l;
    const heed_tensor *d_out, *d_q, *d_k, *d_v, *d_beta, *d_gate; /* what comes, and is wanted */
    int decays;                                                   /* their gradients are wanted */
    int64_t S_floats;                                             /* S and z */
    int64_t apart;                                                /* chunks from S to S */
    int streams; /* rows of gradients go around the caches, as kit_streams has it for one tensor */
    float *sums; /* workspace: [KIT_LINEAR_SUMS][B][G16] */
} kit_linear_backward;

/* Rows of a chunk that see one another. `past`: and S of the chunks before; `later`: what comes
 * behind sees them; `live`: somebody sees them. */
typedef struct kit_linear_seen {
    int from, to, past, later, live;
} kit_linear_seen;

typedef struct kit_linear_back {
    kit_linear_work w;
    const kit_linear_backward *all;
    int64_t chunks;
    const float *s_before; /* S of the chunk before this one, where it was kept; or NULL */
    int later;   /* ds and dz are not all zeros */
    float inner; /* <dS, S>, behind the chunk and before it */
    float reads[KIT_LINEAR_CHUNK], writes[KIT_LINEAR_CHUNK]; /* of log decays: of S, and to it */
    float *kept; /* S and z before each chunk, or each eighth one; and behind the last one if it is
                      full */
    float *near;   /* those of the chunks between */
    double *level; /* before each chunk */
    float *ds, *dz;
    float *dn, *nt;    /* of a panel, [32][32], as all these: dN of a head; transposed */
    float *r, *u, *ut; /* values, less what was there; those times b; transposed */
    float *t, *n;
    float *strong;   /* A[i][j] b_j */
    float *db;       /* [32][16] */
    float *dp;       /* [heads + 1][32][32] */
    float *pairs;    /* [32][32]: of log decays, dP P */
    float *rest;     /* [heads][32]: the gradients of divisors */
    float *dq;       /* [heads + 1][32][pitch]; the last: of keys as they read */
    float *dk;       /* ... and as they write */
    float *qt, *wt;  /* [heads + 1][F][32], [F][32]: of them what comes through S */
    float *to, *own; /* rows of gradients, [32][D16]; for LINEAR_FEATURES_BACK */
    int n_seen;
    kit_linear_seen seen[KIT_LINEAR_CHUNK];
    int one_later; /* one run, and what comes behind sees it: all rows get numbers by that */
    float sums[KIT_LINEAR_SUMS];
} kit_linear_back;

/* Floats of a lane's scratch, in the order of kit_linear_back. */
KIT_INLINE int64_t kit_linear_back_scratch(const kit_linear_backward *b, kit_linear_back *k,
                                           float *at)
{
    const kit_linear *l = &b->l;
    const int64_t C = KIT_LINEAR_CHUNK, P = KIT_LINEAR_PANEL, heads = l->heads,
                  chunks = (l->S + C - 1) / C, own = kit_lanes(kit_linear_back_own(l));
    float *level = NULL;
    const int64_t size[] = {(chunks / b->apart + 1) * b->S_floats,
                            b->apart * b->S_floats,
                            kit_lanes(2 * (chunks + 1)),
                            l->F * l->E16,
                            l->F16,
                            C * P,
                            P * C,
                            C * P,
                            C * P,
                            P * C,
                            C * P,
                            C * P,
                            C * C,
                            C * 16,
                            (heads + 1) * C * C,
                            C * C,
                            heads * C,
                            (heads + 1) * C * l->pitch,
                            C * l->pitch,
                            (heads + 1) * l->F * C,
                            l->F * C,
                            C * l->D16,
                            own};
    float **to[] = {&k->kept, &k->near, &level, &k->ds, &k->dz,     &k->dn, &k->nt, &k->r,
                    &k->u,    &k->ut,   &k->t,  &k->n,  &k->strong, &k->db, &k->dp, &k->pairs,
                    &k->rest, &k->dq,   &k->dk, &k->qt, &k->wt,     &k->to, &k->own};
    int64_t n = kit_linear_scratch(l, &k->w, at);
    for (uint32_t i = 0; i < KIT_COUNT(size); n += size[i++])
        if (at) *to[i] = at + n;
    if (at) k->level = (double *)(void *)level;
    return n;
}

/* The sizes of a backward: one tile has all channels of a head. */
KIT_INLINE int32_t kit_linear_back_setup(kit_linear_backward *b)
{
    const int32_t failed = kit_linear_setup(&b->l);
    b->l.columns = b->l.E16, b->l.splits = b->l.E16 > 0;
    b->S_floats = b->l.F * b->l.E16 + b->l.F16;
    const int64_t all = (b->l.S / KIT_LINEAR_CHUNK + 2) * b->S_floats * (int64_t)sizeof(float);
    b->apart = all <= KIT_LINEAR_ALL ? 1 : KIT_LINEAR_APART;
    return failed;
}
KIT_INLINE uint64_t kit_linear_back_workspace(const kit_linear *l)
{
    return (uint64_t)(KIT_LINEAR_SUMS * l->B * kit_lanes(l->G)) * sizeof(float);
}

static __attribute__((unused)) int32_t kit_linear_size_backward(kit_linear l, heed_call_size *size)
{
    kit_linear_backward b = {.l = l};
    kit_linear_back k = {.later = 0};
    const int32_t failed = kit_linear_back_setup(&b);
    if (failed) return failed;
    size->scratch = (uint64_t)kit_linear_back_scratch(&b, &k, NULL) * sizeof(float);
    size->workspace = kit_linear_back_workspace(&b.l);
    return HEED_OK;
}
static __attribute__((unused)) int32_t
kit_linear_measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    return kit_linear_size_backward(kit_linear_call(instance, g->call), size);
}

#define KIT_LINEAR_GIVES (KIT_PORT(LINEAR_Q) | KIT_PORT(LINEAR_K) | KIT_PORT(LINEAR_V))
#define KIT_LINEAR_BACKWARD(gives, reads)                                                          \
    static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)                    \
    {                                                                                              \
        return KIT(linear_backward)(kit_linear_call(instance, g->call), g, NULL);                  \
    }                                                                                              \
    LINEAR_EXTENSION(KIT_LINEAR_GIVES | (gives), KIT_PORT(LINEAR_OUT), reads,                      \
                     kit_linear_measure_backward)

/* KIT_BACKWARD, with heed.relay/1 besides. */
#define LINEAR_EXTENSION(gives, takes, reads, measure)                                             \
    static const void *KIT(extension)(const char *id)                                              \
    {                                                                                              \
        static const heed_grad grad = {sizeof grad, 0, gives,   takes,                             \
                                       reads,       0, measure, KIT(backward)};                    \
        static const heed_relay relay = KIT_LINEAR_RELAY;                                          \
        return strcmp(id, HEED_GRAD_ID) == 0    ? (const void *)&grad                              \
               : strcmp(id, HEED_RELAY_ID) == 0 ? (const void *)&relay                             \
                                                : NULL;                                            \
    }
#endif

/* ---- small things ---- */

/* Rows [from, to) of [F][32], to rows of whole vectors. */
KIT_KERNEL void KIT(linear_turn)(const float *x, int64_t F, int from, int to, float *out,
                                 int64_t pitch)
{
    for (int j = from / 16 * 16; j < to; j += 16)
        for (int64_t d = 0; d < F; d += 16) {
            vf t[16];
            KIT_UNROLL for (int i = 0; i < 16; i++) t[i] =
                d + i < F ? v_load(x + (d + i) * KIT_LINEAR_CHUNK + j) : v_set(0.0f);
            v_transpose(t);
            KIT_UNROLL for (int i = 0; i < 16; i++) if (j + i >= from && j + i < to)
                v_store(out + (j + i) * pitch + d, t[i]);
        }
}

/* Rows [0, to), some channels of them, to [line][32]; zeros behind them. */
KIT_KERNEL void KIT(linear_turn_rows)(const float *x, int64_t pitch, int64_t line, int to,
                                      float *out)
{
    for (int j = 0; j < KIT_LINEAR_CHUNK; j += 16)
        for (int64_t e = 0; e < line; e += 16) {
            vf t[16];
            KIT_UNROLL for (int i = 0; i < 16; i++) t[i] =
                j + i < to ? v_load(x + (j + i) * pitch + e) : v_set(0.0f);
            v_transpose(t);
            KIT_UNROLL for (int i = 0; i < 16; i++)
                v_store(out + (e + i) * KIT_LINEAR_CHUNK + j, t[i]);
        }
}

/* The dot product of n floats, which are a multiple of 16. */
KIT_INLINE float KIT(linear_dot)(const float *a, const float *b, int64_t n)
{
    vf sum[2] = {v_set(0.0f), v_set(0.0f)};
    for (int64_t i = 0; i < n; i += 16)
        sum[i / 16 % 2] = v_fma(v_load(a + i), v_load(b + i), sum[i / 16 % 2]);
    return v_sum(v_add(sum[0], sum[1]));
}

/* Zeros for tokens [from, to) of heads [head, end) of a gradient, whose last axis may be missing. */
static void KIT(linear_zero)(const heed_tensor *t, int64_t b, int64_t from, int64_t to,
                             int64_t head, int64_t end)
{
    for (int64_t i = from; t && i < to; i++)
        for (int64_t h = head; h < end; h++)
            for (int64_t d = 0; d < (t->rank == 4 ? t->dim[3] : 1); d++)
                *(float *)(void *)kit_at(t, (const int64_t[]){b, i, h, d}, t->rank) = 0.0f;
}

/* n rows to some of a gradient's. */
KIT_KERNEL void KIT(linear_back_put)(const kit_linear_backward *b, const heed_tensor *to, char *row,
                                     const float *y, int64_t pitch, int n, int64_t floats)
{
    const int64_t step = to->stride[1] * 4;
    const int plain = kit_is_plain(to) && floats % 16 == 0;
    for (int i = 0; i < n; i++, row += step, y += pitch) {
        if (b->streams && kit_is_plain(to)) kit_stream_row((float *)(void *)row, y, floats);
        else if (!plain) kit_write_row(row, HEED_F32, to->stride[3], y, floats);
        else
            for (int64_t d = 0; d < floats; d += 16)
                v_store((float *)(void *)row + d, v_load(y + d));
    }
}

/* ---- S, forward ---- */

KIT_INLINE kit_linear_chunk KIT(linear_back_at)(const kit_linear_back *k, int64_t i, int64_t end,
                                                const float *s)
{
    const int64_t at = i * KIT_LINEAR_CHUNK;
    return (kit_linear_chunk){.token = at,
                              .keys =
                                  end - at < KIT_LINEAR_CHUNK ? (int)(end - at) : KIT_LINEAR_CHUNK,
                              .past = i > 0,
                              .s = s,
                              .z = s + k->w.l->F * k->w.l->E16,
                              .start = k->level[i]};
}

/* S behind chunk i, from that before it. */
static void KIT(linear_back_advance)(kit_linear_back *k, int64_t i, int64_t end, const float *s,
                                     float *next)
{
    kit_linear_chunk c = KIT(linear_back_at)(k, i, end, s);
    c.s_next = next, c.z_next = next + k->w.l->F * k->w.l->E16;
    const kit_linear *l = k->w.l;
    const kit_linear_stream streams[] = {{l->k, 0, 0, 0}, {l->v, 0, 1, 0}};
    KIT(linear_plan_ahead)
    (&k->w, &c, KIT_LINEAR_CHUNK, streams, KIT_COUNT(streams), l->F, NULL, 0);
    KIT(linear_prepare)(&k->w, &c);
    const double level = KIT(linear_panels)(&k->w, &c);
    k->level[i + 1] = k->w.l->op->keeps_level ? level : 0;
}

/* From the first key to the last: the S's that are kept. Returns the last one. */
static const float *KIT(linear_back_states)(kit_linear_back *k, int64_t end, int to_the_end)
{
    const float *s = k->near;
    k->level[0] = 0;
    for (int64_t i = 0; i < k->chunks - !to_the_end; i++) {
        const int64_t apart = k->all->apart;
        float *next = (i + 1) % apart == 0 ? k->kept + (i + 1) / apart * k->all->S_floats : k->near;
        KIT(linear_back_advance)(k, i, end, s, next);
        s = next;
    }
    return s;
}

/* ---- one chunk ---- */

/* The runs of a chunk's rows, and who sees them. */
static void KIT(linear_back_runs)(kit_linear_back *k, const kit_linear_chunk *c)
{
    const int *run = k->w.run, asked = c->from < c->to;
    k->n_seen = 0;
    if (!c->keys) k->seen[k->n_seen++] = (kit_linear_seen){c->from, c->to, c->past, 0, asked};
    for (int from = 0, to; from < c->keys; from = to) {
        for (to = from + 1; to < c->keys && run[to] == run[from]; to++) {}
        kit_linear_seen s = {from, to, c->past && run[from] == 0, k->later && to == c->keys, 0};
        s.live = s.later || (asked && c->to > from && c->from < to);
        k->seen[k->n_seen++] = s;
    }
}

/* What is left of a row from some channel on, 16 at most. */
KIT_INLINE vf KIT(linear_some)(const char *at, uint32_t dtype, int64_t stride, int64_t left)
{
    return left <= 0 ? v_set(0.0f) : v_read(at, dtype, stride, left < 16 ? (int)left : 16);
}

/* dN of a head's queries in a panel. */
static void KIT(linear_back_comes)(const kit_linear_back *k, const kit_linear_chunk *c, int head,
                                   int64_t e, int64_t line)
{
    const kit_linear *l = k->w.l;
    const heed_tensor *t = k->all->d_out;
    const float *factor = k->w.factor + (l->op->normalise ? head * 2 * KIT_LINEAR_CHUNK : 0),
                *first = factor + KIT_LINEAR_CHUNK;
    const int64_t left = l->E - e, step = t->stride[1] * 4, across = t->stride[3] * 4;
    const int direct = kit_is_plain(t) && left >= line;
    const char *row =
        kit_at(t, (const int64_t[]){k->w.b, c->query + c->from, k->w.g * l->heads + head, e}, 4);
    for (int i = c->from; i < c->to; i++, row += step)
        for (int64_t m = 0; m < line; m += 16) {
            vf y = direct ? v_load((const float *)(const void *)row + m)
                          : KIT(linear_some)(row + m * across, HEED_F32, t->stride[3], left - m);
            if (l->op->normalise) y = v_mul(y, v_set(first[i]));
            v_store(k->dn + i * line + m, v_mul(y, v_set(factor[i])));
        }
}

/* The gradients of a head's divisors: -(dO . out) / den. */
static void KIT(linear_back_divisors)(const kit_linear_back *k, const kit_linear_chunk *c, int head)
{
    const kit_linear *l = k->w.l;
    const heed_tensor *d = k->all->d_out, *out = l->out;
    const float *factor = k->w.factor + head * 2 * KIT_LINEAR_CHUNK;
    for (int i = c->from; i < c->to; i++) {
        const int64_t at[] = {k->w.b, c->query + i, k->w.g * l->heads + head};
        const char *x = kit_at(d, at, 3), *y = kit_at(out, at, 3);
        vf sum = v_set(0.0f);
        for (int64_t e = 0; e < l->E; e += 16) {
            const int m = l->E - e < 16 ? (int)(l->E - e) : 16;
            sum = v_fma(v_read(x + e * d->stride[3] * 4, HEED_F32, d->stride[3], m),
                        v_read(y + e * out->stride[3] * kit_width(out->dtype), out->dtype,
                               out->stride[3], m),
                        sum);
        }
        k->rest[head * KIT_LINEAR_CHUNK + i] =
            -v_sum(sum) * factor[KIT_LINEAR_CHUNK + i] * factor[i] / l->scale;
    }
}

/* The values of a panel; by the delta rule less what was there; and those times their strength. */
static void KIT(linear_back_values)(const kit_linear_back *k, const kit_linear_chunk *c, int64_t e,
                                    kit_linear_reading *x)
{
    const kit_linear *l = k->w.l;
    const heed_tensor *v = l->v;
    const int strong = kit_linear_strong(l);
    const float *s = x->s;
    const int64_t left = l->E - e, step = v->stride[1] * kit_width(v->dtype),
                  across = v->stride[3] * kit_width(v->dtype);
    const int direct = kit_is_plain(v) && left >= x->line;
    const char *row = kit_at(v, (const int64_t[]){k->w.b, c->token, k->w.g, e}, 4);
    if (direct && !strong && !l->op->delta) {
        KIT(linear_turn_rows)
        ((const float *)(const void *)row, v->stride[1], x->line, c->keys, k->ut);
        return;
    }
    for (int i = 0; i < c->keys; i++, row += step)
        for (int64_t m = 0; m < x->line; m += 16)
            v_store(k->r + i * x->line + m,
                    direct ? v_load((const float *)(const void *)row + m)
                           : KIT(linear_some)(row + m * across, v->dtype, v->stride[3], left - m));
    x->x = k->w.k, x->pitch = l->pitch, x->p = strong ? k->strong : k->w.a, x->u = k->r;
    for (int i = 0; l->op->delta && i < k->n_seen; i++) {
        x->s = k->seen[i].past ? s : NULL;
        x->from = x->row = k->seen[i].from, x->end = k->seen[i].to;
        KIT(linear_all_writes)(x);
    }
    x->s = s;
    for (int i = 0; strong && i < c->keys; i++)
        for (int64_t m = 0; m < x->line; m += 16)
            v_store(k->u + i * x->line + m,
                    v_mul(v_load(k->r + i * x->line + m), v_set(k->w.strength[i])));
    KIT(linear_turn_rows)(strong ? k->u : k->r, x->line, x->line, c->keys, k->ut);
}

/* A chunk in a panel: what its functions share. */
typedef struct KIT(linear_panel) {
    const kit_linear_chunk *c;
    const float *s; /* of the panel; NULL: there is no past */
    float *ds;
    int64_t line;
    int decays, more; /* more: not the first */
} KIT(linear_panel);

/* What one head of readers, with rows x of features and dN in `dn`, gives to dP, dq and dS. */
static void KIT(linear_back_reads)(kit_linear_back *k, const KIT(linear_panel) * p, int head,
                                   const float *x, const float *dn, int from, int to)
{
    const kit_linear *l = k->w.l;
    const int64_t C = KIT_LINEAR_CHUNK, line = p->line;
    for (int i = 0; i < k->n_seen; i++) {
        const kit_linear_seen *s = &k->seen[i];
        const int row = s->from > from ? s->from : from, end = s->to < to ? s->to : to;
        if (!s->live || row >= end) continue;
        kit_linear_sums a = {.to = k->dp + head * C * C,
                             .pitch = C,
                             .row = row,
                             .end = end,
                             .columns = kit_lanes(p->c->keys),
                             .more = p->more,
                             .below = 1,
                             .x = dn,
                             .down = line,
                             .across = 1,
                             .y = k->ut,
                             .line = C,
                             .n = line,
                             .ahead = &k->w.ahead};
        if (p->c->keys) KIT(linear_all_sums)(&a);
        if (p->s && s->past) {
            a = (kit_linear_sums){.to = k->qt + head * l->F * C,
                                  .pitch = C,
                                  .end = l->F,
                                  .columns = C,
                                  .more = p->more,
                                  .x = p->s,
                                  .down = line,
                                  .across = 1,
                                  .y = k->nt,
                                  .line = C,
                                  .n = line,
                                  .ahead = &k->w.ahead};
            KIT(linear_turn_rows)(dn, line, line, to, k->nt);
            KIT(linear_all_sums)(&a);
        }
        if (i > 0 || (p->c->keys && k->w.run[0] != 0)) continue; /* S does not reach them */
        const float *faded = dn + row * line;
        for (int j = row; p->decays && j < end; j++)
            for (int64_t m = 0; m < line; m += 16)
                v_store(k->w.faded + j * line + m,
                        v_mul(v_load(dn + j * line + m), v_set(k->w.growth[j])));
        if (p->decays) faded = k->w.faded + row * line;
        KIT(linear_all_updates)
        (x + row * l->pitch, 1, l->pitch, l->F, faded, line, end - row, p->ds, 1.0f, p->ds,
         &k->w.ahead);
    }
}

/* dU of a panel: what comes through S, and through the outputs of head after head. */
static void KIT(linear_back_writes)(kit_linear_back *k, const KIT(linear_panel) * p, int64_t e)
{
    const kit_linear *l = k->w.l;
    const kit_linear_chunk *c = p->c;
    const int64_t C = KIT_LINEAR_CHUNK, line = p->line;
    const float *fade = p->decays ? k->w.decay + (c->keys - 1) * C : NULL;
    if (!k->one_later) memset(k->t, 0, sizeof(float) * (size_t)(C * line));
    for (int i = 0; i < k->n_seen && c->keys; i++) {
        const kit_linear_seen *s = &k->seen[i];
        const kit_linear_sums a = {.to = k->t,
                                   .pitch = line,
                                   .row = s->from,
                                   .end = s->to,
                                   .columns = line,
                                   .x = k->w.k,
                                   .down = l->pitch,
                                   .across = 1,
                                   .y = p->ds,
                                   .line = line,
                                   .n = l->F,
                                   .factor = fade,
                                   .ahead = &k->w.ahead};
        if (s->later) KIT(linear_all_sums)(&a);
    }
    /* what is left of dS before the chunk */
    const int forgets = c->keys && k->w.run[c->keys - 1] != 0;
    const vf growth = v_set(forgets ? 0.0f : k->w.growth[c->keys ? c->keys - 1 : 0]);
    for (int64_t i = 0; c->keys && (forgets || p->decays) && i < l->F * line; i += 16)
        v_store(p->ds + i, forgets ? growth : v_mul(v_load(p->ds + i), growth));
    for (int head = 0; c->from < c->to && head < (int)l->heads; head++) {
        KIT(linear_back_comes)(k, c, head, e, line);
        for (int i = 0; i < k->n_seen && c->keys; i++) {
            const kit_linear_seen *s = &k->seen[i];
            const kit_linear_sums a = {.to = k->t,
                                       .pitch = line,
                                       .row = s->from,
                                       .end = s->to,
                                       .columns = line,
                                       .more = 1,
                                       .triangle = KIT_LINEAR_UPPER,
                                       .strict = l->op->before,
                                       .p = k->w.p + head * C * C,
                                       .t = k->dn,
                                       .t_line = line,
                                       .first = c->from > s->from ? c->from : s->from,
                                       .last = c->to < s->to ? c->to : s->to,
                                       .ahead = &k->w.ahead};
            if (a.first < a.last) KIT(linear_all_sums)(&a);
        }
        KIT(linear_back_reads)
        (k, p, head, k->w.q + head * C * l->pitch, k->dn, c->from, c->to);
    }
}

/* t, and what follows from it: the gradients of values and strengths, and of keys as they read. */
static void KIT(linear_back_solves)(kit_linear_back *k, const KIT(linear_panel) * p, int64_t e)
{
    const kit_linear *l = k->w.l;
    const heed_tensor *d_v = k->all->d_v;
    const int strong = kit_linear_strong(l), n = p->c->keys;
    const int64_t line = p->line;
    for (int i = 0; l->op->delta && i < k->n_seen; i++) {
        const kit_linear_solution a = {.t = k->t,
                                       .n = k->n,
                                       .line = line,
                                       .columns = line,
                                       .a = k->w.a,
                                       .b = strong ? k->w.strength : NULL,
                                       .first = k->seen[i].from,
                                       .last = k->seen[i].to,
                                       .ahead = &k->w.ahead};
        if (k->seen[i].live) KIT(linear_solve)(&a);
    }
    if (l->op->delta) KIT(linear_back_reads)(k, p, (int)l->heads, k->w.k, k->n, 0, n);
    const int64_t left = l->E - e;
    for (int i = 0, run = 0; strong && i < n; i++) {
        const vf b = v_set(k->w.strength[i]);
        vf db = v_load(k->db + i * 16);
        run += i == k->seen[run].to;
        for (int64_t m = i * line; k->seen[run].live && m < (i + 1) * line; m += 16) {
            const vf t = v_load(k->t + m);
            db = v_fma(t, v_load(k->r + m), db);
            v_store(k->t + m, v_mul(t, b));
        }
        v_store(k->db + i * 16, db);
    }
    if (!d_v) return;
    char *row = kit_at(d_v, (const int64_t[]){k->w.b, p->c->token, k->w.g, e}, 4);
    KIT(linear_back_put)(k->all, d_v, row, k->t, line, n, left < line ? left : line);
}

static void KIT(linear_back_panel)(kit_linear_back *k, const kit_linear_chunk *c, int64_t e)
{
    const kit_linear *l = k->w.l;
    const int64_t left = l->E16 - e;
    KIT(linear_panel)
    p = {.c = c, .ds = k->ds + e * l->F, .decays = c->keys && kit_linear_decays(l), .more = e > 0};
    p.line = left < KIT_LINEAR_PANEL ? left : KIT_LINEAR_PANEL;
    p.s = c->past ? c->s + e * l->F : NULL;
    kit_linear_reading x = {.ahead = &k->w.ahead,
                            .pitch = l->pitch,
                            .F = l->F,
                            .s = p.s,
                            .growth = p.decays ? k->w.growth : NULL,
                            .line = p.line,
                            .columns = p.line};
    if (c->keys) KIT(linear_back_values)(k, c, e, &x);
    if (c->keys && k->seen[k->n_seen - 1].later) {
        const kit_linear_sums a = {.to = k->wt,
                                   .pitch = KIT_LINEAR_CHUNK,
                                   .end = l->F,
                                   .columns = kit_lanes(c->keys),
                                   .more = p.more,
                                   .x = p.ds,
                                   .down = p.line,
                                   .across = 1,
                                   .y = k->ut,
                                   .line = KIT_LINEAR_CHUNK,
                                   .n = p.line,
                                   .ahead = &k->w.ahead};
        KIT(linear_all_sums)(&a);
    }
    KIT(linear_back_writes)(k, &p, e);
    if (c->keys) KIT(linear_back_solves)(k, &p, e);
}

/* ---- what is left to do when all panels have been ---- */

/* What the readers of a head say of the levels: through the rows of the chunk, and through S. */
static void KIT(linear_back_levels)(kit_linear_back *k, int head, const float *x, int i, int past)
{
    const kit_linear *l = k->w.l;
    const int64_t C = KIT_LINEAR_CHUNK;
    const float *p = head < l->heads ? k->w.p + head * C * C : k->w.a;
    for (int j = 0; j <= i; j += 16)
        v_store(k->pairs + i * C + j, v_fma(v_load(k->dp + (head * C + i) * C + j),
                                            v_load(p + i * C + j), v_load(k->pairs + i * C + j)));
    if (past)
        k->reads[i] += k->w.growth[i] *
                       KIT(linear_dot)(x + i * l->pitch, k->dq + (head * C + i) * l->pitch, l->F16);
}

/* The weights of one head of readers are final: its dq, what it gives to dk and dz. */
static void KIT(linear_back_head)(kit_linear_back *k, const kit_linear_chunk *c, int head,
                                  const float *x, int from, int to)
{
    const kit_linear *l = k->w.l;
    const int64_t C = KIT_LINEAR_CHUNK;
    const int decays = c->keys && kit_linear_decays(l), strict = head == l->heads || l->op->before;
    float *dp = k->dp + head * C * C, *dq = k->dq + head * C * l->pitch;
    const float *rest = l->op->normalise && head < l->heads ? k->rest + head * C : NULL;
    for (int i = from; rest && i < to; i++)
        for (int j = 0; c->keys && j <= i; j += 16)
            v_store(dp + i * C + j, v_add(v_load(dp + i * C + j), v_set(rest[i])));
    for (int i = 0; i < k->n_seen; i++) {
        const kit_linear_seen *s = &k->seen[i];
        const int row = s->from > from ? s->from : from, end = s->to < to ? s->to : to;
        if (!s->live || row >= end) continue;
        if (s->past) KIT(linear_turn)(k->qt + head * l->F * C, l->F, row, end, dq, l->pitch);
        for (int j = row; rest && s->past && j < end; j++)
            for (int64_t d = 0; d < l->F16; d += 16)
                v_store(dq + j * l->pitch + d,
                        v_fma(v_set(rest[j]), v_load(c->z + d), v_load(dq + j * l->pitch + d)));
        for (int j = row; rest && s->from == 0 && (!c->keys || k->w.run[0] == 0) && j < end; j++) {
            const vf share = v_set(decays ? rest[j] * k->w.growth[j] : rest[j]);
            for (int64_t d = 0; d < l->F16; d += 16)
                v_store(k->dz + d, v_fma(share, v_load(x + j * l->pitch + d), v_load(k->dz + d)));
        }
        for (int t = row; decays && k->all->decays && t < end; t++)
            KIT(linear_back_levels)(k, head, x, t, s->past);
        if (decays) KIT(linear_weigh)(&k->w, dp, row, end);
        kit_linear_sums a = {.to = dq,
                             .pitch = l->pitch,
                             .row = row,
                             .end = end,
                             .columns = l->F16,
                             .more = 1,
                             .factor = decays && s->past ? k->w.growth : NULL,
                             .triangle = c->keys ? KIT_LINEAR_LOWER : KIT_LINEAR_ALONE,
                             .strict = strict,
                             .p = dp,
                             .t = k->w.k,
                             .t_line = l->pitch,
                             .first = s->from,
                             .ahead = &k->w.ahead};
        KIT(linear_all_sums)(&a);
        a = (kit_linear_sums){.to = k->dk,
                              .pitch = l->pitch,
                              .row = s->from,
                              .end = s->to,
                              .columns = l->F16,
                              .more = 1,
                              .triangle = KIT_LINEAR_UPPER,
                              .strict = strict,
                              .p = dp,
                              .t = x,
                              .t_line = l->pitch,
                              .first = row,
                              .last = end,
                              .ahead = &k->w.ahead};
        if (c->keys) KIT(linear_all_sums)(&a);
    }
}

/* What S says of keys as they write: with dz, and their levels. */
static void KIT(linear_back_keys)(kit_linear_back *k, const kit_linear_chunk *c)
{
    const kit_linear *l = k->w.l;
    const kit_linear_seen *s = &k->seen[k->n_seen - 1];
    const int decays = kit_linear_decays(l), last = c->keys - 1;
    if (s->later) KIT(linear_turn)(k->wt, l->F, s->from, s->to, k->dk, l->pitch);
    for (int j = s->from; s->later && (decays || l->op->normalise) && j < s->to; j++) {
        const vf fade = v_set(decays ? k->w.decay[last * KIT_LINEAR_CHUNK + j] : 1.0f);
        for (int64_t d = 0; d < l->F16; d += 16) {
            vf y = v_load(k->dk + j * l->pitch + d);
            if (l->op->normalise) y = v_add(y, v_load(k->dz + d));
            v_store(k->dk + j * l->pitch + d, v_mul(y, fade));
        }
    }
    for (int j = s->from; s->later && k->all->decays && j < s->to; j++)
        k->writes[j] = KIT(linear_dot)(k->w.k + j * l->pitch, k->dk + j * l->pitch, l->F16);
    const int forgets = k->w.run[last] != 0;
    for (int64_t d = 0; l->op->normalise && (forgets || decays) && d < l->F16; d += 16)
        v_store(k->dz + d,
                forgets ? v_set(0.0f) : v_mul(v_load(k->dz + d), v_set(k->w.growth[last])));
}

/* Gradients of features to those of r->n rows of a tensor. */
static void KIT(linear_back_write)(kit_linear_back *k, kit_linear_rows *r, const heed_tensor *x,
                                   const float *f, float *df, const heed_tensor *to)
{
    const kit_linear *l = k->w.l;
    if (!to || r->n <= 0) return;
    const int64_t at[] = {r->b, r->t, r->head}, step = x->stride[1] * kit_width(x->dtype);
    const int direct = kit_is_plain(x) && l->D % 16 == 0, same = LINEAR_SAME(l);
    const char *from = kit_at(x, at, 3);
    for (int i = 0; !direct && !same && i < r->n; i++, from += step) {
        kit_read_row(k->w.raw + i * l->D16, from, x->dtype, x->stride[3], l->D);
        for (int64_t d = l->D; d < l->D16; d++) k->w.raw[i * l->D16 + d] = 0.0f;
    }
    for (int i = 0; l->F % 16 && !same && i < r->n; i++) KIT(linear_pad)(df + i * l->pitch, l->F);
    r->x = direct ? (const float *)(const void *)from : k->w.raw;
    r->pitch = direct ? x->stride[1] : l->D16, r->own = k->own;
    if (!same) LINEAR_FEATURES_BACK(l, r, f, df, k->to);
    const float *y = same ? df : k->to;
    const int64_t pitch = same ? l->pitch : l->D16;
    KIT(linear_back_put)(k->all, to, kit_at(to, at, 3), y, pitch, r->n, l->D);
}

/* The gradients of the chunk's log decays, then of the gate. */
static void KIT(linear_back_decays)(kit_linear_back *k, const kit_linear_chunk *c)
{
    const kit_linear *l = k->w.l;
    const heed_tensor *to = k->all->d_gate;
    const kit_linear_rows r = LINEAR_ROWS_OF(&k->w, k->w.g, c->token, c->keys, 0);
    float d[KIT_LINEAR_CHUNK] = {0};
    for (int i = 0; i < k->n_seen; i++) {
        const kit_linear_seen *s = &k->seen[i];
        double below[KIT_LINEAR_CHUNK] = {0}; /* pairs of a row with those from t on */
        double reads = s->later && s->past ? (double)(k->w.growth[s->to - 1] * k->inner) : 0;
        for (int t = s->to - 1; s->live && t >= s->from; t--) {
            double sum[4] = {reads += (double)k->reads[t]}; /* they need not wait for each other */
            for (int j = s->from; j < t; j++) {
                below[j] += (double)k->pairs[t * KIT_LINEAR_CHUNK + j];
                sum[j % 4] += below[j] + (double)k->writes[j];
            }
            const double all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
            d[t] = kit_linear_forgets(l, k->w.log_decay[t]) ? 0.0f : (float)all;
        }
    }
    LINEAR_DECAY_BACK(l, &r, d, k->sums);
    for (int i = 0; to && i < r.n; i++)
        *(float *)(void *)kit_at(to, (const int64_t[]){r.b, r.t + i, r.head}, 3) = d[i];
}

static void KIT(linear_back_strengths)(kit_linear_back *k, const kit_linear_chunk *c)
{
    const kit_linear *l = k->w.l;
    const heed_tensor *to = k->all->d_beta;
    const kit_linear_rows r = LINEAR_ROWS_OF(&k->w, k->w.g, c->token, c->keys, 0);
    float d[KIT_LINEAR_CHUNK] = {0};
    for (int i = 0; i < r.n; i++) d[i] = v_sum(v_load(k->db + i * 16));
    LINEAR_STRENGTH_BACK(l, &r, d);
    for (int i = 0; i < r.n; i++)
        *(float *)(void *)kit_at(to, (const int64_t[]){r.b, r.t + i, r.head}, 3) = d[i];
}

static void KIT(linear_back_inner)(kit_linear_back *k, const float *s)
{
    const kit_linear *l = k->w.l;
    k->inner = KIT(linear_dot)(k->ds, s, l->F * l->E16);
    if (l->op->normalise) k->inner += KIT(linear_dot)(k->dz, s + l->F * l->E16, l->F16);
}

/* The chunk before this one. */
static void KIT(linear_plan_backward)(kit_linear_back *k, const kit_linear_chunk *c)
{
    const kit_linear *l = k->w.l;
    const kit_linear_backward *b = k->all;
    const kit_linear_stream streams[] = {{l->k, 0, 0, 0},
                                         {l->q, 1, 0, 0},
                                         {l->v, 0, 1, 0},
                                         {b->d_out, 1, 1, 0},
                                         {l->op->normalise ? l->out : NULL, 1, 1, 0},
                                         {b->streams ? NULL : b->d_q, 1, 0, 1},
                                         {b->streams ? NULL : b->d_k, 0, 0, 1},
                                         {b->streams ? NULL : b->d_v, 0, 1, 1}};
    KIT(linear_plan_ahead)
    (&k->w, c, -KIT_LINEAR_CHUNK, streams, KIT_COUNT(streams),
     (4 * KIT_LINEAR_CHUNK + 2 * l->F) * (l->heads + l->op->delta) + KIT_LINEAR_CHUNK + l->F,
     k->s_before, b->S_floats);
}

/* The whole of it; a chunk without keys is queries that read S as it is. */
static void KIT(linear_back_chunk)(kit_linear_back *k, kit_linear_chunk *c)
{
    kit_linear_work *w = &k->w;
    const kit_linear *l = w->l;
    const int64_t C = KIT_LINEAR_CHUNK;
    const int heads = (int)l->heads, asked = c->from < c->to;
    KIT(linear_plan_backward)(k, c);
    KIT(linear_prepare)(w, c);
    KIT(linear_back_runs)(k, c);
    for (int i = 0; l->op->delta && kit_linear_strong(l) && i < c->keys; i++)
        for (int j = 0; j < C; j++)
            k->strong[i * C + j] = j < i ? w->a[i * C + j] * w->strength[j] : 0.0f;
    const kit_linear_seen *one = k->n_seen == 1 ? k->seen : NULL;
    k->one_later = one && one->later;
    if (!one || !one->past || !one->live)
        memset(k->dq, 0, sizeof(float) * (size_t)((heads + 1) * C * l->pitch));
    if (!k->one_later) memset(k->dk, 0, sizeof(float) * (size_t)(C * l->pitch));
    if (kit_linear_strong(l)) memset(k->db, 0, sizeof(float) * (size_t)(C * 16));
    if (k->all->decays) memset(k->pairs, 0, sizeof(float) * (size_t)(C * C));
    memset(k->reads, 0, sizeof k->reads), memset(k->writes, 0, sizeof k->writes);
    if (k->later && c->past && k->all->decays) KIT(linear_back_inner)(k, c->s);
    int64_t e = 0; /* the first panel begins all sums, so there is one of no channels too */
    do KIT(linear_back_panel)(k, c, e);
    while ((e += KIT_LINEAR_PANEL) < l->E16);
    for (int head = 0; l->op->normalise && asked && head < heads; head++)
        KIT(linear_back_divisors)(k, c, head);
    if (c->keys) KIT(linear_back_keys)(k, c);
    for (int head = 0; asked && head < heads; head++)
        KIT(linear_back_head)(k, c, head, w->q + head * C * l->pitch, c->from, c->to);
    if (l->op->delta && c->keys) KIT(linear_back_head)(k, c, heads, w->k, 0, c->keys);
    if (c->keys && k->all->decays) KIT(linear_back_decays)(k, c);
    if (c->keys && k->all->d_beta) KIT(linear_back_strengths)(k, c);
    k->later = k->seen[0].live && (!c->keys || w->run[0] == 0);
    for (int head = 0; asked && head < heads; head++) {
        kit_linear_rows r =
            LINEAR_ROWS_OF(w, w->g * heads + head, c->query + c->from, c->to - c->from, 1);
        const int64_t at = (head * C + c->from) * l->pitch;
        KIT(linear_back_write)(k, &r, l->q, w->q + at, k->dq + at, k->all->d_q);
    }
    for (int i = 0; l->op->delta && i < c->keys; i++)
        for (int64_t d = 0; d < l->F16; d += 16) {
            float *dk = k->dk + i * l->pitch + d;
            v_store(dk, v_add(v_load(dk), v_load(k->dq + (heads * C + i) * l->pitch + d)));
        }
    kit_linear_rows r = LINEAR_ROWS_OF(w, w->g, c->token, c->keys, 0);
    KIT(linear_back_write)(k, &r, l->k, w->k, k->dk, k->all->d_k);
}

/* ---- a sequence ---- */

/* Chunks from the last to the first, S's of eight of them at a time where not all were kept. */
static void KIT(linear_back_sweep)(kit_linear_back *k, int64_t end, int64_t shift, int64_t queries)
{
    const int64_t C = KIT_LINEAR_CHUNK, floats = k->all->S_floats, apart = k->all->apart;
    for (int64_t i = k->chunks - 1; i >= 0; i--) {
        const int64_t at = i * C, base = i / apart * apart;
        const float *kept = k->kept + i / apart * floats;
        for (int64_t j = base; (i == k->chunks - 1 || i % apart == apart - 1) && j < i; j++)
            KIT(linear_back_advance)
        (k, j, end, j == base ? kept : k->near + (j - base) * floats,
         k->near + (j + 1 - base) * floats);
        const float *s = i == base ? kept : k->near + (i - base) * floats;
        kit_linear_chunk c = KIT(linear_back_at)(k, i, end, s);
        c.query = at - shift;
        c.from = shift > at ? (shift - at < C ? (int)(shift - at) : (int)C) : 0;
        c.to = queries + shift - at < c.keys ? (int)(queries + shift - at) : c.keys;
        if (c.to < c.from) c.to = c.from;
        k->s_before = i > base + 1 || (apart == 1 && i > 0) ? s - floats : NULL;
        KIT(linear_back_chunk)(k, &c);
    }
}

/* Queries [from, to) that read S as it is behind all keys. */
static void KIT(linear_back_behind)(kit_linear_back *k, int64_t from, int64_t to, const float *s)
{
    kit_linear_chunk c = {.past = 1, .s = s, .z = s + k->w.l->F * k->w.l->E16};
    for (c.query = from; c.query < to; c.query += KIT_LINEAR_CHUNK) {
        c.to = to - c.query < KIT_LINEAR_CHUNK ? (int)(to - c.query) : KIT_LINEAR_CHUNK;
        KIT(linear_back_chunk)(k, &c);
    }
}

/* As linear_ordered, backwards. */
static void KIT(linear_back_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_linear_backward *all = arg;
    const kit_linear *l = &all->l;
    kit_linear_back k = {.all = all};
    k.w.l = l, k.w.b = task / l->G, k.w.g = task % l->G, k.w.columns = l->E16, k.w.whole = 1;
    kit_linear_back_scratch(all, &k, (float *)(l->call->scratch + lane * l->call->scratch_stride));
    const int64_t n = kit_linear_keys(l, k.w.b), shift = kit_linear_shift(l, k.w.b),
                  head = k.w.g * l->heads;
    const int64_t before = !l->causal || shift > 0 ? (n == 0 ? l->T : 0)
                           : -shift < l->T         ? -shift
                                                   : l->T;
    const int64_t within = !l->causal || n - shift < before ? before
                           : n - shift < l->T               ? n - shift
                                                            : l->T;
    const int behind = within < l->T && n > 0;
    const int64_t to = behind ? n : within + shift < 0 || n == 0 ? 0 : within + shift;
    memset(k.ds, 0, sizeof(float) * (size_t)(l->F * l->E16));
    memset(k.dz, 0, sizeof(float) * (size_t)l->F16);
    k.chunks = (to + KIT_LINEAR_CHUNK - 1) / KIT_LINEAR_CHUNK;
    const float *s = KIT(linear_back_states)(&k, to, behind);
    if (behind) KIT(linear_back_behind)(&k, within, l->T, s);
    KIT(linear_back_sweep)(&k, to, shift, within);
    KIT(linear_zero)(all->d_q, k.w.b, 0, n == 0 ? l->T : before, head, head + l->heads);
    KIT(linear_zero)(all->d_k, k.w.b, to, l->S, k.w.g, k.w.g + 1);
    KIT(linear_zero)(all->d_v, k.w.b, to, l->S, k.w.g, k.w.g + 1);
    KIT(linear_zero)(all->d_beta, k.w.b, to, l->S, k.w.g, k.w.g + 1);
    KIT(linear_zero)(all->d_gate, k.w.b, to, l->S, k.w.g, k.w.g + 1);
    if (all->streams) v_drain();
    for (int i = 0; i < KIT_LINEAR_SUMS; i++)
        all->sums[(i * l->B + k.w.b) * kit_lanes(l->G) + k.w.g] = k.sums[i];
}

/* A backward from its tensors to its end. weights[KIT_LINEAR_SUMS]: where the sums of
 * LINEAR_DECAY_BACK go, [G] each, and NULL where nobody wants them; or NULL. */
static __attribute__((unused)) int32_t KIT(linear_backward)(kit_linear l, const heed_grad_call *g,
                                                            const heed_tensor *const *weights)
{
    const heed_tensor *const *d = g->gradient;
    const heed_call *call = g->call;
    kit_linear_backward b = {.l = l,
                             .d_out = d[LINEAR_OUT],
                             .d_q = d[LINEAR_Q],
                             .d_k = d[LINEAR_K],
                             .d_v = d[LINEAR_V],
                             .d_beta = l.op->beta ? d[l.op->beta] : NULL,
                             .d_gate = l.op->gate ? d[l.op->gate] : NULL,
                             .sums = call->workspace};
    int32_t failed = kit_linear_back_setup(&b);
    if (failed) return failed;
    const int64_t floats = (b.d_q ? b.l.B * b.l.T * b.l.H * b.l.D : 0) +
                           b.l.B * b.l.S * b.l.G * ((b.d_k ? b.l.D : 0) + (b.d_v ? b.l.E : 0));
    b.streams = floats * (int64_t)sizeof(float) >= KIT_STREAM_BYTES;
    b.decays = b.l.gate && (b.d_gate || (weights && (weights[0] || weights[1])));
    failed = call->host->parallel_for(call->host, b.l.B * b.l.G, KIT(linear_back_task), &b);
    const int64_t G16 = kit_lanes(b.l.G);
    for (int i = 0; weights && i < KIT_LINEAR_SUMS && !failed; i++)
        if (weights[i])
            failed = KIT(kit_add_blocks)(
                call, (kit_block_sums){b.sums + i * b.l.B * G16, b.l.B, b.l.G, G16, weights[i]});
    return failed;
}
#undef KIT_HAS_LINEAR_BACKWARD_HOOKS /* the next path's copy includes them again */
#undef KIT_HAS_LINEAR_BACKWARD_TILE
#undef KIT_HAS_LINEAR_RELAY
#undef LINEAR_PREPARE
#undef LINEAR_READY
#undef LINEAR_FEATURES_BACK
#undef LINEAR_DECAY_BACK
#undef LINEAR_STRENGTH_BACK
