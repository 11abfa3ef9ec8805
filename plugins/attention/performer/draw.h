/* SPDX-License-Identifier: MIT
 *
 * attention/performer, the projection: m rows of D numbers, drawn from a seed. Only sums, products,
 * divisions and roots of float64 take part, so that every machine draws the same; the last step
 * rounds to float32.
 *
 *     x_n = seed + 2^32 redraw + n 0x9e3779b97f4a7c15, n = 1, 2, ..., mixed as SplitMix64 does (doi 10.1145/2660193.2660195)
 *     u   = (mixed >> 11) 2^-52 - 1: uniform in [-1, 1)
 *     a, b = u, u' times sqrt(-2 ln(s) / s), s = u^2 + u'^2, where 0 < s < 1; else the next pair (polar method)
 *
 * Rows come in blocks of D, the last one short. A block is n D normal numbers, row after row; each
 * row is made orthogonal to those above it, one after another, twice, and divided by its length
 * (Gram-Schmidt). Then each row in turn is multiplied by the length of D further normal numbers, or
 * by sqrt(D).
 */
#ifndef PERFORMER_DRAW_H
#define PERFORMER_DRAW_H

typedef struct performer_source {
    uint64_t state;
    double spare;
    int has_spare;
} performer_source;

static double performer_uniform(performer_source *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1;
}

static double performer_normal(performer_source *s)
{
    if (s->has_spare) return s->has_spare = 0, s->spare;
    double u, v, square;
    do u = performer_uniform(s), v = performer_uniform(s), square = u * u + v * v;
    while (square >= 1 || square == 0);
    const double factor = sqrt(-2 * kit_linear_log(square) / square);
    s->spare = v * factor, s->has_spare = 1;
    return u * factor;
}

static double performer_dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t d = 0; d < n; d++) sum += a[d] * b[d];
    return sum;
}

/* Row r to panels of 32 rows, [D][line]. */
static void performer_pack(float *to, int64_t m, int64_t D, int64_t r, int64_t d, float x)
{
    const int64_t panel = r / KIT_LINEAR_PANEL * KIT_LINEAR_PANEL, left = kit_lanes(m) - panel;
    to[panel * D + d * (left < KIT_LINEAR_PANEL ? left : KIT_LINEAR_PANEL) + r - panel] = x;
}

/* The packed projection, which is zeros beforehand; `block` has room for D rows. */
static void performer_draw(float *to, int64_t m, int64_t D, int64_t seed, int64_t redraw, int norms,
                           double *block)
{
    performer_source s = {.state = (uint64_t)seed + ((uint64_t)redraw << 32)};
    for (int64_t from = 0, n; D > 0 && from < m; from += n) {
        n = m - from < D ? m - from : D;
        for (int64_t i = 0; i < n * D; i++) block[i] = performer_normal(&s);
        for (int64_t r = 0; r < n; r++) {
            double *row = block + r * D;
            for (int64_t i = 0; i < 2 * r; i++) {
                const double *above = block + i % r * D, part = performer_dot(row, above, D);
                for (int64_t d = 0; d < D; d++) row[d] -= part * above[d];
            }
            const double length = sqrt(performer_dot(row, row, D));
            for (int64_t d = 0; d < D; d++) row[d] /= length;
        }
        for (int64_t r = 0; r < n; r++) {
            double square = norms ? 0 : (double)D;
            for (int64_t d = 0; norms && d < D; d++) {
                const double x = performer_normal(&s);
                square += x * x;
            }
            for (int64_t d = 0; d < D; d++)
                performer_pack(to, m, D, from + r, d, (float)(block[r * D + d] * sqrt(square)));
        }
    }
}

#endif
