/* SPDX-License-Identifier: MIT
 *
 * Dynamic span, arXiv 1905.07799, section 2: span.h
 */
static void OF(attention_dynamic_span)(const oracle_call *c)
{
    REAL *reach = OF(get)(c, "reach");
    const int64_t T = AXIS('T'), H = AXIS('H');
    OF(attention_by)(c, NULL, OF(span_score));
    for (int64_t n = 0; reach && n < AXIS('B') * T * H; n++)
        reach[n] = OF(dynamic_reach)(c, n / H / T, n / H % T, n % H);
}
