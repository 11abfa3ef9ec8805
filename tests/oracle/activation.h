/* SPDX-License-Identifier: MIT
 *
 * activation.h: functions of one number that several oracles have. A NaN stays one.
 */
static REAL OF(sigmoid)(REAL x) { return 1 / (1 + MATH(exp)(-x)); }
static REAL OF(silu)(REAL x) { return x / (1 + MATH(exp)(-x)); }
static REAL OF(relu)(REAL x) { return x > 0 || x != x ? x : 0; }
static REAL OF(softplus)(REAL x)
{
    return x > 0 ? x + MATH(log1p)(MATH(exp)(-x)) : MATH(log1p)(MATH(exp)(x));
}
static REAL OF(gelu)(REAL x, int tanh_form)
{
    return tanh_form ? x / 2 *
                           (1 + MATH(tanh)((REAL)0.79788456080286535588 *
                                           (x + (REAL)0.044715 * x * x * x)))
                     : x / 2 * (1 + MATH(erf)(x * (REAL)0.70710678118654752440));
}
