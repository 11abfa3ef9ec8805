/* SPDX-License-Identifier: MIT
 *
 * test_backward.c: heed.grad/1 of the ops that have it. A row is a call; its gradients are held
 * against the chain rule in float64 (tests/oracle/gradients.h), within 4 times the error of the
 * same rule as the naive float32 loop, and that rule, where the row is small, against central
 * differences of the oracle. Bits are the same on all paths, at 1, 2, 3 and 7 threads, and
 * wherever the gradients lie; gradients of weights are added to what is there. And what is
 * refused, and weights that are bound again.
 */
#include <math.h>
#include <string.h>

#include "inspect.h"
#include "lib/gradient.h"
#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct row {
    const char *spec, *axes, *without;
    int differences; /* 1: small enough for central differences */
    uint32_t dtype;
} row;

static const row rows[] = {
    {"norm/rms(eps=0.01)", "x=3,M=5", "", 1, 0},
    {"norm/rms", "x=2x7,M=64", "residual", 0, 0},
    {"norm/rms(offset=1)", "x=700,M=33", "", 0, 0},
    {"norm/rms", "x=5,M=130", "gain", 0, HEED_BF16},
    {"norm/layer(eps=0.01)", "x=3,M=5", "", 1, 0},
    {"norm/layer", "x=2x7,M=64", "residual,sum", 0, 0},
    {"norm/layer(offset=1)", "x=700,M=33", "bias", 0, 0},
    {"norm/layer", "x=5,M=130", "gain", 0, HEED_F16},
    {"residual/add(alpha=1.5)", "x=3,M=7", "", 1, 0},
    {"residual/add", "x=2x9,M=48", "", 0, 0},
    {"embed/table(scale=3)", "x=4,V=5,M=3", "", 1, 0},
    {"embed/table", "x=2x70,V=9,M=70", "", 0, 0},
    {"loss/cross_entropy", "x=3,V=5", "", 1, 0},
    {"loss/cross_entropy", "x=2x9,V=300", "", 0, 0},
    {"position/rope", "B=2,T=3,H=2,D=6", "", 1, 0},
    {"position/rope(pairs=half,width=34)", "B=2,T=19,H=3,D=40", "positions", 0, 0},
    {"linear/projection", "x=3,M=4,N=5", "", 1, 0},
    {"linear/projection", "x=5x7,M=65,N=17", "bias", 0, 0},
    {"linear/projection", "x=1100,M=20,N=130", "", 0, 0},
    {"linear/projection", "x=40,M=33,N=18", "", 0, HEED_BF16},
    {"feedforward/relu", "x=3,M=4,F=5", "", 1, 0},
    {"feedforward/relu(squared=true)", "x=70,M=18,F=35", "down_bias", 0, 0},
    {"feedforward/gelu", "x=3,M=4,F=5", "", 1, 0},
    {"feedforward/gelu(approximate=tanh)", "x=300,M=17,F=66", "up_bias", 0, 0},
    {"feedforward/geglu", "x=3,M=4,F=5", "", 1, 0},
    {"feedforward/geglu(approximate=tanh)", "x=33,M=17,F=18", "gate_bias,up_bias,down_bias", 0, 0},
    {"feedforward/swiglu", "x=3,M=4,F=5", "", 1, 0},
    {"feedforward/swiglu", "x=300,M=40,F=100", "gate_bias,up_bias,down_bias", 0, 0},
    {"attention/softmax", "B=1,T=3,S=4,H=2,G=1,D=3,E=2", "key_lengths", 1, 0},
    {"attention/softmax(causal=true,softcap=2)", "B=2,T=4,S=4,H=2,G=2,D=3,E=5", "", 1, 0},
    {"attention/softmax(causal=true)", "B=1,T=200,S=200,H=2,G=1,D=16,E=24", "key_lengths", 0, 0},
    {"attention/softmax(causal=true)", "B=2,T=131,S=131,H=4,G=4,D=64,E=64", "key_lengths", 0, 0},
    {"attention/softmax(causal=bottom_right,window=33,sinks=1)",
     "B=1,T=150,S=170,H=2,G=2,D=24,E=17", "", 0, 0},
    {"attention/softmax", "B=1,T=60,S=99,H=2,G=2,D=8,E=8", "+bias", 0, 0},
    {"attention/softmax(softcap=3,position=alibi)", "B=1,T=70,S=70,H=4,G=2,D=33,E=16", "+documents",
     0, 0},
    {"attention/softmax(scale=0.3)", "B=1,T=20,S=40,H=3,G=3,D=48,E=16", "+sink_logits", 0,
     HEED_BF16},
    {"attention/window(left=40,sinks=3)", "B=1,T=230,S=230,H=2,G=1,D=16,E=16", "key_lengths", 0, 0},
    {"attention/linear", "B=1,T=3,S=4,H=2,G=1,D=3,E=2", "", 1, 0},
    {"attention/linear(causal=true)", "B=2,T=4,S=4,H=2,G=2,D=3,E=2", "key_lengths", 1, 0},
    {"attention/linear(causal=bottom_right,features=dpfp,nu=2)", "B=1,T=3,S=5,H=1,G=1,D=2,E=3",
     "key_lengths", 1, 0},
    {"attention/linear(causal=true)", "B=2,T=330,S=330,H=4,G=2,D=20,E=40", "", 0, 0},
    {"attention/linear(causal=bottom_right,features=identity,normalise=false)",
     "B=1,T=70,S=110,H=2,G=2,D=33,E=48", "key_lengths", 0, HEED_BF16},
    {"attention/linear(features=relu)", "B=1,T=70,S=90,H=3,G=1,D=16,E=17", "", 0, 0},
    {"attention/retention(causal=true)", "B=1,T=4,S=4,H=2,G=1,D=3,E=2", "key_lengths", 1, 0},
    {"attention/retention(causal=true,gate=sigmoid)", "B=1,T=4,S=4,H=2,G=1,D=3,E=2", "+gate", 1, 0},
    {"attention/retention(causal=true)", "B=1,T=300,S=300,H=4,G=2,D=24,E=33", "key_lengths,+gate",
     0, 0},
    {"attention/fast_weight(causal=true)", "B=1,T=4,S=4,H=2,G=1,D=3,E=2", "+beta", 1, 0},
    {"attention/fast_weight(causal=true,rule=sum,read=before,eta=0.5,features=elu)",
     "B=1,T=4,S=4,H=1,G=1,D=3,E=2", "key_lengths,+beta", 1, 0},
    {"attention/fast_weight(features=identity,eta=0.1)", "B=1,T=40,S=70,H=2,G=2,D=8,E=8", "", 0, 0},
    {"attention/fast_weight(causal=true,read=before)", "B=2,T=130,S=130,H=2,G=1,D=12,E=40",
     "key_lengths,+beta", 0, 0},
    {"attention/gated_delta(causal=true,gate=softplus)", "B=2,T=4,S=4,H=2,G=1,D=3,E=2",
     "+beta,+gate,+a_log,+dt_bias", 1, 0},
    {"attention/gated_delta(causal=true,beta=given,normalise_qk=false,scale=2)",
     "B=1,T=3,S=3,H=1,G=1,D=2,E=2", "key_lengths,+beta,+gate", 1, 0},
    {"attention/gated_delta(causal=true)", "B=1,T=290,S=290,H=4,G=2,D=32,E=35",
     "key_lengths,+beta,+gate", 0, 0},
    {"attention/performer(causal=true,features=7)", "B=1,T=5,S=5,H=2,G=1,D=4,E=3", "", 1, 0},
    {"attention/performer(kernel=hyperbolic)", "B=1,T=3,S=4,H=1,G=1,D=3,E=2,P=3", "+projection", 1,
     0},
    {"attention/performer(kernel=relu,features=40)", "B=1,T=40,S=40,H=2,G=1,D=10,E=20", "", 0, 0},
    {"attention/performer(causal=true,features=64)", "B=1,T=140,S=140,H=2,G=2,D=16,E=20",
     "key_lengths", 0, 0},
    {"attention/lightweight_conv(causal=true)", "B=2,T=4,H=2,E=3,K=3", "", 1, 0},
    {"attention/lightweight_conv", "B=1,T=300,H=3,E=20,K=5", "key_lengths,+gate,+offset", 0, 0},
    {"attention/lightweight_conv(softmax=false)", "B=2,T=5,H=1,E=2,K=4", "key_lengths,+offset", 1,
     0},
    {"attention/dynamic_conv", "B=2,T=4,H=2,E=2,K=3", "+gate,+generator,+generator_offset", 1, 0},
    {"attention/dynamic_conv(causal=true)", "B=1,T=4,H=2,E=3,K=2", "+taps,+offset", 1, 0},
    {"attention/dynamic_conv(causal=true)", "B=1,T=280,H=2,E=24,K=7",
     "key_lengths,+generator,+offset", 0, 0},
    {"norm/batch(eps=0.01)", "x=3,M=5", "", 1, 0},
    {"norm/batch(statistics=batch,eps=0.01)", "x=4,M=3", "mean,variance", 1, 0},
    {"norm/batch(statistics=batch)", "x=2x150,M=70", "gain,mean,variance", 0, HEED_BF16},
    {"activation/softcap(cap=2)", "x=3,M=7", "", 1, 0},
    {"position/learned(offset=1)", "B=2,T=3,M=5,C=5", "positions", 1, 0},
    {"position/learned", "B=2,T=40,M=70,C=40", "", 0, 0},
    {"position/sinusoidal", "B=2,T=3,M=20", "", 1, 0},
    {"attention/softmax(softcap=2)", "B=2,T=4,S=5,H=2,G=1,D=4,E=3", "+bias,+sink_logits", 1, 0},
    {"attention/softmax(causal=true,softcap=4)", "B=2,T=70,S=70,H=4,G=2,D=16,E=16",
     "key_lengths,+bias:BT,+sink_logits", 0, 0},
    {"attention/adaptive_span(limit=4,ramp=2)", "B=1,T=6,S=6,H=2,G=1,D=3,E=2", "key_lengths", 1, 0},
    {"attention/adaptive_span(limit=60,ramp=20)", "B=2,T=130,S=130,H=4,G=2,D=16,E=24", "", 0, 0},
    {"attention/adaptive_span(limit=300,ramp=30,distance=code,self=true)",
     "B=1,T=200,S=200,H=2,G=2,D=16,E=16", "key_lengths,+sink_logits", 0, 0},
    {"attention/dynamic_span(limit=4,ramp=3)", "B=1,T=5,S=5,H=2,G=2,D=3,E=2,M=4", "", 1, 0},
    {"attention/dynamic_span(limit=90,ramp=40)", "B=2,T=140,S=140,H=2,G=1,D=16,E=16,M=20",
     "key_lengths", 0, 0},
    {"attention/synthesizer_random", "B=2,T=3,H=2,G=1,E=2,C=4", "+table", 1, 0},
    {"attention/synthesizer_random(causal=true)", "B=3,T=110,H=3,G=3,E=20,C=120", "+table", 0, 0},
    {"attention/synthesizer_factorized_random(causal=true)", "B=2,T=4,H=2,G=1,E=2,C=5,J=3",
     "key_lengths,+rows,+columns", 1, 0},
    {"attention/synthesizer_factorized_random", "B=2,T=120,H=4,G=2,E=24,C=130,J=20",
     "+rows,+columns", 0, 0},
    {"attention/synthesizer_dense", "B=2,T=3,H=2,G=1,D=3,E=2,C=4,W=2", "+offset", 1, 0},
    {"attention/synthesizer_dense(causal=true)", "B=1,T=4,H=2,G=2,D=3,E=2,C=4,W=1",
     "key_lengths,+offset", 1, 0},
    {"attention/synthesizer_dense(causal=true)", "B=3,T=130,H=4,G=2,D=20,E=16,C=140,W=4", "+offset",
     0, 0},
    {"attention/gau(causal=true)", "B=2,T=4,H=2,D=3,E=2", "+q_gain,+q_offset,+k_gain,+k_offset", 1,
     0},
    {"attention/gau(scale=width)", "B=1,T=130,H=2,D=24,E=40", "+q_gain,+k_offset", 0, 0},
    {"attention/linformer", "B=2,T=3,S=4,H=2,G=2,D=3,E=2,J=2,C=5,W=2", "", 1, 0},
    {"attention/linformer", "B=1,T=3,S=4,H=2,G=1,D=3,E=2,J=3,C=4,W=1", "+f", 1, 0},
    {"attention/linformer", "B=2,T=70,S=150,H=4,G=2,D=20,E=24,J=30,C=160,W=1", "key_lengths", 0, 0},
    {"attention/sparse(stride=2,causal=true)", "B=1,T=5,S=5,H=2,G=1,D=3,E=2", "key_lengths", 1, 0},
    {"attention/sparse(stride=11,causal=true)", "B=2,T=150,S=150,H=4,G=2,D=16,E=24", "+sink_logits",
     0, 0},
    {"attention/sparse(pattern=fixed,stride=12,columns=3,sets=2)",
     "B=1,T=140,S=140,H=4,G=2,D=16,E=16", "", 0, 0},
    {"attention/shaw", "B=2,T=3,S=4,H=2,G=1,D=3,E=2,R=5", "key_lengths", 1, 0},
    {"attention/shaw(causal=true)", "B=1,T=5,S=5,H=2,G=2,D=3,E=2,R=5",
     "key_lengths,+relative_values,+bias,+sink_logits", 1, 0},
    {"attention/shaw(causal=bottom_right,position=alibi)", "B=1,T=60,S=170,H=4,G=2,D=20,E=33,R=41",
     "+relative_values,+documents", 0, 0},
    {"attention/shaw(window=70)", "B=2,T=130,S=130,H=4,G=4,D=16,E=24,R=301", "+relative_values", 0,
     HEED_BF16},
    {"attention/transformer_xl(causal=bottom_right,memory=4)", "B=2,T=3,S=5,H=2,G=2,D=3,E=2,M=4",
     "", 1, 0},
    {"attention/transformer_xl(memory=3,same_length=true,clamp=2,encoding=interleaved)",
     "B=1,T=6,S=6,H=1,G=1,D=4,E=3,M=6", "key_lengths,+sink_logits", 1, 0},
    {"attention/transformer_xl(causal=bottom_right,memory=150)",
     "B=1,T=130,S=280,H=3,G=3,D=16,E=24,M=30", "key_lengths", 0, 0},
    {"attention/transformer_xl(memory=100,same_length=true,clamp=70)",
     "B=3,T=200,S=200,H=4,G=4,D=20,E=16,M=16", "", 0, 0},
    {"attention/flash_linear(chunk=3,causal=true)", "B=2,T=8,H=1,D=3,E=2",
     "+q_gain,+q_offset,+k_gain,+k_offset,+linear_q_gain,+linear_q_offset,+linear_k_gain,"
     "+linear_k_offset",
     1, 0},
    {"attention/flash_linear(chunk=2)", "B=1,T=5,H=2,D=2,E=3", "key_lengths,+linear_k_gain", 1, 0},
    {"attention/flash_linear(chunk=64,causal=true)", "B=1,T=300,H=2,D=20,E=40",
     "key_lengths,+q_gain,+linear_q_offset", 0, 0},
    {"attention/flash_linear(chunk=50)", "B=2,T=170,H=1,D=32,E=33", "+k_offset,+linear_k_gain", 0,
     HEED_BF16},
    {"attention/adaptive_span(limit=4,ramp=30)", "B=1,T=7,S=7,H=2,G=1,D=3,E=2",
     "key_lengths,+distance_table", 1, 0},
    {"attention/adaptive_span(limit=150,ramp=20)", "B=2,T=130,S=130,H=4,G=2,D=16,E=24",
     "+distance_table,+sink_logits", 0, 0},
    {"attention/dynamic_span(limit=40,ramp=30)", "B=1,T=200,S=200,H=2,G=1,D=20,E=16,M=20",
     "key_lengths,+distance_table", 0, 0},
    {"attention/synthesizer_factorized_dense", "B=2,T=4,H=2,G=1,D=3,E=2,A=2,U=2,W=2", "", 1, 0},
    {"attention/synthesizer_factorized_dense(causal=true)",
     "B=2,T=130,H=4,G=2,D=6,E=16,A=12,U=11,W=1", "key_lengths", 0, 0},
    {"activation/gate", "x=3,M=19", "+x", 1, 0},
    {"activation/gate(function=silu)", "x=3,M=7", "+x", 1, 0},
    {"activation/gate", "x=3,M=7", "", 1, 0},
};

/* A backward of the row on a path, gradients in a layout; they are in `to`, whose shapes are those
 * of `like`. */
static void run(const call *c, const char *path, uint32_t threads, int layout,
                heed_tensor out[ORACLE_PORTS], const heed_tensor *like,
                heed_tensor to[ORACLE_PORTS])
{
    heed_error e;
    placed at[ORACLE_PORTS] = {0};
    heed_tensor views[ORACLE_PORTS] = {0};
    gradients_like(c, like, 0.5, to);
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        if (to[p].data) {
            at[p] = place(&to[p], layout);
            views[p] = at[p].view;
            tensor_copy(&views[p], &to[p]);
        }
    heed_instance *i = call_open(c, path, threads);
    if (gradients_run(c, i, out, views, &e)) fail_msg("%s: %s", c->how->spec, e.text);
    heed_instance_close(i);
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        if (to[p].data) {
            tensor_copy(&to[p], &views[p]);
            const int64_t stray = placed_stray(&at[p]);
            if (stray >= 0)
                fail_msg("%s: writes beside the gradient of %s, byte %lld", c->how->spec,
                         c->port[p], (long long)stray);
            unplace(&at[p]);
        }
}

/* The chain rule's gradients, in double and float; of weights, 0.5 more. */
typedef struct rule {
    double *d[ORACLE_PORTS];
    float *f[ORACLE_PORTS];
} rule;
static void rule_make(const call *c, const heed_tensor *g, rule *r)
{
    memset(r, 0, sizeof *r);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const int64_t n = g[p].data ? heed_tensor_elements(&g[p]) : 0;
        if (!g[p].data) continue;
        r->d[p] = calloc((size_t)n + 1, sizeof(double)),
        r->f[p] = calloc((size_t)n + 1, sizeof(float));
        for (int64_t i = 0; gradient_comes(c, p) && i < n; i++)
            r->f[p][i] = (float)(r->d[p][i] = tensor_get(&g[p], i));
    }
    const oracle_gradient *o = oracle_gradient_find(c->op->id);
    if (!o) fail_msg("%s has no rule", c->op->id);
    o->f64(&c->oracle, r->d);
    o->f32(&c->oracle, r->f);
}
static void rule_free(rule *r)
{
    for (int p = 0; p < ORACLE_PORTS; p++) free(r->d[p]), free(r->f[p]);
}

/* Within 4 times the naive loop's largest error, taken as half a unit of the largest element at
 * least, and one unit. */
static void judge(const call *c, const rule *r, const heed_tensor *is)
{
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const int weight = ((const heed_port *)c->op->ports.data + p)->role == HEED_WEIGHT;
        const int64_t n = is[p].data && !gradient_comes(c, p) ? heed_tensor_elements(&is[p]) : 0;
        double naive = 0, most = 0, worst = 0;
        for (int64_t i = 0; i < n; i++) {
            naive = fmax(naive, fabs((double)r->f[p][i] - r->d[p][i]));
            most = fmax(most, fabs(r->d[p][i]) + (weight ? 0.5 : 0));
        }
        const double unit = most * 0x1p-23, bound = 4 * fmax(naive, unit / 2) + unit;
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(tensor_get(&is[p], i) - r->d[p][i] - (weight ? 0.5 : 0)));
        if (!(worst <= bound))
            fail_msg("%s [%s]: the gradient of %s is off by %.3g, %.3g times its bound",
                     c->how->spec, c->how->axes, c->port[p], worst, worst / bound);
    }
}

/* Every element of every gradient of the rule is the slope of the oracle. */
static void differ(call *c, const rule *r, const heed_tensor *g)
{
    const heed_oracle *oracle = call_oracle(c);
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        for (int64_t i = 0; g[p].data && !gradient_comes(c, p) && i < heed_tensor_elements(&g[p]);
             i++) {
            const double former = c->d[p][i], h = 1e-5;
            double slope = 0, size = 1;
            for (int turn = 0; turn < 2; turn++) {
                c->d[p][i] = former + (turn ? -h : h);
                oracle->f64(&c->oracle);
                for (uint32_t o = 0; o < c->op->ports.count; o++)
                    for (int64_t k = 0;
                         g[o].data && gradient_comes(c, o) && k < heed_tensor_elements(&g[o]); k++)
                        if (isfinite(c->d[o][k]))
                            slope += (turn ? -1 : 1) * c->d[o][k] * r->d[o][k] / (2 * h);
            }
            c->d[p][i] = former;
            size += fabs(r->d[p][i]);
            if (!(fabs(slope - r->d[p][i]) <= 1e-8 * size))
                fail_msg(
                    "%s [%s]: the rule's gradient of element %lld of %s is %.12g, but the slope "
                    "is %.12g",
                    c->how->spec, c->how->axes, (long long)i, c->port[p], r->d[p][i], slope);
        }
}

static void test_row(const row *r, uint64_t seed)
{
    static const uint32_t threads[] = {1, 2, 3, 7};
    const call_case how = {r->spec, r->axes, r->without, r->dtype, 1, seed};
    const char *paths[8];
    heed_tensor out[ORACLE_PORTS], like[ORACLE_PORTS], first[ORACLE_PORTS], other[ORACLE_PORTS];
    call c;
    rule right;
    call_make(&c, &how);
    const int n = harness_paths(c.op->id, paths);
    call_run(&c, paths[0], 1, PLAIN, out);
    heed_instance *i = call_open(&c, paths[0], 1);
    if (!call_grad(i)) fail_msg("%s has no backward", r->spec);
    gradients_make(&c, call_grad(i), seed, like);
    heed_instance_close(i);
    run(&c, paths[0], 1, PLAIN, out, like, first);
    rule_make(&c, like, &right);
    if (r->differences) differ(&c, &right, like);
    judge(&c, &right, first);
    for (int p = 0; p < n; p++)
        for (int t = harness_quick() ? 2 : 0; t < 4; t++) {
            run(&c, paths[p], threads[t], (p + t) % LAYOUTS, out, like, other);
            for (uint32_t k = 0; k < c.op->ports.count; k++)
                if (first[k].data && !tensors_equal(&first[k], &other[k]))
                    fail_msg("%s [%s]: %s with %u threads: other bits: %s", r->spec, r->axes,
                             paths[p], threads[t],
                             tensors_difference(c.port[k], &other[k], &first[k]));
            outputs_free(other);
        }
    rule_free(&right);
    outputs_free(first);
    outputs_free(like);
    outputs_free(out);
    call_free(&c);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(rows); k++)
        if (rows[k].differences || !harness_skips(k, 3)) test_row(&rows[k], 40 + k);
}

/* ---- memory ---- */

static int32_t one_lane(const heed_host *host, int64_t tiles, heed_tile_fn fn, void *arg)
{
    (void)host;
    for (int64_t i = 0; i < tiles; i++) fn(arg, i, 0);
    return HEED_OK;
}

static placed bytes_of(uint64_t n)
{
    const heed_tensor t = heed_tensor_of(NULL, HEED_U8, 1, (int64_t[]){(int64_t)n});
    return place(&t, PLAIN);
}

/* Without the engine: workspace and scratch have the bytes that were measured, end at a page that can
 * not be touched, and hold other numbers than zeros at first. */
static void exact(const call *c, const heed_instance *i, heed_tensor out[ORACLE_PORTS],
                  heed_tensor g[ORACLE_PORTS])
{
    heed_error e;
    heed_binding in[ORACLE_PORTS], from[ORACLE_PORTS];
    heed_tensor once[ORACLE_PORTS];
    const heed_tensor *weight[ORACLE_PORTS] = {0}, *gradient[ORACLE_PORTS] = {0};
    call_once(c, c->plain, once);
    const uint32_t n_in = call_bindings(c, HEED_INPUT, once, in),
                   n_out = call_bindings(c, HEED_OUTPUT, out, from);
    heed_call *bound = inspect_call(i, in, n_in, from, n_out, &e);
    if (!bound) fail_msg("%s", e.text);
    heed_host host = *bound->host;
    host.parallel_for = one_lane;
    bound->host = &host, bound->lanes = 1;
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        if (c->plain[p].data) weight[p] = &c->plain[p];
        if (g[p].data) gradient[p] = &g[p];
    }
    const heed_grad_call call = {sizeof call, 0,        bound, inspect_child(i, 0),
                                 weight,      gradient, NULL};
    heed_call_size size = {.size = sizeof size};
    const heed_grad *grad = call_grad(i);
    if (grad->measure && grad->measure(inspect_memory(i), &call, &size)) fail_msg("measure fails");
    placed workspace = bytes_of(size.workspace), scratch = bytes_of(size.scratch);
    bound->workspace = workspace.view.data, bound->scratch = scratch.view.data;
    assert_int_equal(grad->backward(inspect_memory(i), &call), 0);
    unplace(&workspace), unplace(&scratch);
    inspect_call_free(bound);
}

static void test_memory(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(rows); k++) {
        const row *r = &rows[k];
        if (!r->differences && harness_skips(k, 3)) continue;
        const call_case how = {r->spec, r->axes, r->without, r->dtype, 1, 40 + k};
        heed_tensor out[ORACLE_PORTS], like[ORACLE_PORTS], first[ORACLE_PORTS], other[ORACLE_PORTS];
        call c;
        call_make(&c, &how);
        call_run(&c, NULL, 1, PLAIN, out);
        heed_instance *i = call_open(&c, NULL, 1);
        gradients_make(&c, call_grad(i), 40 + k, like);
        run(&c, NULL, 1, PLAIN, out, like, first);
        gradients_like(&c, like, 0.5, other);
        exact(&c, i, out, other);
        for (uint32_t p = 0; p < c.op->ports.count; p++)
            if (first[p].data && !tensors_equal(&first[p], &other[p]))
                fail_msg("%s [%s]: %s depends on what memory holds", r->spec, r->axes, c.port[p]);
        heed_instance_close(i);
        outputs_free(out), outputs_free(like), outputs_free(first), outputs_free(other);
        call_free(&c);
    }
}

/* ---- attention ---- */

/* The gradients of a call as it is, on the best path. */
static void gradients_of(const call *c, const heed_tensor *like, heed_tensor to[ORACLE_PORTS])
{
    heed_tensor out[ORACLE_PORTS];
    call_run(c, NULL, 2, PLAIN, out);
    run(c, NULL, 2, PLAIN, out, like, to);
    outputs_free(out);
}

static void make_like(const call *c, uint64_t seed, heed_tensor to[ORACLE_PORTS])
{
    heed_instance *i = call_open(c, NULL, 1);
    gradients_make(c, call_grad(i), seed, to);
    heed_instance_close(i);
}

/* Many groups take one schedule and few the other: a sequence of the batch alone has the same
 * bits. */
static void test_schedules(void **state)
{
    (void)state;
    static const call_case both = {"attention/softmax(causal=true,softcap=9)",
                                   "B=2,T=130,S=130,H=8,G=4,D=40,E=24",
                                   "key_lengths",
                                   0,
                                   1,
                                   3},
                           one = {"attention/softmax(causal=true,softcap=9)",
                                  "B=1,T=130,S=130,H=8,G=4,D=40,E=24",
                                  "key_lengths",
                                  0,
                                  1,
                                  3};
    heed_tensor like[ORACLE_PORTS], like_one[ORACLE_PORTS], g[ORACLE_PORTS], g_one[ORACLE_PORTS];
    call c, alone;
    call_make(&c, &both), call_make(&alone, &one);
    make_like(&c, 9, like), make_like(&alone, 9, like_one);
    for (uint32_t p = 0; p < c.op->ports.count; p++) {
        if (!c.plain[p].data) continue;
        heed_tensor from = tensor_slice(&c.plain[p], 0, 1, 1), d = tensor_slice(&like[p], 0, 1, 1);
        if (!gradient_comes(&c, p)) tensor_copy(&alone.plain[p], &from);
        else tensor_copy(&like_one[p], &d);
    }
    gradients_of(&c, like, g), gradients_of(&alone, like_one, g_one);
    for (uint32_t p = 0; p < c.op->ports.count; p++) {
        if (!g[p].data || gradient_comes(&c, p)) continue;
        heed_tensor part = tensor_slice(&g[p], 0, 1, 1);
        if (!tensors_equal(&part, &g_one[p]))
            fail_msg("%s: %s", c.port[p], tensors_difference(c.port[p], &g_one[p], &part));
    }
    outputs_free(g), outputs_free(g_one), outputs_free(like), outputs_free(like_one);
    call_free(&c), call_free(&alone);
}

/* Keys that nobody sees have gradients of exactly 0, and NaNs in them change no bit. */
static void test_masked(void **state)
{
    (void)state;
    static const char *const specs[] = {"attention/softmax", "attention/softmax(causal=true)",
                                        "attention/softmax(window=9)", "attention/window(left=20)"};
    for (size_t k = 0; k < COUNT(specs); k++) {
        const call_case how = {specs[k], "B=1,T=40,S=70,H=4,G=2,D=17,E=20", "", 0, 1, 5 + k};
        heed_tensor like[ORACLE_PORTS], g[ORACLE_PORTS], nan[ORACLE_PORTS];
        call c;
        call_make(&c, &how);
        tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 50);
        call_update(&c);
        make_like(&c, 9, like);
        gradients_of(&c, like, g);
        for (int v = 0; v < 2; v++) {
            const int p = call_port(&c, v ? "v" : "k");
            heed_tensor unseen = tensor_slice(&c.plain[p], 1, 50, 20),
                        zero = tensor_slice(&g[p], 1, 50, 20);
            for (int64_t i = 0; i < heed_tensor_elements(&unseen); i++) {
                if (*(float *)(void *)tensor_at(&zero, i) != 0)
                    fail_msg("%s: the gradient of a masked key is not 0", specs[k]);
                *(float *)(void *)tensor_at(&unseen, i) = NAN;
            }
        }
        gradients_of(&c, like, nan);
        for (uint32_t p = 0; p < c.op->ports.count; p++)
            if (g[p].data && !tensors_equal(&g[p], &nan[p]))
                fail_msg("%s: a NaN behind the mask is seen: %s", specs[k],
                         tensors_difference(c.port[p], &nan[p], &g[p]));
        outputs_free(nan), outputs_free(g), outputs_free(like);
        call_free(&c);
    }
}

/* ---- weights of an op inside ---- */

/* T5's bucket of a key so far behind its query (arXiv 1910.10683, section 2.1), of 32. */
static int64_t bucket_of(int64_t n)
{
    const int64_t first = n < 0 ? 16 : 0;
    n = n < 0 ? -n : n;
    if (n < 8) return first + n;
    const int64_t far = 8 + (int64_t)(8 * log((double)n / 8) / log(128.0 / 8));
    return first + (far < 15 ? far : 15);
}

/* Two calls alike: one with a bias that has the numbers of T5's table, one with the table. Where the
 * latter is sparse with a stride, the former's bias masks what that pattern does. */
typedef struct inner {
    char spec[2][200], ports[2][100];
    call_case how[2];
    call c[2];
    heed_tensor like[2][ORACLE_PORTS];
    int bias, table;
} inner;

static void inner_make(inner *x, const char *op, int stride, const char *axes, const char *others,
                       uint64_t seed)
{
    for (int with = 0; with < 2; with++) {
        snprintf(x->spec[with], sizeof x->spec[with], "%s%s)",
                 stride && !with ? "attention/softmax(causal=true" : op,
                 with ? ",position=t5" : "");
        snprintf(x->ports[with], sizeof x->ports[with], "key_lengths%s%s", others,
                 with ? "" : ",+bias");
        x->how[with] = (call_case){x->spec[with], axes, x->ports[with], 0, 1, seed};
        call_make(&x->c[with], &x->how[with]);
    }
    x->bias = call_port(&x->c[0], "bias"), x->table = call_port(&x->c[1], "position.table");
    heed_tensor *bias = &x->c[0].plain[x->bias];
    const heed_tensor *t5 = &x->c[1].plain[x->table];
    const int64_t H = t5->dim[1], T = bias->dim[2], S = bias->dim[3];
    for (uint32_t p = 0; p < x->c[0].op->ports.count; p++)
        if ((int)p != x->bias && x->c[0].plain[p].data && !gradient_comes(&x->c[0], p))
            tensor_copy(&x->c[1].plain[p], &x->c[0].plain[p]);
    for (int64_t i = 0; i < heed_tensor_elements(bias); i++) {
        const int64_t behind = i / S % T - i % S;
        const int masked = stride && behind > stride && behind % stride;
        tensor_put(bias, i,
                   masked ? -INFINITY : tensor_get(t5, bucket_of(behind) * H + i / S / T % H));
    }
    for (int with = 0; with < 2; with++) {
        call_update(&x->c[with]);
        make_like(&x->c[with], seed, x->like[with]);
    }
}

/* The table's gradient on a path, added to 0.5. */
static void inner_run(const inner *x, const char *path, uint32_t threads, heed_tensor *table)
{
    const call *c = &x->c[1];
    heed_tensor out[ORACLE_PORTS], to[ORACLE_PORTS];
    heed_error e;
    heed_instance *i = call_open(c, path, threads);
    call_run(c, path, 1, PLAIN, out);
    gradients_like(c, x->like[1], 0, to);
    for (int64_t k = 0; k < heed_tensor_elements(table); k++) tensor_put(table, k, 0.5);
    to[x->table] = *table;
    if (gradients_run(c, i, out, to, &e)) fail_msg("%s: %s", x->spec[1], e.text);
    to[x->table].data = NULL;
    heed_instance_close(i);
    outputs_free(out), outputs_free(to);
}

/* The gradient of T5's table is that of the bias, summed by bucket. */
static void inner_judge(const inner *x, const heed_tensor *table)
{
    heed_tensor g[ORACLE_PORTS];
    const int64_t n = heed_tensor_elements(table), H = table->dim[1];
    double *right = calloc((size_t)(2 * n), sizeof *right), *size = right + n;
    gradients_of(&x->c[0], x->like[0], g);
    const heed_tensor *d = &g[x->bias];
    for (int64_t i = 0; i < heed_tensor_elements(d); i++) {
        const int64_t t = i / d->dim[3] % d->dim[2], h = i / d->dim[3] / d->dim[2] % H,
                      at = bucket_of(t - i % d->dim[3]) * H + h;
        right[at] += tensor_get(d, i), size[at] += fabs(tensor_get(d, i));
    }
    for (int64_t k = 0; k < n; k++)
        if (!(fabs(tensor_get(table, k) - 0.5 - right[k]) <= 1e-6 * (1 + size[k])))
            fail_msg("%s: element %lld of the table's gradient is %.9g, not %.9g", x->spec[1],
                     (long long)k, tensor_get(table, k) - 0.5, right[k]);
    free(right);
    outputs_free(g);
}

static void compare_inner(const char *op, int stride, const char *axes, const char *others,
                          uint64_t seed)
{
    static const uint32_t threads[] = {1, 2, 3};
    const char *paths[8];
    inner x;
    inner_make(&x, op, stride, axes, others, seed);
    heed_tensor first = heed_tensor_of(NULL, HEED_F32, 2, x.c[1].plain[x.table].dim), again = first;
    if (heed_tensor_alloc(&first, NULL) || heed_tensor_alloc(&again, NULL)) fail_msg("no memory");
    const int n = harness_paths(x.c[1].op->id, paths);
    inner_run(&x, paths[0], 1, &first);
    inner_judge(&x, &first);
    for (int k = 1; k < 3 * n; k++) {
        inner_run(&x, paths[k / 3], threads[k % 3], &again);
        if (!tensors_equal(&first, &again))
            fail_msg("%s on %s, %u threads: %s", x.spec[1], paths[k / 3], threads[k % 3],
                     tensors_difference("position.table", &again, &first));
    }
    free(first.data), free(again.data);
    for (int with = 0; with < 2; with++) outputs_free(x.like[with]), call_free(&x.c[with]);
}

static void test_inner(void **state)
{
    (void)state;
    compare_inner("attention/softmax(causal=true", 0, "B=2,T=200,S=200,H=4,G=4,D=16,E=8", "", 3);
    compare_inner("attention/softmax(scale=1", 0, "B=1,T=150,S=110,H=4,G=2,D=8,E=16", "", 5);
    compare_inner("attention/window(left=30", 0, "B=1,T=100,S=100,H=2,G=1,D=16,E=16", "", 7);
    compare_inner("attention/shaw(causal=true", 0, "B=2,T=70,S=70,H=4,G=2,D=8,E=8,R=9",
                  ",+relative_values", 9);
    compare_inner("attention/sparse(stride=7,causal=true", 7, "B=1,T=150,S=150,H=4,G=2,D=8,E=16",
                  "", 11);
    compare_inner("attention/sparse(stride=60,causal=true", 60, "B=2,T=170,S=170,H=4,G=4,D=8,E=8",
                  "", 13);
    compare_inner("attention/sparse(pattern=fixed,stride=1,columns=1,causal=true", 1,
                  "B=1,T=110,S=110,H=2,G=2,D=8,E=8", "", 15);
}

/* ---- the loss ---- */

static void test_skipped(void **state)
{
    (void)state;
    static const call_case how = {"loss/cross_entropy", "x=6,V=40", "", 0, 1, 3};
    heed_tensor like[ORACLE_PORTS], g[ORACLE_PORTS], out[ORACLE_PORTS];
    call c;
    call_make(&c, &how);
    tensor_put(&c.plain[call_port(&c, "targets")], 2, -100);
    call_update(&c);
    call_run(&c, NULL, 1, PLAIN, out);
    assert_true(tensor_get(&out[call_port(&c, "nll")], 2) == 0);
    assert_true(call_judge(&c, out) <= 1);
    outputs_free(out);
    make_like(&c, 9, like);
    tensor_put(&like[call_port(&c, "nll")], 2, NAN);
    gradients_of(&c, like, g);
    for (int64_t i = 0; i < 40; i++)
        assert_true(tensor_get(&g[call_port(&c, "logits")], 2 * 40 + i) == 0);
    outputs_free(g), outputs_free(like);
    call_free(&c);
}

/* ---- what is refused ---- */

static heed_tensor some(uint32_t dtype, int rank, int64_t a, int64_t b)
{
    heed_tensor t = heed_tensor_of(NULL, dtype, rank, (int64_t[]){a, b});
    if (heed_tensor_alloc(&t, NULL)) fail_msg("no memory");
    return t;
}

static void test_refused(void **state)
{
    (void)state;
    heed_error e;
    heed_engine *engine = harness_engine(1);
    heed_tensor x = some(HEED_F32, 2, 3, 4), out = some(HEED_F32, 2, 3, 4),
                d = some(HEED_F32, 2, 3, 4), dx = some(HEED_F32, 2, 3, 4),
                wide = some(HEED_F32, 2, 3, 5), half = some(HEED_F16, 2, 3, 4),
                flat = some(HEED_F32, 1, 12, 0);
    heed_binding in[] = {{"x", &x}}, outs[] = {{"out", &out}};
    const struct {
        heed_binding g[2];
        const char *words;
    } cases[] = {
        {{{"out", &d}, {"x", &wide}}, "the gradient of x is 5 along axis 1, not 4"},
        {{{"out", &d}, {"x", &half}}, "the gradient of x has dtype f16; gradients are f32"},
        {{{"out", &flat}, {"x", &dx}}, "the gradient of out has 1 axes, not 2"},
        {{{"out", &d}, {"gain", &dx}},
         "the gradient of gain is asked for, but the call is without it"},
        {{{"out", &d}, {"y", &dx}},
         "has no gradient of \"y\"; it gives those of x, residual, gain from "
         "those of out, sum"},
        {{{"out", &d}, {"out", &dx}}, "the gradient of out is bound twice"},
        {{{"out", &d}, {"x", &d}}, "the gradient of x shares memory with the gradient of out"},
        {{{"out", &d}, {"x", &x}}, "the gradient of x shares memory with x"},
        {{{"x", &dx}, {"residual", NULL}},
         "no gradient comes: that of one of its outputs must be there"},
    };
    heed_instance *i = heed_instance_open(engine, "norm/rms", NULL, &e);
    assert_non_null(i);
    assert_int_equal(heed_run(i, in, 1, outs, 1, NULL, &e), 0);
    for (size_t k = 0; k < COUNT(cases); k++) {
        if (!heed_backward(i, in, 1, NULL, 0, cases[k].g, 2, &e))
            fail_msg("is not refused: %s", cases[k].words);
        if (!strstr(e.text, cases[k].words)) fail_msg("%s, not: %s", e.text, cases[k].words);
    }
    heed_binding good[] = {{"out", &d}, {"x", &dx}};
    assert_int_equal(heed_backward(i, in, 1, NULL, 0, good, 2, &e), 0);
    heed_instance_close(i);

    heed_instance *none = heed_instance_open(engine, "compare/rows", NULL, &e);
    if (!none) fail_msg("%s", e.text);
    assert_null(call_grad(none));
    heed_binding pair[] = {{"x", &x}, {"y", &x}};
    assert_int_equal(heed_backward(none, pair, 2, NULL, 0, good, 2, &e), HEED_E_UNSUPPORTED);
    if (!strstr(e.text, "compare/rows has no backward; these have: ") ||
        !strstr(e.text, "norm/rms"))
        fail_msg("%s", e.text);
    heed_instance_close(none);

    heed_instance *softmax = heed_instance_open(engine, "attention/softmax", NULL, &e);
    heed_tensor q = heed_tensor_of(x.data, HEED_F32, 4, (int64_t[]){1, 3, 1, 4});
    heed_binding qkv[] = {{"q", &q}, {"k", &q}, {"v", &q}};
    heed_binding grads[] = {{"out", &q}};
    assert_int_not_equal(heed_backward(softmax, qkv, 3, NULL, 0, grads, 1, &e), 0);
    if (!strstr(e.text, "backward reads the output out of the forward, which is missing"))
        fail_msg("%s", e.text);
    heed_instance_close(softmax);
    free(x.data), free(out.data), free(d.data), free(dx.data), free(wide.data), free(half.data);
    free(flat.data);
}

/* ---- weights with other numbers ---- */

static void outputs_are(const call *c, const heed_instance *i, const heed_tensor *right,
                        const char *when)
{
    heed_error e;
    heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
    memcpy(by_port, c->plain, sizeof by_port);
    outputs_make(c, out);
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        if (out[p].data) by_port[p] = out[p];
    if (call_with(c, i, by_port, NULL, &e)) fail_msg("%s", e.text);
    if (!outputs_equal(c, right, out)) fail_msg("%s: %s", when, outputs_difference(c, out, right));
    outputs_free(out);
}

/* A weight of the case, its own or of an op inside, is changed where it is, and bound from
 * elsewhere. */
static void rebind(const char *spec, const char *axes, const char *weight)
{
    const call_case how = {spec, axes, "", 0, 1, 3};
    heed_error e;
    heed_tensor former[ORACLE_PORTS], latter[ORACLE_PORTS];
    call c;
    call_make(&c, &how);
    const int w = call_port(&c, weight);
    call_run(&c, NULL, 2, PLAIN, former);
    heed_instance *i = call_open(&c, NULL, 2);
    heed_tensor numbers = c.plain[w], other = numbers, wrong = numbers;
    if (heed_tensor_alloc(&numbers, NULL) || heed_tensor_alloc(&other, NULL)) fail_msg("no memory");
    tensor_copy(&numbers, &c.plain[w]);
    for (int64_t k = 0; k < heed_tensor_elements(&other); k++) {
        tensor_put(&other, k, 1.5 * tensor_get(&numbers, k) + 0.25);
        tensor_put(&c.plain[w], k, tensor_get(&other, k));
    }
    call_run(&c, NULL, 2, PLAIN, latter);
    if (heed_instance_rebind(i, NULL, 0, &e)) fail_msg("%s", e.text);
    outputs_are(&c, i, latter, "taken over");
    tensor_copy(&c.plain[w], &numbers);
    if (heed_instance_rebind(i, NULL, 0, &e)) fail_msg("%s", e.text);
    outputs_are(&c, i, former, "and back");
    heed_binding bound[] = {{weight, &other}};
    if (heed_instance_rebind(i, bound, 1, &e)) fail_msg("%s", e.text);
    outputs_are(&c, i, latter, "from elsewhere");
    wrong.dim[0]--;
    bound[0].tensor = &wrong;
    assert_int_not_equal(heed_instance_rebind(i, bound, 1, &e), 0);
    bound[0].port = "nothing";
    assert_int_not_equal(heed_instance_rebind(i, bound, 1, &e), 0);
    outputs_are(&c, i, latter, "behind a rebind that was refused");
    if (heed_instance_rebind(i, NULL, 0, &e)) fail_msg("%s", e.text);
    outputs_are(&c, i, latter, "still from elsewhere");
    heed_instance_close(i);
    free(numbers.data), free(other.data);
    outputs_free(former), outputs_free(latter);
    call_free(&c);
}

static void test_rebind(void **state)
{
    (void)state;
    rebind("linear/projection", "x=5,M=20,N=18", "weight");
    rebind("feedforward/swiglu", "x=5,M=20,F=18", "down");
    rebind("norm/layer(offset=1)", "x=5,M=20", "gain");
    rebind("embed/table", "x=5,V=9,M=20", "table");
    rebind("attention/softmax(position=t5)", "B=1,T=9,S=9,H=2,G=2,D=8,E=8", "position.table");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),      cmocka_unit_test(test_memory),
        cmocka_unit_test(test_schedules), cmocka_unit_test(test_masked),
        cmocka_unit_test(test_inner),     cmocka_unit_test(test_skipped),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_rebind),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL), n = COUNT(tests);
    harness_end();
    printf("%d passed, %d failed\n", n - failed, failed);
    return failed != 0;
}
