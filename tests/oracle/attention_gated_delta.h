/* SPDX-License-Identifier: MIT
 *
 * Gated delta rule, arXiv 2412.06464, equation 10: S_t = e^{g_t} S_{t-1} + beta_t k_t (v_t - k_t^T
 * e^{g_t} S_{t-1}), out_t = scale q_t S_t, queries and keys divided by sqrt(sum x^2 + 1e-6). The
 * decay g_t is given, or, as in section 3.4 and arXiv 2312.00752, -exp(a_log) softplus(gate_t +
 * dt_bias). At -inf the past is not there: whatever it was.
 */
static void OF(gated_delta_features)(OF(memory) *m, const REAL *x)
{
    REAL sum = (REAL)1e-6;
    for (int64_t d = 0; d < m->D; d++) sum += x[d] * x[d];
    const REAL length = oracle_param(m->c, "normalise_qk", 1) != 0 ? MATH(sqrt)(sum) : 1;
    for (int64_t d = 0; d < m->D; d++) m->f[d] = x[d] / length;
}

static REAL OF(gated_delta_decay)(const OF(memory) *m, int64_t j)
{
    const REAL gate = OF(of_token)(m, "gate", j, 0), *a = OF(get)(m->c, "a_log"),
               *dt = OF(get)(m->c, "dt_bias");
    if (!OF(get)(m->c, "gate") || oracle_param(m->c, "gate", 0) == 0) return gate;
    return -MATH(exp)(a[m->g]) * OF(softplus)(gate + dt[m->g]);
}

static void OF(gated_delta_write)(OF(memory) *m, int64_t j, const REAL *key, const REAL *value)
{
    OF(fade)(m, OF(gated_delta_decay)(m, j));
    OF(gated_delta_features)(m, key);
    OF(recall)(m, 1, m->old);
    for (int64_t e = 0; e < m->E; e++) m->old[e] = value[e] - m->old[e];
    OF(add_product)(m, OF(strength)(m, j), m->old);
}

static void OF(gated_delta_read)(OF(memory) *m, int64_t t, const REAL *q, REAL *y)
{
    (void)t;
    OF(gated_delta_features)(m, q);
    OF(recall)(m, (REAL)oracle_param(m->c, "scale", 1 / sqrt((double)(m->D ? m->D : 1))), y);
}

static void OF(attention_gated_delta)(const oracle_call *c)
{
    OF(recur)(c, AXIS('D'), 0, NULL, OF(gated_delta_write), OF(gated_delta_read));
}
