/* SPDX-License-Identifier: MIT
 *
 * Fast weights. Sum rule, doi 10.1162/neco.1992.4.1.131: W_t = W_{t-1} + eta beta_t v_t phi(k_t)^T;
 * delta rule, arXiv 2102.11174, equations 20 to 24: W_t = W_{t-1} + eta beta_t (v_t - W_{t-1}
 * phi(k_t)) phi(k_t)^T; out = scale W phi(q), with W_t, or with W_{t-1} as in 1992. phi is divided
 * by its sum (equation 26), of queries and of keys.
 */
static int OF(fast_weight_map)(const oracle_call *c)
{
    static const int maps[] = {OF(IDENTITY), OF(ELU), OF(RELU), OF(DPFP)};
    return maps[(int)oracle_param(c, "features", 3)];
}

static void OF(fast_weight_features)(OF(memory) *m, const REAL *x)
{
    const int map = OF(fast_weight_map)(m->c);
    REAL sum = (REAL)oracle_param(m->c, "eps", 1e-6);
    OF(map_features)(m->c, map, x, m->f);
    if (oracle_param(m->c, "sum_normalise", map != OF(IDENTITY)) == 0) return;
    for (int64_t f = 0; f < m->F; f++) sum += m->f[f];
    for (int64_t f = 0; f < m->F; f++) m->f[f] = sum == 0 ? 0 : m->f[f] / sum;
}

static void OF(fast_weight_write)(OF(memory) *m, int64_t j, const REAL *key, const REAL *value)
{
    OF(fast_weight_features)(m, key);
    for (int64_t e = 0; e < m->E; e++) m->old[e] = 0;
    if (oracle_param(m->c, "rule", 1) == 1) OF(recall)(m, 1, m->old);
    for (int64_t e = 0; e < m->E; e++) m->old[e] = value[e] - m->old[e];
    OF(add_product)(m, (REAL)oracle_param(m->c, "eta", 1) * OF(strength)(m, j), m->old);
}

static void OF(fast_weight_read)(OF(memory) *m, int64_t t, const REAL *q, REAL *y)
{
    (void)t;
    OF(fast_weight_features)(m, q);
    OF(recall)(m, (REAL)oracle_param(m->c, "scale", 1), y);
}

static void OF(attention_fast_weight)(const oracle_call *c)
{
    const int before = oracle_param(c, "read", 0) == 1;
    OF(recur)(c, OF(features_of)(c, OF(fast_weight_map)(c)), before, NULL, OF(fast_weight_write),
              OF(fast_weight_read));
}
