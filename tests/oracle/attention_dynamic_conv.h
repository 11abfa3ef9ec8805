/* SPDX-License-Identifier: MIT
 *
 * Dynamic convolution, arXiv 1901.10430, section 4: the taps of a token are a linear function of
 * what it puts in, of all its channels, or they are given. A token behind the end of its text
 * generates none.
 */
static void OF(attention_dynamic_conv)(const oracle_call *c)
{
    const REAL *given = OF(get)(c, "taps"), *w = OF(get)(c, "generator"),
               *more = OF(get)(c, "generator_offset");
    const REAL *lengths = OF(get)(c, "key_lengths");
    const int64_t T = AXIS('T'), H = AXIS('H'), K = AXIS('K'), N = H * AXIS('E');
    REAL *taps = malloc((size_t)(K + 1) * sizeof *taps);
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        const int64_t b = row / H / T, i = row / H % T, h = row % H;
        const int generates = !given && i < (lengths ? (int64_t)lengths[b] : T);
        for (int64_t t = 0; t < K; t++) {
            taps[t] = given ? given[row * K + t] : more ? more[h * K + t] : 0;
            for (int64_t n = 0; generates && n < N; n++)
                taps[t] += w[(h * K + t) * N + n] * OF(convolved)(c, b, i, n);
        }
        OF(convolve)(c, b, i, h, given || generates ? taps : NULL);
    }
    free(taps);
}
