/* SPDX-License-Identifier: MIT
 *
 * Random synthesizer, arXiv 2005.00743, section 3.2: R_ij of head h, a table
 */
static REAL OF(random_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h,
                             int64_t j)
{
    const int64_t C = AXIS('C'), i = (h * C + at) * C + j;
    const REAL *table = OF(get)(c, "table");
    (void)b, (void)t;
    return table ? table[i] : OF(drawn)(OF(seed)(c), i, C);
}
static void OF(attention_synthesizer_random)(const oracle_call *c)
{
    OF(synthesize)(c, OF(random_logit));
}
