/* SPDX-License-Identifier: MIT
 *
 * attention/gated_delta, the maths: kit/linear/linear.h with the delta rule and a decay. One hook:
 * LINEAR_DECAY, for a gate that is not the log decay itself.
 */
#include <heed/kit.h>
#include <heed/kit/linear/type.h>

static void KIT(decay)(const kit_linear *l, const kit_linear_rows *r, double *to);
#define LINEAR_DECAY(l, r, k, to) KIT(decay)(l, r, to)
#include <heed/kit/linear/linear.h>

#ifdef KIT_FIRST
enum { BETA = LINEAR_PORT_COUNT, GATE, A_LOG, DT_BIAS };
typedef struct gated_delta {
    const heed_tensor *a_log, *dt_bias;
} gated_delta; /* NULL: the gate is the log decay */
#endif

/* -e^a_log softplus(gate + dt_bias); softplus x = max(x, 0) + ln(1 + e^-|x|). */
static void KIT(decay)(const kit_linear *l, const kit_linear_rows *r, double *to)
{
    const gated_delta *self = l->variant;
    KIT(linear_gate)(l, r, to);
    if (!self->a_log) return;
    float e[KIT_LINEAR_CHUNK] = {0}, a[16];
    const float bias = kit_linear_number(self->dt_bias, &r->head, 1);
    v_store(a, v_exp(v_set(kit_linear_number(self->a_log, &r->head, 1))));
    for (int i = 0; i < r->n; i++) to[i] += (double)bias, e[i] = (float)-fabs(to[i]);
    for (int i = 0; i < r->n; i += 16) v_store(e + i, v_exp(v_load(e + i)));
    for (int i = 0; i < r->n; i++) {
        const double more = kit_linear_log_ratio((double)e[i] / (2 + (double)e[i]));
        to[i] = -(double)a[0] * ((to[i] < 0 ? 0 : to[i]) + more);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(instance, call);
}

/* With x = gate + dt_bias: the slope of softplus x is sigmoid x, and that by a_log the decay. */
static void KIT(decay_back)(const kit_linear *l, const kit_linear_rows *r, float *d, float *sums)
{
    const gated_delta *self = l->variant;
    double x[KIT_LINEAR_CHUNK], decay[KIT_LINEAR_CHUNK];
    float slope[KIT_LINEAR_CHUNK] = {0}, a[16];
    if (!self->a_log) return;
    KIT(linear_gate)(l, r, x);
    KIT(decay)(l, r, decay);
    const float bias = kit_linear_number(self->dt_bias, &r->head, 1);
    v_store(a, v_exp(v_set(kit_linear_number(self->a_log, &r->head, 1))));
    for (int i = 0; i < r->n; i++) slope[i] = (float)(x[i] + (double)bias);
    for (int i = 0; i < r->n; i += 16) v_store(slope + i, v_sigmoid(v_load(slope + i)));
    for (int i = 0; i < r->n; i++) {
        sums[0] += d[i] * (float)decay[i];
        d[i] = -a[0] * slope[i] * d[i];
        sums[1] += d[i];
    }
}

#define LINEAR_DECAY_BACK(l, r, d, sums) KIT(decay_back)(l, r, d, sums)
#include <heed/kit/linear/backward.h>

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *const weights[] = {g->gradient[A_LOG], g->gradient[DT_BIAS]};
    return KIT(linear_backward)(kit_linear_call(instance, g->call), g, weights);
}
LINEAR_EXTENSION(KIT_LINEAR_GIVES | KIT_PORT(BETA) | KIT_PORT(GATE) | KIT_PORT(A_LOG) |
                     KIT_PORT(DT_BIAS),
                 KIT_PORT(LINEAR_OUT), 0, kit_linear_measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
