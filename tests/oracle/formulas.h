/* SPDX-License-Identifier: MIT
 *
 * formulas.h: each op's formula as the plainest loop, in REAL (double: the oracle; float: the naive loop). Included by
 * oracle.c alone. Sources stand with each formula.
 */

static REAL *OF(get)(const oracle_call *c, const char *name)
{
    int i = oracle_port(c, name);
    return i < 0 ? NULL : ARRAY(c, i);
}

/* What a norm sees: x + residual, which is its output "sum" too; free it. */
static REAL *OF(seen)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *residual = OF(get)(c, "residual");
    REAL *sum = OF(get)(c, "sum"), *seen = malloc(sizeof *seen * (size_t)(c->rows * AXIS('M') + 1));
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) {
        seen[i] = x[i] + (residual ? residual[i] : 0);
        if (sum) sum[i] = seen[i];
    }
    return seen;
}

/* RMSNorm, arXiv 1910.07467, section 4: y = x / sqrt(mean(x^2) + eps) * gain */
static void OF(rms_norm)(const oracle_call *c)
{
    REAL *x = OF(seen)(c), *y = OF(get)(c, "out");
    const REAL *gain = OF(get)(c, "gain"), eps = (REAL)oracle_param(c, "eps", 0);
    int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL sum = 0;
        for (int64_t i = 0; i < M; i++) sum += x[r * M + i] * x[r * M + i];
        for (int64_t i = 0; i < M; i++)
            y[r * M + i] = x[r * M + i] / MATH(sqrt)(sum / (REAL)M + eps) * (gain ? gain[i] : 1);
    }
    free(x);
}

/* LayerNorm, arXiv 1607.06450, equation 4 with eps under the root: biased variance */
static void OF(layer_norm)(const oracle_call *c)
{
    REAL *x = OF(seen)(c), *y = OF(get)(c, "out");
    const REAL *gain = OF(get)(c, "gain"), *bias = OF(get)(c, "bias"), eps = (REAL)oracle_param(c, "eps", 0);
    int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL mean = 0, variance = 0;
        for (int64_t i = 0; i < M; i++) mean += x[r * M + i];
        mean /= (REAL)M;
        for (int64_t i = 0; i < M; i++) variance += (x[r * M + i] - mean) * (x[r * M + i] - mean);
        variance /= (REAL)M;
        for (int64_t i = 0; i < M; i++)
            y[r * M + i] =
                (x[r * M + i] - mean) / MATH(sqrt)(variance + eps) * (gain ? gain[i] : 1) + (bias ? bias[i] : 0);
    }
    free(x);
}

/* Whether query t of sequence b, at position `at`, may attend to key j: the formula of abi/mask.h, for one pair. */
static int OF(live)(const oracle_call *c, const REAL *documents, const REAL *asked, int64_t b, int64_t t, int64_t at,
                    int64_t valid, int64_t j)
{
    const heed_mask *m = &c->mask;
    const int64_t S = AXIS('S'), T = AXIS('T');
    if (j >= valid) return 0;
    if (m->kinds & HEED_MASK_CAUSAL && j > at && !(m->kinds & HEED_MASK_PREFIX && j < m->prefix)) return 0;
    if (m->kinds & HEED_MASK_WINDOW && (j < at - m->left || j > at + m->right) &&
        !(m->kinds & HEED_MASK_SINKS && j < m->sinks))
        return 0;
    if (!documents) return 1;
    if (!asked && (at < 0 || at >= S)) return 0; /* a query of no document */
    return documents[b * S + j] == (asked ? asked[b * T + t] : documents[b * S + at]);
}

/* What a variant of softmax attention makes of a pair (position `at` of the query, position j of the key, head h): the
 * factor of its weight, 0 = not seen, and what is added to its score. */
typedef struct OF(pair) { REAL factor, more; } OF(pair);
typedef OF(pair) OF(variant)(const oracle_call *c, int64_t b, int64_t t, int64_t h, int64_t at, int64_t j);

/* Scaled dot-product attention, arXiv 1706.03762, equation 1; grouped queries, arXiv 2305.13245; ALiBi, arXiv
 * 2108.12409; soft cap as in arXiv 2408.00118, section 2; a learned sink (a logit more in each sum, without a value) as
 * in arXiv 2508.10925. Keys of an earlier call stand in "past_k", "past_v". */
static void OF(attention)(const oracle_call *c, OF(variant) *variant)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths");
    const REAL *past_k = OF(get)(c, "past_k"), *past_v = OF(get)(c, "past_v");
    const REAL *documents = OF(get)(c, "documents"), *asked = OF(get)(c, "query_documents");
    const REAL *bias = OF(get)(c, "bias"), *sink = OF(get)(c, "sink_logits");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    int64_t B = AXIS('B'), T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), D = AXIS('D'), E = AXIS('E');
    int64_t all = c->past + S;
    REAL scale = (REAL)(oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1))) * c->scale_factor),
         cap = (REAL)oracle_param(c, "softcap", 0);
    REAL *s = malloc(sizeof *s * (size_t)(all + 1));
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++) {
            int64_t valid = lengths ? (int64_t)lengths[b] : all;
            int64_t at = c->past                                  ? all - T + t
                         : c->mask.align == HEED_ALIGN_BOTTOM_RIGHT ? valid - T + t
                         : c->mask.align == HEED_ALIGN_OFFSET       ? t + c->mask.offset
                                                                    : t;
            for (int64_t h = 0; h < H; h++) {
                int64_t g = h / (H / G);
                REAL max = sink ? sink[h] : -INFINITY, sum, *y = out + ((b * T + t) * H + h) * E;
                for (int64_t j = 0; j < all; j++) {
                    const REAL *key = j < c->past ? past_k + ((b * c->past + j) * G + g) * D
                                                  : k + ((b * S + j - c->past) * G + g) * D;
                    s[j] = -INFINITY;
                    if (j == c->skip_key || !OF(live)(c, documents, asked, b, t, at, valid, j)) continue;
                    const OF(pair) of = variant ? variant(c, b, t, h, at, j) : (OF(pair)){1, 0};
                    if (of.factor == 0) continue;
                    REAL dot = 0;
                    for (int64_t d = 0; d < D; d++) dot += q[((b * T + t) * H + h) * D + d] * key[d];
                    s[j] = dot * scale + of.more;
                    if (cap > 0) s[j] = cap * MATH(tanh)(s[j] / cap);
                    if (c->position && strcmp(c->position, "position/alibi") == 0) {
                        int64_t low = 1;
                        while (2 * low <= H) low *= 2;
                        double slope = h < low ? exp2(-8.0 * (double)(h + 1) / (double)low)
                                               : exp2(-4.0 * (double)(2 * (h - low) + 1) / (double)low);
                        s[j] += (REAL)slope * (REAL)(j - at);
                    }
                    if (of.factor != 1) s[j] += MATH(log)(of.factor);
                    if (bias) {
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

static void OF(softmax)(const oracle_call *c) { OF(attention)(c, NULL); }

/* Sliding window: W keys back (W + 1 if inclusive), arXiv 2310.06825, section 2; to both sides, and global tokens, arXiv
 * 2004.05150, section 3.1; sinks, arXiv 2309.17453 */
static OF(pair) OF(window_pair)(const oracle_call *c, int64_t b, int64_t t, int64_t h, int64_t at, int64_t j)
{
    (void)b, (void)t, (void)h;
    const int64_t left = (int64_t)oracle_param(c, "left", 0), right = (int64_t)oracle_param(c, "right", 0);
    const int64_t sinks = (int64_t)oracle_param(c, "sinks", 0), global = (int64_t)oracle_param(c, "global", 0);
    const int64_t back = at - j;
    const int near = (oracle_param(c, "inclusive", 0) != 0 ? back <= left : back < left) && -back <= right;
    return (OF(pair)){near || (j < sinks && -back <= right) || at < global || j < global, 0};
}
static void OF(window)(const oracle_call *c) { OF(attention)(c, OF(window_pair)); }

/* Two softmax attentions over different keys: their weighted mean, arXiv 2205.14135, section 3.1 */
static void OF(merge)(const oracle_call *c)
{
    const REAL *a = OF(get)(c, "a"), *b = OF(get)(c, "b"), *la = OF(get)(c, "lse_a"), *lb = OF(get)(c, "lse_b");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    int64_t rows = AXIS('B') * AXIS('T') * AXIS('H'), E = AXIS('E');
    for (int64_t r = 0; r < rows; r++) {
        REAL max = la[r] > lb[r] ? la[r] : lb[r], wa = MATH(exp)(la[r] - max), wb = MATH(exp)(lb[r] - max);
        int none = la[r] == -INFINITY && lb[r] == -INFINITY;
        if (lse) lse[r] = none ? -INFINITY : max + MATH(log)(wa + wb);
        for (int64_t e = 0; e < E; e++)
            out[r * E + e] = none ? 0 : (wa * a[r * E + e] + wb * b[r * E + e]) / (wa + wb);
    }
}

/* Rotary embedding, arXiv 2104.09864, section 3.2.2: pairs (2k, 2k + 1) interleaved, or (k, k + width / 2) half */
static void OF(rope)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *positions = OF(get)(c, "positions");
    REAL *y = OF(get)(c, "out"), base = (REAL)oracle_param(c, "base", 0);
    int64_t B = AXIS('B'), T = AXIS('T'), H = AXIS('H'), D = AXIS('D'),
            width = (int64_t)oracle_param(c, "width", (double)D);
    int half = oracle_param(c, "pairs", 0) == 1;
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < H; h++) {
                const REAL *in = x + ((b * T + t) * H + h) * D;
                REAL *to = y + ((b * T + t) * H + h) * D, at = positions ? positions[b * T + t] : (REAL)t;
                for (int64_t i = 0; i < D; i++) to[i] = in[i];
                for (int64_t k = 0; k < width / 2; k++) {
                    REAL angle = at * MATH(pow)(base, -2 * (REAL)k / (REAL)width);
                    int64_t i = half ? k : 2 * k, j = half ? k + width / 2 : 2 * k + 1;
                    to[i] = in[i] * MATH(cos)(angle) - in[j] * MATH(sin)(angle);
                    to[j] = in[i] * MATH(sin)(angle) + in[j] * MATH(cos)(angle);
                }
            }
}

/* Sinusoidal positions, arXiv 1706.03762, section 3.5 (interleaved, exponent 2k / M), or the first half sines and the second
 * cosines with exponent k / (M / 2 - 1), as in tensor2tensor */
static void OF(sinusoidal)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *positions = OF(get)(c, "positions");
    REAL *y = OF(get)(c, "out"), base = (REAL)oracle_param(c, "base", 0);
    int64_t M = AXIS('M'), half = M / 2, rows = AXIS('B') * AXIS('T');
    int halves = oracle_param(c, "layout", 0) == 1, t2t = oracle_param(c, "exponent", 0) == 1;
    for (int64_t r = 0; r < rows; r++) {
        REAL at = positions ? positions[r] : (REAL)(r % AXIS('T'));
        for (int64_t i = 0; i < M; i++) {
            int64_t k = halves ? i % (half ? half : 1) : i / 2;
            int cosine = halves ? i >= half : i % 2;
            REAL power = t2t ? (half > 1 ? (REAL)k / (REAL)(half - 1) : (REAL)0) : 2 * (REAL)k / (REAL)M;
            REAL angle = at * MATH(pow)(base, -power);
            REAL p = halves && i >= 2 * half ? 0 : cosine ? MATH(cos)(angle) : MATH(sin)(angle);
            y[r * M + i] = x[r * M + i] + p;
        }
    }
}

/* y = x W^T + b */
static void OF(linear)(REAL *y, const REAL *x, const REAL *w, const REAL *bias, int64_t rows, int64_t n, int64_t m)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            REAL sum = 0;
            for (int64_t j = 0; j < m; j++) sum += x[r * m + j] * w[i * m + j];
            y[r * n + i] = sum + (bias ? bias[i] : 0);
        }
}

static void OF(projection)(const oracle_call *c)
{
    OF(linear)
    (OF(get)(c, "out"), OF(get)(c, "x"), OF(get)(c, "weight"), OF(get)(c, "bias"), c->rows, AXIS('N'), AXIS('M'));
}

/* GELU, arXiv 1606.08415, section 2: x Phi(x), or its tanh form */
static void OF(gelu)(const oracle_call *c)
{
    int64_t M = AXIS('M'), F = AXIS('F');
    REAL *h = malloc(sizeof *h * (size_t)(c->rows * F + 1));
    OF(linear)(h, OF(get)(c, "x"), OF(get)(c, "up"), OF(get)(c, "up_bias"), c->rows, F, M);
    int tanh_form = oracle_param(c, "approximate", 0) == 1;
    for (int64_t i = 0; i < c->rows * F; i++) {
        REAL x = h[i];
        h[i] = tanh_form ? x / 2 * (1 + MATH(tanh)((REAL)0.79788456080286535588 * (x + (REAL)0.044715 * x * x * x)))
                         : x / 2 * (1 + MATH(erf)(x * (REAL)0.70710678118654752440));
    }
    OF(linear)(OF(get)(c, "out"), h, OF(get)(c, "down"), OF(get)(c, "down_bias"), c->rows, M, F);
    free(h);
}

/* SwiGLU, arXiv 2002.05202, equation 6: (silu(x gate^T) * x up^T) down^T */
static void OF(swiglu)(const oracle_call *c)
{
    int64_t M = AXIS('M'), F = AXIS('F');
    size_t n = (size_t)(c->rows * F + 1);
    REAL *g = malloc(sizeof *g * n), *u = malloc(sizeof *u * n);
    OF(linear)(g, OF(get)(c, "x"), OF(get)(c, "gate"), NULL, c->rows, F, M);
    OF(linear)(u, OF(get)(c, "x"), OF(get)(c, "up"), NULL, c->rows, F, M);
    for (int64_t i = 0; i < c->rows * F; i++) g[i] = g[i] / (1 + MATH(exp)(-g[i])) * u[i];
    OF(linear)(OF(get)(c, "out"), g, OF(get)(c, "down"), NULL, c->rows, M, F);
    free(g);
    free(u);
}

static void OF(embed)(const oracle_call *c)
{
    const REAL *tokens = OF(get)(c, "tokens"), *table = OF(get)(c, "table");
    REAL *y = OF(get)(c, "out");
    int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < M; i++) y[r * M + i] = table[(int64_t)tokens[r] * M + i];
}

static void OF(add)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *y = OF(get)(c, "y");
    REAL *out = OF(get)(c, "out");
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = x[i] + y[i];
}

/* -ln softmax(logits)[target] */
static void OF(cross_entropy)(const oracle_call *c)
{
    const REAL *logits = OF(get)(c, "logits"), *targets = OF(get)(c, "targets");
    REAL *nll = OF(get)(c, "nll");
    int64_t V = AXIS('V');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < V; i++) max = logits[r * V + i] > max ? logits[r * V + i] : max;
        for (int64_t i = 0; i < V; i++) sum += MATH(exp)(logits[r * V + i] - max);
        nll[r] = MATH(log)(sum) + max - logits[r * V + (int64_t)targets[r]];
    }
}

/* ---- synthesizers, arXiv 2005.00743: softmax over logits of (query t at position `at`, head h, position j) ---- */

typedef REAL OF(logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j);

/* out = softmax(logits) v over the sequence itself; key j is token j, and head h has the values of h / (H / G). */
static void OF(synthesizer)(const oracle_call *c, OF(logit) *logit)
{
    const REAL *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths"), *documents = OF(get)(c, "documents");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    const int64_t B = AXIS('B'), T = AXIS('T'), H = AXIS('H'), G = AXIS('G'), E = AXIS('E');
    const int alibi = c->position && strcmp(c->position, "position/alibi") == 0;
    REAL *s = malloc(sizeof *s * (size_t)(T + 1));
    for (int64_t row = 0; row < B * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T, valid = lengths ? (int64_t)lengths[b] : T;
        const int64_t at = c->mask.align == HEED_ALIGN_BOTTOM_RIGHT ? valid - T + t
                           : c->mask.align == HEED_ALIGN_OFFSET     ? t + c->mask.offset
                                                                    : t;
        int64_t low = 1;
        while (2 * low <= H) low *= 2;
        const double slope = exp2(h < low ? -8.0 * (double)(h + 1) / (double)low
                                          : -4.0 * (double)(2 * (h - low) + 1) / (double)low);
        REAL max = -INFINITY, sum = 0, *y = out + row * E;
        for (int64_t j = 0; j < T; j++) {
            const int live = j != c->skip_key && OF(live)(c, documents, NULL, b, t, at, valid, j);
            s[j] = live ? logit(c, b, t, at, h, j) * (REAL)c->scale_factor : -INFINITY;
            if (live && alibi) s[j] += (REAL)slope * (REAL)(j - at);
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

/* Section 3.2: R_ij of head h, a table */
static REAL OF(random_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j)
{
    const int64_t C = AXIS('C');
    (void)b, (void)t;
    return OF(get)(c, "table")[(h * C + at) * C + j];
}
static void OF(synthesizer_random)(const oracle_call *c) { OF(synthesizer)(c, OF(random_logit)); }

/* Section 3.2.1: R = rows columns^T */
static REAL OF(factorized_random_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j)
{
    const int64_t C = AXIS('C'), R = AXIS('J');
    const REAL *rows = OF(get)(c, "rows") + (h * C + at) * R, *columns = OF(get)(c, "columns") + (h * C + j) * R;
    REAL sum = 0;
    (void)b, (void)t;
    for (int64_t r = 0; r < R; r++) sum += rows[r] * columns[r];
    return sum;
}
static void OF(synthesizer_factorized_random)(const oracle_call *c) { OF(synthesizer)(c, OF(factorized_random_logit)); }

/* relu(q of b, t, h) times row j of a matrix [W, n, D], W = 1 for all heads or H */
static REAL OF(of_query)(const oracle_call *c, const char *matrix, int64_t n, int64_t b, int64_t t, int64_t h, int64_t j)
{
    const int64_t H = AXIS('H'), D = AXIS('D');
    const REAL *q = OF(get)(c, "q") + ((b * AXIS('T') + t) * H + h) * D;
    const REAL *w = OF(get)(c, matrix) + ((AXIS('W') == 1 ? 0 : h) * n + j) * D;
    REAL sum = 0;
    for (int64_t d = 0; d < D; d++) sum += (q[d] > 0 || q[d] != q[d] ? q[d] : 0) * w[d];
    return sum;
}

/* Section 3.1: B_i = W2 relu(q_i) + b2 */
static REAL OF(dense_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j)
{
    const REAL *offset = OF(get)(c, "offset");
    (void)at;
    return OF(of_query)(c, "matrix", AXIS('C'), b, t, h, j) +
           (offset ? offset[(AXIS('W') == 1 ? 0 : h) * AXIS('C') + j] : 0);
}
static void OF(synthesizer_dense)(const oracle_call *c) { OF(synthesizer)(c, OF(dense_logit)); }

/* Section 3.1.1: B_ij = A_i[j mod a] C_i[j div a] */
static REAL OF(factorized_dense_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j)
{
    const int64_t A = AXIS('A'), U = AXIS('U');
    (void)at;
    return OF(of_query)(c, "inner", A, b, t, h, j % A) * OF(of_query)(c, "outer", U, b, t, h, j / A);
}
static void OF(synthesizer_factorized_dense)(const oracle_call *c) { OF(synthesizer)(c, OF(factorized_dense_logit)); }

/* Gated attention unit, arXiv 2202.10447, section 3: squared ReLU, keys and queries of one base */
static REAL OF(silu)(REAL x) { return x / (1 + MATH(exp)(-x)); }
static void OF(gau)(const oracle_call *c)
{
    const REAL *base = OF(get)(c, "q"), *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate");
    const REAL *lengths = OF(get)(c, "key_lengths");
    const REAL *documents = OF(get)(c, "documents"), *qg = OF(get)(c, "q_gain"), *qo = OF(get)(c, "q_offset");
    const REAL *kg = OF(get)(c, "k_gain"), *ko = OF(get)(c, "k_offset");
    REAL *out = OF(get)(c, "out");
    const int64_t B = AXIS('B'), T = AXIS('T'), H = AXIS('H'), D = AXIS('D'), E = AXIS('E');
    const int by_width = oracle_param(c, "scale", 0) == 1;
    for (int64_t row = 0; row < B * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T, valid = lengths ? (int64_t)lengths[b] : T;
        const int64_t at = c->mask.align == HEED_ALIGN_BOTTOM_RIGHT ? valid - T + t
                           : c->mask.align == HEED_ALIGN_OFFSET     ? t + c->mask.offset
                                                                    : t;
        REAL *y = out + row * E, live = 0;
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        for (int64_t j = 0; j < T; j++) {
            if (!OF(live)(c, documents, NULL, b, t, at, valid, j)) continue;
            REAL dot = 0;
            const REAL *key = base + ((b * T + j) * H + h) * D, *value = v + ((b * T + j) * H + h) * E;
            live += 1;
            if (j == c->skip_key) continue;
            for (int64_t d = 0; d < D; d++)
                dot += (OF(silu)(base[row * D + d]) * (qg ? qg[d] : 1) + (qo ? qo[d] : 0)) *
                       (OF(silu)(key[d]) * (kg ? kg[d] : 1) + (ko ? ko[d] : 0));
            dot = dot > 0 || dot != dot ? dot * (REAL)c->scale_factor : 0;
            for (int64_t e = 0; e < E; e++) y[e] += dot * dot * OF(silu)(value[e]);
        }
        const REAL n = (REAL)oracle_param(c, "length", (double)live);
        const REAL factor = live > 0 ? 1 / (n * (by_width ? (REAL)D : n)) : 0;
        for (int64_t e = 0; e < E; e++) y[e] *= factor * OF(silu)(gate[row * E + e]);
    }
}

/* BatchNorm, arXiv 1502.03167, algorithms 1 (statistics of the call's tokens) and 2 (kept ones) */
static void OF(batch_norm)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *gain = OF(get)(c, "gain"), *bias = OF(get)(c, "bias");
    const REAL *kept_mean = OF(get)(c, "mean"), *kept = OF(get)(c, "variance"), eps = (REAL)oracle_param(c, "eps", 0);
    const int of_call = oracle_param(c, "statistics", 0) == 1;
    REAL *y = OF(get)(c, "out");
    const int64_t M = AXIS('M'), n = c->rows;
    for (int64_t i = 0; i < M; i++) {
        REAL mean = 0, variance = 0;
        for (int64_t r = 0; r < n; r++) mean += x[r * M + i] / (REAL)n;
        for (int64_t r = 0; r < n; r++) variance += (x[r * M + i] - mean) * (x[r * M + i] - mean) / (REAL)n;
        if (!of_call) mean = kept_mean ? kept_mean[i] : 0, variance = kept ? kept[i] : 1;
        for (int64_t r = 0; r < n; r++)
            y[r * M + i] =
                (x[r * M + i] - mean) / MATH(sqrt)(variance + eps) * (gain ? gain[i] : 1) + (bias ? bias[i] : 0);
    }
}
