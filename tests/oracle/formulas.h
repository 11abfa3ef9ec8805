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
