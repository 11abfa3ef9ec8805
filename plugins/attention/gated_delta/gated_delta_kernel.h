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

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
