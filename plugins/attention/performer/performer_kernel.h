/* SPDX-License-Identifier: MIT
 *
 * attention/performer, the maths: kit/linear/linear.h with features from a product with the
 * projection. Their exponents are taken less a maximum: a query's own, which cancels, and for keys
 * the largest so far, M. When M grows what was summed shrinks by e^(M_old - M_new): that is a log
 * decay of M_old - M_new, and the level of a token is -M.
 */
#include <heed/kit.h>
#include <heed/kit/linear/type.h>

static void KIT(features)(const kit_linear *l, const kit_linear_rows *r, float *to);
static void KIT(decay)(const kit_linear *l, const kit_linear_rows *r, float *k, double *to);
#define LINEAR_FEATURES(l, r, to) KIT(features)(l, r, to)
#define LINEAR_DECAY(l, r, k, to) KIT(decay)(l, r, k, to)
#include <heed/kit/linear/linear.h>

#ifdef KIT_FIRST
enum { PROJECTION = LINEAR_PORT_COUNT };
enum { KERNEL_SOFTMAX, KERNEL_RELU, KERNEL_HYPERBOLIC };
typedef struct performer {
    int64_t m, seed, redraw;
    int kernel, norms;
    float stabiliser;
    const float *omega; /* packed; NULL: drawn at each call, for its D */
    _Alignas(64) float room[];
} performer;
#include "draw.h"

KIT_INLINE int64_t performer_floats(int64_t m, int64_t D) { return kit_lanes(m) * D; }
KIT_INLINE int64_t performer_block(int64_t m, int64_t D) { return m < D ? m * D : D * D; }

/* Without a width when it was opened the projection is drawn now, behind what the core has in the
 * workspace. */
static void performer_table(kit_linear *l, heed_call_size *size)
{
    const performer *self = l->variant;
    l->table = self->omega;
    if (self->omega) return;
    const uint64_t from = kit_line(size->workspace),
                   floats = (uint64_t)performer_floats(self->m, l->D);
    if (l->call->workspace) l->table = (float *)(void *)((char *)l->call->workspace + from);
    size->workspace = from + kit_line(floats * sizeof(float)) +
                      (uint64_t)performer_block(self->m, l->D) * sizeof(double);
}

static void performer_draw_table(const kit_linear *l)
{
    const performer *self = l->variant;
    if (self->omega) return;
    const uint64_t bytes = (uint64_t)performer_floats(self->m, l->D) * sizeof(float);
    float *to = memset((float *)(uintptr_t)l->table, 0, bytes);
    performer_draw(to, self->m, l->D, self->seed, self->redraw, self->norms,
                   (double *)(void *)((char *)to + kit_line(bytes)));
}

static int32_t performer_call(const void *instance, const heed_call *call, kit_linear *l,
                              heed_call_size *size)
{
    *l = kit_linear_call(instance, call);
    const performer *self = l->variant;
    const int32_t failed = kit_linear_size(l, size);
    if (failed) return failed;
    if (self->stabiliser != 0.0f && !l->causal)
        return kit_fail(call->sink, HEED_E_UNSUPPORTED,
                        "the stabiliser is added below a running maximum, so it needs causal=true");
    performer_table(l, size);
    return HEED_OK;
}
#endif

/* The largest of n exponents, or a NaN if all are; e^(x - that) + stabiliser takes their place. */
KIT_INLINE float KIT(largest)(const float *x, int64_t n)
{
    vf most = v_set(x[0]);
    for (int64_t i = 0; i + 16 <= n; i += 16) most = v_max(most, v_load(x + i));
    float max = v_hmax(most);
    for (int64_t i = n / 16 * 16; i < n; i++) max = max > x[i] ? max : x[i];
    return max < -FLT_MAX ? -FLT_MAX : max;
}
KIT_INLINE void KIT(raise)(const kit_linear *l, float *x, float max)
{
    const vf more = v_set(((const performer *)l->variant)->stabiliser);
    for (int64_t i = 0; i < l->F; i += 16)
        v_store(x + i, v_add(v_exp(v_sub(v_load(x + i), v_set(max))), more));
}

/* One row of products with the projection becomes exponents, or relu's features. */
KIT_INLINE void KIT(exponents)(const kit_linear *l, const float *x, float *to)
{
    const performer *self = l->variant;
    const vf zero = v_set(0.0f);
    vf square = zero;
    for (int64_t d = 0; d < l->D16; d += 16) square = v_fma(v_load(x + d), v_load(x + d), square);
    const vf half = v_set(0.5f * v_sum(square)), root = v_set((float)(1 / sqrt((double)self->m)));
    for (int64_t i = 0; i < self->m; i += 16) {
        const int n = self->m - i < 16 ? (int)(self->m - i) : 16;
        const vf y = v_load(to + i);
        if (self->kernel == KERNEL_RELU)
            v_store(to + i, v_add(v_mul(v_max(zero, y), root), v_set(1e-3f)));
        else v_store_n(to + i, v_sub(y, half), n);
        if (self->kernel == KERNEL_HYPERBOLIC)
            v_store_n(to + self->m + i, v_sub(v_sub(zero, y), half), n);
    }
}

static void KIT(features)(const kit_linear *l, const kit_linear_rows *r, float *to)
{
    const performer *self = l->variant;
    const vf root = v_set(
        self->kernel == KERNEL_RELU ? 1.0f : (float)(1 / sqrt(sqrt((double)(l->D ? l->D : 1)))));
    for (int i = 0; i < r->n; i++)
        for (int64_t d = 0; d < l->D16; d += 16)
            v_store(r->own + i * l->D16 + d, v_mul(v_load(r->x + i * r->pitch + d), root));
    KIT(linear_product)(r, r->own, l->D16, l->D, l->table, self->m, to, l->pitch);
    for (int i = 0; i < r->n; i++) {
        float *row = to + i * l->pitch;
        KIT(exponents)(l, r->own + i * l->D16, row);
        if (r->query && self->kernel != KERNEL_RELU) KIT(raise)(l, row, KIT(largest)(row, l->F));
    }
}

static void KIT(decay)(const kit_linear *l, const kit_linear_rows *r, float *k, double *to)
{
    double level = r->level;
    for (int i = 0; i < r->n; i++, k += l->pitch) {
        const float own = KIT(largest)(k, l->F), before = (float)-level;
        const float max = (r->first && i == 0) || !(own <= before) ? own : before;
        KIT(raise)(l, k, max);
        to[i] = (r->first && i == 0 ? 0 : -level) - (double)max;
        level += to[i];
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_linear l;
    heed_call_size size = {.size = sizeof size};
    const int32_t failed = performer_call(instance, call, &l, &size);
    if (failed) return failed;
    performer_draw_table(&l);
    return KIT(linear_run)(&l);
}

#define LINEAR_PREPARE(instance, call, l, size) performer_call(instance, call, l, size)
#define LINEAR_READY(l) performer_draw_table(l)

/* ---- backward ---- */

/* e^(w x' - |x'|^2 / 2) has the slope (w - x') times itself; what it is taken less of cancels. */
static void KIT(features_back)(const kit_linear *l, const kit_linear_rows *r, const float *f,
                               float *df, float *to)
{
    const performer *self = l->variant;
    const int relu = self->kernel == KERNEL_RELU, both = self->kernel == KERNEL_HYPERBOLIC;
    const vf zero = v_set(0.0f), root = v_set((float)(1 / sqrt((double)self->m)));
    const float fourth = relu ? 1.0f : (float)(1 / sqrt(sqrt((double)(l->D ? l->D : 1))));
    float total[KIT_LINEAR_CHUNK];
    for (int i = 0; i < r->n; i++) {
        const float *y = f + i * l->pitch;
        float *d = df + i * l->pitch;
        vf sum = zero;
        for (int64_t j = 0; j < l->F16; j += 16) {
            const int n = l->F - j < 16 ? (int)(l->F - j) : 16;
            const vf x = v_load_n(y + j, n), g = v_load_n(d + j, n),
                     slope = v_select(v_lt(v_set(1e-3f), x), v_mul(g, root),
                                      v_select(v_eq(x, x), zero, x));
            const vf part = relu ? slope : v_mul(x, g);
            sum = v_add(sum, part);
            v_store(d + j, part);
        }
        total[i] = v_sum(sum);
        for (int64_t j = 0; both && j < self->m; j += 16) {
            const int n = self->m - j < 16 ? (int)(self->m - j) : 16;
            v_store_n(d + j, v_sub(v_load_n(d + j, n), v_load_n(d + self->m + j, n)), n);
        }
    }
    KIT(linear_product)(r, df, l->pitch, self->m, l->back_table, l->D, to, l->D16);
    for (int i = 0; i < r->n; i++)
        for (int64_t j = 0; j < l->D16; j += 16) {
            const vf x = v_mul(v_load(r->x + i * r->pitch + j), v_set(fourth)),
                     y = v_load(to + i * l->D16 + j);
            v_store(to + i * l->D16 + j,
                    relu ? y : v_mul(v_fma(v_set(-total[i]), x, y), v_set(fourth)));
        }
}

#define LINEAR_FEATURES_BACK(l, r, f, df, to) KIT(features_back)(l, r, f, df, to)
#include <heed/kit/linear/backward.h>

#ifdef KIT_FIRST
/* A backward has the projection in the other order too: panels of 32 channels, [m][line]. */
static int32_t performer_backward_call(const void *instance, const heed_grad_call *g, kit_linear *l,
                                       heed_call_size *size)
{
    const performer *self;
    *l = kit_linear_call(instance, g->call);
    self = l->variant;
    const int32_t failed = kit_linear_setup(l);
    if (failed) return failed;
    if (self->stabiliser != 0.0f)
        return kit_fail(g->call->sink, HEED_E_UNSUPPORTED,
                        "with a stabiliser the outputs depend on the largest exponents, which have "
                        "no gradient here; backward needs stabiliser=0");
    kit_linear_size_backward(*l, size);
    performer_table(l, size);
    const uint64_t from = kit_line(size->workspace);
    if (g->call->workspace) l->back_table = (float *)(void *)((char *)g->call->workspace + from);
    size->workspace = from + (uint64_t)(kit_lanes(l->D) * self->m) * sizeof(float);
    return HEED_OK;
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    kit_linear l;
    return performer_backward_call(instance, g, &l, size);
}

static void performer_turn(const kit_linear *l)
{
    const int64_t m = ((const performer *)l->variant)->m, D16 = kit_lanes(l->D),
                  P = KIT_LINEAR_PANEL;
    float *to = (float *)(uintptr_t)l->back_table;
    for (int64_t d = 0; d < D16; d++) {
        const int64_t panel = d / P * P, line = D16 - panel < P ? D16 - panel : P;
        for (int64_t r = 0; r < m; r++) {
            const int64_t from = r / P * P, left = kit_lanes(m) - from;
            to[panel * m + r * line + d - panel] =
                d < l->D ? l->table[from * l->D + d * (left < P ? left : P) + r - from] : 0.0f;
        }
    }
}
#endif

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    kit_linear l;
    heed_call_size size = {.size = sizeof size};
    const int32_t failed = performer_backward_call(instance, g, &l, &size);
    if (failed) return failed;
    performer_draw_table(&l);
    performer_turn(&l);
    return KIT(linear_backward)(l, g, NULL);
}
LINEAR_EXTENSION(KIT_LINEAR_GIVES, KIT_PORT(LINEAR_OUT), KIT_PORT(LINEAR_OUT), measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
