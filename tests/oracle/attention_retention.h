/* SPDX-License-Identifier: MIT
 *
 * Retention, arXiv 2307.08621, equations 5 and 8: S_t = gamma S_{t-1} + k_t v_t^T, out_t = scale
 * q_t S_t, with gamma = 1 - 2^{-5 - h} for head h, one number for all heads, or e^{gate} of the
 * token's own gate, or sigmoid(gate)^{1 / tau}.
 */
static void OF(retention_write)(OF(memory) *m, int64_t j, const REAL *key, const REAL *value)
{
    const double gamma = oracle_param(m->c, "decay", 1 - exp2(-5.0 - (double)m->g));
    const REAL gate = OF(of_token)(m, "gate", j, 0);
    const int sigmoid = oracle_param(m->c, "gate", 0) == 1;
    if (OF(get)(m->c, "gate"))
        OF(fade)(m, sigmoid ? -OF(softplus)(-gate) / (REAL)oracle_param(m->c, "tau", 16) : gate);
    else
        for (int64_t i = 0; i < m->F * m->E; i++) m->s[i] *= (REAL)gamma;
    memcpy(m->f, key, (size_t)m->F * sizeof *key);
    OF(add_product)(m, 1, value);
}

static void OF(retention_read)(OF(memory) *m, int64_t t, const REAL *q, REAL *y)
{
    (void)t;
    memcpy(m->f, q, (size_t)m->F * sizeof *q);
    OF(recall)(m, (REAL)oracle_param(m->c, "scale", 1 / sqrt((double)(m->D ? m->D : 1))), y);
}

static void OF(attention_retention)(const oracle_call *c)
{
    OF(recur)(c, AXIS('D'), 0, NULL, OF(retention_write), OF(retention_read));
}
