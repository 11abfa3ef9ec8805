/* SPDX-License-Identifier: MIT
 *
 * attention/flash_linear, the backward, a part of flash_linear_kernel.h. What forward makes is made
 * again, and the outputs before the gate. Then kit/flash/backward.h goes through the chunks, and one
 * sweep for each sequence and head through the sums, from the last chunk to the first:
 *
 *     y = silu(v) sums q_l / m      dq_l = S dy / m      dS += q_l dy^T / m
 *                                         dk_l = dS silu(v)      dsilu(v) += dS^T k_l
 *
 * where dS has, for the tokens of a chunk, the queries of all chunks that look at it. At last come
 * the base, the values and the gains.
 */
#ifdef KIT_FIRST
enum { FLASH_LINEAR_MADE = 4 }; /* q, k, q_linear, k_linear, as their gains and offsets are */
typedef struct flash_linear_backward {
    flash_linear_call c;
    const heed_grad_call *g;
    const heed_tensor *gate;
    heed_tensor y, dy, dv;            /* [B T H E16 E]: before the gate; of silu(v) */
    heed_tensor d[FLASH_LINEAR_MADE]; /* [B T H D] */
    float *columns;
} flash_linear_backward;

static heed_tensor flash_linear_matrix(float *data, int64_t B, int64_t T, int64_t H, int64_t n,
                                       int64_t pitch)
{
    return flash_linear_view(data, HEED_F32, (int64_t[]){B, T, H, n},
                             (int64_t[]){T * H * pitch, H * pitch, pitch, 1});
}

/* Behind what forward has in the workspace, whose bytes are `before`. */
static uint64_t flash_linear_place(flash_linear_backward *w, uint64_t before)
{
    const flash_linear_call *c = &w->c;
    const int64_t rows = c->B * c->T * c->H, E = rows * c->E16, D = kit_lanes(rows * c->D);
    char *room = c->call->workspace;
    float *at = room ? (float *)(void *)(room + kit_line(before)) : NULL;
    heed_tensor *const wide[] = {&w->y, &w->dy, &w->dv};
    for (int i = 0; i < 3; i++)
        *wide[i] = flash_linear_matrix(at ? at + i * E : NULL, c->B, c->T, c->H, c->E, c->E16);
    for (int i = 0; i < FLASH_LINEAR_MADE; i++)
        w->d[i] = flash_linear_matrix(at ? at + 3 * E + i * D : NULL, c->B, c->T, c->H, c->D, c->D);
    w->columns = at ? at + 3 * E + FLASH_LINEAR_MADE * D : NULL;
    return kit_line(before) + sizeof(float) * (uint64_t)(3 * E + FLASH_LINEAR_MADE * D +
                                                         kit_column_floats(rows, c->D));
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    flash_linear_backward w;
    const int32_t failed = flash_linear_measure(instance, g->call, size);
    if (failed) return failed;
    flash_linear_begin(&w.c, instance, g->call);
    size->workspace = flash_linear_place(&w, size->workspace);
    const flash_linear_call *c = &w.c;
    const kit_flash f = {.D = c->D, .E = c->E};
    const int64_t tiles = (c->chunk + KIT_FLASH_ROWS - 1) / KIT_FLASH_ROWS;
    const uint64_t inside = sizeof(float) * (uint64_t)(kit_flash_back_floats(c->D, c->E) +
                                                       tiles * KIT_FLASH_ROWS * kit_lanes(c->D)) +
                            (uint64_t)(tiles * kit_flash_back_tile(&f));
    const uint64_t sums = sizeof(float) * (uint64_t)(c->D * c->E16);
    if (size->scratch < inside) size->scratch = inside;
    if (size->scratch < sums) size->scratch = sums;
    return HEED_OK;
}
#endif

/* The gate of some tokens: what comes for y, and dgate. */
static void KIT(gate_back)(void *arg, int64_t tile, uint32_t lane)
{
    const flash_linear_backward *w = arg;
    const flash_linear_call *c = &w->c;
    const heed_tensor *d = w->g->gradient[OUT];
    (void)lane;
    for (int64_t n = tile * FLASH_LINEAR_TOKENS;
         n < (tile + 1) * FLASH_LINEAR_TOKENS && n < c->B * c->T; n++)
        for (int64_t h = 0; h < c->H; h++)
            for (int64_t e = 0; e < c->E; e += 16) {
                const int64_t at[3] = {n / c->T, n % c->T, h};
                const int m = c->E - e < 16 ? (int)(c->E - e) : 16;
                vf slope;
                const vf dy = KIT(unit_get)(d, at, e, m),
                         u = KIT(unit_silu)(KIT(unit_get)(w->gate, at, e, m), &slope);
                v_store((float *)(void *)kit_at(&w->dy, at, 3) + e, v_mul(dy, u));
                KIT(unit_put)
                (w->g->gradient[GATE], at, e, m,
                 v_mul(v_mul(dy, KIT(unit_get)(&w->y, at, e, m)), slope));
            }
}

/* Each run of chunks by kit/flash, as in forward. */
static int32_t KIT(inside_back)(flash_linear_backward *b)
{
    flash_linear_call *c = &b->c;
    flash_linear_run run = {.c = c};
    int32_t failed = HEED_OK;
    while (!failed && flash_linear_run_next(&run)) {
        const int64_t first[] = {run.b, run.first}, keys[] = {run.b, run.g * c->chunk};
        heed_tensor dq = run.q, dk = run.k, dv = run.v, dy = run.out;
        if (run.k.dim[1] == 0) continue;
        const int64_t D = c->H * c->D, E = c->H * c->E16;
        dq.data = kit_at(&b->d[0], first, 2), dk.data = kit_at(&b->d[1], keys, 2);
        dv.data = kit_at(&b->dv, keys, 2), dy.data = kit_at(&b->dy, first, 2);
        dk.stride[0] = c->chunk * D, dk.stride[1] = D, dk.stride[2] = c->D;
        dv.stride[0] = dy.stride[0] = c->chunk * E, dv.stride[1] = dy.stride[1] = E;
        dv.stride[2] = dy.stride[2] = c->E16, dy.stride[3] = 1, dy.dtype = HEED_F32;
        kit_flash_backward w = {.f = {.call = &run.call,
                                      .q = &run.q,
                                      .k = &run.k,
                                      .v = &run.v,
                                      .out = &run.out,
                                      .variant = &run,
                                      .scale = (float)KIT_LN2},
                                .d_out = &dy,
                                .d_q = &dq,
                                .d_k = &dk,
                                .d_v = &dv};
        failed = kit_flash_setup(&w.f);
        w.f.scale = 1;
        if (!failed) failed = KIT(flash_backward_run)(&w);
    }
    return failed;
}

/* ---- the sums ---- */

/* to[d] = factor times the products of the rows of panels P [E16 / 16][D][16] with x [E16]. */
static void KIT(panel_dots)(const float *P, const float *x, int64_t D, int64_t E16, float factor,
                            float *to)
{
    for (int64_t d = 0; d < D; d += 16) {
        const int n = D - d < 16 ? (int)(D - d) : 16;
        vf sum[16];
        for (int l = 0; l < 16; l++) sum[l] = v_set(0.0f);
        for (int64_t e = 0; e < E16; e += 16) {
            const vf y = v_load(x + e);
            for (int l = 0; l < n; l++) sum[l] = v_fma(v_load(P + e * D + (d + l) * 16), y, sum[l]);
        }
        v_transpose(sum);
        for (int half = 8; half > 0; half /= 2)
            for (int l = 0; l < half; l++) sum[l] = v_add(sum[l], sum[l + half]);
        v_store_n(to + d, v_mul(sum[0], v_set(factor)), n);
    }
}

/* A query, which takes m tokens of `sums`. */
static void KIT(query_back)(const flash_linear_backward *w, const int64_t *at, const float *sums,
                            int64_t m, float *dS)
{
    const flash_linear_call *c = &w->c;
    const int64_t row = (at[0] * c->T + at[1]) * c->H + at[2];
    const float *q = c->q_linear + row * c->D, *dy = (const float *)(void *)kit_at(&w->dy, at, 3);
    const float factor = (float)(1 / (double)m);
    KIT(panel_dots)(sums, dy, c->D, c->E16, factor, (float *)(void *)kit_at(&w->d[2], at, 3));
    for (int64_t e = 0; e < c->E16; e += 16)
        for (int64_t d = 0; d < c->D; d++) {
            float *to = dS + e * c->D + d * 16;
            v_store(to, v_fma(v_set(q[d] * factor), v_load(dy + e), v_load(to)));
        }
}

/* A token that is summed. */
static void KIT(token_back)(const flash_linear_backward *w, const int64_t *at, const float *dS)
{
    const flash_linear_call *c = &w->c;
    float *block = flash_linear_block(c, at[0], at[1] / c->chunk);
    const int64_t row = at[1] % c->chunk;
    const float *k = flash_linear_k_linear(c, block, at[2], row),
                *v = flash_linear_v(c, block, at[2], row);
    float *dv = (float *)(void *)kit_at(&w->dv, at, 3);
    KIT(panel_dots)(dS, v, c->D, c->E16, 1, (float *)(void *)kit_at(&w->d[3], at, 3));
    for (int64_t e = 0; e < c->E16; e += 16) {
        vf sum = v_load(dv + e);
        for (int64_t d = 0; d < c->D; d++)
            sum = v_fma(v_set(k[d]), v_load(dS + e * c->D + d * 16), sum);
        v_store(dv + e, sum);
    }
}

/* A sequence and head. Level g has the queries that take the sums before chunk g, and the tokens of
 * the chunk before it; where no mask is causal there is one level. */
static void KIT(sums_back)(void *arg, int64_t task, uint32_t lane)
{
    const flash_linear_backward *w = arg;
    const flash_linear_call *c = &w->c;
    const int64_t b = task / c->H, h = task % c->H, all = flash_linear_keys(c, b),
                  full = all / c->chunk, causal = flash_linear_is_causal(c),
                  origin = causal ? flash_linear_origin(c, b) : 0;
    float *dS = (float *)(void *)(c->call->scratch + lane * c->call->scratch_stride);
    memset(dS, 0, sizeof(float) * (size_t)(c->D * c->E16));
    for (int64_t g = causal ? full : 1; g > 0; g--) {
        const int64_t begin = causal ? g * c->chunk - origin : 0,
                      end = causal && g < full ? begin + c->chunk : c->T;
        int64_t m;
        const float *sums = flash_linear_sums(c, b, g, h, &m);
        for (int64_t t = begin < 0 ? 0 : begin; sums && t < end && t < c->T; t++)
            KIT(query_back)(w, (int64_t[]){b, t, h}, sums, m, dS);
        for (int64_t t = causal ? (g - 1) * c->chunk : 0; t < (causal ? g * c->chunk : all); t++)
            KIT(token_back)(w, (int64_t[]){b, t, h}, dS);
    }
}

/* ---- the inputs and the gains ---- */

/* The base and v of some tokens. */
static void KIT(base_back)(void *arg, int64_t tile, uint32_t lane)
{
    const flash_linear_backward *w = arg;
    const flash_linear_call *c = &w->c;
    const float *const *weight = c->self->weight;
    (void)lane;
    for (int64_t n = tile * FLASH_LINEAR_TOKENS * c->H;
         n < (tile + 1) * FLASH_LINEAR_TOKENS * c->H && n < c->B * c->T * c->H; n++) {
        const int64_t at[3] = {n / c->H / c->T, n / c->H % c->T, n % c->H};
        const int seen = at[1] < flash_linear_keys(c, at[0]);
        vf slope;
        for (int64_t d = 0; d < c->D; d += 16) {
            const int m = c->D - d < 16 ? (int)(c->D - d) : 16;
            vf sum = v_set(0.0f);
            for (int i = 0; i < FLASH_LINEAR_MADE; i++) {
                const vf x = KIT(unit_get)(&w->d[i], at, d, m);
                sum = v_add(sum, weight[2 * i] ? v_mul(x, v_load(weight[2 * i] + d)) : x);
            }
            KIT(unit_silu)(KIT(unit_get)(c->base, at, d, m), &slope);
            KIT(unit_put)(w->g->gradient[Q], at, d, m, v_mul(sum, slope));
        }
        for (int64_t e = 0; e < c->E; e += 16) {
            const int m = c->E - e < 16 ? (int)(c->E - e) : 16;
            KIT(unit_silu)(KIT(unit_get)(c->v, at, e, m), &slope);
            KIT(unit_put)
            (w->g->gradient[V], at, e, m,
             seen ? v_mul(KIT(unit_get)(&w->dv, at, e, m), slope) : v_set(0.0f));
        }
    }
}

/* What the gains' sums are of takes the place of what came. */
static void KIT(gains_back)(void *arg, int64_t tile, uint32_t lane)
{
    const flash_linear_backward *w = arg;
    const flash_linear_call *c = &w->c;
    (void)lane;
    for (int64_t n = tile * FLASH_LINEAR_TOKENS * c->H;
         n < (tile + 1) * FLASH_LINEAR_TOKENS * c->H && n < c->B * c->T * c->H; n++)
        for (int64_t d = 0; d < c->D; d += 16) {
            const int64_t at[3] = {n / c->H / c->T, n / c->H % c->T, n % c->H};
            const int m = c->D - d < 16 ? (int)(c->D - d) : 16;
            const vf z = KIT(silu)(KIT(unit_get)(c->base, at, d, m));
            for (int i = 0; i < FLASH_LINEAR_MADE; i++) KIT(unit_put)
            (&w->d[i], at, d, m, v_mul(KIT(unit_get)(&w->d[i], at, d, m), z));
        }
}

static int32_t KIT(weights_back)(const flash_linear_backward *w, int gains)
{
    const int64_t rows = w->c.B * w->c.T * w->c.H, D = w->c.D;
    int32_t failed = HEED_OK;
    for (int i = 0; i < FLASH_LINEAR_MADE && !failed; i++) {
        const heed_tensor x = kit_matrix(w->d[i].data, rows, D, D),
                          *to = w->g->gradient[(gains ? Q_GAIN : Q_OFFSET) + 2 * i];
        if (to) failed = KIT(kit_column_sums)(w->c.call, kit_all_columns(&x), rows, to, w->columns);
    }
    return failed;
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    const heed_host *host = call->host;
    heed_call_size size = {.size = sizeof size};
    flash_linear_backward w = {.g = g};
    int32_t failed = flash_linear_measure(instance, call, &size);
    if (!failed) failed = flash_linear_begin(&w.c, instance, call);
    if (failed || w.c.T == 0) return failed;
    flash_linear_call *c = &w.c;
    const int64_t tiles = (c->B * c->T + FLASH_LINEAR_TOKENS - 1) / FLASH_LINEAR_TOKENS;
    const uint64_t end = flash_linear_place(&w, size.workspace);
    memset(w.y.data, 0,
           (size_t)(end - ((uint64_t)(uintptr_t)w.y.data - (uint64_t)(uintptr_t)call->workspace)));
    w.gate = c->gate, c->gate = NULL, c->out = &w.y;
    failed = host->parallel_for(host, tiles, KIT(prepare), c);
    if (!failed)
        failed = host->parallel_for(host, c->B * c->H * ((c->E16 / 16 + 1) / 2), KIT(scan), c);
    if (!failed) failed = KIT(inside)(c);
    if (!failed) failed = host->parallel_for(host, tiles, KIT(gate_back), &w);
    if (!failed) failed = KIT(inside_back)(&w);
    if (!failed) failed = host->parallel_for(host, c->B * c->H, KIT(sums_back), &w);
    if (!failed) failed = host->parallel_for(host, tiles, KIT(base_back), &w);
    if (!failed) failed = KIT(weights_back)(&w, 0);
    if (!failed) failed = host->parallel_for(host, tiles, KIT(gains_back), &w);
    return failed ? failed : KIT(weights_back)(&w, 1);
}
KIT_BACKWARD(KIT_PORT(Q) | KIT_PORT(V) | KIT_PORT(GATE) | KIT_PORT(Q_GAIN) | KIT_PORT(Q_OFFSET) |
                 KIT_PORT(K_GAIN) | KIT_PORT(K_OFFSET) | KIT_PORT(LINEAR_Q_GAIN) |
                 KIT_PORT(LINEAR_Q_OFFSET) | KIT_PORT(LINEAR_K_GAIN) | KIT_PORT(LINEAR_K_OFFSET),
             KIT_PORT(OUT), 0, measure_backward)
