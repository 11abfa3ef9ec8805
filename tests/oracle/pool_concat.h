/* SPDX-License-Identifier: MIT
 *
 * Three rows of a sequence's: the last, the maximum of each channel, the mean; arXiv 1801.06146,
 * section 3.3.
 */
static void OF(pool_concat)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *lengths = OF(get)(c, "key_lengths");
    REAL *out = OF(get)(c, "out");
    const int64_t T = AXIS('T'), M = AXIS('M');
    for (int64_t b = 0; b < AXIS('B'); b++)
        for (int64_t m = 0; m < M; m++) {
            const int64_t n = lengths && lengths[b] < T ? (int64_t)lengths[b] : T;
            const REAL *v = x + b * T * M + m;
            REAL most = n ? v[0] : 0, sum = 0;
            for (int64_t t = 0; t < n; t++) {
                if (!(most > v[t * M])) most = v[t * M]; /* a NaN passes */
                sum += v[t * M];
            }
            out[(b * 3 + 0) * M + m] = n ? v[(n - 1) * M] : 0;
            out[(b * 3 + 1) * M + m] = most;
            out[(b * 3 + 2) * M + m] = n ? sum / (REAL)n : 0;
        }
}
