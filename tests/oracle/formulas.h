/* SPDX-License-Identifier: MIT
 *
 * formulas.h: each op's formula as the plainest loop, in REAL (double: the oracle; float: the naive loop), with what
 * oracle.h offers. Included by oracle.c alone. Sources stand with each formula.
 */

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

/* Scaled dot-product attention, arXiv 1706.03762, equation 1 */
static void OF(softmax)(const oracle_call *c) { OF(attention)(c, NULL); }

/* Attention whose scores are (q + u) k + (q + w) a, and whose values are v + z, where a and z depend on the relative
 * position j - i, kept within [low, high], and a on the head too, `per_head` numbers apart. A query sees keys from
 * `memory` before the first query on, or before itself if `same_length`; all of them if memory < 0. NULL is 0. */
typedef struct OF(relatives) {
    const REAL *a, *z, *u, *w;
    int64_t low, high, per_head, memory;
    int same_length;
} OF(relatives);
static void OF(relative)(const oracle_call *c, const OF(relatives) *r)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths");
    const REAL *past_k = OF(get)(c, "past_k"), *past_v = OF(get)(c, "past_v");
    const REAL *documents = OF(get)(c, "documents"), *asked = OF(get)(c, "query_documents");
    const REAL *bias = OF(get)(c, "bias"), *sink = OF(get)(c, "sink_logits");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    int64_t B = AXIS('B'), T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), D = AXIS('D'), E = AXIS('E');
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
            for (int64_t e = 0; e < E; e++) y[e] += w * (value[e] + (r->z ? r->z[(delta - r->low) * E + e] : 0));
        }
        for (int64_t e = 0; e < E; e++) y[e] = sum == 0 ? 0 : y[e] / sum;
        if (lse) lse[n] = sum == 0 ? -INFINITY : max + MATH(log)(sum);
    }
    free(s);
}

/* Relative position representations, arXiv 1803.02155, equations 3 and 4 */
static void OF(shaw)(const oracle_call *c)
{
    const int64_t k = AXIS('R') / 2;
    OF(relative)(c, &(OF(relatives)){.a = OF(get)(c, "relative_keys"), .z = OF(get)(c, "relative_values"),
                                     .low = -k, .high = k, .memory = -1});
}

/* Transformer-XL, arXiv 1901.02860, section 3.3; clamp and same_length as in its PyTorch code */
static void OF(transformer_xl)(const oracle_call *c)
{
    const int64_t H = AXIS('H'), D = AXIS('D'), M = AXIS('M'), memory = (int64_t)oracle_param(c, "memory", 0);
    const int64_t low = -2 * memory, rows = 2 * memory + 1, clamp = (int64_t)oracle_param(c, "clamp", 0);
    const REAL *weight = OF(get)(c, "relative_weight"), *lengths = OF(get)(c, "key_lengths");
    REAL *a = calloc((size_t)(H * rows * D + 1), sizeof *a), *encoding = malloc(sizeof *encoding * (size_t)(M + 1));
    int64_t farthest = 0; /* from a query to key 0 */
    for (int64_t n = 0; n < AXIS('B') * AXIS('T'); n++) {
        const int64_t valid = lengths ? (int64_t)lengths[n / AXIS('T')] : c->past + AXIS('S');
        const int64_t at = oracle_position(c, valid, n % AXIS('T'));
        if (at > farthest) farthest = at;
    }
    for (int64_t p = 0; p < rows && p <= farthest; p++) {
        for (int64_t m = 0; m < M / 2; m++) {
            const double angle = (double)(clamp && p > clamp ? clamp : p) * pow(10000, -2.0 * (double)m / (double)M);
            const int turns = oracle_param(c, "encoding", 0) == 1;
            encoding[turns ? 2 * m : m] = (REAL)sin(angle), encoding[turns ? 2 * m + 1 : M / 2 + m] = (REAL)cos(angle);
        }
        for (int64_t hd = 0; hd < H * D; hd++) {
            REAL *to = &a[hd / D * rows * D + (-p - low) * D + hd % D];
            for (int64_t m = 0; m < M; m++) *to += weight[hd * M + m] * encoding[m];
        }
    }
    OF(relative)(c, &(OF(relatives)){.a = a, .u = OF(get)(c, "content_bias"), .w = OF(get)(c, "position_bias"),
                                     .low = low, .per_head = rows * D, .memory = memory,
                                     .same_length = oracle_param(c, "same_length", 0) != 0});
    free(a);
    free(encoding);
}

/* Sliding window: W keys back (W + 1 if inclusive), arXiv 2310.06825, section 2; to both sides, and global tokens,
 * arXiv 2004.05150, section 3.1; sinks, arXiv 2309.17453 */
static REAL OF(window_score)(const oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s)
{
    (void)h;
    const int64_t left = (int64_t)oracle_param(c, "left", 0), right = (int64_t)oracle_param(c, "right", 0);
    const int64_t sinks = (int64_t)oracle_param(c, "sinks", 0), global = (int64_t)oracle_param(c, "global", 0);
    const int64_t back = at - j;
    const int near = (oracle_param(c, "inclusive", 0) != 0 ? back <= left : back < left) && -back <= right;
    return near || (j < sinks && -back <= right) || at < global || j < global ? s : -INFINITY;
}
static void OF(window)(const oracle_call *c) { OF(attention)(c, OF(window_score)); }

/* Sparse Transformers, arXiv 1904.10509, sections 4.2 and 4.3: the sets A1 (local) and A2 (columns) of both patterns */
static REAL OF(sparse_score)(const oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s)
{
    const int64_t l = (int64_t)oracle_param(c, "stride", 0), sets = (int64_t)oracle_param(c, "sets", 1);
    const int64_t standard = l / 4 < 1 ? 1 : l / 4 < l / sets ? l / 4 : l / sets;
    const int64_t columns = (int64_t)oracle_param(c, "columns", (double)standard);
    const int fixed = oracle_param(c, "pattern", 0) == 1, factor = (int)oracle_param(c, "factor", 0);
    const int64_t end = l - h % sets * columns; /* of the columns in a block */
    const int local = fixed ? j / l == at / l : at - j < l + (oracle_param(c, "inclusive", 1) != 0);
    const int column = fixed ? j % l >= end - columns && j % l < end : (at - j) % l == 0;
    const int first = factor == 0 || factor == 1 || (factor == 3 && h % 2 == 0);
    const int second = factor == 0 || factor == 2 || (factor == 3 && h % 2 == 1);
    return j <= at && ((first && local) || (second && column)) ? s : -INFINITY;
}
static void OF(sparse)(const oracle_call *c) { OF(attention)(c, OF(sparse_score)); }

/* Adaptive span, arXiv 1905.07799, section 2, equations 3 and 4: keys before the query's own, each weight times m_z */
static REAL OF(span_score)(const oracle_call *c, int64_t b, int64_t t, int64_t h, int64_t at, int64_t j, REAL s)
{
    const REAL *span = OF(get)(c, "span");
    const REAL ramp = (REAL)oracle_param(c, "ramp", 0), limit = (REAL)oracle_param(c, "limit", 0);
    REAL z;
    if (span) z = limit * span[h];
    else { /* the dynamic one: from the token's input */
        const REAL *x = OF(get)(c, "x") + (b * AXIS('T') + t) * AXIS('M');
        const REAL *w = OF(get)(c, "span_weight") + h * AXIS('M');
        REAL sum = OF(get)(c, "span_bias")[h];
        for (int64_t m = 0; m < AXIS('M'); m++) sum += w[m] * x[m];
        z = limit / (1 + MATH(exp)(-sum));
    }
    const int64_t back = at - j;
    if (back > (int64_t)limit || back < (oracle_param(c, "self", 0) != 0 ? 0 : 1)) return -INFINITY;
    const REAL x = (REAL)(oracle_param(c, "distance", 0) == 1 ? back - 1 : back), m = (ramp + z - x) / ramp;
    const REAL *p = OF(get)(c, "distance_table"), *q = OF(get)(c, "q");
    const int64_t D = AXIS('D');
    REAL more = 0;
    for (int64_t d = 0; p && d < D; d++)
        more += q[((b * AXIS('T') + t) * AXIS('H') + h) * D + d] * p[(back - 1) * D + d];
    more *= (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    return m <= 0 ? -INFINITY : s + more + (m < 1 ? MATH(log)(m) : 0);
}
static void OF(span)(const oracle_call *c) { OF(attention_by)(c, NULL, OF(span_score)); }

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

/* Sinusoidal positions, arXiv 1706.03762, section 3.5 (interleaved, exponent 2k / M), or the first half sines and the
 * second cosines with exponent k / (M / 2 - 1), as in tensor2tensor */
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
        const int64_t at = oracle_position(c, valid, t);
        int64_t low = 1;
        while (2 * low <= H) low *= 2;
        const double slope = exp2(h < low ? -8.0 * (double)(h + 1) / (double)low
                                          : -4.0 * (double)(2 * (h - low) + 1) / (double)low);
        REAL max = -INFINITY, sum = 0, *y = out + row * E;
        for (int64_t j = 0; j < T; j++) {
            const int live = OF(live)(c, documents, NULL, b, t, at, valid, j);
            s[j] = live ? logit(c, b, t, at, h, j) + (alibi ? (REAL)slope * (REAL)(j - at) : 0) : -INFINITY;
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

/* Number i of a weight that fixed=N draws: splitmix64 (doi 10.1145/2660193.2660195) from `seed` on, its upper 24 bits
 * uniform of variance 1 / width, as float32. */
static REAL OF(drawn)(uint64_t seed, int64_t i, int64_t width)
{
    uint64_t z = seed + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (REAL)(float)(sqrt(3 / (double)width) * ((double)((z ^ z >> 31) >> 40) * 0x1p-23 - 1));
}
static uint64_t OF(seed)(const oracle_call *c) { return (uint64_t)oracle_param(c, "fixed", 0); }

/* Section 3.2: R_ij of head h, a table */
static REAL OF(random_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j)
{
    const int64_t C = AXIS('C'), i = (h * C + at) * C + j;
    const REAL *table = OF(get)(c, "table");
    (void)b, (void)t;
    return table ? table[i] : OF(drawn)(OF(seed)(c), i, C);
}
static void OF(synthesizer_random)(const oracle_call *c) { OF(synthesizer)(c, OF(random_logit)); }

/* Section 3.2.1: R = rows columns^T */
static REAL OF(factorized_random_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h, int64_t j)
{
    const int64_t C = AXIS('C'), R = AXIS('J'), row = (h * C + at) * R, column = (h * C + j) * R;
    const REAL *rows = OF(get)(c, "rows"), *columns = OF(get)(c, "columns");
    const uint64_t seed = OF(seed)(c);
    REAL sum = 0;
    (void)b, (void)t;
    for (int64_t r = 0; r < R; r++)
        sum += (rows ? rows[row + r] : OF(drawn)(seed, row + r, R)) *
               (columns ? columns[column + r] : OF(drawn)(~seed, column + r, R));
    return sum;
}
static void OF(synthesizer_factorized_random)(const oracle_call *c) { OF(synthesizer)(c, OF(factorized_random_logit)); }

/* relu(q of b, t, h) times row j of a matrix [W, n, D], W = 1 for all heads or H */
static REAL OF(of_query)(const oracle_call *c, const char *matrix, int64_t n, int64_t b, int64_t t, int64_t h,
                         int64_t j)
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
        const int64_t at = oracle_position(c, valid, t);
        REAL *y = out + row * E, live = 0;
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        for (int64_t j = 0; j < T; j++) {
            if (!OF(live)(c, documents, NULL, b, t, at, valid, j)) continue;
            REAL dot = 0;
            const REAL *key = base + ((b * T + j) * H + h) * D, *value = v + ((b * T + j) * H + h) * E;
            live += 1;
            for (int64_t d = 0; d < D; d++)
                dot += (OF(silu)(base[row * D + d]) * (qg ? qg[d] : 1) + (qo ? qo[d] : 0)) *
                       (OF(silu)(key[d]) * (kg ? kg[d] : 1) + (ko ? ko[d] : 0));
            dot = dot > 0 || dot != dot ? dot : 0;
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
