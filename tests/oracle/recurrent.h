/* SPDX-License-Identifier: MIT
 *
 * recurrent.h: what the oracles of attention in linear time share: the loop over tokens, and the
 * feature maps. Each head of queries has a memory of its own here, which is that of its group:
 * nothing is saved, so nothing can be mixed up.
 */

typedef struct OF(memory) {
    const oracle_call *c;
    int64_t b, h, g;   /* sequence, head, and its group */
    int64_t D, E, F;   /* widths of keys and values; features of a key */
    REAL *s, *z;       /* [F E], [F]: zeros at first */
    REAL *f, *old;     /* [F], [E]: for whoever is at it */
    REAL max;          /* -INFINITY at first */
    const REAL *table; /* what all heads have */
} OF(memory);

/* Takes key j of the call in. */
typedef void OF(write)(OF(memory) *m, int64_t j, const REAL *key, const REAL *value);
/* What query t, a row q, gets from it: [E], zeros at first, and where no key was seen. */
typedef void OF(read)(OF(memory) *m, int64_t t, const REAL *q, REAL *y);

/* A query at position p reads behind the writes of the keys up to p, or, `before`, of those below
 * p; all of them where nothing is causal. */
static void OF(recur)(const oracle_call *c, int64_t features, int before, const REAL *table,
                      OF(write) *write, OF(read) *read)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"),
               *lengths = OF(get)(c, "key_lengths");
    REAL *out = OF(get)(c, "out");
    const int64_t T = AXIS('T'), S = oracle_keys(c), H = AXIS('H'),
                  G = AXIS('G') < 0 ? H : AXIS('G');
    OF(memory) m = {.c = c, .D = AXIS('D'), .E = AXIS('E'), .F = features, .table = table};
    const size_t numbers = (size_t)(m.F * m.E + 2 * m.F + m.E + 1);
    REAL *room = malloc(numbers * sizeof *room);
    m.s = room, m.z = m.s + m.F * m.E, m.f = m.z + m.F, m.old = m.f + m.F;
    for (int64_t i = 0; i < AXIS('B') * H; i++) {
        int64_t seen = 0;
        m.b = i / H, m.h = i % H, m.g = m.h / (H / G), m.max = -INFINITY;
        memset(room, 0, numbers * sizeof *room);
        const int64_t valid = lengths ? (int64_t)lengths[m.b] : S;
        for (int64_t t = 0; t < T; t++) {
            const int64_t at = oracle_position(c, valid, t), row = (m.b * T + t) * H + m.h;
            const int64_t end =
                !(c->mask->kinds & HEED_MASK_CAUSAL) || at + !before > valid ? valid : at + !before;
            for (; seen < end; seen++) {
                const int64_t j = (m.b * S + seen) * G + m.g;
                write(&m, seen, k + j * m.D, v + j * m.E);
            }
            memset(out + row * m.E, 0, (size_t)m.E * sizeof *out);
            if (seen) read(&m, t, q + row * m.D, out + row * m.E);
        }
    }
    free(room);
}

/* s[f] += factor x[f] value, the memory's f being x */
static void OF(add_product)(OF(memory) *m, REAL factor, const REAL *value)
{
    for (int64_t f = 0; f < m->F; f++)
        for (int64_t e = 0; e < m->E; e++) m->s[f * m->E + e] += m->f[f] * (factor * value[e]);
}

/* y = factor sum_f x[f] s[f], the memory's f being x */
static void OF(recall)(const OF(memory) *m, REAL factor, REAL *y)
{
    for (int64_t e = 0; e < m->E; e++) {
        REAL sum = 0;
        for (int64_t f = 0; f < m->F; f++) sum += m->f[f] * m->s[f * m->E + e];
        y[e] = factor * sum;
    }
}

/* The past of a memory decays to a share of e^decay. */
static void OF(fade)(OF(memory) *m, REAL decay)
{
    const REAL share = MATH(exp)(decay);
    for (int64_t i = 0; i < m->F * m->E; i++) m->s[i] = decay == -INFINITY ? 0 : share * m->s[i];
}

/* A number of a port [B S G], which a token has for each group of heads; `otherwise` where the port
 * is absent. */
static REAL OF(of_token)(const OF(memory) *m, const char *port, int64_t j, REAL otherwise)
{
    const oracle_call *c = m->c;
    const REAL *x = OF(get)(c, port);
    const int64_t G = AXIS('G') < 0 ? AXIS('H') : AXIS('G');
    return x ? x[(m->b * oracle_keys(c) + j) * G + m->g] : otherwise;
}

/* How much of key j is written: the port beta, which has logits or, with beta=given, the number
 * itself; 1 if absent. */
static REAL OF(strength)(const OF(memory) *m, int64_t j)
{
    if (!OF(get)(m->c, "beta")) return 1;
    const REAL beta = OF(of_token)(m, "beta", j, 1);
    return oracle_param(m->c, "beta", 0) == 1 ? beta : OF(sigmoid)(beta);
}

/* ---- feature maps ---- */

enum { OF(ELU), OF(RELU), OF(IDENTITY), OF(DPFP) };

static int64_t OF(features_of)(const oracle_call *c, int map)
{
    return map == OF(DPFP) ? 2 * AXIS('D') * (int64_t)oracle_param(c, "nu", 1) : AXIS('D');
}

/* elu(x) + 1, arXiv 2006.16236, equation 7; DPFP, arXiv 2102.11174, section 5.3, in the order of
 * its authors' code: e = [relu(x), relu(-x)], and for each shift j = 1 .. nu the products
 * e[i] e[i - j]. */
static void OF(map_features)(const oracle_call *c, int map, const REAL *x, REAL *f)
{
    const int64_t D = AXIS('D'), n = OF(features_of)(c, map);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i % (2 * D), other = (at - 1 - i / (2 * D) % (2 * D) + 2 * D) % (2 * D);
        f[i] = map == OF(ELU)    ? x[i] > 0 ? x[i] + 1 : MATH(exp)(x[i])
               : map == OF(RELU) ? OF(relu)(x[i])
               : map == OF(DPFP) ? OF(relu)(at < D ? x[at] : -x[at - D]) *
                                       OF(relu)(other < D ? x[other] : -x[other - D])
                                 : x[i];
    }
}
