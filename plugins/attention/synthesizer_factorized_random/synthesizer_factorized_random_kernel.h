/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_factorized_random, the maths: kit/flash/flash.h as it is, with a row of R1
 * for each query and one of R2 for each key, both by position: a block's logits are a product of
 * depth R, and no T x T table exists.
 */
#include <heed/kit.h>
#include <heed/kit/flash/flash.h>
#include <heed/kit/score/product_backward.h>
#include <heed/kit/score/synthesizer.h>
#include <heed/kit/score/synthesizer_backward.h>

#ifdef KIT_FIRST
enum { ROWS = SYNTHESIZER_FIRST, COLUMNS };
enum { LONGEST = SYNTHESIZER_OWN, RANK, FIXED };
typedef struct factorized_random {
    synthesizer common;
    heed_tensor rows, columns; /* [1, C, H, R], by position */
    _Alignas(64) float drawn[];
} factorized_random;

static kit_flash factorized_random_call(const factorized_random *self, const heed_call *call)
{
    kit_flash f = synthesizer_call(&self->common, call);
    f.q = &self->rows, f.k = &self->columns;
    f.q_by_position = f.k_by_position = f.per_head = 1;
    return f;
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    return synthesizer_backward_size(factorized_random_call(instance, g->call), size);
}
#endif

/* For another attention. */
KIT_INLINE kit_product KIT(product_of)(const factorized_random *self, float unit)
{
    return (kit_product){
        .q = &self->rows, .k = &self->columns, .width = self->rows.dim[3], .factor = unit};
}
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    KIT(score_product)(t, KIT(product_of)(instance, t->unit));
    synthesizer_position(instance, t);
}
static void KIT(tile_back)(const void *instance, const heed_fill_tile *x)
{
    const heed_tensor *rows = x->gradient ? x->gradient[ROWS] : NULL,
                      *columns = x->gradient ? x->gradient[COLUMNS] : NULL;
    heed_tensor d_rows, d_columns;
    if (rows) d_rows = synthesizer_rows(rows);
    if (columns) d_columns = synthesizer_rows(columns);
    KIT(score_product_back)
    (x, KIT(product_of)(instance, 1), rows ? &d_rows : NULL, columns ? &d_columns : NULL);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const factorized_random *self = instance;
    kit_flash f = factorized_random_call(self, call);
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const factorized_random *self = instance;
    const heed_tensor *rows = g->gradient[ROWS], *columns = g->gradient[COLUMNS];
    kit_flash_backward w = synthesizer_backward_call(factorized_random_call(self, g->call), g);
    heed_tensor d_rows, d_columns;
    if (rows) d_rows = synthesizer_rows(rows), w.d_q = &d_rows;
    if (columns) d_columns = synthesizer_rows(columns), w.d_k = &d_columns;
    w.adds_q = w.adds_k = 1;
    return KIT(synthesizer_backward)(&w, &self->common, g);
}
SYNTHESIZER_EXTENSIONS(KIT(extension), KIT(tile), KIT(tile_back),
                       KIT_PORT(ROWS) | KIT_PORT(COLUMNS), measure_backward, KIT(backward))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
