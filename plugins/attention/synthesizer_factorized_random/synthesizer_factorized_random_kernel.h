/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_factorized_random, the maths: kit/flash/flash.h as it is, with a row of R1
 * for each query and one of R2 for each key, both by position: a block's logits are a product of
 * depth R, and no T x T table exists.
 */
#include <heed/kit.h>
#include <heed/kit/flash/flash.h>
#include <heed/kit/score/product.h>
#include <heed/kit/score/synthesizer.h>

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
#endif

/* For another attention. */
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const factorized_random *self = instance;
    const int64_t rank = self->rows.dim[3];
    KIT(score_product)(
        t, (kit_product){.q = &self->rows, .k = &self->columns, .width = rank, .factor = t->unit});
    synthesizer_position(instance, t);
}
SYNTHESIZER_EXTENSION(KIT(extension), KIT(tile))

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const factorized_random *self = instance;
    kit_flash f = factorized_random_call(self, call);
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
