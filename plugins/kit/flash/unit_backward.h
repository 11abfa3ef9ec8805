/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/unit_backward.h: what the backward of the gated attention units shares (arXiv
 * 2202.10447): inputs come before their silu, and a row's weights, squared ReLUs of scores in units
 * of 1, have a factor. Include it in a kernel file behind flash/backward.h, where
 * FLASH_BACK_SQUARED_RELU was 1.
 */
#ifndef KIT_HAS_FLASH_UNIT
#define KIT_HAS_FLASH_UNIT
#include <heed/kit/flash/backward.h>

/* silu(x), and its slope s + x s (1 - s). */
KIT_INLINE vf KIT(unit_silu)(vf x, vf *slope)
{
    const vf s = v_sigmoid(x), y = v_mul(x, s);
    *slope = v_fma(y, v_sub(v_set(1.0f), s), s);
    return y;
}

/* n elements of a row [3 indices] from i on. */
KIT_INLINE vf KIT(unit_get)(const heed_tensor *t, const int64_t *at, int64_t i, int n)
{
    return v_read(kit_at(t, at, 3) + i * t->stride[3] * kit_width(t->dtype), t->dtype, t->stride[3],
                  n);
}
KIT_INLINE void KIT(unit_put)(const heed_tensor *t, const int64_t *at, int64_t i, int n, vf x)
{
    if (t)
        v_write(kit_at(t, at, 3) + i * t->stride[3] * kit_width(t->dtype), HEED_F32, t->stride[3],
                x, n);
}

/* FLASH_BACK_BEGIN of a unit: the rows' factors meet what comes; and queries, which were scaled for
 * powers of 2, are as they were. */
static __attribute__((unused)) void
KIT(unit_begin)(const kit_flash_backward *w, kit_flash_back_rows *t,
                void (*factors)(const kit_flash *, const kit_flash_rows *, float *))
{
    float factor[KIT_FLASH_ROWS];
    factors(&w->f, &t->r, factor);
    for (int64_t i = 0; i < KIT_FLASH_ROWS * w->f.D; i += 16)
        v_store(t->r.Q + i, v_mul(v_load(t->r.Q + i), v_set((float)KIT_LN2)));
    for (int64_t e = 0; e < w->width_v; e++)
        for (int i = 0; i < KIT_FLASH_CELL * t->r.groups; i += 16) {
            float *to = t->columns + e * KIT_FLASH_ROWS + i;
            v_store(to, v_mul(v_load(to), v_load(factor + i)));
        }
    for (int i = 0; i < t->r.rows; i++)
        for (int64_t e = 0; e < w->width_v; e += 16) {
            float *to = t->gradients + i * w->width_v + e;
            v_store(to, v_mul(v_load(to), v_set(factor[i])));
        }
}
#endif
