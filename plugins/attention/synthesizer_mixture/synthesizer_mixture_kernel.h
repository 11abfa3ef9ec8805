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
#include <heed/kit/score/synthesizer.h>

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

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const mixture *self = instance;
    kit_flash f = mixture_call(self, call);
    int32_t failed = kit_flash_setup(&f);
    heed_score_fit fit = {.size = sizeof fit, .heads = f.H, .query_width = f.q ? f.q->dim[3] : 0,
                          .key_width = f.k ? f.k->dim[3] : 0, .sink = call->sink};
    for (int64_t b = 0; b < f.B; b++) {
        const int64_t first = kit_flash_origin(&f, b), last = first + f.T,
                      keys = kit_flash_valid(&f, b);
        if (first < fit.first) fit.first = first;
        if (last > fit.positions) fit.positions = last;
        if (keys > fit.positions) fit.positions = keys;
    }
    for (int m = 0; m < MEMBERS && !failed && f.T > 0; m++)
        if (self->member[m]) failed = self->score[m]->fits(self->member[m], &fit);
    if (!failed && self->heads != 1 && self->heads != f.H)
        failed = kit_fail(call->sink, HEED_E_SHAPE,
                          "there are shares for %lld heads, and %lld heads; 1 is for all",
                          (long long)self->heads, (long long)f.H);
    return failed ? failed : KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
