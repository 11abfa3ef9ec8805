/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash.h: tiled attention of the softmax family, exact, with the scores in cache (online softmax,
 * arXiv 2205.14135). Include it in a kernel file; a variant sets hooks before (see "hooks").
 *
 *     for each tile of 48 rows, for each block of 128 keys:    P = K Q^T     O = alpha O + P^T V     (O, P transposed)
 *
 * Rows (queries) are in the lanes: one vector holds one key's scores for 16 rows. K and V are broadcast element by
 * element from where they lie, never packed; maxima and sums need no cross-lane step. So a row's arithmetic is one
 * sequence, whatever the vector width, the tile that it is in, or its neighbours: all paths give the same bits. A path
 * only chooses how many keys x vectors it holds in registers.
 *
 * What the equality of bits rests on: a masked score never enters a maximum; a masked weight is exactly 0 and its value
 * row is skipped by select, so that a NaN behind the mask stays there; exp2(0) is exactly 1 and maxima start at -FLT_MAX,
 * so that a block in which a row has no key changes no bit of that row.
 *
 * Error against exact attention: that of float32 products of length D and sums of length S, plus 2 ulp of each weight.
 */
#ifndef HEED_KIT_FLASH_ONCE
#define HEED_KIT_FLASH_ONCE

#define KIT_FLASH_ROWS 48  /* of a tile */
#define KIT_FLASH_KEYS 128 /* of a block, and tokens of a page of the cache */
#define KIT_LOG2E 1.44269504088896341
#define KIT_LN2 0.693147180559945309

/* One call, set up by kit_flash_setup; read-only while tiles run. */
typedef struct kit_flash {
    const heed_call *call;
    const heed_tensor *q, *k, *v, *out, *lse, *key_lengths; /* lse and key_lengths may be NULL */
    const heed_score *score;                                /* changes the scores, or NULL */
    const void *score_instance;
    const void *variant;                                    /* for hooks */
    float scale;                                            /* of q k, without log2 e */
    float softcap;                                          /* 0 = none */
    int64_t B, T, S, H, G, D, E;
    int64_t share;  /* rows of a tile: 1 = queries of one head; H / G = (query, head of a group) pairs */
    int64_t tiles;  /* of one head or group */
} kit_flash;

/* The rows of one tile. Arrays are padded with copies of the last row, whose results are dropped. */
typedef struct kit_flash_rows {
    float max[KIT_FLASH_ROWS], sum[KIT_FLASH_ROWS];     /* running, over the blocks so far (maximum in log2 units) */
    float block_max[KIT_FLASH_ROWS], alpha[KIT_FLASH_ROWS];
    float low[KIT_FLASH_ROWS], high[KIT_FLASH_ROWS];    /* live keys of this block, [low, high), from its start */
    int64_t first[KIT_FLASH_ROWS], last[KIT_FLASH_ROWS]; /* live keys, [first, last) */
    int64_t position[KIT_FLASH_ROWS];
    int32_t head[KIT_FLASH_ROWS];
} __attribute__((aligned(64))) kit_flash_rows;

/* A lane's scratch: Q and O transposed, one block of weights, and a block of K and V where they must be decoded. */
KIT_INLINE uint64_t kit_flash_scratch(int64_t D, int64_t E)
{
    return sizeof(float) * (uint64_t)((KIT_FLASH_ROWS + KIT_FLASH_KEYS) * (kit_lanes(D) + kit_lanes(E)) +
                                      KIT_FLASH_ROWS * KIT_FLASH_KEYS + kit_lanes(D));
}

/* A page of the cache: K [G][128][D], then V [G][128][E], float32. 0 if a size is not known, or none that memory can hold. */
KIT_INLINE uint64_t kit_flash_page(int64_t G, int64_t D, int64_t E)
{
    int64_t bytes;
    if (G < 0 || D < 0 || E < 0 || __builtin_add_overflow(D, E, &bytes) || __builtin_mul_overflow(bytes, G, &bytes) ||
        __builtin_mul_overflow(bytes, (int64_t)(KIT_FLASH_KEYS * sizeof(float)), &bytes))
        return 0;
    return (uint64_t)bytes;
}

/* Keys that sequence b remembers, keys it has in all, those of them that are valid, and the position of its query 0. */
KIT_INLINE int64_t kit_flash_past(const kit_flash *f, int64_t b) { return f->call->state ? f->call->state[b]->length : 0; }
KIT_INLINE int64_t kit_flash_valid(const kit_flash *f, int64_t b)
{
    return f->key_lengths ? kit_index(f->key_lengths, kit_at(f->key_lengths, &b, 1)) : kit_flash_past(f, b) + f->S;
}
KIT_INLINE int64_t kit_flash_origin(const kit_flash *f, int64_t b)
{
    const heed_mask *m = f->call->mask;
    if (f->call->state) return kit_flash_past(f, b) + f->S - f->T;
    if (!(m->kinds & HEED_MASK_CAUSAL)) return 0;
    return m->align == HEED_ALIGN_BOTTOM_RIGHT ? kit_flash_valid(f, b) - f->T : m->align == HEED_ALIGN_OFFSET ? m->offset : 0;
}

/* Fills the sizes and checks what the engine can not: call after the tensors and the scale are set. */
static int32_t kit_flash_setup(kit_flash *f)
{
    const int64_t *axis = f->call->axis;
    f->B = HEED_AXIS(axis, 'B'), f->T = HEED_AXIS(axis, 'T'), f->S = HEED_AXIS(axis, 'S'), f->H = HEED_AXIS(axis, 'H');
    f->G = HEED_AXIS(axis, 'G'), f->D = HEED_AXIS(axis, 'D'), f->E = HEED_AXIS(axis, 'E');
    if (f->H > 0 && (f->G == 0 || f->H % f->G != 0))
        return kit_fail(f->call->sink, HEED_E_SHAPE, "q has %lld heads (axis H), which is no multiple of k's %lld (axis G)",
                        (long long)f->H, (long long)f->G);
    for (int64_t b = 0; f->key_lengths && b < f->B; b++)
        if (kit_flash_valid(f, b) < 0 || kit_flash_valid(f, b) > f->S)
            return kit_fail(f->call->sink, HEED_E_ARGUMENT, "key_lengths[%lld] is %lld, but k has %lld keys", (long long)b,
                            (long long)kit_flash_valid(f, b), (long long)f->S);
    int64_t group = f->G ? f->H / f->G : 1;
    f->share = f->T < 16 ? group : 1;
    f->tiles = (f->T * f->share + KIT_FLASH_ROWS - 1) / KIT_FLASH_ROWS;
    return HEED_OK;
}
#endif

/* ---- hooks: a variant defines these before it includes this file ---- */

/* Narrows the live keys [lo, hi) of a row whose query is at position `at`: FLASH_RANGE(f, at, lo, hi). */
#ifndef FLASH_RANGE
#define FLASH_RANGE(f, at, lo, hi) ((void)0)
#endif

/* ---- the register tile: keys (or values' channels) x vectors of 16 rows ---- */

#undef FLASH_KEYS
#undef FLASH_WIDE
#if defined KIT_AVX512
#define FLASH_KEYS 8
#define FLASH_WIDE 3
#elif defined KIT_SCALAR
#define FLASH_KEYS 4
#define FLASH_WIDE 1
#else
#define FLASH_KEYS 6
#define FLASH_WIDE 1
#endif

/* Lanes whose row may see key number `key` of the block. */
KIT_INLINE vm KIT(flash_live)(const kit_flash_rows *r, int row, float key)
{
    return v_and(v_ge(v_set(key), v_load(r->low + row)), v_lt(v_set(key), v_load(r->high + row)));
}

/* Scores of n keys x 16 nv rows into P, and the rows' block maxima. Partial: masked scores become -inf. */
KIT_INLINE void KIT(flash_scores)(const int n, const int nv, const int partial, kit_flash_rows *r, int row, const float *K,
                                  int64_t ldk, const float *Q, int64_t D, float *P, int key)
{
    const int w = 16 * nv;
    vf s[FLASH_KEYS][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = v_set(0.0f);
    for (int64_t d = 0; d < D; d++) {
        vf q[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++) q[j] = v_pin(v_load(Q + d * w + 16 * j));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf k = v_set(K[i * ldk + d]);
            KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = v_fma(k, q[j], s[i][j]);
        }
    }
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf max = v_load(r->block_max + row + 16 * j);
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf x = s[i][j];
            if (partial) x = v_select(KIT(flash_live)(r, row + 16 * j, (float)(key + i)), x, v_set(-INFINITY));
            max = v_max(max, x);
            v_store(P + (int64_t)(key + i) * w + 16 * j, x);
        }
        v_store(r->block_max + row + 16 * j, max);
    }
}

/* O += P V over keys [from, to) of the block, for n channels; masked: some row may not see some of them. */
KIT_INLINE void KIT(flash_values_span)(const int n, const int nv, const int masked, vf (*o)[FLASH_WIDE], const kit_flash_rows *r,
                                       int row, const float *V, int64_t ldv, const float *P, int from, int to)
{
    for (int k = from; k < to; k++) {
        vf p[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++) p[j] = v_pin(v_load(P + (int64_t)k * 16 * nv + 16 * j));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf v = v_set(V[k * ldv + i]);
            KIT_UNROLL for (int j = 0; j < nv; j++) {
                vf sum = v_fma(v, p[j], o[i][j]);
                o[i][j] = masked ? v_select(KIT(flash_live)(r, row + 16 * j, (float)k), sum, o[i][j]) : sum;
            }
        }
    }
}

/* n channels x 16 nv rows of O = alpha O + P V over the block's keys; those outside [clean, dirty) are masked for some
 * rows, and are skipped by select there. */
KIT_INLINE void KIT(flash_values)(const int n, const int nv, const kit_flash_rows *r, int row, const float *V, int64_t ldv,
                                  const float *P, float *O, int keys, int clean, int dirty)
{
    const int w = 16 * nv;
    vf o[FLASH_KEYS][FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf alpha = v_load(r->alpha + row + 16 * j);
        KIT_UNROLL for (int i = 0; i < n; i++) o[i][j] = v_mul(alpha, v_load(O + i * w + 16 * j));
    }
    KIT(flash_values_span)(n, nv, 1, o, r, row, V, ldv, P, 0, clean);
    KIT(flash_values_span)(n, nv, 0, o, r, row, V, ldv, P, clean, dirty);
    KIT(flash_values_span)(n, nv, 1, o, r, row, V, ldv, P, dirty, keys);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) v_store(O + i * w + 16 * j, o[i][j]);
}

/* P = exp2(P - max), with the running maxima and sums brought up to date. */
KIT_INLINE void KIT(flash_weights)(const int nv, kit_flash_rows *r, int row, float *P, int keys)
{
    const int w = 16 * nv;
    vf max[FLASH_WIDE], sum[FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf before = v_load(r->max + row + 16 * j);
        max[j] = v_max(before, v_load(r->block_max + row + 16 * j));
        vf alpha = v_exp2(v_sub(before, max[j]));
        sum[j] = v_mul(v_load(r->sum + row + 16 * j), alpha);
        v_store(r->max + row + 16 * j, max[j]);
        v_store(r->alpha + row + 16 * j, alpha);
    }
    for (int k = 0; k < keys; k++)
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            float *p = P + (int64_t)k * w + 16 * j;
            vf e = v_exp2(v_sub(v_load(p), max[j]));
            sum[j] = v_add(sum[j], e);
            v_store(p, e);
        }
    KIT_UNROLL for (int j = 0; j < nv; j++) v_store(r->sum + row + 16 * j, sum[j]);
}

/* Scores that something else than QK changes: soft cap, a score op, then the mask and the maxima, in a pass of its own. */
KIT_INLINE void KIT(flash_rescore)(const int nv, const kit_flash *f, kit_flash_rows *r, int row, const float *Q, float *P,
                                   int keys, int64_t first_key, int64_t batch, int rows)
{
    const int w = 16 * nv;
    if (f->softcap > 0) {
        vf cap = v_set(f->softcap * (float)KIT_LOG2E), inverse = v_set((float)(1 / ((double)f->softcap * KIT_LOG2E)));
        for (int i = 0; i < keys * w; i += 16) v_store(P + i, v_mul(cap, v_tanh(v_mul(v_load(P + i), inverse))));
    }
    if (f->score) {
        heed_score_tile tile = {.size = sizeof tile, .flags = f->share == 1 ? HEED_TILE_CONSECUTIVE : 0, .s = P,
                                .key_stride = w, .row_stride = 1, .keys = keys, .rows = rows, .first_key = first_key,
                                .position = r->position + row, .head = r->head + row, .query = Q, .query_stride = w,
                                .batch = batch, .unit = (float)KIT_LOG2E};
        f->score->tile(f->score_instance, &tile);
    }
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf max = v_set(-FLT_MAX);
        for (int k = 0; k < keys; k++) {
            float *p = P + (int64_t)k * w + 16 * j;
            vf x = v_select(KIT(flash_live)(r, row + 16 * j, (float)k), v_load(p), v_set(-INFINITY));
            max = v_max(max, x);
            v_store(p, x);
        }
        v_store(r->block_max + row + 16 * j, max);
    }
}

#define FLASH_SCORES(n, nv, partial)                                                                                  \
    KIT_KERNEL void KIT(flash_scores_##n##_##nv##_##partial)(kit_flash_rows * r, int row, const float *K, int64_t ldk, \
                                                             const float *Q, int64_t D, float *P, int key)            \
    { KIT(flash_scores)(n, nv, partial, r, row, K, ldk, Q, D, P, key); }
#define FLASH_VALUES(n, nv)                                                                                           \
    KIT_KERNEL void KIT(flash_values_##n##_##nv)(const kit_flash_rows *r, int row, const float *V, int64_t ldv,       \
                                                 const float *P, float *O, int keys, int clean, int dirty)            \
    { KIT(flash_values)(n, nv, r, row, V, ldv, P, O, keys, clean, dirty); }

/* One block for one group of rows: the remainders of keys and channels are smaller copies of the same body. */
#define FLASH_BLOCK(n, nv)                                                                                            \
    FLASH_SCORES(n, nv, 0) FLASH_SCORES(n, nv, 1) FLASH_SCORES(2, nv, 1) FLASH_SCORES(1, nv, 1)                       \
    FLASH_VALUES(n, nv) FLASH_VALUES(2, nv) FLASH_VALUES(1, nv)                                                       \
    KIT_KERNEL void KIT(flash_weights_##nv)(kit_flash_rows * r, int row, float *P, int keys)                          \
    { KIT(flash_weights)(nv, r, row, P, keys); }                                                                      \
    KIT_KERNEL void KIT(flash_rescore_##nv)(const kit_flash *f, kit_flash_rows *r, int row, const float *Q, float *P, \
                                            int keys, int64_t first_key, int64_t batch, int rows)                     \
    { KIT(flash_rescore)(nv, f, r, row, Q, P, keys, first_key, batch, rows); }                                        \
    KIT_KERNEL void KIT(flash_block_##nv)(const kit_flash *f, kit_flash_rows *r, int row, int rows, const float *Q,   \
                                          float *P, float *O, const float *K, int64_t ldk, const float *V,            \
                                          int64_t ldv, int keys, int clean, int dirty, int64_t first_key,             \
                                          int64_t batch)                                                              \
    {                                                                                                                 \
        const int64_t D = f->D, E = f->E, w = 16 * nv;                                                                \
        int k = 0, rescore = f->softcap > 0 || f->score != NULL;                                                      \
        for (; k + n <= keys; k += n)                                                                                 \
            (rescore || (k >= clean && k + n <= dirty) ? KIT(flash_scores_##n##_##nv##_0)                             \
                                                       : KIT(flash_scores_##n##_##nv##_1))(r, row, K + k * ldk, ldk,  \
                                                                                           Q, D, P, k);               \
        for (; k + 2 <= keys; k += 2) KIT(flash_scores_2_##nv##_1)(r, row, K + k * ldk, ldk, Q, D, P, k);             \
        for (; k < keys; k++) KIT(flash_scores_1_##nv##_1)(r, row, K + k * ldk, ldk, Q, D, P, k);                     \
        if (rescore) KIT(flash_rescore_##nv)(f, r, row, Q, P, keys, first_key, batch, rows);                          \
        KIT(flash_weights_##nv)(r, row, P, keys);                                                                     \
        int64_t e = 0;                                                                                                \
        for (; e + n <= E; e += n) KIT(flash_values_##n##_##nv)(r, row, V + e, ldv, P, O + e * w, keys, clean, dirty); \
        for (; e + 2 <= E; e += 2) KIT(flash_values_2_##nv)(r, row, V + e, ldv, P, O + e * w, keys, clean, dirty);    \
        for (; e < E; e++) KIT(flash_values_1_##nv)(r, row, V + e, ldv, P, O + e * w, keys, clean, dirty);            \
    }

#if defined KIT_SCALAR
FLASH_BLOCK(4, 1)
#elif defined KIT_AVX512
FLASH_BLOCK(8, 1)
FLASH_BLOCK(8, 3)
#else
FLASH_BLOCK(6, 1)
#endif
#undef FLASH_SCORES
#undef FLASH_VALUES
#undef FLASH_BLOCK

/* ---- a tile ---- */

/* Rows [0, count) of block `first` of a strided k or v as float32 with unit stride: in place, or decoded into `room`. */
static const float *KIT(flash_rows_of)(const heed_tensor *t, int64_t b, int64_t g, int64_t first, int count, int64_t width,
                                       float *room, int64_t *ld)
{
    int64_t at[3] = {b, first, g}, step = t->stride[1];
    const char *p = kit_at(t, at, 3);
    if (t->dtype == HEED_F32 && (t->stride[3] == 1 || width == 1)) {
        *ld = step;
        return (const float *)p;
    }
    *ld = width;
    for (int i = 0; i < count; i++)
        kit_read_row(room + i * width, p + i * step * kit_width(t->dtype), t->dtype, t->stride[3], width);
    return room;
}

/* 16 nv rows of a tile, from `row` on: all their blocks, then their outputs. */
static void KIT(flash_group)(const kit_flash *f, kit_flash_rows *r, int row, int rows, int nv, int64_t b, int64_t g,
                             int64_t row0, int64_t head0, float *scratch)
{
    const int64_t D = f->D, E = f->E, w = 16 * nv;
    float *Q = scratch, *O = Q + KIT_FLASH_ROWS * kit_lanes(D), *P = O + KIT_FLASH_ROWS * kit_lanes(E);
    float *KR = P + KIT_FLASH_ROWS * KIT_FLASH_KEYS, *VR = KR + KIT_FLASH_KEYS * kit_lanes(D), *line = VR + KIT_FLASH_KEYS * kit_lanes(E);
    const float scale = (float)((double)f->scale * KIT_LOG2E);

    memset(Q, 0, sizeof(float) * (size_t)(D * w));
    memset(O, 0, sizeof(float) * (size_t)(E * w));
    int64_t first = INT64_MAX, last = 0, clean = 0, dirty = INT64_MAX; /* live for any row; live for all */
    for (int i = 0; i < rows; i++) {
        int64_t n = row0 + row + i, at[3] = {b, n / f->share, head0 + n % f->share};
        const char *from = kit_at(f->q, at, 3);
        const float *x = (const float *)from;
        if (f->q->dtype != HEED_F32 || f->q->stride[3] != 1) {
            kit_read_row(line, from, f->q->dtype, f->q->stride[3], D);
            x = line;
        }
        for (int64_t d = 0; d < D; d++) Q[d * w + i] = x[d] * scale;
        const int64_t lo = r->first[row + i], hi = r->last[row + i];
        if (lo < hi && lo < first) first = lo;
        if (lo < hi && hi > last) last = hi;
        if (lo > clean) clean = lo;
        if (hi < dirty) dirty = hi;
    }
    for (int64_t start = first / KIT_FLASH_KEYS * KIT_FLASH_KEYS; start < last; start += KIT_FLASH_KEYS) {
        const int keys = (int)(last - start < KIT_FLASH_KEYS ? last - start : KIT_FLASH_KEYS);
        int c = (int)(clean <= start ? 0 : clean - start < keys ? clean - start : keys);
        int d = (int)(dirty <= start + c ? c : dirty - start < keys ? dirty - start : keys);
        for (int i = 0; i < w; i++) {
            int64_t lo = r->first[row + i] - start, hi = r->last[row + i] - start;
            r->low[row + i] = (float)(lo < 0 ? 0 : lo > keys ? keys : lo);
            r->high[row + i] = (float)(hi < 0 ? 0 : hi > keys ? keys : hi);
            r->block_max[row + i] = -FLT_MAX;
        }
        const float *K, *V;
        int64_t ldk = D, ldv = E;
        if (f->call->state) {
            const float *page = f->call->state[b]->page[start / KIT_FLASH_KEYS];
            K = page + g * KIT_FLASH_KEYS * D;
            V = page + f->G * KIT_FLASH_KEYS * D + g * KIT_FLASH_KEYS * E;
        } else {
            K = KIT(flash_rows_of)(f->k, b, g, start, keys, D, KR, &ldk);
            V = KIT(flash_rows_of)(f->v, b, g, start, keys, E, VR, &ldv);
        }
#if FLASH_WIDE == 3
        if (nv == 3) KIT(flash_block_3)(f, r, row, rows, Q, P, O, K, ldk, V, ldv, keys, c, d, start, b);
        else
#endif
            KIT(flash_block_1)(f, r, row, rows, Q, P, O, K, ldk, V, ldv, keys, c, d, start, b);
    }

    float inverse[KIT_FLASH_ROWS], lse[KIT_FLASH_ROWS];
    for (int i = 0; i < w; i += 16) {
        vf sum = v_load(r->sum + row + i), none = v_set(0.0f);
        v_store(inverse + i, v_select(v_eq(sum, none), none, v_div(v_set(1.0f), sum)));
        if (f->lse) v_store(lse + i, v_select(v_eq(sum, none), v_set(-INFINITY), v_fma(v_load(r->max + row + i), v_set((float)KIT_LN2), v_log(sum))));
    }
    for (int i = 0; i < rows; i++) {
        int64_t n = row0 + row + i, at[3] = {b, n / f->share, head0 + n % f->share};
        char *to = kit_at(f->out, at, 3);
        float *y = f->out->dtype == HEED_F32 && f->out->stride[3] == 1 ? (float *)to : VR;
        for (int64_t e = 0; e < E; e++) y[e] = O[e * w + i] * inverse[i];
        if (y == VR) kit_write_row(to, f->out->dtype, f->out->stride[3], y, E);
        if (f->lse) *(float *)kit_at(f->lse, at, 3) = lse[i];
    }
}

static void KIT(flash_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_flash *f = arg;
    const int64_t heads = f->share == 1 ? f->H : f->G; /* tiles of a head or group stand together; late rows, which see most, first */
    const int64_t b = tile / f->tiles / heads, h = tile / f->tiles % heads, index = f->tiles - 1 - tile % f->tiles;
    const int64_t g = f->share == 1 ? h / (f->H / f->G) : h, head0 = f->share == 1 ? h : h * f->share;
    const int64_t row0 = index * KIT_FLASH_ROWS, rest = f->T * f->share - row0;
    const int rows = (int)(rest < KIT_FLASH_ROWS ? rest : KIT_FLASH_ROWS);
    const int64_t valid = kit_flash_valid(f, b), origin = kit_flash_origin(f, b);
    const int causal = (f->call->mask->kinds & HEED_MASK_CAUSAL) != 0;
    kit_flash_rows r;
    for (int i = 0; i < KIT_FLASH_ROWS; i++) {
        int64_t n = row0 + (i < rows ? i : rows - 1), at = origin + n / f->share, lo = 0, hi = valid;
        if (causal && at + 1 < hi) hi = at + 1;
        FLASH_RANGE(f, at, lo, hi);
        r.first[i] = lo;
        r.last[i] = hi > lo ? hi : lo;
        r.position[i] = at;
        r.head[i] = (int32_t)(head0 + n % f->share);
        r.max[i] = -FLT_MAX;
        r.sum[i] = 0.0f;
    }
    float *scratch = (float *)(f->call->scratch + lane * f->call->scratch_stride);
    for (int row = 0; row < rows;) {
        int nv = FLASH_WIDE == 3 && rows - row > 32 ? 3 : 1, n = rows - row < 16 * nv ? rows - row : 16 * nv;
        KIT(flash_group)(f, &r, row, n, nv, b, g, row0, head0, scratch);
        row += n;
    }
}

/* New keys and values into the pages: tile = (sequence, group). */
static void KIT(flash_append)(void *arg, int64_t tile, uint32_t lane)
{
    (void)lane;
    const kit_flash *f = arg;
    const int64_t b = tile / f->G, g = tile % f->G, past = kit_flash_past(f, b);
    for (int64_t s = 0; s < f->S; s++) {
        const int64_t at[3] = {b, s, g}, n = (past + s) % KIT_FLASH_KEYS;
        float *page = f->call->state[b]->page[(past + s) / KIT_FLASH_KEYS];
        kit_read_row(page + (g * KIT_FLASH_KEYS + n) * f->D, kit_at(f->k, at, 3), f->k->dtype, f->k->stride[3], f->D);
        kit_read_row(page + f->G * KIT_FLASH_KEYS * f->D + (g * KIT_FLASH_KEYS + n) * f->E, kit_at(f->v, at, 3), f->v->dtype,
                     f->v->stride[3], f->E);
    }
}

static int32_t KIT(flash_run)(kit_flash *f)
{
    const heed_host *host = f->call->host;
    if (f->call->state && f->S > 0) {
        int32_t failed = host->parallel_for(host, f->B * f->G, KIT(flash_append), f);
        if (failed) return failed;
    }
    return host->parallel_for(host, f->B * (f->share == 1 ? f->H : f->G) * f->tiles, KIT(flash_tile), f);
}
#undef FLASH_RANGE
