/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/chunk.h: one chunk of one head of keys, for the channels of one tile. A part of
 * kit/linear/linear.h.
 *
 * Rows of keys come as features, with the level of each: the sum of the log decays up to it. A row
 * that forgets what was before it begins a run; rows of one run see one another, and those of the
 * first one see S. Everything is done run by run, so nothing that was forgotten is multiplied by
 * zero: it is not touched.
 */
#ifndef KIT_HAS_LINEAR_CHUNK
#define KIT_HAS_LINEAR_CHUNK
#include <heed/kit/linear/features.h>
#include <heed/kit/linear/tile.h>
#ifndef HEED_KIT_LINEAR_CHUNK_ONCE
#define HEED_KIT_LINEAR_CHUNK_ONCE

/* Where the numbers of a record lie, for the channels of a tile. NULL: nowhere. */
typedef struct kit_linear_place {
    double *decay; /* start, then each row's */
    float *z, *k, *u, *s;
} kit_linear_place;

/* A tile of the parallel work, and its scratch. */
typedef struct kit_linear_work {
    const kit_linear *l;
    int64_t b, g;
    int64_t e, columns;           /* channels [e, e + columns), in whole vectors */
    int whole;                    /* the tile that keeps what all tiles of this head have */
    char *carry; /* of linear/relay.h: it has records of its own; NULL: the state's */
    float *raw, *own;             /* rows as they came, in float32; what LINEAR_FEATURES wants */
    float *k, *kt, *a;            /* keys, and transposed; key by key */
    float *decay;                 /* [32][32]: e^(level i - level j) */
    float *q, *p;                 /* of each head of queries */
    int in_place;                 /* features that are the rows of a tensor stay there */
    const float *keys, *queries;  /* where they are: row 0, and of the first head */
    int64_t keys_pitch, queries_pitch, head_pitch;
    float *factor;                /* of each head: [2][32] */
    float *u, *faded, *stage;     /* a panel of values; times their decay; of outputs */
    float *s, *z;                 /* S between chunks, [panels][F][line]; the normaliser's sums */
    float growth[KIT_LINEAR_CHUNK], strength[KIT_LINEAR_CHUNK];
    double level[KIT_LINEAR_CHUNK], log_decay[KIT_LINEAR_CHUNK];
    kit_linear_ahead ahead;
    int run[KIT_LINEAR_CHUNK]; /* the row that begins each row's run; -1: row 0, and it does not see
                                  S */
} kit_linear_work;

/* What is done with a chunk. */
typedef struct kit_linear_chunk {
    int64_t token; /* token of row 0 in the call's keys and values: negative if it came earlier */
    int64_t query;            /* token of row 0 in the call's queries */
    int kept, keys;           /* rows of keys that are in `place`; all of them */
    int from, to;             /* rows that are queries too */
    int past;                 /* S of the chunks before is in s and z */
    const float *s, *z;
    float *s_next, *z_next;   /* where S behind the last row goes; NULL: nowhere */
    double start;             /* the level before row 0 */
    kit_linear_place place;   /* where rows are kept */
} kit_linear_chunk;

/* Whether a log decay drops what was before the row. */
KIT_INLINE int kit_linear_forgets(const kit_linear *l, double log_decay)
{
    return !l->op->keeps_level && log_decay < KIT_LINEAR_FORGETS;
}

/* Floats of a lane's scratch, in the order of kit_linear_work. */
KIT_INLINE int64_t kit_linear_scratch(const kit_linear *l, kit_linear_work *w, float *at)
{
    const int64_t C = KIT_LINEAR_CHUNK, P = KIT_LINEAR_PANEL, heads = l->heads;
    const int64_t wanted = l->op->own + (l->op->own_rows ? C * l->D16 : 0);
    const int64_t own = wanted > 4 * l->D16 + 32 ? wanted : 4 * l->D16 + 32;
    const int64_t size[] = {
        C * l->D16,           kit_lanes(own), C * l->pitch,  l->F16 * C, C * C, C * C,
        heads * C * l->pitch, heads * C * C,  heads * 2 * C, C * P,      C * P, C * P,
        l->F * l->columns,    l->F16};
    float **to[] = {&w->raw, &w->own, &w->k, &w->kt, &w->a, &w->decay, &w->q,
                    &w->p, &w->factor, &w->u, &w->faded, &w->stage, &w->s, &w->z};
    int64_t n = 0;
    for (uint32_t i = 0; i < KIT_COUNT(size); n += size[i++])
        if (at) *to[i] = at + n;
    return n;
}
#endif

#undef LINEAR_ROWS_OF
#define LINEAR_ROWS_OF(w, head_, t_, n_, query_)                                                   \
    {                                                                                              \
        .b = (w)->b, .head = head_, .t = t_, .n = (int)(n_), .query = query_, .own = (w)->own,     \
        .ahead = &(w)->ahead                                                                       \
    }

/* For LINEAR_FEATURES: rows of x, `width` long, times m packed rows w of the same length: panels of
 * 32 of them, or of what is left in whole vectors, each [width][its rows]. */
static __attribute__((unused)) void KIT(linear_product)(const kit_linear_rows *r, const float *x,
                                                        int64_t pitch, int64_t width,
                                                        const float *w, int64_t m, float *to,
                                                        int64_t to_pitch)
{
    for (int64_t at = 0; at < m; at += KIT_LINEAR_PANEL) {
        const int64_t left = kit_lanes(m) - at,
                      line = left < KIT_LINEAR_PANEL ? left : KIT_LINEAR_PANEL;
        const kit_linear_reading c = {.x = x,
                                      .pitch = pitch,
                                      .F = width,
                                      .s = w + at * width,
                                      .line = line,
                                      .columns = line,
                                      .end = r->n,
                                      .ahead = r->ahead,
                                      .to = to + at,
                                      .to_pitch = to_pitch};
        KIT(linear_all_reads)(&c);
    }
}

/* Features of r->n rows of q or k from token r->t on. Rows of float32 are read where they are. */
KIT_KERNEL void KIT(linear_make)(const kit_linear_work *w, kit_linear_rows *r, const heed_tensor *x,
                                 float *to)
{
    const kit_linear *l = w->l;
    const int64_t at[] = {r->b, r->t, r->head}, step = x->stride[1] * kit_width(x->dtype);
    const char *from = kit_at(x, at, 3);
    const int direct = kit_is_plain(x) && l->D % 16 == 0;
    r->x = direct ? (const float *)from : w->raw;
    r->pitch = direct ? x->stride[1] : l->D16;
    for (int i = 0; !direct && i < r->n; i++, from += step) {
        float *raw = w->raw + i * l->D16;
        kit_read_row(raw, from, x->dtype, x->stride[3], l->D);
        for (int64_t d = l->D; d < l->D16; d++) raw[d] = 0.0f;
    }
    LINEAR_FEATURES(l, r, to);
    for (int i = 0; l->F % 16 && i < r->n; i++) KIT(linear_pad)(to + i * l->pitch, l->F);
}

static __attribute__((unused)) void KIT(linear_gate)(const kit_linear *l, const kit_linear_rows *r,
                                                     double *to)
{
    for (int i = 0; i < r->n; i++)
        to[i] = (double)kit_linear_number(l->gate, (const int64_t[]){r->b, r->t + i, r->head}, 3);
}

static __attribute__((unused)) void KIT(linear_beta)(const kit_linear *l, const kit_linear_rows *r,
                                                     float *to)
{
    float beta[KIT_LINEAR_CHUNK] = {0};
    const float eta = l->op->eta != 0.0f ? l->op->eta : 1.0f;
    for (int i = 0; l->beta && i < r->n; i++)
        beta[i] = kit_linear_number(l->beta, (const int64_t[]){r->b, r->t + i, r->head}, 3);
    for (int i = 0; i < r->n; i += 16) {
        vf x = v_load(beta + i);
        if (!l->beta) x = v_set(1.0f);
        else if (!l->op->raw_beta) x = v_sigmoid(x);
        v_store_n(to + i, v_mul(x, v_set(eta)), r->n - i < 16 ? r->n - i : 16);
    }
}

/* Whether features of a tensor's rows are read where these are. */
KIT_INLINE int KIT(linear_stays)(const kit_linear_work *w, const heed_tensor *x)
{
    return w->in_place && LINEAR_SAME(w->l) && kit_is_plain(x) && w->l->D % 16 == 0;
}

/* The chunk's keys: features, levels and runs. */
KIT_KERNEL void KIT(linear_keys)(kit_linear_work *w, kit_linear_chunk *c)
{
    const kit_linear *l = w->l;
    const int n = c->keys;
    kit_linear_rows r = LINEAR_ROWS_OF(w, w->g, c->token + c->kept, n - c->kept, 0);
    const int decays = kit_linear_decays(l);
    double level = c->start;
    for (int i = 0; i < c->kept; i++) {
        memcpy(w->k + i * l->pitch, c->place.k + i * l->F16, (size_t)l->F16 * sizeof(float));
        w->log_decay[i] = decays ? c->place.decay[1 + i] : 0;
    }
    for (int i = 0; i < c->kept; i++)
        level = kit_linear_forgets(l, w->log_decay[i]) ? 0 : level + w->log_decay[i];
    r.first = !c->past && c->kept == 0;
    r.level = level;
    const int stay = KIT(linear_stays)(w, l->k) && c->from < c->to && !c->kept && !c->place.k &&
                     !l->op->delta && !l->op->normalise;
    w->keys = w->k, w->keys_pitch = l->pitch;
    if (stay) {
        w->keys = kit_linear_row(l->k, w->b, c->token, w->g), w->keys_pitch = l->k->stride[1];
    } else if (r.n > 0) {
        KIT(linear_make)(w, &r, l->k, w->k + c->kept * l->pitch);
    }
    for (int i = c->kept; i < n; i++) w->log_decay[i] = 0;
    if (decays && r.n > 0) LINEAR_DECAY(l, &r, w->k + c->kept * l->pitch, w->log_decay + c->kept);
    for (int i = c->kept; decays && l->F % 16 && i < n; i++)
        KIT(linear_pad)(w->k + i * l->pitch, l->F);
    level = c->start;
    for (int i = 0; i < n; i++) {
        const int new_run = kit_linear_forgets(l, w->log_decay[i]);
        w->run[i] = i == 0 ? (new_run ? -1 : 0) : new_run ? i : w->run[i - 1];
        w->level[i] = level = new_run ? 0 : level + w->log_decay[i];
    }
    if (!c->place.k || !w->whole) return;
    for (int i = c->kept; i < n; i++) {
        c->place.decay[1 + i] = w->log_decay[i];
        memcpy(c->place.k + i * l->F16, w->k + i * l->pitch, (size_t)l->F16 * sizeof(float));
    }
}

/* [F][32] from rows; lanes of rows that are not there are 0. */
KIT_KERNEL void KIT(linear_transpose)(const kit_linear_work *w, int keys)
{
    const kit_linear *l = w->l;
    for (int j = 0; j < keys; j += 16)
        for (int64_t d = 0; d < l->F; d += 16) {
            vf t[16];
            KIT_UNROLL for (int i = 0; i < 16; i++) t[i] =
                j + i < keys ? v_load(w->keys + (j + i) * w->keys_pitch + d) : v_set(0.0f);
            v_transpose(t);
            KIT_UNROLL for (int i = 0; i < 16; i++)
                v_store(w->kt + (d + i) * KIT_LINEAR_CHUNK + j, t[i]);
        }
}

/* e^(level i - level j) for j up to i, and what is left of S, for new rows and the last one.
 * Differences are made in float64. */
KIT_KERNEL void KIT(linear_decay)(kit_linear_work *w, const kit_linear_chunk *c)
{
    const int from = c->kept < c->keys ? c->kept : c->keys - 1;
    for (int i = from; i < c->keys; i++)
        for (int j = 0; j < i / 16 * 16 + 16; j++)
            w->decay[i * KIT_LINEAR_CHUNK + j] = j <= i ? (float)(w->level[i] - w->level[j]) : 0.0f;
    for (int i = 0; i < KIT_LINEAR_CHUNK; i++)
        w->growth[i] = i < c->keys ? (float)(w->level[i] - c->start) : 0.0f;
    /* apart, so that no vector is read while its numbers are still on their way to the cache */
    for (int i = from; i < c->keys; i++)
        for (int j = i * KIT_LINEAR_CHUNK; j <= i * KIT_LINEAR_CHUNK + i; j += 16)
            v_store(w->decay + j, v_exp(v_load(w->decay + j)));
    for (int i = 0; i < c->keys; i += 16) v_store(w->growth + i, v_exp(v_load(w->growth + i)));
}

/* The decays meet the products of rows [from, to). */
KIT_INLINE void KIT(linear_weigh)(const kit_linear_work *w, float *p, int from, int to)
{
    for (int i = from; i < to; i++)
        for (int j = 0; j <= i; j += 16) {
            const int at = i * KIT_LINEAR_CHUNK + j;
            v_store(p + at, v_mul(v_load(p + at), v_load(w->decay + at)));
        }
}

/* The factors of a head's outputs: 1 / (den + eps), in two parts if den is tiny, or the scale. */
KIT_INLINE void KIT(linear_factors)(const kit_linear_work *w, const kit_linear_chunk *c, int head)
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const kit_linear *l = w->l;
    const int decays = kit_linear_decays(l);
    float *factor = w->factor + head * 2 * KIT_LINEAR_CHUNK, *first = factor + KIT_LINEAR_CHUNK;
    for (int i = c->from; i < c->to; i++) {
        const float *q = w->queries + head * w->head_pitch + i * w->queries_pitch;
        const float *p = w->p + (head * KIT_LINEAR_CHUNK + i) * KIT_LINEAR_CHUNK;
        const int run = c->keys ? w->run[i] : 0, past = c->past && run == 0;
        vf sum = v_set(0.0f);
        for (int64_t d = 0; past && d < l->F; d += 16) sum = v_fma(v_load(q + d), v_load(c->z + d), sum);
        if (past && c->keys && decays) sum = v_mul(sum, v_set(w->growth[i]));
        for (int j = run < 0 ? 0 : run / 16 * 16; c->keys && j <= i; j += 16) {
            const vf at = v_add(v_load(lanes), v_set((float)j));
            const vm seen = v_and(v_ge(at, v_set((float)run)),
                                  v_lt(at, v_set((float)(l->op->before ? i : i + 1))));
            sum = v_add(sum, v_select(seen, v_load(p + j), v_set(0.0f)));
        }
        const float den = v_sum(sum) + l->op->eps;
        const float more = fabsf(den) < 0x1p-64f ? 0x1p64f : 1.0f;
        first[i] = more;
        factor[i] = den == 0.0f ? 0.0f : l->scale * (1.0f / (den * more));
    }
}

/* Queries of a head in the chunk, and their weights of its rows. */
KIT_KERNEL void KIT(linear_queries)(kit_linear_work *w, const kit_linear_chunk *c, int head)
{
    const kit_linear *l = w->l;
    kit_linear_rows r =
        LINEAR_ROWS_OF(w, w->g * l->heads + head, c->query + c->from, c->to - c->from, 1);
    const float *q = w->queries + head * w->head_pitch;
    float *p = w->p + head * KIT_LINEAR_CHUNK * KIT_LINEAR_CHUNK;
    if (w->queries == w->q)
        KIT(linear_make)(w, &r, l->q, w->q + (head * KIT_LINEAR_CHUNK + c->from) * l->pitch);
    if (c->keys) {
        KIT(linear_all_scores)(q, w->queries_pitch, l->F, w->kt, p, c->from, c->to, &w->ahead);
        if (kit_linear_decays(l)) KIT(linear_weigh)(w, p, c->from, c->to);
    }
    if (l->op->normalise) KIT(linear_factors)(w, c, head);
}

/* The values of a panel: channels [e, e + line) of the rows that are new, and what becomes of
 * them. */
KIT_KERNEL void KIT(linear_values)(const kit_linear_work *w, const kit_linear_chunk *c, int64_t e,
                                   kit_linear_reading *x)
{
    const kit_linear *l = w->l;
    const int strong = kit_linear_strong(l);
    const int64_t step = l->v->stride[1] * kit_width(l->v->dtype),
                  across = 16 * l->v->stride[3] * kit_width(l->v->dtype);
    const char *row = kit_at(l->v, (const int64_t[]){w->b, c->token + c->kept, w->g, e}, 4);
    const int direct = kit_is_plain(l->v) && l->E - e >= x->line;
    for (int i = c->kept; i < c->keys; i++, row += step) {
        const vf strength = v_set(strong && !l->op->delta ? w->strength[i] : 1.0f);
        float *u = x->u + i * x->line;
        for (int64_t m = 0; m < x->line; m += 16) {
            const int64_t left = l->E - e - m;
            if (direct)
                v_store(u + m, v_mul(strength, v_load((const float *)(const void *)row + m)));
            else
                v_store(u + m,
                        v_mul(strength, v_read(row + m / 16 * across, l->v->dtype, l->v->stride[3],
                                               left < 16 ? (int)left : 16)));
        }
    }
    if (!l->op->delta) return;
    x->x = w->k, x->pitch = l->pitch, x->p = w->a, x->factor = strong ? w->strength : NULL,
    x->first = NULL;
    const float *s = x->s;
    for (int first = c->kept, end; first < c->keys; first = end) { /* run by run */
        const int run = w->run[first];
        for (end = first + 1; end < c->keys && w->run[end] == run; end++) {}
        x->s = run == 0 ? s : NULL, x->from = run < 0 ? 0 : run, x->row = first, x->end = end;
        KIT(linear_all_writes)(x);
    }
    x->s = s;
}

/* Outputs of a head in a panel. */
KIT_KERNEL void KIT(linear_outputs)(const kit_linear_work *w, const kit_linear_chunk *c, int head,
                                    int64_t e, kit_linear_reading *x)
{
    const kit_linear *l = w->l;
    const heed_tensor *out = l->out;
    const int64_t left = l->E - e, n = left < x->line ? left : x->line;
    const int streams = kit_streams(out), direct = kit_is_plain(out) && n == x->line && !streams;
    const float *s = x->s;
    x->x = w->queries + head * w->head_pitch, x->pitch = w->queries_pitch;
    x->p = c->keys && l->F ? w->p + head * KIT_LINEAR_CHUNK * KIT_LINEAR_CHUNK : NULL;
    x->factor = NULL, x->first = NULL;
    if (l->op->normalise) {
        x->factor = w->factor + head * 2 * KIT_LINEAR_CHUNK;
        x->first = x->factor + KIT_LINEAR_CHUNK;
    } else if (l->scale != 1.0f) {
        x->factor = w->factor;
    }
    for (int row = c->from, end; row < c->to; row = end) {
        const int run = c->keys ? w->run[row] : 0;
        for (end = row + 1; end < c->to && (!c->keys || w->run[end] == run); end++) {}
        char *to = kit_at(out, (const int64_t[]){w->b, c->query + row, w->g * l->heads + head}, 3);
        to += e * out->stride[3] * kit_width(out->dtype);
        x->s = run == 0 ? s : NULL, x->from = run < 0 ? 0 : run, x->row = row, x->end = end;
        x->to = direct ? (float *)to : w->stage,
        x->to_pitch = direct ? out->stride[1] : KIT_LINEAR_PANEL;
        KIT(linear_all_reads)(x);
        for (int i = row; !direct && i < end; i++, to += out->stride[1] * kit_width(out->dtype))
            kit_put_row(out, to, w->stage + (i - row) * KIT_LINEAR_PANEL, n, streams);
    }
    x->s = s;
}

/* S behind the chunk, in a panel. */
KIT_KERNEL void KIT(linear_advance)(const kit_linear_work *w, const kit_linear_chunk *c, int64_t at,
                                const kit_linear_reading *x)
{
    const kit_linear *l = w->l;
    const int last = c->keys - 1, run = w->run[last], from = run < 0 ? 0 : run;
    const float *u = x->u, *fade = w->decay + last * KIT_LINEAR_CHUNK;
    const int decays = kit_linear_decays(l);
    if (decays) {
        for (int j = from; j < c->keys; j++)
            for (int64_t m = 0; m < x->line; m += 16)
                v_store(w->faded + j * x->line + m,
                        v_mul(v_load(u + j * x->line + m), v_set(fade[j])));
        u = w->faded;
    }
    const int turned = w->keys != w->k; /* else rows are in the first cache */
    KIT(linear_all_updates)
    (turned ? w->kt + from : w->k + from * l->pitch, turned ? KIT_LINEAR_CHUNK : 1,
     turned ? 1 : l->pitch, l->F, u + from * x->line, x->line, c->keys - from,
     run == 0 ? x->s : NULL, decays ? w->growth[last] : 1.0f, c->s_next + at, x->ahead);
}

/* The normaliser's sums behind it. */
KIT_KERNEL void KIT(linear_advance_z)(const kit_linear_work *w, const kit_linear_chunk *c)
{
    const kit_linear *l = w->l;
    const int last = c->keys - 1, run = w->run[last], past = c->past && run == 0, decays = kit_linear_decays(l);
    const float *fade = w->decay + last * KIT_LINEAR_CHUNK;
    for (int64_t d = 0; d < l->F; d += 16) {
        vf z = past ? v_load(c->z + d) : v_set(0.0f);
        if (past && decays) z = v_mul(z, v_set(w->growth[last]));
        for (int j = run < 0 ? 0 : run; j < c->keys; j++)
            z = v_fma(v_set(decays ? fade[j] : 1.0f), v_load(w->k + j * l->pitch + d), z);
        v_store(c->z_next + d, z);
    }
}

/* Prepares what linear_look_ahead asks for while this chunk is worked on: the rows of these tensors
 * that the chunk `by` rows further on will need, and S there, if s is not NULL. The products of the
 * chunk have `tall` rows in all, each over all channels, so about so many tiles; what is asked for is
 * spread evenly over them: all at once it would wait for itself. */
static __attribute__((unused)) void KIT(linear_plan_ahead)(kit_linear_work *w,
                                                           const kit_linear_chunk *c, int by,
                                                           const kit_linear_stream *streams, int n,
                                                           int64_t tall, const float *s,
                                                           int64_t floats)
{
    const kit_linear *l = w->l;
    int64_t rows = s ? floats / KIT_LINEAR_PIECE : 0;
    w->ahead = (kit_linear_ahead){.l = l,
                                  .s = s,
                                  .pieces = rows,
                                  .b = w->b,
                                  .g = w->g,
                                  .e = w->e,
                                  .columns = w->columns,
                                  .token = c->token + by,
                                  .query = c->query + by};
    for (int i = 0; i < n; i++) {
        w->ahead.stream[i] = streams[i];
        if (streams[i].t) rows += KIT_LINEAR_CHUNK * (streams[i].queries ? l->heads : 1);
    }
    const int64_t wide = VR_LANES * LINEAR_WIDE(LINEAR_TALL),
                  tiles = tall / LINEAR_TALL * ((w->columns + wide - 1) / wide);
    w->ahead.at_once = (int)(rows / (tiles + 1)) + 1;
}

/* The chunk behind this one, forwards. */
KIT_INLINE void KIT(linear_plan_forward)(kit_linear_work *w, const kit_linear_chunk *c)
{
    const kit_linear *l = w->l;
    const kit_linear_stream streams[] = {{l->k, 0, 0, 0},
                                         {l->v, 0, 1, 0},
                                         {l->q, 1, 0, 0},
                                         {kit_streams(l->out) ? NULL : l->out, 1, 1, 1}};
    KIT(linear_plan_ahead)
    (w, c, KIT_LINEAR_CHUNK, streams, KIT_COUNT(streams),
     2 * KIT_LINEAR_CHUNK * (l->heads + l->op->delta) + l->F, NULL, 0);
}

/* What comes before values: features, levels, strengths, and the weights of rows for each other. */
static void KIT(linear_prepare)(kit_linear_work *w, kit_linear_chunk *c)
{
    const kit_linear *l = w->l;
    if (c->keys) {
        KIT(linear_keys)(w, c);
        if (c->from < c->to || l->op->delta) KIT(linear_transpose)(w, c->keys);
        if (kit_linear_decays(l)) KIT(linear_decay)(w, c);
        const kit_linear_rows r = LINEAR_ROWS_OF(w, w->g, c->token + c->kept, c->keys - c->kept, 0);
        if (kit_linear_strong(l) && r.n > 0) LINEAR_STRENGTH(l, &r, w->strength + c->kept);
        if (l->op->delta) {
            KIT(linear_all_scores)(w->k, l->pitch, l->F, w->kt, w->a, c->kept, c->keys, &w->ahead);
            if (kit_linear_decays(l)) KIT(linear_weigh)(w, w->a, c->kept, c->keys);
        }
    }
    for (int i = 0; !l->op->normalise && i < KIT_LINEAR_CHUNK; i++) w->factor[i] = l->scale;
    w->queries = w->q, w->queries_pitch = l->pitch, w->head_pitch = KIT_LINEAR_CHUNK * l->pitch;
    if (KIT(linear_stays)(w, l->q) && w->columns <= 2 * KIT_LINEAR_PANEL) {
        w->queries = kit_linear_row(l->q, w->b, c->query, w->g * l->heads);
        w->queries_pitch = l->q->stride[1], w->head_pitch = l->q->stride[2];
    }
    if (c->from < c->to)
        for (int64_t head = 0; head < l->heads; head++) KIT(linear_queries)(w, c, (int)head);
}

/* And then values, outputs and S, a panel at a time. Returns the level behind the last row. */
static double KIT(linear_panels)(kit_linear_work *w, const kit_linear_chunk *c)
{
    const kit_linear *l = w->l;
    kit_linear_reading x = {.ahead = &w->ahead,
                            .pitch = l->pitch,
                            .F = l->F,
                            .before = l->op->before,
                            .growth = c->keys && kit_linear_decays(l) ? w->growth : NULL};
    for (int64_t e = 0; e < w->columns; e += KIT_LINEAR_PANEL) {
        x.line = x.columns = w->columns - e < KIT_LINEAR_PANEL ? w->columns - e : KIT_LINEAR_PANEL;
        x.s = c->past ? c->s + e * l->F : NULL;
        x.u = c->place.u ? c->place.u + e * KIT_LINEAR_CHUNK : w->u;
        if (c->keys) KIT(linear_values)(w, c, w->e + e, &x);
        for (int64_t head = 0; c->from < c->to && head < l->heads; head++)
            KIT(linear_outputs)(w, c, (int)head, w->e + e, &x);
        if (c->s_next) KIT(linear_advance)(w, c, e * l->F, &x);
    }
    if (c->s_next && l->op->normalise) KIT(linear_advance_z)(w, c);
    return c->keys ? w->level[c->keys - 1] : c->start;
}

/* The whole of it. */
static double KIT(linear_chunk)(kit_linear_work *w, kit_linear_chunk *c)
{
    KIT(linear_plan_forward)(w, c);
    KIT(linear_prepare)(w, c);
    return KIT(linear_panels)(w, c);
}

#endif
