/* SPDX-License-Identifier: MIT
 *
 * synthesizer.h: what the oracles of synthesizers, arXiv 2005.00743, share: softmax over logits of
 * (query t at position `at`, head h, position j), a drawn weight, and a product with the query.
 */
typedef REAL OF(logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h,
                       int64_t j);

/* out = softmax(logits) v over the sequence itself; key j is token j, and head h has the values of
 * h / (H / G). */
static void OF(synthesize)(const oracle_call *c, OF(logit) * logit)
{
    const REAL *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths"),
               *documents = OF(get)(c, "documents");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    const int64_t B = AXIS('B'), T = AXIS('T'), H = AXIS('H'), G = AXIS('G'), E = AXIS('E');
    const int alibi = c->position && strcmp(c->position, "position/alibi") == 0;
    REAL *s = malloc(sizeof *s * (size_t)(T + 1));
    for (int64_t row = 0; row < B * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T,
                      valid = lengths ? (int64_t)lengths[b] : T;
        const int64_t at = oracle_position(c, valid, t);
        int64_t low = 1;
        while (2 * low <= H) low *= 2;
        const double slope = exp2(h < low ? -8.0 * (double)(h + 1) / (double)low
                                          : -4.0 * (double)(2 * (h - low) + 1) / (double)low);
        REAL max = -INFINITY, sum = 0, *y = out + row * E;
        for (int64_t j = 0; j < T; j++) {
            const int live = OF(live)(c, documents, NULL, b, t, at, valid, j);
            const int64_t far = j > at ? j - at : at - j;
            s[j] =
                live ? logit(c, b, t, at, h, j) - (alibi ? (REAL)slope * (REAL)far : 0) : -INFINITY;
            if (s[j] > max || s[j] != s[j]) max = s[j];
        }
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        for (int64_t j = 0; j < T; j++) {
            if (s[j] == -INFINITY) continue;
            const REAL w = MATH(exp)(s[j] - max), *value = v + ((b * T + j) * G + h / (H / G)) * E;
            sum += w;
            for (int64_t e = 0; e < E; e++) y[e] += w * value[e];
        }
        for (int64_t e = 0; e < E; e++) y[e] = sum == 0 ? 0 : y[e] / sum;
        if (lse) lse[row] = sum == 0 ? -INFINITY : max + MATH(log)(sum);
    }
    free(s);
}

/* Number i of a weight that fixed=N draws: splitmix64 (doi 10.1145/2660193.2660195) from `seed` on,
 * its upper 24 bits uniform of variance 1 / width, as float32. */
static REAL OF(drawn)(uint64_t seed, int64_t i, int64_t width)
{
    uint64_t z = seed + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (REAL)(float)(sqrt(3 / (double)width) * ((double)((z ^ z >> 31) >> 40) * 0x1p-23 - 1));
}
static uint64_t OF(seed)(const oracle_call *c) { return (uint64_t)oracle_param(c, "fixed", 0); }
/* relu(q of b, t, h) times row j of a matrix [W, n, D], W = 1 for all heads or H */
static REAL OF(of_query)(const oracle_call *c, const char *matrix, int64_t n, int64_t b, int64_t t,
                         int64_t h, int64_t j)
{
    const int64_t H = AXIS('H'), D = AXIS('D');
    const REAL *q = OF(get)(c, "q") + ((b * AXIS('T') + t) * H + h) * D;
    const REAL *w = OF(get)(c, matrix) + ((AXIS('W') == 1 ? 0 : h) * n + j) * D;
    REAL sum = 0;
    for (int64_t d = 0; d < D; d++) sum += (q[d] > 0 || q[d] != q[d] ? q[d] : 0) * w[d];
    return sum;
}
