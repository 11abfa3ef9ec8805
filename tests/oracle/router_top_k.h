/* SPDX-License-Identifier: MIT
 *
 * The softmax of the k largest logits, over these or over all, and 0 for the others: of equal ones the
 * first is chosen; arXiv 1701.06538, equations 3 to 5, and arXiv 2101.03961, equation 1
 */
static void OF(router_top_k)(const oracle_call *c)
{
    const int64_t N = AXIS('N'), k = (int64_t)oracle_param(c, "k", 2);
    const int all = oracle_param(c, "over", 0) != 0;
    for (int64_t r = 0; r < c->rows; r++) {
        const REAL *x = OF(get)(c, "x") + r * N;
        REAL *out = OF(get)(c, "out") + r * N, most = -INFINITY, sum = 0;
        for (int64_t i = 0; i < N;
             i++) { /* those before i in the order of size, a NaN first of all */
            int64_t before = 0;
            for (int64_t j = 0; j < N; j++) {
                const int nan_j = isnan(x[j]), nan_i = isnan(x[i]);
                const int larger = nan_j ? !nan_i : !nan_i && x[j] > x[i];
                const int equal = nan_j ? nan_i : !nan_i && x[j] == x[i];
                before += larger || (equal && j < i);
            }
            out[i] = before < k;
            if ((all || before < k) && !(x[i] <= most)) most = isnan(most) ? most : x[i];
        }
        for (int64_t i = 0; i < N; i++)
            if (all || out[i] != 0) sum += MATH(exp)(x[i] - most);
        for (int64_t i = 0; i < N; i++) out[i] = out[i] != 0 ? MATH(exp)(x[i] - most) / sum : 0;
    }
}
