/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/span_backward.h: the backward of kit/flash/span.h: what the scores say of a row's
 * reach z, where it is on the ramp (arXiv 1905.07799, section 2):
 *
 *     m = (R + z - x) / R,    d ln m / dz = 1 / (R m),    dz = sum over keys with m < 1 of dS / (R m)
 *
 * A row's sum is one chain over the keys. The table of distances, where there is one, is
 * flash/relative_backward.h's. Include it in a kernel file behind flash.h, in the place of
 * flash/backward.h.
 */
#include <heed/kit/core/grad.h>
#include <heed/kit/flash/span.h>
#include <heed/kit/flash/flash.h>

struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(flash_soft_back)(const struct kit_flash_backward *w, struct kit_flash_back_rows *t,
                                 const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                                 const float *P, const float *X);
static void KIT(flash_soft_back_end)(const struct kit_flash_backward *w,
                                     const struct kit_flash_back_rows *t);
#define FLASH_BACK_ROWS(w, t, x, runs, P, X) KIT(flash_soft_back)(w, t, x, runs, P, X)
#define FLASH_BACK_END(w, t) KIT(flash_soft_back_end)(w, t)
#define FLASH_BACK_RELATIVE_END(w, t) KIT(flash_soft_back_end)(w, t)
#include <heed/kit/flash/relative_backward.h>

#ifndef HEED_KIT_FLASH_SPAN_BACKWARD_ONCE
#define HEED_KIT_FLASH_SPAN_BACKWARD_ONCE
/* Where an op's own workspace begins, behind that of the table, which *r is then. */
static __attribute__((unused)) uint64_t kit_flash_soft_place(kit_flash *f, const kit_flash_soft *s,
                                                             kit_flash_back_relative *r)
{
    char *room = f->call->workspace;
    int64_t floats = 0;
    if (!s->table) return kit_flash_back_workspace(f);
    f->per_head = 1;
    if (room) room += kit_flash_back_workspace(f);
    *r = (kit_flash_back_relative){.keys = s->table, .heads = 1, .lines = s->table->entries};
    floats = kit_flash_back_relative_place(f, r, (float *)(void *)room);
    return kit_flash_back_workspace(f) + sizeof(float) * (uint64_t)floats;
}
/* A lane's scratch, behind that. */
static __attribute__((unused)) uint64_t kit_flash_soft_scratch(const kit_flash *f,
                                                               const kit_flash_soft *s)
{
    return s->table ? kit_flash_back_relative_scratch(f) : kit_flash_back_scratch(*f);
}
#endif

/* w->own: dz [B, T, H]; or NULL. */
static void KIT(flash_soft_back)(const kit_flash_backward *w, kit_flash_back_rows *t,
                                 const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                                 const float *P, const float *X)
{
    const kit_flash_rows *r = &t->r;
    const kit_flash_soft *s = w->f.variant;
    if (w->relative) KIT(flash_back_by_distance)(w, t, x, runs, P, X);
    if (!w->own) return;
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

/* A backward that kit_flash_setup has taken, of any of the two; and the table's gradient. */
static int32_t KIT(flash_soft_backward)(kit_flash_backward *w, const kit_flash_back_relative *r,
                                        const heed_grad_call *g, const heed_tensor *d_table)
{
    const int32_t failed =
        w->relative ? KIT(flash_back_relative_run)(w) : KIT(flash_backward_run)(w);
    if (!failed && w->relative) KIT(flash_back_table)(d_table, r->sum, r->width, w->f.scale, 0);
    return failed ? failed : KIT(flash_backward_sinks)(w, g);
}
