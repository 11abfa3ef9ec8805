/* SPDX-License-Identifier: MIT
 *
 * product.h: the matrix product of the oracles of linear layers.
 */
/* y = x W^T + b */
static void OF(product)(REAL *y, const REAL *x, const REAL *w, const REAL *bias, int64_t rows,
                        int64_t n, int64_t m)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            REAL sum = 0;
            for (int64_t j = 0; j < m; j++) sum += x[r * m + j] * w[i * m + j];
            y[r * n + i] = sum + (bias ? bias[i] : 0);
        }
}

/* x rounded to float16, the largest of which stands for what is larger. */
static double OF(half)(double x)
{
    int exponent;
    frexp(x, &exponent);
    const double unit = ldexp(1, (exponent < -13 ? -13 : exponent) - 11),
                 rounded = rint(x / unit) * unit;
    return fabs(rounded) > 65504 ? copysign(65504, x) : rounded;
}

/* n weights of one output with one scale: weights=int8 has the largest of them at 127, int4 the one that
 * is farthest from 0 at -8. What is no finite number makes all of them NaN. Numbers are float32, as the
 * op has them. */
static void OF(integers)(REAL *w, int64_t n, int bits)
{
    float most = 0;
    int finite = 1;
    for (int64_t i = 0; i < n; i++) {
        finite &= isfinite((float)w[i]) != 0;
        if (fabsf((float)w[i]) > fabsf(most)) most = (float)w[i];
    }
    const float scale = !finite     ? NAN
                        : bits == 8 ? fabsf(most) / 127
                                    : (float)OF(half)((double)(most / -8));
    const float least = bits == 8 ? -127 : -8, largest = bits == 8 ? 127 : 7;
    for (int64_t i = 0; i < n; i++) {
        const float q = finite && scale != 0 ? rintf((float)w[i] / scale) : 0;
        w[i] = (REAL)scale * (REAL)(q < least ? least : q > largest ? largest : q);
    }
}

/* A weight [outputs, depth] as the op's param `weights` has it: free. */
static REAL *OF(stored)(const oracle_call *c, const char *name, int64_t outputs, int64_t depth)
{
    const int how = (int)oracle_param(c, "weights", 0);
    const REAL *given = OF(get)(c, name);
    REAL *w = malloc(sizeof *w * (size_t)(outputs * depth + 1));
    memcpy(w, given, sizeof *w * (size_t)(outputs * depth));
    for (int64_t n = 0; n < outputs && how; n++)
        for (int64_t k = 0, step = how == 1 ? depth : 32; k < depth; k += step)
            OF(integers)(w + n * depth + k, depth - k < step ? depth - k : step, how == 1 ? 8 : 4);
    return w;
}
