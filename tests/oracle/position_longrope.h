/* SPDX-License-Identifier: MIT
 *
 * Rotary embedding with a factor for each pair, arXiv 2402.13753, section 3.2; the amplitude is its
 * code's
 */
static void OF(position_longrope)(const oracle_call *c)
{
    REAL s = (REAL)oracle_param(c, "factor", 1), L = (REAL)oracle_param(c, "original", 4096);
    int far = oracle_param(c, "length", 1) > (double)L;
    REAL amplitude = s > 1 ? MATH(sqrt)(1 + MATH(log)(s) / MATH(log)(L)) : 1;
    OF(rope_turn)
    (c, 2 * AXIS('R'), OF(get)(c, far ? "long_factors" : "short_factors"),
     (REAL)oracle_param(c, "attention_factor", (double)amplitude));
}
