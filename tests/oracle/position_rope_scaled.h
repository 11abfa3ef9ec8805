/* SPDX-License-Identifier: MIT
 *
 * Rotary embedding for longer texts; yarn's amplitude: arXiv 2309.00071, section 3.4
 */
static void OF(position_rope_scaled)(const oracle_call *c)
{
    REAL s = (REAL)oracle_param(c, "factor", 1);
    REAL yarn = oracle_param(c, "scaling", 0) == 3 ? (REAL)0.1 * MATH(log)(s) + 1 : 1;
    OF(rope_turn)
    (c, (int64_t)oracle_param(c, "width", (double)AXIS('D')), NULL,
     (REAL)oracle_param(c, "attention_factor", (double)yarn));
}
