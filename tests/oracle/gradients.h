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

/* The weights of a row, of all keys; 0 where one is not seen. `slope`: of the score by scale q k.
 * */
static void OF(attention_weights)(const oracle_call *c, OF(scorer) * score, int64_t b, int64_t t,
                                  int64_t h, REAL *p, REAL *slope)
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
        if (bias && p[j] != -INFINITY) p[j] += bias[((b * H + h) * T + t) * S + j];
        slope[j] = cap > 0 ? 1 - MATH(tanh)(dot / cap) * MATH(tanh)(dot / cap) : 1;
        if (p[j] > max || p[j] != p[j]) max = p[j];
    }
    if (sink) sum = MATH(exp)(sink[h] - max);
    for (int64_t j = 0; j < S; j++) sum += p[j] = p[j] == -INFINITY ? 0 : MATH(exp)(p[j] - max);
    for (int64_t j = 0; j < S && sum != 0; j++) p[j] /= sum;
}

/* arXiv 2205.14135, appendix B.2, a row at a time */
static void OF(attention_gradient)(const oracle_call *c, REAL *const *g, OF(scorer) * score)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v");
    const REAL *d_out = OF(gradient)(c, g, "out"), *d_lse = OF(gradient)(c, g, "lse");
    REAL *dq = OF(gradient)(c, g, "q"), *dk = OF(gradient)(c, g, "k"),
         *dv = OF(gradient)(c, g, "v");
    const int64_t T = AXIS('T'), S = oracle_keys(c), H = AXIS('H'), D = AXIS('D'), E = AXIS('E'),
                  G = AXIS('G');
    const REAL scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    REAL *p = malloc(sizeof *p * (size_t)(3 * S + 1)), *slope = p + S, *dp = slope + S;
    for (int64_t n = 0; n < AXIS('B') * T * H; n++) { /* (b T + t) H + h */
        const int64_t b = n / H / T, h = n % H, group = h / (H / G);
        REAL rest = 0;
        OF(attention_weights)(c, score, b, n / H % T, h, p, slope);
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
            for (int64_t d = 0; d < D; d++) {
                if (dq) dq[n * D + d] += ds * k[key * D + d];
                if (dk) dk[key * D + d] += ds * q[n * D + d];
            }
        }
    }
    free(p);
}
static void OF(attention_softmax_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(attention_gradient)(c, g, NULL);
}
static void OF(attention_window_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(attention_gradient)(c, g, OF(window_score));
}
