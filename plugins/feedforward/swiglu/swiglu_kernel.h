/* SPDX-License-Identifier: MIT
 *
 * feedforward/swiglu, the maths: two products (kit/gemm.h). Gate and up are packed as one weight, panels in turn, so
 * that both halves of silu(g) * u leave the first product together; the middle layer lies in the workspace, float32,
 * some rows at a time.
 *
 * Error: kit/gemm.h's of the second product, over middle values with those of the first and 8 ulp of their own.
 */
#include <heed/kit.h>
#include <heed/kit/gemm.h>

#ifdef KIT_FIRST
enum { X, GATE, UP, DOWN, OUT };
enum { HIDDEN };
typedef struct swiglu {
    kit_weights both, down; /* both: panel 2 p of the gate, 2 p + 1 of up */
    float data[] __attribute__((aligned(64)));
} swiglu;

typedef struct swiglu_call {
    const heed_tensor *out;
    float *middle;
    int64_t pitch, first; /* row 0 of the middle is row `first` of out */
} swiglu_call;
#endif

static void KIT(finish_both)(const void *arg, int64_t row, int64_t panel, int64_t panels, const float *sums)
{
    const swiglu_call *c = arg;
    float *to = c->middle + row * c->pitch + 8 * panel;
    for (int64_t i = 0; i < 8 * panels; i += 16) {
        vf g = v_load(sums + 2 * i), u = v_load(sums + 2 * i + 16);
        v_store(to + i, v_mul(v_mul(g, v_sigmoid(g)), u));
    }
}

static void KIT(finish_down)(const void *arg, int64_t row, int64_t panel, int64_t panels, const float *sums)
{
    const swiglu_call *c = arg;
    KIT(kit_gemm_store)(c->out, c->first + row, panel, panels, sums, NULL);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const swiglu *self = instance;
    const heed_tensor *x = call->tensor[X];
    int64_t rows = kit_rows(x), hidden = self->down.depth, pitch = kit_middle_pitch(hidden);
    int64_t step = kit_middle_rows(rows, hidden);
    swiglu_call c = {call->tensor[OUT], call->workspace, pitch, 0};
    heed_tensor middle = {.size = sizeof middle, .dtype = HEED_F32, .rank = 2, .data = call->workspace,
                          .dim = {step, hidden}, .stride = {pitch, 1}};
    int32_t failed = HEED_OK;
    for (; c.first < rows && !failed; c.first += step) {
        int64_t n = rows - c.first < step ? rows - c.first : step;
        failed = KIT(kit_gemm_run)(call, &self->both, x, c.first, n, KIT(finish_both), &c);
        if (!failed) failed = KIT(kit_gemm_run)(call, &self->down, &middle, 0, n, KIT(finish_down), &c);
    }
    return failed;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
