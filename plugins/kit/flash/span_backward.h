/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/span_backward.h: the backward of kit/flash/span.h: what the scores say of a row's
 * reach z, where it is on the ramp (arXiv 1905.07799, section 2):
 *
 *     m = (R + z - x) / R,    d ln m / dz = 1 / (R m),    dz = sum over keys with m < 1 of dS / (R m)
 *
 * A row's sum is one chain over the keys. Include it in a kernel file behind flash.h, in the place of
 * flash/backward.h.
 */
#include <heed/kit/core/grad.h>
#include <heed/kit/flash/span.h>
#include <heed/kit/flash/flash.h>

struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(flash_soft_back)(const struct kit_flash_backward *w, struct kit_flash_back_rows *t,
                                 const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                                 const float *X);
static void KIT(flash_soft_back_end)(const struct kit_flash_backward *w,
                                     const struct kit_flash_back_rows *t);
#define FLASH_BACK_ROWS(w, t, x, runs, P, X) KIT(flash_soft_back)(w, t, x, runs, X)
#define FLASH_BACK_END(w, t) KIT(flash_soft_back_end)(w, t)
#include <heed/kit/flash/backward.h>

/* w->own: dz [B, T, H]; or NULL. */
static void KIT(flash_soft_back)(const kit_flash_backward *w, kit_flash_back_rows *t,
                                 const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                                 const float *X)
{
    const kit_flash_rows *r = &t->r;
    const kit_flash_soft *s = w->f.variant;
    const vf ramp = v_set(s->ramp), slope = v_set(1 / s->ramp), zero = v_set(0.0f);
    for (int n = 0; n < runs->n; n++)
        for (int i = runs->at[n].first * VR_LANES; i < runs->at[n].last * VR_LANES; i += 16) {
            float whole[16], over[16];
            vf sum = v_load(t->more + i);
            for (int l = 0; l < 16; l++) {
                const double e = kit_flash_edge(s, r->batch, r->query[i + l], r->head[i + l],
                                                r->position[i + l]) -
                                 (double)x->start;
                whole[l] = (float)floor(e), over[l] = (float)(e - floor(e));
            }
            for (int k = runs->at[n].from; k < runs->at[n].to; k++) {
                const vf way = v_sub(v_sub(v_set((float)k), v_load(whole)), v_load(over)),
                         m = v_max(v_set(0x1p-24f), v_fma(way, slope, v_set(1.0f)));
                const vf d = v_div(v_load(X + k * KIT_FLASH_ROWS + i), v_mul(ramp, m));
                sum = v_add(sum, v_select(v_lt(way, zero), d, zero));
            }
            v_store(t->more + i, sum);
        }
}

static void KIT(flash_soft_back_end)(const kit_flash_backward *w, const kit_flash_back_rows *t)
{
    const kit_flash *f = &w->f;
    float *to = w->own;
    for (int i = 0; to && i < t->r.rows; i++)
        to[(t->r.batch * f->T + t->r.query[i]) * f->H + t->r.head[i]] = t->more[i];
}

/* Refuses a table of distances, which has no backward. */
static int32_t KIT(flash_soft_fits)(const kit_flash_soft *s, const heed_grad_call *g)
{
    if (!s->table) return HEED_OK;
    return kit_fail(g->call->sink, HEED_E_UNSUPPORTED,
                    "with a distance_table there is no backward yet");
}
