/* SPDX-License-Identifier: MIT
 *
 * y = x W^T + b
 */
static void OF(linear_projection)(const oracle_call *c)
{
    OF(product)
    (OF(get)(c, "out"), OF(get)(c, "x"), OF(get)(c, "weight"), OF(get)(c, "bias"), c->rows,
     AXIS('N'), AXIS('M'));
}
