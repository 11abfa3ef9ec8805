/* SPDX-License-Identifier: MIT
 *
 * feedforward/gelu, the maths: two products (kit/gemm.h). The activation is applied to the first one's sums while they
 * are in cache; the middle layer lies in the workspace, float32, some rows at a time.
 *
 * gelu(z) = z phi(z), phi from the kit without cancellation on the left: within 8 ulp of the value everywhere.
 * Error: kit/gemm.h's of the second product, over middle values with that of the first.
 */
#include <heed/kit.h>
#include <heed/kit/gemm.h>

#ifdef KIT_FIRST
enum { X, UP, UP_BIAS, DOWN, DOWN_BIAS, OUT };
enum { HIDDEN, APPROXIMATE };
enum { APPROXIMATE_NONE, APPROXIMATE_TANH };
typedef struct gelu {
    kit_weights up, down;
    const float *up_bias, *down_bias; /* in whole panels, or NULL */
    int64_t approximate;
    float data[] __attribute__((aligned(64)));
} gelu;

typedef struct gelu_call {
    const gelu *self;
    const heed_tensor *out;
    float *middle;
    int64_t pitch, first; /* row 0 of the middle is row `first` of out */
} gelu_call;
#endif

KIT_INLINE vf KIT(activate)(vf z, int64_t approximate)
{
    if (approximate == APPROXIMATE_NONE) return v_mul(z, v_phi(z));
    vf cube = v_mul(v_mul(z, z), v_mul(z, v_set(0.044715f)));
    vf t = v_tanh(v_mul(v_set(0.7978845608f), v_add(z, cube))); /* sqrt(2 / pi) */
    return v_mul(v_mul(v_set(0.5f), z), v_add(v_set(1.0f), t));
}

static void KIT(finish_up)(const void *arg, int64_t row, int64_t panel, int64_t panels, const float *sums)
{
    const gelu_call *c = arg;
    const float *bias = c->self->up_bias;
    float *to = c->middle + row * c->pitch + 16 * panel;
    for (int64_t i = 0; i < 16 * panels; i += 16) {
        vf z = v_load(sums + i);
        if (bias) z = v_add(z, v_load(bias + 16 * panel + i));
        v_store(to + i, KIT(activate)(z, c->self->approximate));
    }
}

static void KIT(finish_down)(const void *arg, int64_t row, int64_t panel, int64_t panels, const float *sums)
{
    const gelu_call *c = arg;
    KIT(kit_gemm_store)(c->out, c->first + row, panel, panels, sums, c->self->down_bias);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const gelu *self = instance;
    const heed_tensor *x = call->tensor[X];
    int64_t rows = kit_rows(x), hidden = self->down.depth, pitch = kit_middle_pitch(hidden);
    int64_t step = kit_middle_rows(rows, hidden);
    gelu_call c = {self, call->tensor[OUT], call->workspace, pitch, 0};
    heed_tensor middle = {.size = sizeof middle, .dtype = HEED_F32, .rank = 2, .data = call->workspace,
                          .dim = {step, hidden}, .stride = {pitch, 1}};
    int32_t failed = HEED_OK;
    for (; c.first < rows && !failed; c.first += step) {
        int64_t n = rows - c.first < step ? rows - c.first : step;
        failed = KIT(kit_gemm_run)(call, &self->up, x, c.first, n, KIT(finish_up), &c);
        if (!failed) failed = KIT(kit_gemm_run)(call, &self->down, &middle, 0, n, KIT(finish_down), &c);
    }
    return failed;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
