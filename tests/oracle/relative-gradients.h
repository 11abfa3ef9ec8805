/* SPDX-License-Identifier: MIT
 *
 * relative-gradients.h: the backward of relative.h, for gradients.h.
 */
/* The row of the table for key j. */
static int64_t OF(relative_row)(const OF(relatives) * r, int64_t at, int64_t j)
{
    const int64_t delta = j - at < r->low ? r->low : j - at > r->high ? r->high : j - at;
    return delta - r->low;
}

/* The weights of a row, 0 where a key is not seen, and behind them that of the sink. */
static void OF(relative_weights)(const oracle_call *c, const OF(relatives) * r, int64_t b,
                                 int64_t t, int64_t h, REAL *p)
{
    const REAL *k = OF(get)(c, "k"), *lengths = OF(get)(c, "key_lengths"),
               *bias = OF(get)(c, "bias"), *documents = OF(get)(c, "documents"),
               *asked = OF(get)(c, "query_documents"), *sink = OF(get)(c, "sink_logits");
    const int64_t T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), D = AXIS('D'),
                  valid = lengths ? (int64_t)lengths[b] : S, at = oracle_position(c, valid, t),
                  first = r->memory < 0 ? 0 : (r->same_length ? at : at - t) - r->memory;
    const REAL scale = (REAL)(oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)))),
               *q = OF(get)(c, "q") + ((b * T + t) * H + h) * D;
    REAL max = sink ? sink[h] : -INFINITY, sum;
    for (int64_t j = 0; j < S; j++) {
        const REAL *key = k + ((b * S + j) * G + h / (H / G)) * D,
                   *a = r->a + h * r->per_head + OF(relative_row)(r, at, j) * D;
        REAL dot = 0;
        p[j] = -INFINITY;
        if (j < first || !OF(live)(c, documents, asked, b, t, at, valid, j)) continue;
        if (r->memory >= 0 && j > at) continue;
        for (int64_t d = 0; d < D; d++)
            dot += (q[d] + (r->u ? r->u[h * D + d] : 0)) * key[d] +
                   (q[d] + (r->w ? r->w[h * D + d] : 0)) * a[d];
        p[j] = OF(attention_score)(c, h, at, j, dot * scale);
        if (bias) p[j] += bias[((b * H + h) * T + t) * S + j];
        if (p[j] > max || p[j] != p[j]) max = p[j];
    }
    p[S] = sum = sink ? MATH(exp)(sink[h] - max) : 0;
    for (int64_t j = 0; j < S; j++) sum += p[j] = p[j] == -INFINITY ? 0 : MATH(exp)(p[j] - max);
    for (int64_t j = 0; j <= S && sum != 0; j++) p[j] /= sum;
}

/* Where the gradients of a table's rows, of the values', and of u and w go; NULL: not wanted. */
typedef struct OF(relative_back) {
    REAL *a, *z, *u, *w;
} OF(relative_back);

/* What ds, the gradient of a score, gives. */
static void OF(relative_score_back)(const oracle_call *c, REAL *const *g, const OF(relatives) * r,
                                    const OF(relative_back) * to, int64_t n, int64_t key,
                                    int64_t at, int64_t j, REAL ds)
{
    const int64_t D = AXIS('D'), h = n % AXIS('H'),
                  row = h * r->per_head + OF(relative_row)(r, at, j) * D;
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k");
    const REAL scale = (REAL)(oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1))));
    for (int64_t d = 0; d < D; d++) {
        const REAL x = q[n * D + d], u = r->u ? r->u[h * D + d] : 0, w = r->w ? r->w[h * D + d] : 0;
        OF(gradient)(c, g, "q")[n * D + d] += scale * ds * (k[key * D + d] + r->a[row + d]);
        OF(gradient)(c, g, "k")[key * D + d] += scale * ds * (x + u);
        if (to->a) to->a[row + d] += scale * ds * (x + w);
        if (to->u) to->u[h * D + d] += scale * ds * k[key * D + d];
        if (to->w) to->w[h * D + d] += scale * ds * r->a[row + d];
    }
}

static void OF(relative_gradient)(const oracle_call *c, REAL *const *g, const OF(relatives) * r,
                                  const OF(relative_back) * to)
{
    const REAL *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths"),
               *d_out = OF(gradient)(c, g, "out"), *d_lse = OF(gradient)(c, g, "lse");
    REAL *d_bias = OF(get)(c, "bias") ? OF(gradient)(c, g, "bias") : NULL,
         *d_sink = OF(get)(c, "sink_logits") ? OF(gradient)(c, g, "sink_logits") : NULL;
    const int64_t T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), E = AXIS('E');
    REAL *p = malloc(sizeof *p * (size_t)(2 * S + 1)), *dp = p + S + 1;
    for (int64_t n = 0; n < AXIS('B') * T * H; n++) {
        const int64_t h = n % H, t = n / H % T, b = n / H / T,
                      at = oracle_position(c, lengths ? (int64_t)lengths[b] : S, t);
        REAL rest = 0;
        OF(relative_weights)(c, r, b, t, h, p);
        for (int64_t j = 0; j < S; j++) {
            const int64_t key = ((b * S + j) * G + h / (H / G)) * E,
                          z = OF(relative_row)(r, at, j) * E;
            dp[j] = 0;
            for (int64_t e = 0; e < E && d_out && p[j] != 0; e++) {
                const REAL d = d_out[n * E + e];
                dp[j] += d * (v[key + e] + (r->z ? r->z[z + e] : 0));
                OF(gradient)(c, g, "v")[key + e] += p[j] * d;
                if (to->z) to->z[z + e] += p[j] * d;
            }
            rest += p[j] * dp[j];
        }
        if (d_lse) rest -= d_lse[n];
        for (int64_t j = 0; j < S; j++) {
            const REAL ds = p[j] * (dp[j] - rest);
            if (p[j] == 0) continue; /* not seen, or without weight */
            if (d_bias) d_bias[((b * H + h) * T + t) * S + j] += ds;
            OF(relative_score_back)(c, g, r, to, n, (b * S + j) * G + h / (H / G), at, j, ds);
        }
        if (d_sink) d_sink[h] -= p[S] * rest;
    }
    free(p);
}

static void OF(attention_shaw_gradient)(const oracle_call *c, REAL *const *g)
{
    const OF(relatives) r = OF(shaw_relatives)(c);
    OF(relative_gradient)
    (c, g, &r,
     &(OF(relative_back)){.a = OF(gradient)(c, g, "relative_keys"),
                          .z = r.z ? OF(gradient)(c, g, "relative_values") : NULL});
}

static void OF(attention_transformer_xl_gradient)(const oracle_call *c, REAL *const *g)
{
    const int64_t H = AXIS('H'), D = AXIS('D'), M = AXIS('M');
    OF(relatives) r = OF(xl_relatives)(c);
    REAL *a = OF(xl_table)(c, &r), *weight = OF(gradient)(c, g, "relative_weight");
    const int64_t rows = 1 - r.low;
    REAL *d_a = calloc((size_t)(H * rows * D + 1), sizeof *d_a),
         *encoding = malloc(sizeof *encoding * (size_t)(M + 1));
    r.a = a;
    OF(relative_gradient)
    (c, g, &r,
     &(OF(relative_back)){.a = d_a,
                          .u = OF(gradient)(c, g, "content_bias"),
                          .w = OF(gradient)(c, g, "position_bias")});
    for (int64_t p = 0; weight && p < rows && p <= OF(xl_farthest)(c); p++) {
        OF(xl_encoding)(c, p, encoding);
        for (int64_t hd = 0; hd < H * D; hd++)
            for (int64_t m = 0; m < M; m++)
                weight[hd * M + m] +=
                    d_a[hd / D * rows * D + (-p - r.low) * D + hd % D] * encoding[m];
    }
    free(a), free(d_a), free(encoding);
}
