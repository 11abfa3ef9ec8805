/* SPDX-License-Identifier: MIT
 *
 * One row of a sequence's: mean, first, last or maximum; arXiv 1908.10084, section 3. With l2 divided by
 * its length, at least 1e-12.
 */
static void OF(pool_tokens)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *lengths = OF(get)(c, "key_lengths");
    REAL *out = OF(get)(c, "out");
    const int64_t T = AXIS('T'), M = AXIS('M'), by = (int64_t)oracle_param(c, "by", 0);
    for (int64_t b = 0; b < AXIS('B'); b++) {
        const int64_t n = lengths && lengths[b] < T ? (int64_t)lengths[b] : T;
        REAL squares = 0;
        for (int64_t m = 0; m < M; m++) {
            const REAL *v = x + b * T * M + m;
            REAL y = by == 2 ? v[(n ? n - 1 : 0) * M] : n ? v[0] : 0;
            for (int64_t t = 1; t < n && by % 3 == 0; t++)
                y = by == 0 ? y + v[t * M] : y > v[t * M] ? y : v[t * M];
            out[b * M + m] = n == 0 ? 0 : by == 0 ? y / (REAL)n : y;
            squares += out[b * M + m] * out[b * M + m];
        }
        const REAL length = MATH(sqrt)(squares);
        for (int64_t m = 0; m < M && oracle_param(c, "l2", 0) != 0; m++)
            out[b * M + m] /= length <= (REAL)1e-12 ? (REAL)1e-12 : length; /* a NaN stays */
    }
}
