/* SPDX-License-Identifier: MIT
 *
 * attention/retention, the maths: kit/linear/linear.h with a log decay for each head, or the
 * gate's, or what a gate gives. One hook: LINEAR_DECAY.
 */
#include <heed/kit.h>
#include <heed/kit/linear/type.h>

#ifdef KIT_FIRST
enum { GATE = LINEAR_PORT_COUNT };
typedef struct retention {
    double decay; /* 0: each head's own */
    double tau;   /* 0: the gate is the log decay */
} retention;

/* ln of the decay of head g, if it has its own 1 - 2^(-5 - g): arXiv 2307.08621, section 2.2. */
static double retention_log(const kit_linear *l, int64_t g)
{
    const double own = ((const retention *)l->variant)->decay;
    return kit_linear_log(own != 0 ? own : 1 - ldexp(1, -5 - (int)(g < 1000 ? g : 1000)));
}
#endif

static void KIT(decay)(const kit_linear *l, const kit_linear_rows *r, double *to);
#define LINEAR_DECAY(l, r, k, to) KIT(decay)(l, r, to)
#include <heed/kit/linear/linear.h>

/* to <- ln(sigmoid(to)) / tau; ln(sigmoid(x)) = min(x, 0) - ln(1 + e^-|x|). */
static void KIT(log_sigmoid)(int n, double tau, double *to)
{
    float e[KIT_LINEAR_CHUNK] = {0};
    for (int i = 0; i < n; i++) e[i] = (float)-fabs(to[i]);
    for (int i = 0; i < n; i += 16) v_store(e + i, v_exp(v_load(e + i)));
    for (int i = 0; i < n; i++) {
        const double more = kit_linear_log_ratio((double)e[i] / (2 + (double)e[i]));
        to[i] = ((to[i] < 0 ? to[i] : 0) - more) / tau;
    }
}

static void KIT(decay)(const kit_linear *l, const kit_linear_rows *r, double *to)
{
    const double tau = ((const retention *)l->variant)->tau;
    if (l->gate) KIT(linear_gate)(l, r, to);
    else
        for (int i = 0; i < r->n; i++) to[i] = retention_log(l, r->head);
    if (l->gate && tau != 0) KIT(log_sigmoid)(r->n, tau, to);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(instance, call);
}

/* The slope of ln(sigmoid x) / tau is sigmoid(-x) / tau. */
static void KIT(decay_back)(const kit_linear *l, const kit_linear_rows *r, float *d)
{
    const double tau = ((const retention *)l->variant)->tau;
    double x[KIT_LINEAR_CHUNK];
    float minus[KIT_LINEAR_CHUNK] = {0};
    if (tau == 0) return;
    KIT(linear_gate)(l, r, x);
    for (int i = 0; i < r->n; i++) minus[i] = (float)-x[i];
    for (int i = 0; i < r->n; i += 16) v_store(minus + i, v_sigmoid(v_load(minus + i)));
    for (int i = 0; i < r->n; i++) d[i] = d[i] * minus[i] / (float)tau;
}

#define LINEAR_DECAY_BACK(l, r, d, sums) KIT(decay_back)(l, r, d)
#include <heed/kit/linear/backward.h>
KIT_LINEAR_BACKWARD(KIT_PORT(GATE), 0)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
