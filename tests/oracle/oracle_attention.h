/* SPDX-License-Identifier: MIT
 *
 * heed/oracle_attention.h: attention of the softmax family as the plainest loop, for oracles that differ from it in the
 * score. Include it behind <heed/oracle.h>:
 *
 *     static REAL OF(score)(const heed_oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s)
 *     { return j == at ? -INFINITY : s; }
 *     static void OF(mine)(const heed_oracle_call *c) { OF(attention)(c, OF(score)); }
 *
 * arXiv 1706.03762, equation 1; grouped queries, arXiv 2305.13245; a learned sink (a logit more in each sum, without a
 * value) as in arXiv 2508.10925; masks as abi/mask.h has them. Keys of earlier calls stand in "past_k", "past_v".
 */

/* The score of key j for head h of a query at position `at`, out of s, the one of plain softmax attention; -INFINITY:
 * it is not seen. */
typedef REAL OF(scorer)(const heed_oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s);

/* The same for query t of sequence b: where more than its position matters. */
typedef REAL OF(row_scorer)(const heed_oracle_call *c, int64_t b, int64_t t, int64_t h, int64_t at, int64_t j, REAL s);

/* What the params of plain attention make of scale q k: a soft cap as in arXiv 2408.00118, section 2; ALiBi, arXiv
 * 2108.12409. */
ORACLE_UNUSED static REAL OF(attention_score)(const heed_oracle_call *c, int64_t h, int64_t at, int64_t j, REAL dot)
{
    REAL cap = (REAL)oracle_param(c, "softcap", 0), s = cap > 0 ? cap * MATH(tanh)(dot / cap) : dot;
    if (c->position && strcmp(c->position, "position/alibi") == 0) {
        int64_t low = 1;
        while (2 * low <= AXIS('H')) low *= 2;
        double slope = h < low ? exp2(-8.0 * (double)(h + 1) / (double)low)
                               : exp2(-4.0 * (double)(2 * (h - low) + 1) / (double)low);
        s -= (REAL)slope * (REAL)(j > at ? j - at : at - j);
    }
    return s;
}

/* With one of the two, or with none: then that of plain softmax attention. */
ORACLE_UNUSED static void OF(attention_by)(const heed_oracle_call *c, OF(scorer) *score, OF(row_scorer) *row_score)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths");
    const REAL *past_k = OF(get)(c, "past_k"), *past_v = OF(get)(c, "past_v");
    const REAL *documents = OF(get)(c, "documents"), *asked = OF(get)(c, "query_documents");
    const REAL *bias = OF(get)(c, "bias"), *sink = OF(get)(c, "sink_logits");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    int64_t B = AXIS('B'), T = AXIS('T'), S = oracle_keys(c), H = AXIS('H'), D = AXIS('D'), E = AXIS('E');
    int64_t G = AXIS('G') < 0 ? H : AXIS('G'), all = c->past + S;
    REAL scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    REAL *s = malloc(sizeof *s * (size_t)(all + 1));
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++) {
            int64_t valid = lengths ? (int64_t)lengths[b] : all;
            int64_t at = oracle_position(c, valid, t);
            for (int64_t h = 0; h < H; h++) {
                int64_t g = h / (H / G);
                REAL max = sink ? sink[h] : -INFINITY, sum, *y = out + ((b * T + t) * H + h) * E;
                for (int64_t j = 0; j < all; j++) {
                    const REAL *key = j < c->past ? past_k + ((b * c->past + j) * G + g) * D
                                                  : k + ((b * S + j - c->past) * G + g) * D;
                    s[j] = -INFINITY;
                    if (!OF(live)(c, documents, asked, b, t, at, valid, j)) continue;
                    REAL dot = 0; /* of the scaled query: products of bfloat16 would be exact in float32 */
                    for (int64_t d = 0; d < D; d++) dot += scale * q[((b * T + t) * H + h) * D + d] * key[d];
                    s[j] = OF(attention_score)(c, h, at, j, dot);
                    if (score) s[j] = score(c, h, at, j, s[j]);
                    if (row_score) s[j] = row_score(c, b, t, h, at, j, s[j]);
                    if (bias && s[j] != -INFINITY) { /* what is not seen stays so, whatever the bias */
                        REAL more = bias[((b * H + h) * T + t) * S + j];
                        s[j] = more == -INFINITY ? -INFINITY : s[j] + more; /* -inf masks, whatever the score */
                    }
                    if (s[j] > max || s[j] != s[j]) max = s[j];
                }
                for (int64_t e = 0; e < E; e++) y[e] = 0;
                sum = sink && sink[h] != -INFINITY ? MATH(exp)(sink[h] - max) : 0;
                for (int64_t j = 0; j < all; j++) {
                    if (s[j] == -INFINITY) continue; /* not seen */
                    const REAL *value = j < c->past ? past_v + ((b * c->past + j) * G + g) * E
                                                    : v + ((b * S + j - c->past) * G + g) * E;
                    REAL w = MATH(exp)(s[j] - max);
                    sum += w;
                    for (int64_t e = 0; e < E; e++) y[e] += w * value[e];
                }
                for (int64_t e = 0; e < E; e++) y[e] = sum == 0 ? 0 : y[e] / sum;
                if (lse) lse[(b * T + t) * H + h] = sum == 0 ? -INFINITY : max + MATH(log)(sum);
            }
        }
    free(s);
}

/* score NULL: that of plain softmax attention. */
ORACLE_UNUSED static void OF(attention)(const heed_oracle_call *c, OF(scorer) *score)
{
    OF(attention_by)(c, score, NULL);
}
