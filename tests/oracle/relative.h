/* SPDX-License-Identifier: MIT
 *
 * relative.h: attention by relative position, which Shaw's and Transformer-XL's share.
 */
/* Attention whose scores are (q + u) k + (q + w) a, and whose values are v + z, where a and z
 * depend on the relative position j - i, kept within [low, high], and a on the head too, `per_head`
 * numbers apart. A query sees keys from `memory` before the first query on, or before itself if
 * `same_length`; all of them if memory < 0. NULL is 0. */
typedef struct OF(relatives) {
    const REAL *a, *z, *u, *w;
    int64_t low, high, per_head, memory;
    int same_length;
} OF(relatives);
static void OF(relative)(const oracle_call *c, const OF(relatives) * r)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"),
               *lengths = OF(get)(c, "key_lengths");
    const REAL *past_k = OF(get)(c, "past_k"), *past_v = OF(get)(c, "past_v");
    const REAL *documents = OF(get)(c, "documents"), *asked = OF(get)(c, "query_documents");
    const REAL *bias = OF(get)(c, "bias"), *sink = OF(get)(c, "sink_logits");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    int64_t B = AXIS('B'), T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'),
            D = AXIS('D'), E = AXIS('E');
    int64_t all = c->past + S;
    REAL scale = (REAL)(oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1))));
    REAL *s = malloc(sizeof *s * (size_t)(all + 1));
    for (int64_t n = 0; n < B * T * H; n++) {
        const int64_t h = n % H, t = n / H % T, b = n / H / T, g = h / (H / G);
        const int64_t valid = lengths ? (int64_t)lengths[b] : all;
        const int64_t at = oracle_position(c, valid, t),
                      first = r->memory < 0 ? 0 : (r->same_length ? at : at - t) - r->memory;
        REAL max = sink ? sink[h] : -INFINITY, sum, *y = out + n * E;
        for (int64_t j = 0; j < all; j++) {
            const REAL *key = j < c->past ? past_k + ((b * c->past + j) * G + g) * D
                                          : k + ((b * S + j - c->past) * G + g) * D;
            const int64_t delta = j - at < r->low ? r->low : j - at > r->high ? r->high : j - at;
            const REAL *a = r->a + h * r->per_head + (delta - r->low) * D;
            s[j] = -INFINITY;
            if (j < first || !OF(live)(c, documents, asked, b, t, at, valid, j)) continue;
            if (r->memory >= 0 && j > at) continue;
            REAL dot = 0;
            for (int64_t d = 0; d < D; d++)
                dot += (q[n * D + d] + (r->u ? r->u[h * D + d] : 0)) * key[d] +
                       (q[n * D + d] + (r->w ? r->w[h * D + d] : 0)) * a[d];
            s[j] = OF(attention_score)(c, h, at, j, dot * scale);
            REAL more = bias ? bias[((b * H + h) * T + t) * S + j] : 0;
            s[j] = more == -INFINITY || s[j] == -INFINITY ? -INFINITY : s[j] + more;
            if (s[j] > max || s[j] != s[j]) max = s[j];
        }
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        sum = sink && sink[h] != -INFINITY ? MATH(exp)(sink[h] - max) : 0;
        for (int64_t j = 0; j < all; j++) {
            if (s[j] == -INFINITY) continue;
            const REAL *value = j < c->past ? past_v + ((b * c->past + j) * G + g) * E
                                            : v + ((b * S + j - c->past) * G + g) * E;
            const int64_t delta = j - at < r->low ? r->low : j - at > r->high ? r->high : j - at;
            REAL w = MATH(exp)(s[j] - max);
            sum += w;
            for (int64_t e = 0; e < E; e++)
                y[e] += w * (value[e] + (r->z ? r->z[(delta - r->low) * E + e] : 0));
        }
        for (int64_t e = 0; e < E; e++) y[e] = sum == 0 ? 0 : y[e] / sum;
        if (lse) lse[n] = sum == 0 ? -INFINITY : max + MATH(log)(sum);
    }
    free(s);
}
