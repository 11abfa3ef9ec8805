/* SPDX-License-Identifier: MIT
 *
 * Linear transformer, arXiv 2006.16236, equations 9 to 12, with feature maps of others: out_i =
 * phi(q_i) S_i / (phi(q_i) z_i + eps), S_i = sum_{j <= i} phi(k_j) v_j^T, z_i = sum_{j <= i}
 * phi(k_j); no 1/sqrt(D).
 */
static int OF(linear_map)(const oracle_call *c)
{
    return (int)oracle_param(c, "features", OF(ELU));
}

static void OF(linear_write)(OF(memory) *m, int64_t j, const REAL *key, const REAL *value)
{
    (void)j;
    OF(map_features)(m->c, OF(linear_map)(m->c), key, m->f);
    OF(add_product)(m, 1, value);
    for (int64_t f = 0; f < m->F; f++) m->z[f] += m->f[f];
}

static void OF(linear_read)(OF(memory) *m, int64_t t, const REAL *q, REAL *y)
{
    REAL sum = (REAL)oracle_param(m->c, "eps", 1e-6), factor = 1;
    (void)t;
    OF(map_features)(m->c, OF(linear_map)(m->c), q, m->f);
    for (int64_t f = 0; f < m->F; f++) sum += m->f[f] * m->z[f];
    if (oracle_param(m->c, "normalise", 1) != 0) factor = sum == 0 ? 0 : 1 / sum;
    OF(recall)(m, factor, y);
}

static void OF(attention_linear)(const oracle_call *c)
{
    OF(recur)(c, OF(features_of)(c, OF(linear_map)(c)), 0, NULL, OF(linear_write),
              OF(linear_read));
}
