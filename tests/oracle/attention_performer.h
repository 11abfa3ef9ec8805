/* SPDX-License-Identifier: MIT
 *
 * Performer, arXiv 2009.14794: out_i = sum_j K(q_i, k_j) v_j / sum_j K(q_i, k_j), K(x, y) = phi(x)
 * phi(y), with rows w_r of the projection, x' = x / D^{1/4} and m rows:
 *
 *     softmax     phi(x)_r = exp(w_r x' - |x'|^2 / 2) / sqrt(m)     lemma 1
 *     hyperbolic  the same of w_r and of -w_r, / sqrt(2 m)
 *     relu        max(w_r x, 0) / sqrt(m) + 1e-3                      the authors' code
 *
 * Exponents are taken less a maximum, of the query's features or of the keys that were seen so far,
 * which cancels; the authors' stabiliser is added to what is left, and does not.
 */
enum { OF(PERFORMER_SOFTMAX), OF(PERFORMER_RELU), OF(PERFORMER_HYPERBOLIC) };

/* Features, but for a factor that cancels; exponents of the first two, less |x'|^2 / 2. Returns the
 * largest. */
static REAL OF(performer_project)(OF(memory) *m, const REAL *x)
{
    const oracle_call *c = m->c;
    const int kernel = (int)oracle_param(c, "kernel", 0);
    const int64_t rows = kernel == OF(PERFORMER_HYPERBOLIC) ? m->F / 2 : m->F;
    const REAL *w = m->table, root = (REAL)sqrt(sqrt((double)(m->D ? m->D : 1)));
    REAL square = 0, max = -INFINITY;
    for (int64_t d = 0; d < m->D; d++) square += x[d] / root * (x[d] / root);
    for (int64_t r = 0; r < m->F; r++) {
        REAL dot = 0;
        for (int64_t d = 0; d < m->D; d++)
            dot += w[r % rows * m->D + d] * (kernel == OF(PERFORMER_RELU) ? x[d] : x[d] / root);
        m->f[r] = kernel == OF(PERFORMER_RELU) ? OF(relu)(dot) / MATH(sqrt)((REAL)rows) + (REAL)1e-3
                                               : (r < rows ? dot : -dot) - square / 2;
        if (m->f[r] > max || m->f[r] != m->f[r]) max = m->f[r];
    }
    return max;
}

static void OF(performer_exp)(OF(memory) *m, REAL max)
{
    const REAL stabiliser = (REAL)oracle_param(m->c, "stabiliser", 0);
    if ((int)oracle_param(m->c, "kernel", 0) == OF(PERFORMER_RELU)) return;
    for (int64_t f = 0; f < m->F; f++) m->f[f] = MATH(exp)(m->f[f] - max) + stabiliser;
}

static void OF(performer_write)(OF(memory) *m, int64_t j, const REAL *key, const REAL *value)
{
    const REAL max = OF(performer_project)(m, key);
    (void)j;
    if ((int)oracle_param(m->c, "kernel", 0) != OF(PERFORMER_RELU) && !(max <= m->max)) {
        const REAL share = MATH(exp)(m->max - max);
        for (int64_t i = 0; i < m->F * m->E; i++) m->s[i] *= share;
        for (int64_t f = 0; f < m->F; f++) m->z[f] *= share;
        m->max = max;
    }
    OF(performer_exp)(m, m->max);
    OF(add_product)(m, 1, value);
    for (int64_t f = 0; f < m->F; f++) m->z[f] += m->f[f];
}

static void OF(performer_read)(OF(memory) *m, int64_t t, const REAL *q, REAL *y)
{
    REAL sum = 0;
    (void)t;
    OF(performer_exp)(m, OF(performer_project)(m, q));
    for (int64_t f = 0; f < m->F; f++) sum += m->f[f] * m->z[f];
    OF(recall)(m, sum == 0 ? 0 : 1 / sum, y);
}

/* ---- the projection, where none is given: in float64 but for the last product ---- */

typedef struct OF(normals) {
    uint64_t state;
    double spare;
    int has_spare;
} OF(normals);

/* SplitMix64, doi 10.1145/2660193.2660195, 53 of its bits as a number of [-1, 1). */
static double OF(even)(OF(normals) *n)
{
    uint64_t z = n->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1;
}

/* The polar method, doi 10.1137/1006063: normal numbers in pairs. */
static double OF(normal)(OF(normals) *n)
{
    double u, w, square;
    n->has_spare = !n->has_spare;
    if (!n->has_spare) return n->spare;
    do {
        u = OF(even)(n), w = OF(even)(n), square = u * u + w * w;
    } while (square >= 1 || square == 0);
    const double factor = sqrt(-2 * log(square) / square);
    n->spare = w * factor;
    return u * factor;
}

/* Blocks of D rows, the last one short: normal numbers, made orthonormal row by row against those
 * above, twice; then as long as a normal vector of D numbers is, or sqrt(D). Section 2.4. */
static REAL *OF(performer_draw)(const oracle_call *c, int64_t rows)
{
    const int64_t D = AXIS('D');
    const uint64_t seed = (uint64_t)oracle_param(c, "seed", 0);
    double *w = malloc((size_t)(rows * D + 1) * sizeof *w);
    REAL *table = malloc((size_t)(rows * D + 1) * sizeof *table);
    OF(normals) n = {.state = seed + ((uint64_t)oracle_param(c, "redraw", 0) << 32)};
    for (int64_t first = 0; D && first < rows; first += D) {
        const int64_t end = first + D < rows ? first + D : rows;
        for (int64_t i = first * D; i < end * D; i++) w[i] = OF(normal)(&n);
        for (int64_t r = first; r < end; r++) {
            double square = 0;
            for (int64_t k = 0; k < 2 * (r - first); k++) {
                const double *above = w + (first + k % (r - first)) * D;
                double dot = 0;
                for (int64_t d = 0; d < D; d++) dot += w[r * D + d] * above[d];
                for (int64_t d = 0; d < D; d++) w[r * D + d] -= dot * above[d];
            }
            for (int64_t d = 0; d < D; d++) square += w[r * D + d] * w[r * D + d];
            for (int64_t d = 0; d < D; d++) w[r * D + d] /= sqrt(square);
        }
        for (int64_t r = first; r < end; r++) {
            double square = 0;
            for (int64_t d = 0; d < D && oracle_param(c, "scaling", 0) == 0; d++) {
                const double x = OF(normal)(&n);
                square += x * x;
            }
            if (oracle_param(c, "scaling", 0) != 0) square = (double)D;
            for (int64_t d = 0; d < D; d++)
                table[r * D + d] = (REAL)(float)(w[r * D + d] * sqrt(square));
        }
    }
    free(w);
    return table;
}

static void OF(attention_performer)(const oracle_call *c)
{
    const REAL *given = OF(get)(c, "projection");
    const int64_t rows = given ? AXIS('P') : (int64_t)oracle_param(c, "features", 256);
    const int signs = (int)oracle_param(c, "kernel", 0) == OF(PERFORMER_HYPERBOLIC) ? 2 : 1;
    REAL *drawn = given ? NULL : OF(performer_draw)(c, rows);
    OF(recur)(c, signs * rows, 0, given ? given : drawn, OF(performer_write), OF(performer_read));
    free(drawn);
}
