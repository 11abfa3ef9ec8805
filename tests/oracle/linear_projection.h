/* SPDX-License-Identifier: MIT
 *
 * y = x W^T + b
 */
static void OF(linear_projection)(const oracle_call *c)
{
    REAL *weight = OF(stored)(c, "weight", AXIS('N'), AXIS('M'));
    OF(product)
    (OF(get)(c, "out"), OF(get)(c, "x"), weight, OF(get)(c, "bias"), c->rows, AXIS('N'), AXIS('M'));
    free(weight);
}
