/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_factorized_dense, the maths: a tile's factors are a product made once, by
 * kit/flash/flash.h's own kernel with the two matrices' rows for keys; a score is then one product
 * of two numbers.
 *
 *     r->own   [A padded][48] of `inner`, [U padded][48] of `outer`, in log2 units
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#define FLASH_BEGIN(f, r) KIT(factors)(f, r)
#define FLASH_FILL(f, r, x, P, ks, rs, from, to, row, rows)                                        \
    KIT(multiply)(f, r, P, ks, rs, (x)->start, from, to, row, rows)
static void KIT(factors)(const kit_flash *f, kit_flash_rows *r);
static void KIT(multiply)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks, int rs,
                          int64_t start, int from, int to, int row, int rows);

#include <heed/kit/flash/flash.h>
#include <heed/kit/score/product_backward.h>
#include <heed/kit/score/synthesizer.h>

#ifdef KIT_FIRST
enum { Q = SYNTHESIZER_FIRST, INNER, OUTER };
enum { RUN = SYNTHESIZER_OWN, RUNS, MATRICES };
typedef struct factorized_dense {
    synthesizer common;
    int64_t D, A, U, heads;      /* of the matrices */
    heed_tensor inner, outer;    /* as they are given, by row */
    _Alignas(64) float matrix[]; /* [heads][A padded + U padded][D], zeros between */
} factorized_dense;

KIT_INLINE int64_t factorized_dense_rows(const factorized_dense *self)
{
    return kit_lanes(self->A) + kit_lanes(self->U);
}

static kit_flash factorized_dense_call(const factorized_dense *self, const heed_call *call)
{
    kit_flash f = synthesizer_call(&self->common, call);
    f.q = call->tensor[Q], f.variant = self, f.own = KIT_FLASH_ROWS * factorized_dense_rows(self);
    f.scale = (float)KIT_LN2; /* and so 1: log2 e belongs to one factor */
    f.per_head = 1;
    return f;
}
#endif

static void KIT(factors)(const kit_flash *f, kit_flash_rows *r)
{
    const factorized_dense *self = f->variant;
    const int64_t rows = factorized_dense_rows(self), D = f->D;
    const float *matrix = self->matrix + (self->heads == 1 ? 0 : r->head[0]) * rows * D;
    const KIT(flash_strips) s = KIT(flash_strips_between)(0, KIT_FLASH_CELL / VR_LANES * r->groups);
    float max[KIT_FLASH_ROWS] = {0}, *to = r->own;
    for (int64_t i = 0; i < KIT_FLASH_ROWS * D; i += 16)
        v_store(r->Q + i, v_max(v_set(0.0f), v_load(r->Q + i)));
    for (int64_t k = 0; k < rows; k += FLASH_N)
        for (int j = 0; j < s.n; j++) {
            KIT(flash_scorer) *const score = KIT(flash_scorers)[s.wide[j]];
            score(max + s.row[j], matrix + k * D, D, 1, r->Q + s.row[j], D,
                  to + k * KIT_FLASH_ROWS + s.row[j], kit_flash_no_prefetch);
        }
    for (float *p = to + kit_lanes(self->A) * KIT_FLASH_ROWS, *end = to + rows * KIT_FLASH_ROWS;
         p < end; p += 16)
        v_store(p, v_mul(v_load(p), v_set((float)KIT_LOG2E)));
}

/* Key j has number j mod A of the inner factor, j div A of the outer one. */
static void KIT(multiply)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks, int rs,
                          int64_t start, int from, int to, int row, int rows)
{
    const factorized_dense *self = f->variant;
    const float *inner = r->own + row, *outer = inner + kit_lanes(self->A) * KIT_FLASH_ROWS;
    for (int k = from; k < to; k++) {
        const float *a = inner + (start + k) % self->A * KIT_FLASH_ROWS;
        const float *c = outer + (start + k) / self->A * KIT_FLASH_ROWS;
        float *s = P + k * ks + row * rs;
        for (int i = 0; i < rows && rs != 1; i++) s[i * rs] = a[i] * c[i];
        for (int i = 0; i < rows && rs == 1; i += 16)
            v_store(s + i, v_mul(v_load(a + i), v_load(c + i)));
    }
}

/* For another attention, which keeps no factors: both products for each key. */
KIT_INLINE kit_product KIT(product_of)(const factorized_dense *self, const heed_score_tile *t,
                                       int outer)
{
    return (kit_product){.k = outer ? &self->outer : &self->inner,
                         .width = t->width,
                         .rectified = 1,
                         .divide = outer ? self->A : 1,
                         .modulo = outer ? 0 : self->A,
                         .factor = 1 / t->query_unit};
}
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    kit_product p = KIT(product_of)(instance, t, 0);
    KIT(score_product)(t, p);
    p = KIT(product_of)(instance, t, 1), p.times = 1, p.factor = t->unit / t->query_unit;
    KIT(score_product)(t, p);
    synthesizer_position(instance, t);
}
static heed_tensor KIT(matrix_rows)(const heed_tensor *w)
{
    return w ? synthesizer_rows(w) : (heed_tensor){.data = NULL};
}
/* 16 keys at a time: what comes to a factor is times the other one. */
static void KIT(tile_back)(const void *instance, const heed_fill_tile *x)
{
    const int ports[2] = {INNER, OUTER};
    for (int64_t key = 0; key < x->tile->keys; key += 16)
        for (int outer = 0; outer < 2; outer++) {
            _Alignas(64) float other[16 * KIT_FLASH_ROWS];
            heed_score_tile t = KIT(product_back_part)(x->tile, key);
            heed_fill_tile part = *x;
            heed_tensor to = KIT(matrix_rows)(x->gradient ? x->gradient[ports[outer]] : NULL);
            const float *s = t.s;
            const int64_t from = t.key_stride;
            t.s = other, t.key_stride = KIT_FLASH_ROWS;
            KIT(score_product)(&t, KIT(product_of)(instance, &t, !outer));
            for (int64_t k = 0; k < t.keys; k++)
                for (int64_t row = 0; row < t.rows; row += 16) {
                    float *at = other + k * KIT_FLASH_ROWS + row;
                    v_store(at, v_mul(v_load(at), v_load(s + k * from + row)));
                }
            part.tile = &t, part.weight += key * from;
            if (x->key) part.key += key * x->key_row;
            KIT(score_product_back)
            (&part, KIT(product_of)(instance, &t, outer), NULL, to.data ? &to : NULL);
        }
}
static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const factorized_dense *self = instance;
    kit_flash f = factorized_dense_call(self, call);
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

/* ---- backward: a tile's factors have gradients, of which those of q and of the matrices follow as
 * those of relative positions do ---- */

struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(factors_again)(const struct kit_flash_backward *w, struct kit_flash_back_rows *t);
static void KIT(factors_back)(const struct kit_flash_backward *w,
                              const struct kit_flash_back_rows *t, const KIT(flash_keys) * x,
                              const KIT(flash_runs) * runs, const float *P, const float *X);
#define FLASH_BACK_NO_TABLES
#define FLASH_BACK_RELATIVE_BEGIN(w, t, to) KIT(factors_again)(w, t)
#define FLASH_BACK_ROWS(w, t, x, runs, P, X) KIT(factors_back)(w, t, x, runs, P, X)
#include <heed/kit/flash/relative_backward.h>
#include <heed/kit/score/synthesizer_backward.h>

static void KIT(factors_again)(const kit_flash_backward *w, kit_flash_back_rows *t)
{
    KIT(factors)(&w->f, &t->r);
    for (int64_t i = 0; i < t->r.rows * w->width_q; i += 16)
        v_store(t->queries + i, v_max(v_set(0.0f), v_load(t->queries + i)));
}

/* dA[j mod A] += dS C[j div A], and dC[j div A] += dS A[j mod A], in the order of the keys. */
static void KIT(factors_back)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                              const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                              const float *P, const float *X)
{
    const factorized_dense *self = w->f.variant;
    const kit_flash_back_distances *s = kit_flash_back_distances_of(w->relative, t);
    const vf zero = v_set(0.0f), unit = v_set((float)KIT_LN2);
    for (int n = 0; n < runs->n; n++)
        for (int k = runs->at[n].from; k < runs->at[n].to && k < x->keys; k++) {
            const int64_t j = x->start + k, a = j % self->A * KIT_FLASH_ROWS,
                          c = (kit_lanes(self->A) + j / self->A) * KIT_FLASH_ROWS;
            for (int i = runs->at[n].first * VR_LANES; i < runs->at[n].last * VR_LANES; i += 16) {
                const vf d = v_load(X + k * KIT_FLASH_ROWS + i), A = v_load(t->r.own + a + i),
                         C = v_load(t->r.own + c + i);
                const vm masked = v_lt(v_load(P + k * KIT_FLASH_ROWS + i), zero);
                v_store(s->X + a + i, v_fma(v_mul(d, unit), C, v_load(s->X + a + i)));
                v_store(s->X + c + i, v_fma(d, A, v_load(s->X + c + i)));
                v_store(s->W + a + i, v_select(masked, v_load(s->W + a + i), zero));
                v_store(s->W + c + i, v_select(masked, v_load(s->W + c + i), zero));
            }
        }
}

#ifdef KIT_FIRST
/* What backward has in the workspace behind all others'. */
static uint64_t factorized_dense_place(kit_flash *f, kit_flash_back_relative *r)
{
    const factorized_dense *self = f->variant;
    char *room = f->call->workspace;
    *r = (kit_flash_back_relative){.heads = self->heads, .lines = factorized_dense_rows(self)};
    const uint64_t before = kit_flash_back_workspace(f);
    const int64_t floats =
        kit_flash_back_relative_place(f, r, room ? (float *)(void *)(room + before) : NULL);
    for (int64_t n = 0; room && n < r->heads * r->lines; n++) {
        memset(r->rows + n * r->width, 0, sizeof(float) * (size_t)r->width);
        memcpy(r->rows + n * r->width, self->matrix + n * self->D, sizeof(float) * (size_t)self->D);
    }
    return before + sizeof(float) * (uint64_t)floats;
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    kit_flash f = factorized_dense_call(instance, g->call);
    kit_flash_back_relative r;
    size->workspace = factorized_dense_place(&f, &r);
    size->scratch = kit_flash_back_relative_scratch(&f);
    return HEED_OK;
}
#endif

/* The sums of lines from `first` on are the gradient of a matrix of each head. */
static void KIT(matrix_back)(const kit_flash_back_relative *r, int64_t first, const heed_tensor *to)
{
    for (int64_t h = 0; to && h < r->heads; h++) {
        const heed_tensor head = {.size = sizeof head,
                                  .dtype = HEED_F32,
                                  .rank = 2,
                                  .data = kit_at(to, &h, 1),
                                  .dim = {to->dim[1], to->dim[2]},
                                  .stride = {to->stride[1], to->stride[2]}};
        KIT(flash_back_table)
        (&head, r->sum + h * kit_flash_back_chunk_floats(r) + first * r->width, r->width, 1, 0);
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const factorized_dense *self = instance;
    kit_flash_backward w = synthesizer_backward_call(factorized_dense_call(self, g->call), g);
    kit_flash_back_relative r;
    factorized_dense_place(&w.f, &r);
    w.relative = &r, w.d_q = g->gradient[Q];
    kit_flash_back_inner(&w, g, SYNTHESIZER_POSITION);
    int32_t failed = kit_flash_back_child(g, SYNTHESIZER_POSITION);
    if (!failed) failed = synthesizer_setup(&w.f, &self->common);
    if (!failed) failed = KIT(flash_back_relative_run)(&w);
    if (!failed) failed = KIT(flash_back_add_scores)(&w);
    if (failed) return failed;
    KIT(matrix_back)(&r, 0, g->gradient[INNER]);
    KIT(matrix_back)(&r, kit_lanes(self->A), g->gradient[OUTER]);
    return w.d_q ? KIT(synthesizer_rectified_back)(g->call, g->call->tensor[Q], w.d_q,
                                                   (float)KIT_LOG2E)
                 : HEED_OK;
}
SYNTHESIZER_EXTENSIONS(KIT(extension), KIT(tile), KIT(tile_back),
                       KIT_PORT(Q) | KIT_PORT(INNER) | KIT_PORT(OUTER), measure_backward,
                       KIT(backward))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
