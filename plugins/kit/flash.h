/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash.h: tiled attention of the softmax family, exact, with the scores in cache (online softmax,
 * arXiv 2205.14135). Include it in a kernel file; a variant sets hooks before (see "hooks").
 *
 *     for each tile of 48 rows, for each block of 96 keys:    P = K Q^T     O = alpha O + P^T V     (O, P transposed)
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
#define KIT_FLASH_KEYS 96  /* of a block, and tokens of a page of the cache: weights and values share the first cache */
#define KIT_FLASH_TILES 16 /* of a task, at most: a block of keys and values that has to be packed is packed once for them */
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
    int64_t group;  /* H / G: query heads that share keys and values */
    int64_t share;  /* rows of a tile: 1 = queries of one head; group = (query, head of the group) pairs */
    int64_t tiles;  /* of all heads of a group */
    int64_t tasks, per_task; /* all the tiles, so many at a time */
} kit_flash;

/* Rows that go through the registers together: 16 nv of a tile. Arrays are padded with copies of the last row, whose
 * results are dropped. */
typedef struct kit_flash_rows {
    float max[KIT_FLASH_ROWS], sum[KIT_FLASH_ROWS];     /* running, over the blocks so far (maximum in log2 units) */
    float block_max[KIT_FLASH_ROWS], alpha[KIT_FLASH_ROWS];
    float low[KIT_FLASH_ROWS], high[KIT_FLASH_ROWS];    /* live keys of this block, [low, high), from its start */
    int64_t first[KIT_FLASH_ROWS], last[KIT_FLASH_ROWS]; /* live keys, [first, last) */
    int64_t position[KIT_FLASH_ROWS];
    int32_t head[KIT_FLASH_ROWS];
    float *Q, *O;                /* transposed: [D][16 nv], [E][16 nv] */
    int64_t row0, head0;         /* row i is query (row0 + i) / share of head head0 + (row0 + i) % share */
    int64_t begin, end;          /* keys that any row sees */
    int64_t clean, dirty;        /* keys that all rows see */
    int rows, nv;
} __attribute__((aligned(64))) kit_flash_rows;

/* Tiles of a task at most, so that their Q and O stay in the second cache. */
KIT_INLINE int64_t kit_flash_most(int64_t D, int64_t E)
{
    const int64_t most = KIT_FLASH_TILES * 128 / (D + E + 1);
    return most < 2 ? 2 : most < KIT_FLASH_TILES ? most : KIT_FLASH_TILES;
}

/* A lane's scratch: Q and O of a task, one block of weights, one of K and V packed. */
KIT_INLINE uint64_t kit_flash_scratch(int64_t D, int64_t E)
{
    return sizeof(float) *
           (uint64_t)((kit_flash_most(D, E) * KIT_FLASH_ROWS + KIT_FLASH_KEYS) * (kit_lanes(D) + kit_lanes(E)) +
                      KIT_FLASH_ROWS * KIT_FLASH_KEYS);
}

/* A page of the cache: K [G][96][D], then V [G][96][E], float32. 0 if a size is not known, or none that memory can hold. */
KIT_INLINE uint64_t kit_flash_page(int64_t G, int64_t D, int64_t E)
{
    int64_t bytes;
    if (G < 0 || D < 0 || E < 0 || __builtin_add_overflow(D, E, &bytes) || __builtin_mul_overflow(bytes, G, &bytes) ||
        __builtin_mul_overflow(bytes, (int64_t)(KIT_FLASH_KEYS * sizeof(float)), &bytes))
        return 0;
    return (uint64_t)bytes;
}

/* Keys that sequence b remembers, keys it has in all, those of them that are valid, and the position of its query 0. */
KIT_INLINE int64_t kit_flash_past(const kit_flash *f, int64_t b)
{
    return f->call->state ? f->call->state[b]->length : 0;
}
KIT_INLINE int64_t kit_flash_valid(const kit_flash *f, int64_t b)
{
    return f->key_lengths ? kit_index(f->key_lengths, kit_at(f->key_lengths, &b, 1)) : kit_flash_past(f, b) + f->S;
}
KIT_INLINE int64_t kit_flash_origin(const kit_flash *f, int64_t b)
{
    const heed_mask *m = f->call->mask;
    if (f->call->state) return kit_flash_past(f, b) + f->S - f->T;
    if (!(m->kinds & HEED_MASK_CAUSAL)) return 0;
    return m->align == HEED_ALIGN_BOTTOM_RIGHT ? kit_flash_valid(f, b) - f->T
           : m->align == HEED_ALIGN_OFFSET     ? m->offset
                                               : 0;
}

/* Fills the sizes and checks what the engine can not: call after the tensors and the scale are set. */
static int32_t kit_flash_setup(kit_flash *f)
{
    const int64_t *axis = f->call->axis;
    f->B = HEED_AXIS(axis, 'B'), f->T = HEED_AXIS(axis, 'T'), f->S = HEED_AXIS(axis, 'S'), f->H = HEED_AXIS(axis, 'H');
    f->G = HEED_AXIS(axis, 'G'), f->D = HEED_AXIS(axis, 'D'), f->E = HEED_AXIS(axis, 'E');
    if (f->H > 0 && (f->G == 0 || f->H % f->G != 0))
        return kit_fail(f->call->sink, HEED_E_SHAPE,
                        "q has %lld heads (axis H), which is no multiple of k's %lld (axis G)", (long long)f->H,
                        (long long)f->G);
    for (int64_t b = 0; f->key_lengths && b < f->B; b++)
        if (kit_flash_valid(f, b) < 0 || kit_flash_valid(f, b) > f->S)
            return kit_fail(f->call->sink, HEED_E_ARGUMENT, "key_lengths[%lld] is %lld, but k has %lld keys",
                            (long long)b, (long long)kit_flash_valid(f, b), (long long)f->S);
    f->group = f->G ? f->H / f->G : 1;
    f->share = f->T < 16 ? f->group : 1;
    f->tiles = (f->T * f->share + KIT_FLASH_ROWS - 1) / KIT_FLASH_ROWS * (f->group / (f->share ? f->share : 1));
    const int64_t most = kit_flash_most(f->D, f->E);
    f->per_task = f->tiles / 3 < most ? f->tiles / 3 + 1 : most; /* of few, more tasks for more cores */
    f->tasks = (f->tiles + f->per_task - 1) / f->per_task;
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
KIT_INLINE void KIT(flash_scores)(const int n, const int nv, const int partial, kit_flash_rows *r, const float *K,
                                  int64_t ldk, const float *Q, int64_t D, float *P, int key)
{
    const int w = 16 * nv;
    vf s[FLASH_KEYS][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = v_set(0.0f);
    KIT_UNROLL_4 for (int64_t d = 0; d < D; d++) {
        vf q[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++) q[j] = v_pin(v_load(Q + d * w + 16 * j));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf k = v_set(K[i * ldk + d]);
            KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = v_fma(k, q[j], s[i][j]);
        }
    }
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf max = v_load(r->block_max + 16 * j);
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf x = s[i][j];
            if (partial) x = v_select(KIT(flash_live)(r, 16 * j, (float)(key + i)), x, v_set(-INFINITY));
            max = v_max(max, x);
            v_store(P + (int64_t)(key + i) * w + 16 * j, x);
        }
        v_store(r->block_max + 16 * j, max);
    }
}

/* O += P V over keys [from, to) of the block, for n channels; masked: some row may not see some of them. */
KIT_INLINE void KIT(flash_values_span)(const int n, const int nv, const int masked, vf (*o)[FLASH_WIDE],
                                       const kit_flash_rows *r, const float *V, int64_t ldv, const float *P, int from,
                                       int to)
{
    KIT_UNROLL_4 for (int k = from; k < to; k++) {
        vf p[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++) p[j] = v_pin(v_load(P + (int64_t)k * 16 * nv + 16 * j));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            vf v = v_set(V[k * ldv + i]);
            KIT_UNROLL for (int j = 0; j < nv; j++) {
                vf sum = v_fma(v, p[j], o[i][j]);
                o[i][j] = masked ? v_select(KIT(flash_live)(r, 16 * j, (float)k), sum, o[i][j]) : sum;
            }
        }
    }
}

/* n channels x 16 nv rows of O = alpha O + P V over the block's keys; those outside [clean, dirty) are masked for some
 * rows, and are skipped by select there. */
KIT_INLINE void KIT(flash_values)(const int n, const int nv, const kit_flash_rows *r, const float *V, int64_t ldv,
                                  const float *P, float *O, int keys, int clean, int dirty)
{
    const int w = 16 * nv;
    vf o[FLASH_KEYS][FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf alpha = v_load(r->alpha + 16 * j);
        KIT_UNROLL for (int i = 0; i < n; i++) o[i][j] = v_mul(alpha, v_load(O + i * w + 16 * j));
    }
    KIT(flash_values_span)(n, nv, 1, o, r, V, ldv, P, 0, clean);
    KIT(flash_values_span)(n, nv, 0, o, r, V, ldv, P, clean, dirty);
    KIT(flash_values_span)(n, nv, 1, o, r, V, ldv, P, dirty, keys);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) v_store(O + i * w + 16 * j, o[i][j]);
}

/* P = exp2(P - max), with the running maxima and sums brought up to date. */
KIT_INLINE void KIT(flash_weights)(const int nv, kit_flash_rows *r, float *P, int keys)
{
    const int w = 16 * nv;
    vf max[FLASH_WIDE], sum[FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf before = v_load(r->max + 16 * j);
        max[j] = v_max(before, v_load(r->block_max + 16 * j));
        vf alpha = v_exp2(v_sub(before, max[j]));
        sum[j] = v_mul(v_load(r->sum + 16 * j), alpha);
        v_store(r->max + 16 * j, max[j]);
        v_store(r->alpha + 16 * j, alpha);
    }
    for (int k = 0; k < keys; k++)
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            float *p = P + (int64_t)k * w + 16 * j;
            vf e = v_exp2(v_sub(v_load(p), max[j]));
            sum[j] = v_add(sum[j], e);
            v_store(p, e);
        }
    KIT_UNROLL for (int j = 0; j < nv; j++) v_store(r->sum + 16 * j, sum[j]);
}

/* Scores that something else than QK changes: soft cap, a score op, then the mask and the maxima, in a pass of its own. */
KIT_INLINE void KIT(flash_rescore)(const int nv, const kit_flash *f, kit_flash_rows *r, const float *Q, float *P,
                                   int keys, int clean, int dirty, int64_t first_key, int64_t batch)
{
    const int w = 16 * nv;
    if (f->softcap > 0) {
        vf cap = v_set(f->softcap * (float)KIT_LOG2E), inverse = v_set((float)(1 / ((double)f->softcap * KIT_LOG2E)));
        for (int i = 0; i < keys * w; i += 16) v_store(P + i, v_mul(cap, v_tanh(v_mul(v_load(P + i), inverse))));
    }
    if (f->score) {
        heed_score_tile tile = {.size = sizeof tile, .flags = f->share == 1 ? HEED_TILE_CONSECUTIVE : 0, .s = P,
                                .key_stride = w, .row_stride = 1, .keys = keys, .rows = r->rows, .first_key = first_key,
                                .position = r->position, .head = r->head, .query = Q, .query_stride = w,
                                .batch = batch, .unit = (float)KIT_LOG2E};
        f->score->tile(f->score_instance, &tile);
    }
    vf max[FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++) max[j] = v_set(-FLT_MAX);
    for (int k = 0; k < keys; k++)
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            float *p = P + (int64_t)k * w + 16 * j;
            vf x = v_load(p);
            if (k < clean || k >= dirty) {
                x = v_select(KIT(flash_live)(r, 16 * j, (float)k), x, v_set(-INFINITY));
                v_store(p, x);
            }
            max[j] = v_max(max[j], x);
        }
    KIT_UNROLL for (int j = 0; j < nv; j++) v_store(r->block_max + 16 * j, max[j]);
}

#define FLASH_SCORES(n, nv, partial)                                                                                  \
    KIT_KERNEL void KIT(flash_scores_##n##_##nv##_##partial)(kit_flash_rows * r, const float *K, int64_t ldk,         \
                                                             const float *Q, int64_t D, float *P, int key)            \
    { KIT(flash_scores)(n, nv, partial, r, K, ldk, Q, D, P, key); }
#define FLASH_VALUES(n, nv)                                                                                           \
    KIT_KERNEL void KIT(flash_values_##n##_##nv)(const kit_flash_rows *r, const float *V, int64_t ldv,                \
                                                 const float *P, float *O, int keys, int clean, int dirty)            \
    { KIT(flash_values)(n, nv, r, V, ldv, P, O, keys, clean, dirty); }

/* One block for one group of rows: the remainders of keys and channels are smaller copies of the same body. */
#define FLASH_BLOCK(n, half, nv)                                                                                      \
    FLASH_SCORES(n, nv, 0) FLASH_SCORES(n, nv, 1) FLASH_SCORES(2, nv, 1) FLASH_SCORES(1, nv, 1)                       \
    FLASH_VALUES(n, nv) FLASH_VALUES(half, nv) FLASH_VALUES(2, nv) FLASH_VALUES(1, nv)                                \
    KIT_KERNEL void KIT(flash_weights_##nv)(kit_flash_rows * r, float *P, int keys)                                   \
    { KIT(flash_weights)(nv, r, P, keys); }                                                                           \
    KIT_KERNEL void KIT(flash_rescore_##nv)(const kit_flash *f, kit_flash_rows *r, const float *Q, float *P,          \
                                            int keys, int clean, int dirty, int64_t first_key, int64_t batch)         \
    { KIT(flash_rescore)(nv, f, r, Q, P, keys, clean, dirty, first_key, batch); }                                     \
    KIT_KERNEL void KIT(flash_block_##nv)(const kit_flash *f, kit_flash_rows *r, const float *Q,                      \
                                          float *P, float *O, const float *K, int64_t ldk, const float *V,            \
                                          int64_t ldv, int keys, int clean, int dirty, int64_t first_key,             \
                                          int64_t batch)                                                              \
    {                                                                                                                 \
        const int64_t D = f->D, E = f->E, w = 16 * nv;                                                                \
        int k = 0, rescore = f->softcap > 0 || f->score != NULL;                                                      \
        for (; k + n <= keys; k += n)                                                                                 \
            (rescore || (k >= clean && k + n <= dirty) ? KIT(flash_scores_##n##_##nv##_0)                             \
                                                       : KIT(flash_scores_##n##_##nv##_1))(r, K + k * ldk, ldk,       \
                                                                                           Q, D, P, k);               \
        for (; k + 2 <= keys; k += 2) KIT(flash_scores_2_##nv##_1)(r, K + k * ldk, ldk, Q, D, P, k);                  \
        for (; k < keys; k++) KIT(flash_scores_1_##nv##_1)(r, K + k * ldk, ldk, Q, D, P, k);                          \
        if (rescore) KIT(flash_rescore_##nv)(f, r, Q, P, keys, clean, dirty, first_key, batch);                       \
        KIT(flash_weights_##nv)(r, P, keys);                                                                          \
        int64_t e = 0;                                                                                                \
        for (; e + n <= E; e += n) KIT(flash_values_##n##_##nv)(r, V + e, ldv, P, O + e * w, keys, clean, dirty);     \
        for (; e + half <= E; e += half) KIT(flash_values_##half##_##nv)(r, V + e, ldv, P, O + e * w, keys, clean, dirty); \
        for (; e + 2 <= E; e += 2) KIT(flash_values_2_##nv)(r, V + e, ldv, P, O + e * w, keys, clean, dirty);         \
        for (; e < E; e++) KIT(flash_values_1_##nv)(r, V + e, ldv, P, O + e * w, keys, clean, dirty);                 \
    }

#if defined KIT_SCALAR
FLASH_BLOCK(4, 3, 1)
#elif defined KIT_AVX512
FLASH_BLOCK(8, 4, 1)
FLASH_BLOCK(8, 4, 3)
#else
FLASH_BLOCK(6, 4, 1)
#endif
#undef FLASH_SCORES
#undef FLASH_VALUES
#undef FLASH_BLOCK

/* ---- a task ---- */

/* Keys [first, first + count) of a strided k or v as float32 with unit stride: in place where they lie close together, or
 * where only one tile comes to read them; else packed into `room`. Rows far apart would crowd a few sets of the first cache. */
static const float *KIT(flash_pack)(const heed_tensor *t, int64_t b, int64_t g, int64_t first, int count, int64_t width,
                                    int once, float *room, int64_t *ld)
{
    int64_t at[3] = {b, first, g}, step = t->stride[1];
    const char *p = kit_at(t, at, 3);
    const int plain = t->dtype == HEED_F32 && (t->stride[3] == 1 || width == 1);
    if (plain && (once || step <= kit_lanes(width))) {
        *ld = step;
        return (const float *)p;
    }
    *ld = width;
    const int64_t bytes = step * kit_width(t->dtype),
                  next = first + KIT_FLASH_KEYS < t->dim[1] ? KIT_FLASH_KEYS * bytes : 0;
    for (int i = 0; i < count; i++) {
        const char *row = p + i * bytes;
        for (int64_t ahead = 0; plain && ahead < 4 * width; ahead += 64) __builtin_prefetch(row + next + ahead, 0, 2);
        if (!plain || width % 16) kit_read_row(room + i * width, row, t->dtype, t->stride[3], width);
        else for (int64_t d = 0; d < width; d += 16) v_store(room + i * width + d, v_load((const float *)row + d));
    }
    return room;
}

/* Rows [row0, row0 + rows) of a head: live keys, queries transposed, empty sums. */
static void KIT(flash_begin)(const kit_flash *f, kit_flash_rows *r, int64_t b)
{
    const char *from[KIT_FLASH_ROWS];
    const int64_t step = f->q->stride[3] * kit_width(f->q->dtype);
    const int64_t D = f->D, w = 16 * r->nv, valid = kit_flash_valid(f, b), origin = kit_flash_origin(f, b);
    const int causal = (f->call->mask->kinds & HEED_MASK_CAUSAL) != 0;
    const float scale = (float)((double)f->scale * KIT_LOG2E);
    memset(r->O, 0, sizeof(float) * (size_t)(f->E * w));
    r->begin = INT64_MAX, r->end = 0, r->clean = 0, r->dirty = INT64_MAX;
    for (int i = 0; i < w; i++) {
        const int64_t n = r->row0 + (i < r->rows ? i : r->rows - 1), at = origin + n / f->share;
        int64_t lo = 0, hi = valid;
        if (causal && at + 1 < hi) hi = at + 1;
        FLASH_RANGE(f, at, lo, hi);
        if (hi < lo) hi = lo;
        r->first[i] = lo, r->last[i] = hi;
        const int64_t place[3] = {b, n / f->share, r->head0 + n % f->share};
        from[i] = kit_at(f->q, place, 3);
        for (int64_t ahead = 0; f->q->stride[3] == 1 && ahead < D * step; ahead += 64)
            __builtin_prefetch(from[i] + ahead);
        r->position[i] = at;
        r->head[i] = (int32_t)(r->head0 + n % f->share);
        r->max[i] = -FLT_MAX;
        r->sum[i] = 0.0f;
        if (lo < hi && lo < r->begin) r->begin = lo;
        if (lo < hi && hi > r->end) r->end = hi;
        if (lo > r->clean) r->clean = lo;
        if (hi < r->dirty) r->dirty = hi;
    }
    for (int i = 0; i < w; i += 16)
        for (int64_t d = 0; d < D; d += 16) {
            const int m = D - d < 16 ? (int)(D - d) : 16;
            vf x[16];
            for (int l = 0; l < 16; l++)
                x[l] = i + l >= r->rows ? v_set(0.0f)
                       : f->q->dtype == HEED_F32 && f->q->stride[3] == 1 && m == 16
                           ? v_load((const float *)from[i + l] + d)
                           : v_read(from[i + l] + d * step, f->q->dtype, f->q->stride[3], m);
            v_transpose(x);
            for (int l = 0; l < m; l++) v_store(r->Q + (d + l) * w + i, v_mul(x[l], v_set(scale)));
        }
}

/* A block of keys for these rows, as far as they see it. */
static void KIT(flash_block)(const kit_flash *f, kit_flash_rows *r, float *P, const float *K, int64_t ldk,
                             const float *V, int64_t ldv, int64_t start, int64_t batch)
{
    if (start >= r->end || start + KIT_FLASH_KEYS <= r->begin) return;
    const int keys = (int)(r->end - start < KIT_FLASH_KEYS ? r->end - start : KIT_FLASH_KEYS);
    const int clean = (int)(r->clean <= start ? 0 : r->clean - start < keys ? r->clean - start : keys);
    const int dirty = (int)(r->dirty <= start + clean ? clean : r->dirty - start < keys ? r->dirty - start : keys);
    for (int i = 0; i < 16 * r->nv; i++) {
        const int64_t lo = r->first[i] - start, hi = r->last[i] - start;
        r->low[i] = (float)(lo < 0 ? 0 : lo > keys ? keys : lo);
        r->high[i] = (float)(hi < 0 ? 0 : hi > keys ? keys : hi);
        r->block_max[i] = -FLT_MAX;
    }
#if FLASH_WIDE == 3
    if (r->nv == 3) KIT(flash_block_3)(f, r, r->Q, P, r->O, K, ldk, V, ldv, keys, clean, dirty, start, batch);
    else
#endif
        KIT(flash_block_1)(f, r, r->Q, P, r->O, K, ldk, V, ldv, keys, clean, dirty, start, batch);
}

/* Sums divided out, rows written. */
static void KIT(flash_end)(const kit_flash *f, kit_flash_rows *r, int64_t b)
{
    const int64_t E = f->E, w = 16 * r->nv;
    float inverse[KIT_FLASH_ROWS], lse[KIT_FLASH_ROWS];
    for (int i = 0; i < w; i += 16) {
        const vf sum = v_load(r->sum + i), none = v_set(0.0f);
        const vm empty = v_eq(sum, none);
        v_store(inverse + i, v_select(empty, none, v_div(v_set(1.0f), sum)));
        if (!f->lse) continue;
        const vf ln = v_fma(v_load(r->max + i), v_set((float)KIT_LN2), v_log(sum));
        v_store(lse + i, v_select(empty, v_set(-INFINITY), ln));
    }
    const int64_t step = f->out->stride[3] * kit_width(f->out->dtype);
    char *to[KIT_FLASH_ROWS];
    for (int i = 0; i < r->rows; i++) {
        const int64_t n = r->row0 + i, at[3] = {b, n / f->share, r->head0 + n % f->share};
        to[i] = kit_at(f->out, at, 3);
        if (f->lse) *(float *)kit_at(f->lse, at, 3) = lse[i];
    }
    for (int i = 0; i < r->rows; i += 16)
        for (int64_t e = 0; e < E; e += 16) {
            const int m = E - e < 16 ? (int)(E - e) : 16;
            vf y[16];
            for (int l = 0; l < 16; l++)
                y[l] = v_mul(v_load(r->O + (e + (l < m ? l : 0)) * w + i), v_load(inverse + i));
            v_transpose(y);
            for (int l = 0; l < 16 && i + l < r->rows; l++)
                v_write(to[i + l] + e * step, f->out->dtype, f->out->stride[3], y[l], m);
        }
}

/* The tiles of a group of heads follow each other row by row, heads innermost; late rows, which see most, come first. */
static void KIT(flash_task)(void *arg, int64_t task, uint32_t lane)
{
    enum { MOST = KIT_FLASH_TILES * KIT_FLASH_ROWS / 16 };
    const kit_flash *f = arg;
    const int64_t D = f->D, E = f->E, b = task / f->tasks / f->G, g = task / f->tasks % f->G;
    const int64_t first = (f->tasks - 1 - task % f->tasks) * f->per_task, turns = f->group / f->share;
    float *P = (float *)(f->call->scratch + lane * f->call->scratch_stride), *KR = P + KIT_FLASH_ROWS * KIT_FLASH_KEYS;
    float *VR = KR + KIT_FLASH_KEYS * kit_lanes(D), *room = VR + KIT_FLASH_KEYS * kit_lanes(E);
    kit_flash_rows group[MOST];
    int n = 0, tiles = 0;
    int64_t begin = INT64_MAX, end = 0;
    for (int64_t tile = first; tile < f->tiles && tile < first + f->per_task; tile++, tiles++) {
        const int64_t row0 = tile / turns * KIT_FLASH_ROWS, rest = f->T * f->share - row0,
                      rows = rest < KIT_FLASH_ROWS ? rest : KIT_FLASH_ROWS;
        for (int64_t row = 0; row < rows; n++) {
            kit_flash_rows *r = &group[n];
            r->nv = FLASH_WIDE == 3 && rows - row > 32 ? 3 : 1;
            r->rows = (int)(rows - row < 16 * r->nv ? rows - row : 16 * r->nv);
            r->row0 = row0 + row;
            r->head0 = g * f->group + tile % turns;
            r->Q = room, r->O = room + 16 * r->nv * kit_lanes(D);
            room = r->O + 16 * r->nv * kit_lanes(E);
            KIT(flash_begin)(f, r, b);
            if (r->begin < begin) begin = r->begin;
            if (r->end > end) end = r->end;
            row += r->rows;
        }
    }
    for (int64_t start = begin / KIT_FLASH_KEYS * KIT_FLASH_KEYS; start < end; start += KIT_FLASH_KEYS) {
        const int keys = (int)(end - start < KIT_FLASH_KEYS ? end - start : KIT_FLASH_KEYS);
        const float *K, *V;
        int64_t ldk = D, ldv = E;
        if (f->call->state) {
            const float *page = f->call->state[b]->page[start / KIT_FLASH_KEYS];
            K = page + g * KIT_FLASH_KEYS * D;
            V = page + f->G * KIT_FLASH_KEYS * D + g * KIT_FLASH_KEYS * E;
        } else {
            K = KIT(flash_pack)(f->k, b, g, start, keys, D, tiles == 1, KR, &ldk);
            V = KIT(flash_pack)(f->v, b, g, start, keys, E, tiles == 1, VR, &ldv);
        }
        for (int i = 0; i < n; i++) KIT(flash_block)(f, &group[i], P, K, ldk, V, ldv, start, b);
    }
    for (int i = 0; i < n; i++) KIT(flash_end)(f, &group[i], b);
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
        kit_read_row(page + f->G * KIT_FLASH_KEYS * f->D + (g * KIT_FLASH_KEYS + n) * f->E, kit_at(f->v, at, 3),
                     f->v->dtype, f->v->stride[3], f->E);
    }
}

static int32_t KIT(flash_run)(kit_flash *f)
{
    const heed_host *host = f->call->host;
    if (f->call->state && f->S > 0) {
        int32_t failed = host->parallel_for(host, f->B * f->G, KIT(flash_append), f);
        if (failed) return failed;
    }
    return host->parallel_for(host, f->B * f->G * f->tasks, KIT(flash_task), f);
}
#undef FLASH_RANGE
