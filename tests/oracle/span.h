/* SPDX-License-Identifier: MIT
 *
 * span.h: adaptive span, arXiv 1905.07799, section 2, equations 3 and 4: keys before the query's
 * own, each weight times m_z. The span of a head is a weight, or, the dynamic one, follows from the
 * token's input.
 */
static REAL OF(dynamic_reach)(const oracle_call *c, int64_t b, int64_t t, int64_t h)
{
    const REAL *x = OF(get)(c, "x") + (b * AXIS('T') + t) * AXIS('M');
    const REAL *w = OF(get)(c, "span_weight") + h * AXIS('M');
    REAL sum = OF(get)(c, "span_bias")[h];
    for (int64_t m = 0; m < AXIS('M'); m++) sum += w[m] * x[m];
    return (REAL)oracle_param(c, "limit", 0) / (1 + MATH(exp)(-sum));
}
static REAL OF(span_score)(const oracle_call *c, int64_t b, int64_t t, int64_t h, int64_t at,
                           int64_t j, REAL s)
{
    const REAL *span = OF(get)(c, "span");
    const REAL ramp = (REAL)oracle_param(c, "ramp", 0), limit = (REAL)oracle_param(c, "limit", 0);
    const REAL z = span ? limit * span[h] : OF(dynamic_reach)(c, b, t, h);
    const int64_t back = at - j;
    if (back > (int64_t)limit || back < (oracle_param(c, "self", 0) != 0 ? 0 : 1)) return -INFINITY;
    const REAL x = (REAL)(oracle_param(c, "distance", 0) == 1 ? back - 1 : back),
               m = (ramp + z - x) / ramp;
    const REAL *p = OF(get)(c, "distance_table"), *q = OF(get)(c, "q");
    const int64_t D = AXIS('D');
    REAL more = 0;
    for (int64_t d = 0; p && d < D; d++)
        more += q[((b * AXIS('T') + t) * AXIS('H') + h) * D + d] * p[(back - 1) * D + d];
    more *= (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    return m <= 0 ? -INFINITY : s + more + (m < 1 ? MATH(log)(m) : 0);
}
