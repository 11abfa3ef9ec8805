/* SPDX-License-Identifier: MIT
 *
 * gradients.h: the backward of ops that have one, as anybody would write it: the chain rule,
 * element by element. g[port] of an output is the gradient that comes, or NULL; of an input or
 * weight it is zeroed, and what is wanted is added to it; NULL: not wanted.
 * tests/ops/test_backward.c holds the float64 reading against central differences of the oracles,
 * and kernels against that.
 */
static REAL *OF(gradient)(const oracle_call *c, REAL *const *g, const char *name)
{
    int i = oracle_port(c, name);
    return i < 0 ? NULL : g[i];
}

/* y = x W^T + b, from dy */
static void OF(product_gradient)(const REAL *dy, const REAL *x, const REAL *w, REAL *dx, REAL *dw,
                                 REAL *db, int64_t rows, int64_t n, int64_t m)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            if (db) db[i] += dy[r * n + i];
            for (int64_t j = 0; j < m; j++) {
                if (dx) dx[r * m + j] += dy[r * n + i] * w[i * m + j];
                if (dw) dw[i * m + j] += dy[r * n + i] * x[r * m + j];
            }
        }
}

static void OF(linear_projection_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(product_gradient)
    (OF(gradient)(c, g, "out"), OF(get)(c, "x"), OF(get)(c, "weight"), OF(gradient)(c, g, "x"),
     OF(gradient)(c, g, "weight"), OF(gradient)(c, g, "bias"), c->rows, AXIS('N'), AXIS('M'));
}

/* LayerNorm, or RMSNorm: arXiv 1607.06450, equation 4; 1910.07467, section 4 */
static void OF(norm_gradient)(const oracle_call *c, REAL *const *g, int centred)
{
    REAL *x = OF(norm_input)(c), *dx = OF(gradient)(c, g, "x"),
         *dr = OF(gradient)(c, g, "residual");
    REAL *dgain = OF(gradient)(c, g, "gain"), *dbias = OF(gradient)(c, g, "bias");
    const REAL *dy = OF(gradient)(c, g, "out"), *ds = OF(gradient)(c, g, "sum");
    const REAL *gain = OF(get)(c, "gain"), eps = (REAL)oracle_param(c, "eps", 0),
               offset = (REAL)oracle_param(c, "offset", 0);
    const int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++) {
        const REAL *row = x + r * M;
        REAL mean = 0, square = 0, first = 0, second = 0;
        for (int64_t i = 0; i < M && centred; i++) mean += row[i] / (REAL)M;
        for (int64_t i = 0; i < M; i++) square += (row[i] - mean) * (row[i] - mean);
        const REAL scale = 1 / MATH(sqrt)(square / (REAL)M + eps);
        for (int64_t i = 0; i < M && dy; i++) {
            const REAL h = (row[i] - mean) * scale, d = dy[r * M + i],
                       inner = d * (gain ? gain[i] + offset : 1);
            first += inner / (REAL)M, second += inner * h / (REAL)M;
            if (dgain) dgain[i] += d * h;
            if (dbias) dbias[i] += d;
        }
        for (int64_t i = 0; i < M; i++) {
            const REAL h = (row[i] - mean) * scale;
            REAL d = ds ? ds[r * M + i] : 0;
            if (dy)
                d += scale * (dy[r * M + i] * (gain ? gain[i] + offset : 1) -
                              (centred ? first : 0) - h * second);
            if (dx) dx[r * M + i] += d;
            if (dr) dr[r * M + i] += d;
        }
    }
    free(x);
}
static void OF(norm_rms_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(norm_gradient)(c, g, 0);
}
static void OF(norm_layer_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(norm_gradient)(c, g, 1);
}

static void OF(residual_add_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *d = OF(gradient)(c, g, "out"), alpha = (REAL)(float)oracle_param(c, "alpha", 1);
    REAL *dx = OF(gradient)(c, g, "x"), *dy = OF(gradient)(c, g, "y");
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) {
        if (dx) dx[i] += alpha * d[i];
        if (dy) dy[i] += d[i];
    }
}

static void OF(embed_table_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *tokens = OF(get)(c, "tokens"), *d = OF(gradient)(c, g, "out"),
               scale = (REAL)(float)oracle_param(c, "scale", 1);
    REAL *table = OF(gradient)(c, g, "table");
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < AXIS('M'); i++)
            table[(int64_t)tokens[r] * AXIS('M') + i] += scale * d[r * AXIS('M') + i];
}

static void OF(loss_cross_entropy_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *logits = OF(get)(c, "logits"), *targets = OF(get)(c, "targets"),
               *d = OF(gradient)(c, g, "nll");
    REAL *to = OF(gradient)(c, g, "logits");
    const int64_t V = AXIS('V');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL max = -INFINITY, sum = 0;
        if (targets[r] == -100) continue; /* skipped */
        for (int64_t i = 0; i < V; i++) max = logits[r * V + i] > max ? logits[r * V + i] : max;
        for (int64_t i = 0; i < V; i++) sum += MATH(exp)(logits[r * V + i] - max);
        for (int64_t i = 0; i < V; i++)
            to[r * V + i] += d[r] * (MATH(exp)(logits[r * V + i] - max) / sum -
                                     (i == (int64_t)targets[r] ? 1 : 0));
    }
}

/* What is added to x does not depend on it. */
static void OF(position_sinusoidal_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *d = OF(gradient)(c, g, "out");
    REAL *dx = OF(gradient)(c, g, "x");
    for (int64_t i = 0; i < AXIS('B') * AXIS('T') * AXIS('M'); i++) dx[i] += d[i];
}
static void OF(position_learned_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *d = OF(gradient)(c, g, "out"), *positions = OF(get)(c, "positions");
    REAL *table = OF(gradient)(c, g, "table");
    const int64_t M = AXIS('M'), T = AXIS('T'), offset = (int64_t)oracle_param(c, "offset", 0);
    OF(position_sinusoidal_gradient)(c, g);
    for (int64_t i = 0; i < AXIS('B') * T * M; i++) {
        const int64_t r = i / M, at = (positions ? (int64_t)positions[r] : r % T) + offset;
        table[at * M + i % M] += d[i];
    }
}

/* out = x f(gate), f sigmoid or silu */
static void OF(activation_gate_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *x = OF(get)(c, "x"), *gate = OF(get)(c, "gate"), *d = OF(gradient)(c, g, "out");
    REAL *dx = x ? OF(gradient)(c, g, "x") : NULL, *dg = OF(gradient)(c, g, "gate");
    const int silu = oracle_param(c, "function", 0) != 0;
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) {
        const REAL s = 1 / (1 + MATH(exp)(-gate[i]));
        if (dx) dx[i] += d[i] * (silu ? gate[i] : 1) * s;
        if (dg) dg[i] += d[i] * (x ? x[i] : 1) * (silu ? s * (1 + gate[i] * (1 - s)) : s * (1 - s));
    }
}

static void OF(activation_softcap_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *d = OF(gradient)(c, g, "out"), *x = OF(get)(c, "x"),
               cap = (REAL)oracle_param(c, "cap", 30);
    REAL *dx = OF(gradient)(c, g, "x");
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) {
        const REAL t = MATH(tanh)(x[i] / cap);
        dx[i] += (1 - t * t) * d[i];
    }
}

/* arXiv 1502.03167, section 3 */
static void OF(norm_batch_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *x = OF(get)(c, "x"), *gain = OF(get)(c, "gain"), *kept_mean = OF(get)(c, "mean"),
               *kept = OF(get)(c, "variance"), *d = OF(gradient)(c, g, "out");
    REAL *dx = OF(gradient)(c, g, "x"), *dgain = OF(gradient)(c, g, "gain"),
         *dbias = OF(gradient)(c, g, "bias"), eps = (REAL)oracle_param(c, "eps", 0);
    const int of_call = oracle_param(c, "statistics", 0) == 1;
    const int64_t M = AXIS('M'), n = c->rows;
    for (int64_t i = 0; i < M; i++) {
        REAL mean = 0, variance = 0, first = 0, second = 0;
        for (int64_t r = 0; r < n; r++) mean += x[r * M + i] / (REAL)n;
        for (int64_t r = 0; r < n; r++)
            variance += (x[r * M + i] - mean) * (x[r * M + i] - mean) / (REAL)n;
        if (!of_call) mean = kept_mean ? kept_mean[i] : 0, variance = kept ? kept[i] : 1;
        const REAL scale = 1 / MATH(sqrt)(variance + eps);
        for (int64_t r = 0; r < n; r++) {
            const REAL h = (x[r * M + i] - mean) * scale;
            first += d[r * M + i], second += d[r * M + i] * h;
        }
        if (dgain) dgain[i] += second;
        if (dbias) dbias[i] += first;
        for (int64_t r = 0; r < n; r++) {
            const REAL h = (x[r * M + i] - mean) * scale;
            dx[r * M + i] +=
                (gain ? gain[i] : 1) * scale *
                (d[r * M + i] - (of_call ? first / (REAL)n + h * second / (REAL)n : 0));
        }
    }
}

/* The transpose of rope_turn: each pair back. */
static void OF(rope_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *d = OF(gradient)(c, g, "out"), *positions = OF(get)(c, "positions");
    REAL *to = OF(gradient)(c, g, "x");
    const int64_t H = AXIS('H'), D = AXIS('D'),
                  width = (int64_t)oracle_param(c, "width", (double)D);
    const int half = oracle_param(c, "pairs", 0) == 1;
    for (int64_t n = 0; n < AXIS('B') * AXIS('T') * H; n++) {
        const REAL *from = d + n * D, at = positions ? positions[n / H] : (REAL)(n / H % AXIS('T'));
        for (int64_t i = width; i < D; i++) to[n * D + i] += from[i];
        for (int64_t k = 0; k < width / 2; k++) {
            const REAL angle = at * OF(rope_frequency)(c, (REAL)k, (REAL)width);
            const int64_t i = half ? k : 2 * k, j = half ? k + width / 2 : 2 * k + 1;
            to[n * D + i] += from[i] * MATH(cos)(angle) + from[j] * MATH(sin)(angle);
            to[n * D + j] += from[j] * MATH(cos)(angle) - from[i] * MATH(sin)(angle);
        }
    }
}

/* ---- feed-forward nets ---- */

enum { OF(BY_RELU), OF(BY_GELU), OF(BY_SILU) };
static REAL OF(activation_slope)(const oracle_call *c, int kind, REAL z)
{
    if (kind == OF(BY_RELU))
        return z > 0 ? (oracle_param(c, "squared", 0) != 0 ? 2 * z : 1) : z == z ? 0 : z;
    if (kind == OF(BY_SILU)) return OF(sigmoid)(z) * (1 + z * (1 - OF(sigmoid)(z)));
    if (oracle_param(c, "approximate", 0) != 1)
        return (1 + MATH(erf)(z * (REAL)0.70710678118654752440)) / 2 +
               z * (REAL)0.39894228040143267794 * MATH(exp)(-z * z / 2);
    const REAL t = MATH(tanh)((REAL)0.79788456080286535588 * (z + (REAL)0.044715 * z * z * z));
    return (1 + t) / 2 +
           z / 2 * (1 - t * t) * (REAL)0.79788456080286535588 * (1 + 3 * (REAL)0.044715 * z * z);
}
static REAL OF(activation)(const oracle_call *c, int kind, REAL z)
{
    if (kind == OF(BY_GELU)) return OF(gelu)(z, oracle_param(c, "approximate", 0) == 1);
    if (kind == OF(BY_SILU)) return OF(silu)(z);
    return oracle_param(c, "squared", 0) != 0 ? OF(relu)(z) * OF(relu)(z) : OF(relu)(z);
}

/* arXiv 1706.03762, equation 2; with a gate, arXiv 2002.05202, equation 6 */
static void OF(feedforward_gradient)(const oracle_call *c, REAL *const *g, int kind)
{
    const REAL *x = OF(get)(c, "x"), *gate = OF(get)(c, "gate"), *d = OF(gradient)(c, g, "out");
    const int64_t M = AXIS('M'), F = AXIS('F'), n = c->rows * F;
    REAL *z = calloc((size_t)(5 * n + 1), sizeof *z), *u = z + n, *h = u + n, *dh = h + n,
         *du = dh + n;
    REAL *dx = OF(gradient)(c, g, "x");
    const char *inner = gate ? "gate" : "up", *bias = gate ? "gate_bias" : "up_bias";
    OF(product)(z, x, OF(get)(c, inner), OF(get)(c, bias), c->rows, F, M);
    if (gate) OF(product)(u, x, OF(get)(c, "up"), OF(get)(c, "up_bias"), c->rows, F, M);
    for (int64_t i = 0; i < n; i++) h[i] = OF(activation)(c, kind, z[i]) * (gate ? u[i] : 1);
    OF(product_gradient)
    (d, h, OF(get)(c, "down"), dh, OF(gradient)(c, g, "down"), OF(gradient)(c, g, "down_bias"),
     c->rows, M, F);
    for (int64_t i = 0; i < n; i++) {
        du[i] = dh[i] * OF(activation)(c, kind, z[i]);
        dh[i] *= OF(activation_slope)(c, kind, z[i]) * (gate ? u[i] : 1);
    }
    OF(product_gradient)
    (dh, x, OF(get)(c, inner), dx, OF(gradient)(c, g, inner), OF(gradient)(c, g, bias), c->rows, F,
     M);
    if (gate) OF(product_gradient)
    (du, x, OF(get)(c, "up"), dx, OF(gradient)(c, g, "up"), OF(gradient)(c, g, "up_bias"), c->rows,
     F, M);
    free(z);
}
static void OF(feedforward_relu_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(feedforward_gradient)(c, g, OF(BY_RELU));
}
static void OF(feedforward_gelu_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(feedforward_gradient)(c, g, OF(BY_GELU));
}
static void OF(feedforward_swiglu_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(feedforward_gradient)(c, g, OF(BY_SILU));
}

/* ---- attention ---- */

/* What a score of another op gives to gradients of its own: ds is that of the score. */
typedef void OF(score_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t t, int64_t h,
                            int64_t at, int64_t j, REAL ds);

/* The weights of a row, of all keys, and behind them that of the sink; 0 where one is not seen.
 * `slope`: of the score by scale q k. */
static void OF(attention_weights)(const oracle_call *c, OF(scorer) * score,
                                  OF(row_scorer) * row_score, int64_t b, int64_t t, int64_t h,
                                  REAL *p, REAL *slope)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *lengths = OF(get)(c, "key_lengths");
    const REAL *documents = OF(get)(c, "documents"), *asked = OF(get)(c, "query_documents"),
               *bias = OF(get)(c, "bias"), *sink = OF(get)(c, "sink_logits");
    const int64_t T = AXIS('T'), S = oracle_keys(c), H = AXIS('H'), D = AXIS('D'), G = AXIS('G');
    const int64_t valid = lengths ? (int64_t)lengths[b] : S, at = oracle_position(c, valid, t);
    const REAL scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1))),
               cap = (REAL)oracle_param(c, "softcap", 0);
    REAL max = sink ? sink[h] : -INFINITY, sum = 0;
    for (int64_t j = 0; j < S; j++) {
        REAL dot = 0;
        p[j] = -INFINITY, slope[j] = 0;
        if (!OF(live)(c, documents, asked, b, t, at, valid, j)) continue;
        for (int64_t d = 0; d < D; d++)
            dot += scale * q[((b * T + t) * H + h) * D + d] *
                   k[((b * S + j) * G + h / (H / G)) * D + d];
        p[j] = OF(attention_score)(c, h, at, j, dot);
        if (score) p[j] = score(c, h, at, j, p[j]);
        if (row_score) p[j] = row_score(c, b, t, h, at, j, p[j]);
        if (bias && p[j] != -INFINITY) p[j] += bias[((b * H + h) * T + t) * S + j];
        slope[j] = cap > 0 ? 1 - MATH(tanh)(dot / cap) * MATH(tanh)(dot / cap) : 1;
        if (p[j] > max || p[j] != p[j]) max = p[j];
    }
    p[S] = sum = sink ? MATH(exp)(sink[h] - max) : 0;
    for (int64_t j = 0; j < S; j++) sum += p[j] = p[j] == -INFINITY ? 0 : MATH(exp)(p[j] - max);
    for (int64_t j = 0; j <= S && sum != 0; j++) p[j] /= sum;
}

/* arXiv 2205.14135, appendix B.2, a row at a time */
static void OF(attention_gradient_by)(const oracle_call *c, REAL *const *g, OF(scorer) * score,
                                      OF(row_scorer) * row_score, OF(score_back) * back)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v");
    const REAL *d_out = OF(gradient)(c, g, "out"), *d_lse = OF(gradient)(c, g, "lse");
    REAL *dq = OF(gradient)(c, g, "q"), *dk = OF(gradient)(c, g, "k"),
         *dv = OF(gradient)(c, g, "v");
    REAL *d_bias = OF(get)(c, "bias") ? OF(gradient)(c, g, "bias") : NULL,
         *d_sink = OF(get)(c, "sink_logits") ? OF(gradient)(c, g, "sink_logits") : NULL;
    const REAL *lengths = OF(get)(c, "key_lengths");
    const int64_t T = AXIS('T'), S = oracle_keys(c), H = AXIS('H'), D = AXIS('D'), E = AXIS('E'),
                  G = AXIS('G');
    const REAL scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    REAL *p = malloc(sizeof *p * (size_t)(3 * S + 2)), *slope = p + S + 1, *dp = slope + S;
    for (int64_t n = 0; n < AXIS('B') * T * H; n++) { /* (b T + t) H + h */
        const int64_t b = n / H / T, h = n % H, group = h / (H / G), t = n / H % T,
                      at = oracle_position(c, lengths ? (int64_t)lengths[b] : S, t);
        REAL rest = 0;
        OF(attention_weights)(c, score, row_score, b, t, h, p, slope);
        for (int64_t j = 0; j < S; j++) {
            const int64_t key = (b * S + j) * G + group;
            dp[j] = 0;
            if (p[j] == 0) continue; /* not seen, or without weight */
            for (int64_t e = 0; e < E && d_out; e++) {
                dp[j] += d_out[n * E + e] * v[key * E + e];
                if (dv) dv[key * E + e] += p[j] * d_out[n * E + e];
            }
            rest += p[j] * dp[j];
        }
        if (d_lse) rest -= d_lse[n];
        for (int64_t j = 0; j < S; j++) {
            const int64_t key = (b * S + j) * G + group;
            const REAL ds = scale * p[j] * (dp[j] - rest) * slope[j];
            if (p[j] == 0) continue;
            if (d_bias) d_bias[((b * H + h) * T + t) * S + j] += p[j] * (dp[j] - rest);
            if (back) back(c, g, b, t, h, at, j, p[j] * (dp[j] - rest));
            for (int64_t d = 0; d < D; d++) {
                if (dq) dq[n * D + d] += ds * k[key * D + d];
                if (dk) dk[key * D + d] += ds * q[n * D + d];
            }
        }
        if (d_sink) d_sink[h] -= p[S] * rest;
    }
    free(p);
}
static void OF(attention_gradient)(const oracle_call *c, REAL *const *g, OF(scorer) * score)
{
    OF(attention_gradient_by)(c, g, score, NULL, NULL);
}
static void OF(attention_softmax_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(attention_gradient)(c, g, NULL);
}
static void OF(attention_window_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(attention_gradient)(c, g, OF(window_score));
}

/* ---- spans: arXiv 1905.07799, section 2 ---- */

/* What a token asks for before the sigmoid, and from the gradient of its reach those of that. */
static REAL OF(reach_of)(const oracle_call *c, int64_t row, int64_t h)
{
    const int64_t M = AXIS('M');
    REAL a = OF(get)(c, "span_bias")[h];
    for (int64_t m = 0; m < M; m++)
        a += OF(get)(c, "span_weight")[h * M + m] * OF(get)(c, "x")[row * M + m];
    return a;
}
static void OF(reach_back)(const oracle_call *c, REAL *const *g, int64_t row, int64_t h, REAL dz)
{
    const REAL a = OF(sigmoid)(OF(reach_of)(c, row, h)), limit = (REAL)oracle_param(c, "limit", 0),
               da = dz * limit * a * (1 - a);
    const int64_t M = AXIS('M');
    OF(gradient)(c, g, "span_bias")[h] += da;
    for (int64_t i = 0; i < M; i++) {
        OF(gradient)(c, g, "span_weight")[h * M + i] += da * OF(get)(c, "x")[row * M + i];
        OF(gradient)(c, g, "x")[row * M + i] += da * OF(get)(c, "span_weight")[h * M + i];
    }
}

static void OF(span_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t t, int64_t h,
                          int64_t at, int64_t j, REAL ds)
{
    const REAL *span = OF(get)(c, "span"), limit = (REAL)oracle_param(c, "limit", 0),
               ramp = (REAL)oracle_param(c, "ramp", 0);
    const int64_t row = b * AXIS('T') + t, D = AXIS('D'), q_row = row * AXIS('H') + h;
    const REAL *table = OF(get)(c, "distance_table"),
               scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    for (int64_t d = 0; table && d < D; d++) {
        const int64_t entry = (at - j - 1) * D + d;
        OF(gradient)(c, g, "distance_table")[entry] += scale * ds * OF(get)(c, "q")[q_row * D + d];
        OF(gradient)(c, g, "q")[q_row * D + d] += scale * ds * table[entry];
    }
    const REAL z = limit * (span ? span[h] : OF(sigmoid)(OF(reach_of)(c, row, h)));
    const int64_t back = at - j;
    const REAL x = (REAL)(oracle_param(c, "distance", 0) == 1 ? back - 1 : back),
               m = (ramp + z - x) / ramp, dz = ds / (ramp * m);
    if (m >= 1 || m <= 0) return;
    if (!span) OF(reach_back)(c, g, row, h, dz);
    else if (OF(gradient)(c, g, "span")) OF(gradient)(c, g, "span")[h] += limit * dz;
}
static void OF(attention_span_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *d_reach = OF(gradient)(c, g, "reach");
    OF(attention_gradient_by)(c, g, NULL, OF(span_score), OF(span_back));
    for (int64_t n = 0; d_reach && n < AXIS('B') * AXIS('T') * AXIS('H'); n++)
        OF(reach_back)(c, g, n / AXIS('H'), n % AXIS('H'), d_reach[n]);
}

static void OF(attention_sparse_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(attention_gradient)(c, g, OF(sparse_score));
}

/* ---- the gated attention unit: arXiv 2202.10447, section 3 ---- */

static REAL OF(silu_slope)(REAL x) { return OF(sigmoid)(x) * (1 + x * (1 - OF(sigmoid)(x))); }

/* Channel d of a made query or key, and what it gives back. */
static REAL OF(gau_made)(const oracle_call *c, const char *gain, const char *offset, int64_t row,
                         int64_t d)
{
    const REAL *x = OF(get)(c, "q"), *g = OF(get)(c, gain), *o = OF(get)(c, offset);
    return OF(silu)(x[row * AXIS('D') + d]) * (g ? g[d] : 1) + (o ? o[d] : 0);
}
static void OF(gau_made_back)(const oracle_call *c, REAL *const *g, const char *gain,
                              const char *offset, int64_t row, int64_t d, REAL y)
{
    const REAL x = OF(get)(c, "q")[row * AXIS('D') + d], *w = OF(get)(c, gain);
    if (w) OF(gradient)(c, g, gain)[d] += y * OF(silu)(x);
    if (OF(get)(c, offset)) OF(gradient)(c, g, offset)[d] += y;
    OF(gradient)(c, g, "q")[row * AXIS('D') + d] += y * (w ? w[d] : 1) * OF(silu_slope)(x);
}

static void OF(attention_gau_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate"), *d = OF(gradient)(c, g, "out"),
               *lengths = OF(get)(c, "key_lengths"), *documents = OF(get)(c, "documents");
    const int64_t T = AXIS('T'), H = AXIS('H'), D = AXIS('D'), E = AXIS('E');
    REAL *y = malloc(sizeof *y * (size_t)(E + 1));
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T,
                      valid = lengths ? (int64_t)lengths[b] : T, at = oracle_position(c, valid, t);
        REAL live = 0;
        for (int64_t j = 0; j < T; j++) live += OF(live)(c, documents, NULL, b, t, at, valid, j);
        const REAL n = (REAL)oracle_param(c, "length", (double)live),
                   factor =
                       live > 0 ? 1 / (n * (oracle_param(c, "scale", 0) == 1 ? (REAL)D : n)) : 0;
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        for (int64_t j = 0; j < T; j++) {
            const int64_t key = (b * T + j) * H + h;
            REAL dot = 0, dw = 0;
            if (!OF(live)(c, documents, NULL, b, t, at, valid, j)) continue;
            for (int64_t i = 0; i < D; i++)
                dot += OF(gau_made)(c, "q_gain", "q_offset", row, i) *
                       OF(gau_made)(c, "k_gain", "k_offset", key, i);
            dot = OF(relu)(dot);
            for (int64_t e = 0; e < E; e++) {
                const REAL dy = d[row * E + e] * factor * OF(silu)(gate[row * E + e]);
                y[e] += dot * dot * OF(silu)(v[key * E + e]);
                dw += dy * OF(silu)(v[key * E + e]);
                OF(gradient)
                (c, g, "v")[key * E + e] += dot * dot * dy * OF(silu_slope)(v[key * E + e]);
            }
            for (int64_t i = 0; i < D; i++) {
                OF(gau_made_back)
                (c, g, "q_gain", "q_offset", row, i,
                 2 * dot * dw * OF(gau_made)(c, "k_gain", "k_offset", key, i));
                OF(gau_made_back)
                (c, g, "k_gain", "k_offset", key, i,
                 2 * dot * dw * OF(gau_made)(c, "q_gain", "q_offset", row, i));
            }
        }
        for (int64_t e = 0; e < E; e++) OF(gradient)
        (c, g, "gate")[row * E + e] +=
            d[row * E + e] * factor * y[e] * OF(silu_slope)(gate[row * E + e]);
    }
    free(y);
}

/* ---- its mixed chunk form: the same, section 3.2 ---- */

/* q k of made ones, and what it gives back. */
static REAL OF(made_dot)(const oracle_call *c, const char *const names[4], int64_t row, int64_t key)
{
    REAL dot = 0;
    for (int64_t d = 0; d < AXIS('D'); d++)
        dot += OF(gau_made)(c, names[0], names[1], row, d) *
               OF(gau_made)(c, names[2], names[3], key, d);
    return dot;
}
static void OF(made_dot_back)(const oracle_call *c, REAL *const *g, const char *const names[4],
                              int64_t row, int64_t key, REAL d_dot)
{
    for (int64_t d = 0; d < AXIS('D'); d++) {
        OF(gau_made_back)
        (c, g, names[0], names[1], row, d, d_dot * OF(gau_made)(c, names[2], names[3], key, d));
        OF(gau_made_back)
        (c, g, names[2], names[3], key, d, d_dot * OF(gau_made)(c, names[0], names[1], row, d));
    }
}

static void OF(attention_flash_linear_gradient)(const oracle_call *c, REAL *const *g)
{
    static const char *const within[] = {"q_gain", "q_offset", "k_gain", "k_offset"};
    static const char *const across[] = {"linear_q_gain", "linear_q_offset", "linear_k_gain",
                                         "linear_k_offset"};
    const REAL *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate"),
               *lengths = OF(get)(c, "key_lengths"), *d = OF(gradient)(c, g, "out");
    const int64_t T = AXIS('T'), H = AXIS('H'), E = AXIS('E'),
                  chunk = (int64_t)oracle_param(c, "chunk", 256);
    const int causal = (c->mask->kinds & HEED_MASK_CAUSAL) != 0;
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T,
                      valid = lengths ? (int64_t)lengths[b] : T,
                      at = causal ? oracle_position(c, valid, t) : t,
                      begin = (at < 0 ? -((chunk - 1 - at) / chunk) : at / chunk) * chunk,
                      full = valid / chunk * chunk,
                      linear = !causal        ? valid
                               : begin < 0    ? 0
                               : begin < full ? begin
                                              : full;
        for (int64_t j = 0; j < valid; j++) {
            const int64_t key = (b * T + j) * H + h;
            const int inside = j >= begin && j < begin + chunk && !(causal && j > at);
            const REAL s = inside ? OF(relu)(OF(made_dot)(c, within, row, key) / (REAL)chunk) : 0;
            REAL weight = s * s, dw = 0;
            if (j < linear) weight += OF(made_dot)(c, across, row, key) / (REAL)linear;
            for (int64_t e = 0; e < E; e++) {
                const REAL dy = d[row * E + e] * OF(silu)(gate[row * E + e]), x = v[key * E + e];
                dw += dy * OF(silu)(x);
                OF(gradient)(c, g, "v")[key * E + e] += weight * dy * OF(silu_slope)(x);
                OF(gradient)
                (c, g, "gate")[row * E + e] +=
                    d[row * E + e] * weight * OF(silu)(x) * OF(silu_slope)(gate[row * E + e]);
            }
            if (inside) OF(made_dot_back)(c, g, within, row, key, 2 * s * dw / (REAL)chunk);
            if (j < linear) OF(made_dot_back)(c, g, across, row, key, dw / (REAL)linear);
        }
    }
}

/* ---- Linformer: arXiv 2006.04768, equation 7 ---- */

/* From the gradients of slots [J, width] of sequence b and head g to those of x and the table. */
static void OF(slots_back)(const oracle_call *c, REAL *const *g, const char *of, const char *table,
                           int64_t b, int64_t head, int64_t width, const REAL *d)
{
    const REAL *x = OF(get)(c, of), *w = OF(get)(c, table), *lengths = OF(get)(c, "key_lengths");
    const int64_t S = AXIS('S'), G = AXIS('G'), J = AXIS('J'), C = AXIS('C'),
                  valid = lengths ? (int64_t)lengths[b] : S;
    for (int64_t j = 0; j < J; j++)
        for (int64_t n = 0; n < valid; n++)
            for (int64_t i = 0; i < width; i++) {
                const int64_t slot = ((AXIS('W') == 1 ? 0 : head) * J + j) * C + n,
                              at = ((b * S + n) * G + head) * width + i;
                OF(gradient)(c, g, of)[at] += w[slot] * d[j * width + i];
                OF(gradient)(c, g, table)[slot] += x[at] * d[j * width + i];
            }
}

static void OF(attention_linformer_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"),
               *lengths = OF(get)(c, "key_lengths"), *d = OF(gradient)(c, g, "out");
    const char *f = OF(get)(c, "f") ? "f" : "e";
    const int64_t T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), D = AXIS('D'),
                  E = AXIS('E'), J = AXIS('J'), C = AXIS('C'), slots = J * (D + E);
    const REAL scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    REAL *made = malloc(sizeof *made * (size_t)(2 * slots + 2 * J + 1)), *dm = made + slots,
         *p = dm + slots, *dp = p + J;
    for (int64_t bg = 0; bg < AXIS('B') * G; bg++) {
        const int64_t b = bg / G, head = bg % G, w = AXIS('W') == 1 ? 0 : head,
                      valid = lengths ? (int64_t)lengths[b] : S;
        memset(made, 0, sizeof *made * (size_t)(2 * slots));
        for (int64_t n = 0; n < J * valid; n++) {
            const int64_t j = n / valid, slot = (w * J + j) * C + n % valid,
                          token = (b * S + n % valid) * G + head;
            for (int64_t i = 0; i < D; i++)
                made[j * D + i] += OF(get)(c, "e")[slot] * k[token * D + i];
            for (int64_t i = 0; i < E; i++)
                made[J * D + j * E + i] += OF(get)(c, f)[slot] * v[token * E + i];
        }
        for (int64_t n = 0; n < T * (H / G); n++) {
            const int64_t row = (b * T + n / (H / G)) * H + head * (H / G) + n % (H / G);
            REAL max = -INFINITY, sum = 0, rest = 0;
            for (int64_t j = 0; j < J; j++) {
                p[j] = dp[j] = 0;
                for (int64_t i = 0; i < D; i++) p[j] += scale * q[row * D + i] * made[j * D + i];
                for (int64_t i = 0; i < E; i++) dp[j] += d[row * E + i] * made[J * D + j * E + i];
                max = p[j] > max ? p[j] : max;
            }
            for (int64_t j = 0; j < J; j++) sum += p[j] = MATH(exp)(p[j] - max);
            for (int64_t j = 0; j < J; j++) rest += (p[j] /= sum) * dp[j];
            for (int64_t j = 0; j < J; j++) {
                const REAL ds = scale * p[j] * (dp[j] - rest);
                for (int64_t i = 0; i < D; i++) {
                    OF(gradient)(c, g, "q")[row * D + i] += ds * made[j * D + i];
                    dm[j * D + i] += ds * q[row * D + i];
                }
                for (int64_t i = 0; i < E; i++) dm[J * D + j * E + i] += p[j] * d[row * E + i];
            }
        }
        OF(slots_back)(c, g, "k", "e", b, head, D, dm);
        OF(slots_back)(c, g, "v", f, b, head, E, dm + J * D);
    }
    free(made);
}

/* ---- synthesizers: arXiv 2005.00743 ---- */

static void OF(synthesize_gradient)(const oracle_call *c, REAL *const *g, OF(logit) * logit,
                                    OF(score_back) * back)
{
    const REAL *v = OF(get)(c, "v"), *lengths = OF(get)(c, "key_lengths"),
               *documents = OF(get)(c, "documents"), *d_out = OF(gradient)(c, g, "out"),
               *d_lse = OF(gradient)(c, g, "lse");
    REAL *dv = OF(gradient)(c, g, "v");
    const int64_t T = AXIS('T'), H = AXIS('H'), G = AXIS('G'), E = AXIS('E');
    REAL *p = malloc(sizeof *p * (size_t)(2 * T + 1)), *dp = p + T;
    for (int64_t n = 0; n < AXIS('B') * T * H; n++) {
        const int64_t h = n % H, t = n / H % T, b = n / H / T,
                      valid = lengths ? (int64_t)lengths[b] : T, at = oracle_position(c, valid, t);
        REAL max = -INFINITY, sum = 0, rest = 0;
        for (int64_t j = 0; j < T; j++) {
            const int live = OF(live)(c, documents, NULL, b, t, at, valid, j);
            p[j] = live ? logit(c, b, t, at, h, j) : -INFINITY;
            if (p[j] > max) max = p[j];
        }
        for (int64_t j = 0; j < T; j++) sum += p[j] = p[j] == -INFINITY ? 0 : MATH(exp)(p[j] - max);
        for (int64_t j = 0; j < T; j++) {
            const int64_t value = ((b * T + j) * G + h / (H / G)) * E;
            dp[j] = 0;
            if (p[j] == 0) continue;
            p[j] /= sum;
            for (int64_t e = 0; e < E && d_out; e++) {
                dp[j] += d_out[n * E + e] * v[value + e];
                if (dv) dv[value + e] += p[j] * d_out[n * E + e];
            }
            rest += p[j] * dp[j];
        }
        if (d_lse) rest -= d_lse[n];
        for (int64_t j = 0; j < T; j++)
            if (p[j] != 0) back(c, g, b, t, h, at, j, p[j] * (dp[j] - rest));
    }
    free(p);
}

static void OF(random_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t t, int64_t h,
                            int64_t at, int64_t j, REAL ds)
{
    const int64_t C = AXIS('C');
    (void)b, (void)t;
    OF(gradient)(c, g, "table")[(h * C + at) * C + j] += ds;
}
static void OF(synthesizer_random_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(synthesize_gradient)(c, g, OF(random_logit), OF(random_back));
}

static void OF(factorized_random_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t t,
                                       int64_t h, int64_t at, int64_t j, REAL ds)
{
    const int64_t C = AXIS('C'), R = AXIS('J'), row = (h * C + at) * R, column = (h * C + j) * R;
    (void)b, (void)t;
    for (int64_t r = 0; r < R; r++) {
        OF(gradient)(c, g, "rows")[row + r] += ds * OF(get)(c, "columns")[column + r];
        OF(gradient)(c, g, "columns")[column + r] += ds * OF(get)(c, "rows")[row + r];
    }
}
static void OF(synthesizer_factorized_random_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(synthesize_gradient)(c, g, OF(factorized_random_logit), OF(factorized_random_back));
}

static void OF(dense_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t t, int64_t h,
                           int64_t at, int64_t j, REAL ds)
{
    const int64_t D = AXIS('D'), C = AXIS('C'), w = AXIS('W') == 1 ? 0 : h,
                  row = ((b * AXIS('T') + t) * AXIS('H') + h) * D;
    const REAL *q = OF(get)(c, "q");
    REAL *offset = OF(get)(c, "offset") ? OF(gradient)(c, g, "offset") : NULL;
    (void)at;
    if (offset) offset[w * C + j] += ds;
    for (int64_t d = 0; d < D; d++) {
        OF(gradient)(c, g, "matrix")[(w * C + j) * D + d] += ds * OF(relu)(q[row + d]);
        if (q[row + d] > 0)
            OF(gradient)(c, g, "q")[row + d] += ds * OF(get)(c, "matrix")[(w * C + j) * D + d];
    }
}
static void OF(synthesizer_dense_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(synthesize_gradient)(c, g, OF(dense_logit), OF(dense_back));
}

/* x . row j of a matrix: what of_query has, and what it gives back. */
static void OF(of_query_back)(const oracle_call *c, REAL *const *g, const char *matrix, int64_t n,
                              int64_t b, int64_t t, int64_t h, int64_t j, REAL d_dot)
{
    const int64_t D = AXIS('D'), q = ((b * AXIS('T') + t) * AXIS('H') + h) * D,
                  w = ((AXIS('W') == 1 ? 0 : h) * n + j) * D;
    for (int64_t d = 0; d < D; d++) {
        OF(gradient)(c, g, matrix)[w + d] += d_dot * OF(relu)(OF(get)(c, "q")[q + d]);
        if (OF(get)(c, "q")[q + d] > 0)
            OF(gradient)(c, g, "q")[q + d] += d_dot * OF(get)(c, matrix)[w + d];
    }
}
static void OF(factorized_dense_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t t,
                                      int64_t h, int64_t at, int64_t j, REAL ds)
{
    const int64_t A = AXIS('A'), U = AXIS('U');
    (void)at;
    OF(of_query_back)
    (c, g, "inner", A, b, t, h, j % A, ds * OF(of_query)(c, "outer", U, b, t, h, j / A));
    OF(of_query_back)
    (c, g, "outer", U, b, t, h, j / A, ds * OF(of_query)(c, "inner", A, b, t, h, j % A));
}
static void OF(synthesizer_factorized_dense_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(synthesize_gradient)(c, g, OF(factorized_dense_logit), OF(factorized_dense_back));
}

#include "convolution-gradients.h"
#include "recurrent-gradients.h"
#include "relative-gradients.h"
