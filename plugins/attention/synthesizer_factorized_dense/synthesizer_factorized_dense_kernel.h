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
#include <heed/kit/score/product.h>
#include <heed/kit/score/synthesizer.h>

#ifdef KIT_FIRST
enum { Q = SYNTHESIZER_FIRST, INNER, OUTER };
enum { RUN = SYNTHESIZER_OWN, RUNS, MATRICES };
typedef struct factorized_dense {
    synthesizer common;
    int64_t D, A, U, heads; /* of the matrices */
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
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const factorized_dense *self = instance;
    kit_product p = {.k = &self->inner, .width = t->width, .rectified = 1, .modulo = self->A};
    p.factor = 1 / t->query_unit;
    KIT(score_product)(t, p);
    p.k = &self->outer, p.divide = self->A, p.modulo = 0, p.times = 1,
    p.factor = t->unit / t->query_unit;
    KIT(score_product)(t, p);
    synthesizer_position(instance, t);
}
SYNTHESIZER_EXTENSION(KIT(extension), KIT(tile))

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const factorized_dense *self = instance;
    kit_flash f = factorized_dense_call(self, call);
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
