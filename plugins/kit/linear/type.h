/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/type.h: the types of kit/linear/linear.h, and what follows from sizes alone. A
 * hook that needs them stands between this file and that one.
 */
#ifndef HEED_KIT_LINEAR_TYPE_H
#define HEED_KIT_LINEAR_TYPE_H
#include <heed/kit.h>

enum {
    KIT_LINEAR_CHUNK =
        32, /* tokens of a chunk; bits depend on it, so it is part of the state's format */
    KIT_LINEAR_PANEL =
        32, /* channels of values that are worked on at once: their S stays in the first cache */
    KIT_LINEAR_BLOCK =
        1024, /* tokens whose sum is made on its own where every query sees every key */
    KIT_LINEAR_QUERIES = 128, /* queries of a tile there */
    KIT_LINEAR_TILES = 8,     /* where there are fewer heads, tiles take a part of the channels */
};
#define KIT_LINEAR_FORGETS                                                                         \
    (-1e6) /* a log decay below it, as -inf, drops what was before, NaNs too */

/* The ports that every op has; its own stand behind them. */
enum { LINEAR_Q, LINEAR_K, LINEAR_V, LINEAR_KEY_LENGTHS, LINEAR_OUT, LINEAR_PORT_COUNT };

/* The features that come with the kit (linear/features.h). */
enum { LINEAR_ELU, LINEAR_RELU, LINEAR_IDENTITY, LINEAR_DPFP };
#define LINEAR_FEATURE_WORDS "elu|relu|identity|dpfp"

/* What an op's init sets; all zeros is the plain sum rule with elu + 1. */
typedef struct kit_linear_op {
    int64_t features;  /* how many there are, F; 0: as many as the map makes of D channels */
    int64_t own;       /* floats of each lane that LINEAR_FEATURES wants besides */
    int own_rows; /* ... and room for a chunk's rows as they come, [32][D16], in front of them */
    int map;           /* LINEAR_ELU .. */
    int64_t nu;        /* of dpfp */
    int sum_normalise; /* features are divided by their sum + map_eps */
    int unit;          /* ... or by the root of the sum of their squares + map_eps */
    float map_eps;
    int delta;         /* what a key reads is taken off its value before it is written */
    int before;        /* a query reads what was there before its own token; not with a decay */
    int normalise;     /* out = num / (den + eps); of features that are never negative: a divisor
                          that cancels has no bound of its error */
    int decays;        /* LINEAR_DECAY has something to say without a gate too */
    int keeps_level;   /* levels go on from chunk to chunk, and LINEAR_DECAY reads them; nothing is
                          forgotten */
    int raw_beta;      /* beta is the strength itself, and not its logit */
    float eta;         /* factor of every strength; 0: 1 */
    float eps;
    float scale;       /* of the outputs; 0: 1 */
    int by_width;      /* ... or, while scale is 0, 1 / sqrt(D) */
    int beta, gate;    /* which ports they are; 0: there is none */
    char variant[] __attribute__((aligned(64)));
} kit_linear_op;

/* A call. The op's forward sets what stands above the line, kit_linear_setup the rest. */
typedef struct kit_linear {
    const heed_call *call;
    const kit_linear_op *op;
    const void *variant;
    const heed_tensor *q, *k, *v, *out;
    const heed_tensor *key_lengths; /* NULL: all keys are valid */
    const heed_tensor *beta, *gate; /* B S G; NULL: strength 1, no decay */
    const float *table;             /* of the variant, for this call */
    const float *back_table;        /* ... for its backward */
    /* ---- */
    int64_t B, T, S, H, G, D, E, F;
    int64_t heads;                  /* of queries that share a head of keys */
    int64_t F16, E16, D16;          /* in whole vectors */
    int64_t pitch;                  /* floats from row to row of keys and queries in scratch */
    int64_t splits, columns;        /* tiles of a head, and channels of one */
    int causal;
    float scale;
    char *commit;                   /* workspace, behind the partial sums */
    float *sums;                    /* workspace: S and z of each block of keys */
    int64_t blocks, block_keys;
} kit_linear;

/* Rows of one head, as hooks see them. */
struct kit_linear_ahead;
typedef struct kit_linear_rows {
    int64_t b, head; /* of queries, or of keys */
    int64_t t;       /* token of row 0 in the call's tensors */
    int n;
    int query;
    int first;       /* there are no tokens before row 0 */
    double level;    /* the log decays up to row 0, summed; 0 if `first` */
    const float *x;  /* row i at x + i * pitch, float32, in whole vectors with zeros behind D */
    int64_t pitch;
    float *own;      /* l->op->own floats with anything in them */
    struct kit_linear_ahead *ahead;
} kit_linear_rows;

/* ---- the record of a chunk: S at its first token, and its rows ---- */

/* Offsets in floats. The decays are doubles: start, the level before the chunk, and one for each
 * row. */
typedef struct kit_linear_record { int64_t z, k, u, s, floats; } kit_linear_record;

KIT_INLINE kit_linear_record kit_linear_layout(int64_t F, int64_t E)
{
    kit_linear_record r;
    r.z = kit_lanes(2 * (KIT_LINEAR_CHUNK + 1));
    r.k = r.z + kit_lanes(F);
    r.u = r.k + KIT_LINEAR_CHUNK * kit_lanes(F);
    r.s = r.u + KIT_LINEAR_CHUNK * kit_lanes(E);
    r.floats = r.s + F * kit_lanes(E);
    return r;
}

KIT_INLINE int64_t kit_linear_features(const kit_linear_op *op, int64_t D)
{
    return op->features ? op->features : op->map == LINEAR_DPFP ? 2 * D * op->nu : D;
}

KIT_INLINE int kit_linear_same(const kit_linear_op *op)
{
    return op->map == LINEAR_IDENTITY && !op->unit && !op->sum_normalise;
}

/* Bytes of all records of one chunk; a state has those of two: the open chunk's, and the one before
 * it. */
KIT_INLINE uint64_t kit_linear_slot(int64_t G, int64_t F, int64_t E)
{
    return (uint64_t)(G * kit_linear_layout(F, E).floats) * sizeof(float);
}

/* Floats of the sums over one block of keys: S, z, and the level as a double. */
KIT_INLINE int64_t kit_linear_block(const kit_linear *l) { return l->F * l->E16 + l->F16 + 16; }

/* Cuts the heads into at least so many tiles, as far as there are channels. */
KIT_INLINE void kit_linear_cut(kit_linear *l, int64_t tiles)
{
    const int64_t panels = (l->E16 + KIT_LINEAR_PANEL - 1) / KIT_LINEAR_PANEL, rows = l->B * l->G;
    if (tiles < KIT_LINEAR_TILES) tiles = KIT_LINEAR_TILES;
    int64_t splits = rows ? (tiles + rows - 1) / rows : 1;
    splits = splits > panels ? panels : splits;
    l->columns = splits > 0 ? (panels + splits - 1) / splits * KIT_LINEAR_PANEL : KIT_LINEAR_PANEL;
    l->splits = panels ? (panels * KIT_LINEAR_PANEL + l->columns - 1) / l->columns : 0;
}

KIT_INLINE int kit_linear_decays(const kit_linear *l) { return l->gate || l->op->decays; }
KIT_INLINE int kit_linear_strong(const kit_linear *l)
{
    return l->beta || (l->op->eta != 0.0f && l->op->eta != 1.0f);
}

KIT_INLINE int64_t kit_linear_length(const kit_linear *l, int64_t b)
{
    return l->call->state ? l->call->state[b]->length : 0;
}

/* Valid keys of a sequence, those of earlier calls among them. */
KIT_INLINE int64_t kit_linear_keys(const kit_linear *l, int64_t b)
{
    if (l->call->state) return kit_linear_length(l, b) + l->S;
    if (!l->key_lengths) return l->S;
    const int64_t n = kit_index(l->key_lengths, kit_at(l->key_lengths, &b, 1));
    return n < 0 ? 0 : n < l->S ? n : l->S;
}

/* Position of query 0. */
KIT_INLINE int64_t kit_linear_shift(const kit_linear *l, int64_t b)
{
    const heed_mask *m = l->call->mask;
    if (l->call->state) return kit_linear_length(l, b) + l->S - l->T;
    return m->align == HEED_ALIGN_BOTTOM_RIGHT ? kit_linear_keys(l, b) - l->T
           : m->align == HEED_ALIGN_OFFSET     ? m->offset
                                               : 0;
}

/* One number of a tensor with so many axes, as float32. */
KIT_INLINE float kit_linear_number(const heed_tensor *t, const int64_t *index, int axes)
{
    const char *at = kit_at(t, index, axes);
    return t->dtype == HEED_F32   ? *(const float *)at
           : t->dtype == HEED_F16 ? kit_from_f16(*(const uint16_t *)at)
                                  : kit_from_bf16(*(const uint16_t *)at);
}

/* A row of float32s. */
KIT_INLINE const float *kit_linear_row(const heed_tensor *t, int64_t b, int64_t token, int64_t head)
{
    return (const float *)kit_at(t, (const int64_t[]){b, token, head}, 3);
}

/* ln((1 + s) / (1 - s)) for |s| <= 1/3, within 2^-50: with plain sums and products only, so the
 * same on every machine. */
KIT_INLINE double kit_linear_log_ratio(double s)
{
    double sum = 0;
    for (int n = 31; n > 0; n -= 2) sum = sum * (s * s) + 1.0 / n;
    return 2 * s * sum;
}

/* ln x for x > 0, by the same means. */
KIT_INLINE double kit_linear_log(double x)
{
    int power;
    double m = frexp(x, &power);
    if (m < 0.75) m *= 2, power--;
    return power * 0x1.62e42fefa39efp-1 + kit_linear_log_ratio((m - 1) / (m + 1));
}

/* The sizes of a call; fails for what letters do not say. Data may be NULL. */
static __attribute__((unused)) int32_t kit_linear_setup(kit_linear *l)
{
    const heed_call *call = l->call;
    const int64_t *axis = call->axis;
    l->B = HEED_AXIS(axis, 'B'), l->T = HEED_AXIS(axis, 'T'), l->S = HEED_AXIS(axis, 'S');
    l->H = HEED_AXIS(axis, 'H'), l->G = HEED_AXIS(axis, 'G');
    l->D = HEED_AXIS(axis, 'D'), l->E = HEED_AXIS(axis, 'E');
    l->F = kit_linear_features(l->op, l->D);
    l->causal = (call->mask->kinds & HEED_MASK_CAUSAL) != 0;
    if (l->G ? l->H % l->G != 0 : l->H != 0)
        return kit_fail(call->sink, HEED_E_SHAPE,
                        "%lld heads of queries can not share %lld heads of keys evenly",
                        (long long)l->H, (long long)l->G);
    if (call->state && l->causal && l->T > l->S)
        return kit_fail(call->sink, HEED_E_UNSUPPORTED,
                        "with a state each query stands at a new token, but there are %lld queries "
                        "and %lld tokens",
                        (long long)l->T, (long long)l->S);
    l->heads = l->G ? l->H / l->G : 0;
    l->F16 = kit_lanes(l->F), l->E16 = kit_lanes(l->E), l->D16 = kit_lanes(l->D);
    l->pitch = l->F16 + 16;
    kit_linear_cut(l, 0);
    const int plain = !l->op->delta && (l->op->keeps_level || !kit_linear_decays(l));
    l->block_keys = plain ? KIT_LINEAR_BLOCK : l->S + (KIT_LINEAR_CHUNK - l->S % KIT_LINEAR_CHUNK);
    l->blocks = l->causal || call->state ? 0 : (l->S + l->block_keys - 1) / l->block_keys;
    l->scale = l->op->scale != 0.0f ? l->op->scale
               : l->op->by_width    ? (float)(1 / sqrt((double)(l->D > 0 ? l->D : 1)))
                                    : 1.0f;
    return HEED_OK;
}

#endif
