/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_mixture, the maths: each member fills a tile, and the tiles are added with
 * their shares, before the mask. A member whose share is 0 is not asked, so that one with the share
 * 1 has its scores to itself.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#define FLASH_FILLS(f) 1
#define FLASH_FILL(f, r, x, P, ks, rs, from, to, row, rows)                                        \
    KIT(mix)(f, r, x, P, ks, rs, from, to, row, rows)
struct KIT(flash_keys);
static void KIT(mix)(const kit_flash *f, const kit_flash_rows *r, const struct KIT(flash_keys) *x,
                     float *P, int ks, int rs, int from, int to, int row, int rows);

#include <heed/kit/flash/flash.h>
#include <heed/kit/score/synthesizer_backward.h>

#ifdef KIT_FIRST
enum { Q = SYNTHESIZER_FIRST, K, ALPHA };
enum { MEMBERS = 4, COMBINE = MEMBERS }; /* params: the members, then this */
typedef struct mixture {
    synthesizer common;
    int64_t heads; /* of the shares; 1 = they are for all */
    const heed_score *score[MEMBERS];
    const void *member[MEMBERS]; /* NULL: there are fewer */
    _Alignas(64) float share[]; /* [heads][MEMBERS] */
} mixture;

static kit_flash mixture_call(const mixture *self, const heed_call *call)
{
    kit_flash f = synthesizer_call(&self->common, call);
    f.q = call->tensor[Q], f.k = call->tensor[K], f.variant = self;
    f.scale = (float)KIT_LN2; /* and so 1: members have scales of their own */
    f.per_head = 1;
    return f;
}
#endif

static void KIT(mix)(const kit_flash *f, const kit_flash_rows *r, const struct KIT(flash_keys) *x,
                     float *P, int ks, int rs, int from, int to, int row, int rows)
{
    const mixture *self = f->variant;
    const float *share = self->share + (self->heads == 1 ? 0 : r->head[0]) * MEMBERS;
    float *part = r->spare;
    heed_score_tile tile = KIT(flash_tile)(f, r, x, P, ks, rs, from, to, row, rows);
    const int64_t lines = rs == 1 ? tile.keys : tile.rows,
                  width = kit_lanes(rs == 1 ? tile.rows : tile.keys);
    const int64_t pitch = rs == 1 ? ks : rs;
    float *sum = tile.s;
    for (int m = 0, first = 1; m < MEMBERS; m++) {
        if (!self->member[m] || share[m] == 0.0f) continue;
        tile.s = first ? sum : part;
        self->score[m]->tile(self->member[m], &tile);
        for (int64_t i = 0; i < lines; i++)
            for (int64_t l = 0; l < width; l += 16) {
                const vf s = v_load(tile.s + i * pitch + l), a = v_set(share[m]);
                v_store(sum + i * pitch + l,
                        first ? v_mul(a, s) : v_fma(a, s, v_load(sum + i * pitch + l)));
            }
        first = 0;
    }
}

#ifdef KIT_FIRST
/* Whether the members and the shares are for this call, which is set up. */
static int32_t mixture_fits(const mixture *self, const kit_flash *f)
{
    const heed_call *call = f->call;
    heed_score_fit fit = {.size = sizeof fit,
                          .heads = f->H,
                          .query_width = f->q ? f->q->dim[3] : 0,
                          .key_width = f->k ? f->k->dim[3] : 0,
                          .sink = call->sink};
    int32_t failed = HEED_OK;
    for (int64_t b = 0; b < f->B; b++) {
        const int64_t first = kit_flash_origin(f, b), last = first + f->T,
                      keys = kit_flash_valid(f, b);
        if (first < fit.first) fit.first = first;
        if (last > fit.positions) fit.positions = last;
        if (keys > fit.positions) fit.positions = keys;
    }
    for (int m = 0; m < MEMBERS && !failed && f->T > 0; m++)
        if (self->member[m]) failed = self->score[m]->fits(self->member[m], &fit);
    if (!failed && self->heads != 1 && self->heads != f->H)
        failed = kit_fail(call->sink, HEED_E_SHAPE,
                          "there are shares for %lld heads, and %lld heads; 1 is for all",
                          (long long)self->heads, (long long)f->H);
    return failed;
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const mixture *self = instance;
    kit_flash f = mixture_call(self, call);
    int32_t failed = kit_flash_setup(&f);
    if (!failed) failed = mixture_fits(self, &f);
    return failed ? failed : KIT(flash_run)(&f);
}

/* ---- backward: dS goes to each member times its share, tile by tile (heed.fill_grad/1) ----
 *
 * A task is the heads of a sequence that share values, with whole tiles of rows at hand, as whole
 * groups are in flash/backward.h. Sequences go one by one if a member's weights have gradients, and
 * heads too if these are one for all heads. With g_m the sum of dS S_m, alpha's is
 * share_m (g_m - sum of share_n g_n): each g_m is a sum of a head in float64, block by block.
 */
#ifdef KIT_FIRST
typedef struct mixture_back {
    const mixture *self;
    kit_flash_backward w;  /* what blocks of keys add up by themselves: dV */
    kit_flash_backward to; /* where all gradients go, with a scale of 1 */
    const heed_fill_grad *fill[MEMBERS];
    const heed_tensor *const *gradient[MEMBERS]; /* of a member's weights */
    double *sums;                                /* [B][H][MEMBERS]; NULL: no alpha is wanted */
} mixture_back;

/* All tiles of a head are at hand, however many heads there are. */
static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const mixture *self = instance;
    kit_flash f = mixture_call(self, g->call);
    kit_flash_sizes(&f);
    kit_flash_backward w = {.f = f};
    kit_flash_back_sizes(&w);
    const int64_t floats = kit_flash_back_floats(f.D, f.E) + w.tiles * KIT_FLASH_ROWS * w.width_q;
    size->scratch =
        (uint64_t)floats * sizeof(float) + (uint64_t)(w.tiles * kit_flash_back_tile(&f));
    size->workspace =
        kit_line(kit_flash_back_workspace(&f)) + (uint64_t)(f.B * f.H * MEMBERS) * sizeof(double);
    return HEED_OK;
}

/* The gradients of the alphas, from the sums of all heads. */
static void mixture_alphas(const mixture_back *x, const heed_tensor *const *gradient)
{
    const int64_t B = x->w.f.B, H = x->w.f.H, heads = x->self->heads;
    for (int64_t h = 0; h < heads; h++) {
        const float *share = x->self->share + h * MEMBERS;
        double sum[MEMBERS] = {0}, mean = 0;
        for (int64_t n = 0; n < B * H; n++)
            for (int m = 0; m < MEMBERS && (heads == 1 || n % H == h); m++)
                sum[m] += x->sums[n * MEMBERS + m];
        for (int m = 0; m < MEMBERS; m++) mean += (double)share[m] * sum[m];
        for (int m = 0; m < MEMBERS; m++)
            if (gradient[ALPHA + m])
                *(float *)(void *)kit_at(gradient[ALPHA + m], &h, 1) +=
                    (float)((double)share[m] * (sum[m] - mean));
    }
}
#endif

/* The sum of dS S_m over a block's pairs: four chains of vectors. */
static double KIT(mixture_sum)(const float *weight, const float *d, const float *s, int keys)
{
    const vf zero = v_set(0.0f);
    vf sum[4] = {zero, zero, zero, zero};
    for (int i = 0; i < keys * KIT_FLASH_ROWS; i += 16) {
        const vm masked = v_lt(v_load(weight + i), zero);
        sum[i / 16 % 4] =
            v_select(masked, sum[i / 16 % 4], v_fma(v_load(d + i), v_load(s + i), sum[i / 16 % 4]));
    }
    return (double)v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

/* The weights of a block and a tile, -1 wherever a pair is masked or beyond the tile's rows. */
static void KIT(mixture_weights)(const kit_flash_backward *w, kit_flash_back_rows *t,
                                 const KIT(flash_keys) * x, const float *P, float *weight)
{
    KIT(flash_runs) runs;
    kit_flash_block_ranges(&t->r, x->start);
    KIT(flash_find_runs)(&t->r, kit_flash_has_holes(&w->f, t->r.batch), &runs);
    for (int i = 0; i < KIT_FLASH_ROWS * KIT_FLASH_KEYS; i += 16) v_store(weight + i, v_set(-1.0f));
    for (int n = 0; n < runs.n; n++)
        for (int k = runs.at[n].from; k < runs.at[n].to && k < x->keys; k++)
            for (int i = runs.at[n].first * VR_LANES; i < runs.at[n].last * VR_LANES; i++)
                if (i < t->r.rows) weight[k * KIT_FLASH_ROWS + i] = P[k * KIT_FLASH_ROWS + i];
}

/* A block of keys and a tile of rows: dV, then member by member. */
static void KIT(mixture_block)(const mixture_back *b, kit_flash_back_rows *t,
                               const KIT(flash_keys) * x, const kit_flash_back_room *m, float *dQ)
{
    const kit_flash_backward *w = &b->w;
    const mixture *self = b->self;
    const int64_t head = t->r.head[0];
    const float *share = self->share + (self->heads == 1 ? 0 : head) * MEMBERS;
    float *weight = m->slope, *s = m->spare;
    KIT(flash_back_block)(w, t, x, m, NULL, 1, 1);
    KIT(mixture_weights)(w, t, x, m->P, weight);
    heed_score_tile tile =
        KIT(flash_tile)(&w->f, &t->r, x, s, KIT_FLASH_ROWS, 1, 0, x->keys, 0, KIT_FLASH_ROWS);
    tile.unit = 1;
    for (int i = 0; i < MEMBERS; i++) {
        if (!self->member[i] || share[i] == 0.0f) continue;
        if (b->sums) {
            self->score[i]->tile(self->member[i], &tile);
            b->sums[(t->r.batch * w->f.H + head) * MEMBERS + i] +=
                KIT(mixture_sum)(weight, m->X, s, x->keys);
        }
        for (int k = 0; k < x->keys * KIT_FLASH_ROWS; k += 16)
            v_store(s + k, v_mul(v_set(share[i]), v_load(m->X + k)));
        const heed_fill_tile of = {.size = sizeof of,
                                   .tile = &tile,
                                   .weight = weight,
                                   .query = b->to.d_q ? dQ : NULL,
                                   .key = b->to.d_k ? m->dK : NULL,
                                   .key_row = w->pitch_k,
                                   .gradient = b->gradient[i]};
        b->fill[i]->tile(self->member[i], &of);
    }
}

static void KIT(mixture_head)(const mixture_back *x, const kit_flash_back_room *m, int64_t b,
                              int64_t head)
{
    const kit_flash_backward *w = &x->w;
    const int64_t dq = KIT_FLASH_ROWS * w->width_q;
    for (int64_t i = 0; i < w->tiles; i++) {
        kit_flash_back_rows *t = KIT(flash_back_tile)(w, m, i);
        KIT(flash_back_ranges)(&w->f, t, b, head, i);
        KIT(flash_back_load)(w, t);
    }
    memset(m->dQ, 0, sizeof(float) * (size_t)(w->tiles * dq));
    for (int64_t start = 0; start < w->keys; start += KIT_FLASH_KEYS) {
        const KIT(flash_keys) keys = KIT(flash_back_keys_of)(w, b, head, start, m);
        memset(m->dK, 0, sizeof(float) * (size_t)(KIT_FLASH_KEYS * (w->pitch_k + w->pitch_v)));
        for (int64_t i = 0; i < w->tiles; i++) {
            kit_flash_back_rows *t = KIT(flash_back_tile)(w, m, i);
            if (kit_flash_visible_cells(&t->r, start, keys.keys))
                KIT(mixture_block)(x, t, &keys, m, m->dQ + i * dq);
        }
        KIT(flash_back_write_keys)(&x->to, m, b, head, start, keys.keys);
    }
    for (int64_t i = 0; x->to.d_q && i < w->tiles; i++)
        KIT(flash_back_write_queries)(&x->to, KIT(flash_back_tile)(w, m, i), m->dQ + i * dq);
}

static void KIT(mixture_task)(void *arg, int64_t task, uint32_t lane)
{
    const mixture_back *x = arg;
    const kit_flash_back_room m = KIT(flash_back_lane)(&x->w, lane, x->w.tiles);
    int64_t b, head, end;
    for (KIT(flash_back_place)(&x->w, task, 1, &b, &head, &end); head < end; head++)
        KIT(mixture_head)(x, &m, b, head);
}

/* Some sequences and heads at a time. */
static int32_t KIT(mixture_run)(mixture_back *x, int by_sequence, int by_head)
{
    kit_flash_backward *w = &x->w;
    const heed_host *host = w->f.call->host;
    const int64_t B = w->f.B, G = w->f.G;
    int32_t failed = HEED_OK;
    if (by_sequence) w->n_b = 1;
    if (by_head) w->n_g = 1;
    const int64_t units = w->n_b * (w->n_g < G ? w->n_g : w->n_g / w->f.share);
    for (w->first_b = 0; w->first_b < B && !failed; w->first_b += w->n_b)
        for (w->first_g = 0; w->first_g < G && !failed; w->first_g += w->n_g)
            failed = host->parallel_for(host, units, KIT(mixture_task), x);
    return failed;
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const mixture *self = instance;
    const heed_call *call = g->call;
    const heed_tensor *const *d = g->gradient, *const *const *inner =
                                                   HEED_HAS(g, inner) ? g->inner : NULL;
    mixture_back x = {.self = self, .w = synthesizer_backward_call(mixture_call(self, call), g)};
    int by_sequence = 0, by_head = 0;
    for (int m = 0; m < MEMBERS; m++) {
        const heed_child *child = &g->child[m];
        if (!self->member[m]) continue;
        x.fill[m] = child->path->get_extension(HEED_FILL_GRAD_ID);
        if (!x.fill[m])
            return kit_fail(call->sink, HEED_E_UNSUPPORTED,
                            "%c=%s does not tell the gradients of its scores, so there is no "
                            "backward of a mixture with it",
                            'a' + m, child->op->id);
        x.gradient[m] = inner ? inner[m] : NULL;
        for (uint32_t p = 0; x.gradient[m] && p < child->op->ports.count; p++) {
            const heed_tensor *t = x.gradient[m][p];
            if (t) by_sequence = 1, by_head |= t->dim[0] != HEED_AXIS(call->axis, 'H');
        }
    }
    int32_t failed = kit_flash_setup(&x.w.f);
    if (!failed) failed = mixture_fits(self, &x.w.f);
    if (failed) return failed;
    kit_flash_back_sizes(&x.w);
    x.to = x.w, x.to.f.scale = 1, x.to.d_q = d[Q], x.to.d_k = d[K];
    for (int m = 0; m < MEMBERS; m++)
        if (d[ALPHA + m])
            x.sums = (double *)(void *)((char *)call->workspace +
                                        kit_line(kit_flash_back_workspace(&x.w.f)));
    if (x.sums) memset(x.sums, 0, sizeof(double) * (size_t)(x.w.f.B * x.w.f.H * MEMBERS));
    if (x.w.f.B * x.w.f.G > 0) failed = KIT(mixture_run)(&x, by_sequence, by_head);
    if (!failed && x.sums) mixture_alphas(&x, d);
    return failed;
}
KIT_BACKWARD_WITH(HEED_GRAD_INNER,
                  KIT_PORT(SYNTHESIZER_V) | KIT_PORT(Q) | KIT_PORT(K) | KIT_PORT(ALPHA) |
                      KIT_PORT(ALPHA + 1) | KIT_PORT(ALPHA + 2) | KIT_PORT(ALPHA + 3),
                  SYNTHESIZER_TAKES, SYNTHESIZER_TAKES, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
