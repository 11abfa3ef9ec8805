/* SPDX-License-Identifier: MIT
 *
 * x.y / (|x| |y|), 0 where a row is; with by=distance |x - y|.
 */
static void OF(compare_rows)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *y = OF(get)(c, "y");
    REAL *out = OF(get)(c, "out");
    const int64_t M = AXIS('M'), by = (int64_t)oracle_param(c, "by", 0);
    for (int64_t r = 0; r < c->rows; r++) {
        REAL xx = 0, yy = 0, xy = 0, apart = 0;
        for (int64_t m = r * M; m < (r + 1) * M; m++) {
            xx += x[m] * x[m], yy += y[m] * y[m], xy += x[m] * y[m];
            apart += (x[m] - y[m]) * (x[m] - y[m]);
        }
        const REAL lengths = MATH(sqrt)(xx) * MATH(sqrt)(yy);
        out[r] = by ? MATH(sqrt)(apart) : lengths == 0 ? 0 : xy / lengths;
    }
}
