/* SPDX-License-Identifier: MIT
 *
 * recurrent-gradients.h: the backward of attention in linear time (recurrent.h), token by token as
 * anybody would write it: S behind every key is kept, and the loop over tokens goes back. Each head
 * of queries has a memory of its own here too. Part of gradients.h.
 */

/* What the oracles differ in. */
typedef struct OF(recurrence) {
    int64_t F;
    int map, delta, before, normalise, retention;
    int sum, unit; /* features are divided by their sum, by their length */
    REAL sum_eps, eps, scale, eta;
    /* Performer: its rows, and what the exponents of keys are taken less of */
    const REAL *table;
    int kernel;
    int64_t rows;
    REAL max;
} OF(recurrence);

/* Features of a row, and what they would be undivided. Returns the divisor. */
static REAL OF(recurrence_features)(const oracle_call *c, const OF(recurrence) * o, const REAL *x,
                                    int query, REAL *f)
{
    const int64_t D = AXIS('D');
    REAL sum = 0, square = 0;
    if (o->table) {
        OF(memory) m = {.c = c, .D = D, .F = o->F, .table = o->table, .f = f};
        const REAL own = OF(performer_project)(&m, x);
        if (o->kernel != OF(PERFORMER_RELU))
            for (int64_t r = 0; r < o->F; r++) f[r] = MATH(exp)(f[r] - (query ? own : o->max));
        return 1;
    }
    OF(map_features)(c, o->map, x, f);
    for (int64_t r = 0; r < o->F; r++) sum += f[r], square += f[r] * f[r];
    const REAL by = o->unit ? MATH(sqrt)(square + o->sum_eps) : o->sum ? sum + o->sum_eps : 1;
    for (int64_t r = 0; r < o->F; r++) f[r] = by == 0 ? 0 : f[r] / by;
    return by;
}

/* dx += from df, the gradients of the features f of x. */
static void OF(recurrence_features_back)(const oracle_call *c, const OF(recurrence) * o,
                                         const REAL *x, const REAL *f, REAL by, REAL *df, REAL *dx)
{
    const int64_t D = AXIS('D');
    REAL dot = 0;
    if (!dx) return;
    if (o->table) {
        const REAL root =
            o->kernel == OF(PERFORMER_RELU) ? 1 : (REAL)sqrt(sqrt((double)(D ? D : 1)));
        for (int64_t r = 0; r < o->F; r++)
            for (int64_t d = 0; d < D; d++) {
                const REAL w = o->table[r % o->rows * D + d] * (r < o->rows ? 1 : -1);
                if (o->kernel != OF(PERFORMER_RELU))
                    dx[d] += f[r] * df[r] * (w - x[d] / root) / root;
                else if (f[r] > (REAL)1e-3) dx[d] += df[r] * w / MATH(sqrt)((REAL)o->rows);
            }
        return;
    }
    for (int64_t r = 0; r < o->F; r++) dot += f[r] * df[r];
    for (int64_t r = 0; r < o->F && (o->unit || o->sum); r++)
        df[r] = by == 0 ? 0 : (df[r] - (o->unit ? f[r] : 1) * dot) / by;
    for (int64_t i = 0; i < o->F; i++) {
        const int64_t at = i % (2 * D), other = (at - 1 - i / (2 * D) % (2 * D) + 2 * D) % (2 * D);
        if (o->map == OF(ELU)) dx[i] += df[i] * (x[i] > 0 ? 1 : MATH(exp)(x[i]));
        else if (o->map == OF(RELU)) dx[i] += x[i] > 0 ? df[i] : 0;
        else if (o->map == OF(IDENTITY)) dx[i] += df[i];
        else {
            const REAL a = at < D ? x[at] : -x[at - D], b = other < D ? x[other] : -x[other - D];
            if (a > 0) dx[at % D] += (at < D ? df[i] : -df[i]) * OF(relu)(b);
            if (b > 0) dx[other % D] += (other < D ? df[i] : -df[i]) * OF(relu)(a);
        }
    }
}

/* The log decay of key j, and its slopes by the gate, by a_log and by dt_bias. */
static REAL OF(recurrence_decay)(const OF(memory) * m, int64_t j, int retention, REAL slope[3])
{
    const oracle_call *c = m->c;
    const REAL *gate = OF(get)(c, "gate"), *a = OF(get)(c, "a_log"), *dt = OF(get)(c, "dt_bias");
    const REAL x = OF(of_token)(m, "gate", j, 0), tau = (REAL)oracle_param(c, "tau", 16);
    slope[0] = 1, slope[1] = slope[2] = 0;
    if (!gate && !retention) return 0;
    if (!gate) return (REAL)log(oracle_param(c, "decay", 1 - exp2(-5.0 - (double)m->g)));
    if (oracle_param(c, "gate", 0) != 1) return x;
    if (retention) {
        slope[0] = OF(sigmoid)(-x) / tau;
        return -OF(softplus)(-x) / tau;
    }
    const REAL factor = -MATH(exp)(a[m->g]);
    slope[1] = factor * OF(softplus)(x + dt[m->g]);
    slope[0] = slope[2] = factor * OF(sigmoid)(x + dt[m->g]);
    return slope[1];
}

/* The memory of one head on its way back. */
typedef struct OF(way_back) {
    OF(memory) m;
    const OF(recurrence) * o;
    REAL *s, *z, *r, *fk, *by; /* S and z behind each key; r, features and divisors of each key */
    REAL *G, *Z, *df, *f;      /* gradients of S and z; of features; features of a query */
} OF(way_back);

static void OF(way_forward)(OF(way_back) * w, const REAL *k, const REAL *v, int64_t valid,
                            int64_t G)
{
    const oracle_call *c = w->m.c;
    const int64_t F = w->m.F, E = w->m.E, S = oracle_keys(c);
    for (int64_t j = 0; j < valid; j++) {
        const int64_t key = (w->m.b * S + j) * G + w->m.g;
        const REAL *s = w->s + j * F * E, *z = w->z + j * F, *f = w->fk + j * F;
        REAL *next = w->s + (j + 1) * F * E, slope[3], *r = w->r + j * E;
        const REAL log_decay = OF(recurrence_decay)(&w->m, j, w->o->retention, slope),
                   share = MATH(exp)(log_decay), b = w->o->eta * OF(strength)(&w->m, j);
        w->by[j] = OF(recurrence_features)(c, w->o, k + key * w->m.D, 0, w->fk + j * F);
        for (int64_t e = 0; e < E; e++) {
            r[e] = v[key * E + e];
            for (int64_t i = 0; i < F && w->o->delta; i++) r[e] -= share * f[i] * s[i * E + e];
            for (int64_t i = 0; i < F; i++)
                next[i * E + e] = (share == 0 ? 0 : share * s[i * E + e]) + f[i] * b * r[e];
        }
        for (int64_t i = 0; i < F; i++) w->z[(j + 1) * F + i] = share * z[i] + f[i];
    }
}

/* Query t, a row n of out, which reads behind `seen` keys. */
static void OF(way_of_query)(OF(way_back) * w, const REAL *q, const REAL *d, int64_t seen, REAL *dq)
{
    const int64_t F = w->m.F, E = w->m.E;
    const REAL *s = w->s + seen * F * E, *z = w->z + seen * F;
    REAL den = w->o->eps, factor = w->o->scale, rest = 0;
    const REAL by = OF(recurrence_features)(w->m.c, w->o, q, 1, w->f);
    for (int64_t i = 0; i < F; i++) den += w->f[i] * z[i];
    if (w->o->normalise) factor = den == 0 ? 0 : 1 / den;
    for (int64_t i = 0; i < F && w->o->normalise; i++)
        for (int64_t e = 0; e < E; e++) rest -= factor * factor * w->f[i] * s[i * E + e] * d[e];
    for (int64_t i = 0; i < F; i++) {
        w->df[i] = rest * z[i];
        w->Z[i] += rest * w->f[i];
        for (int64_t e = 0; e < E; e++) {
            w->df[i] += s[i * E + e] * factor * d[e];
            w->G[i * E + e] += w->f[i] * factor * d[e];
        }
    }
    OF(recurrence_features_back)(w->m.c, w->o, q, w->f, by, w->df, dq);
}

static void OF(way_of_key)(OF(way_back) * w, int64_t j, const REAL *k, REAL *const *g, int64_t key)
{
    const oracle_call *c = w->m.c;
    const int64_t F = w->m.F, E = w->m.E;
    const REAL *s = w->s + j * F * E, *f = w->fk + j * F, *r = w->r + j * E;
    REAL *dk = OF(gradient)(c, g, "k"), *dv = OF(gradient)(c, g, "v"), slope[3],
         *d_beta = OF(get)(c, "beta") ? OF(gradient)(c, g, "beta") : NULL,
         *d_gate = OF(get)(c, "gate") ? OF(gradient)(c, g, "gate") : NULL,
         *d_a = OF(gradient)(c, g, "a_log"), *d_dt = OF(gradient)(c, g, "dt_bias");
    const REAL log_decay = OF(recurrence_decay)(&w->m, j, w->o->retention, slope),
               share = MATH(exp)(log_decay), strength = OF(strength)(&w->m, j),
               b = w->o->eta * strength;
    REAL d_decay = 0, d_strength = 0;
    for (int64_t i = 0; i < F; i++) {
        w->df[i] = w->o->normalise ? w->Z[i] : 0;
        for (int64_t e = 0; e < E; e++) w->df[i] += w->G[i * E + e] * b * r[e];
    }
    for (int64_t e = 0; e < E; e++) {
        REAL du = 0;
        for (int64_t i = 0; i < F; i++) du += f[i] * w->G[i * E + e];
        d_strength += du * r[e];
        if (dv) dv[key * E + e] += b * du;
        for (int64_t i = 0; i < F && w->o->delta; i++) {
            w->df[i] -= share * s[i * E + e] * b * du;
            w->G[i * E + e] -= f[i] * b * du;
        }
    }
    for (int64_t i = 0; i < F * E; i++) {
        d_decay += share == 0 ? 0 : share * w->G[i] * s[i];
        w->G[i] *= share;
    }
    for (int64_t i = 0; i < F; i++) w->Z[i] *= share;
    if (d_beta)
        d_beta[key] += w->o->eta * d_strength *
                       (oracle_param(c, "beta", 0) == 1 ? 1 : strength * (1 - strength));
    if (d_gate) d_gate[key] += d_decay * slope[0];
    if (d_a) d_a[w->m.g] += d_decay * slope[1];
    if (d_dt) d_dt[w->m.g] += d_decay * slope[2];
    OF(recurrence_features_back)
    (c, w->o, k + key * w->m.D, f, w->by[j], w->df, dk ? dk + key * w->m.D : NULL);
}

static void OF(recurrence_gradient)(const oracle_call *c, REAL *const *g, OF(recurrence) * o)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"),
               *lengths = OF(get)(c, "key_lengths"), *d = OF(gradient)(c, g, "out");
    REAL *dq = OF(gradient)(c, g, "q");
    const int64_t T = AXIS('T'), S = oracle_keys(c), H = AXIS('H'), G = AXIS('G'), F = o->F,
                  E = AXIS('E'), D = AXIS('D');
    const size_t numbers = (size_t)((S + 2) * (F * E + F + E + F + 1) + F * E + 4 * F + 1);
    REAL *room = malloc(numbers * sizeof *room);
    for (int64_t i = 0; i < AXIS('B') * H; i++) {
        OF(way_back)
        w = {.m = {.c = c, .b = i / H, .h = i % H, .g = i % H / (H / G), .D = D, .E = E, .F = F},
             .o = o};
        const int64_t valid = lengths ? (int64_t)lengths[w.m.b] : S;
        memset(room, 0, numbers * sizeof *room);
        w.s = room, w.z = w.s + (S + 1) * F * E, w.fk = w.z + (S + 1) * F, w.r = w.fk + S * F;
        w.by = w.r + S * E, w.G = w.by + S, w.Z = w.G + F * E, w.df = w.Z + F, w.f = w.df + F;
        o->max = -INFINITY;
        for (int64_t j = 0; o->table && j < valid; j++) {
            OF(memory) m = {.c = c, .D = D, .F = F, .table = o->table, .f = w.f};
            const REAL max = OF(performer_project)(&m, k + ((w.m.b * S + j) * G + w.m.g) * D);
            if (max > o->max) o->max = max;
        }
        OF(way_forward)(&w, k, v, valid, G);
        for (int64_t j = valid; j >= 0; j--) {
            for (int64_t t = T - 1; t >= 0; t--) {
                const int64_t end = oracle_position(c, valid, t) + !o->before,
                              seen = !(c->mask->kinds & HEED_MASK_CAUSAL) || end > valid ? valid
                                     : end < 0                                           ? 0
                                                                                         : end,
                              n = (w.m.b * T + t) * H + w.m.h;
                if (seen == j && j > 0)
                    OF(way_of_query)(&w, q + n * D, d + n * E, j, dq ? dq + n * D : NULL);
            }
            if (j > 0) OF(way_of_key)(&w, j - 1, k, g, (w.m.b * S + j - 1) * G + w.m.g);
        }
    }
    free(room);
}

static void OF(attention_linear_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(recurrence)
    o = {.map = OF(linear_map)(c),
         .scale = 1,
         .eta = 1,
         .normalise = oracle_param(c, "normalise", 1) != 0,
         .eps = (REAL)oracle_param(c, "eps", 1e-6)};
    o.F = OF(features_of)(c, o.map);
    OF(recurrence_gradient)(c, g, &o);
}

static void OF(attention_retention_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(recurrence)
    o = {.F = AXIS('D'),
         .map = OF(IDENTITY),
         .retention = 1,
         .eta = 1,
         .scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)AXIS('D')))};
    OF(recurrence_gradient)(c, g, &o);
}

static void OF(attention_fast_weight_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(recurrence)
    o = {.map = OF(fast_weight_map)(c),
         .delta = oracle_param(c, "rule", 1) == 1,
         .before = oracle_param(c, "read", 0) == 1,
         .sum_eps = (REAL)oracle_param(c, "eps", 1e-6),
         .eta = (REAL)oracle_param(c, "eta", 1),
         .scale = (REAL)oracle_param(c, "scale", 1)};
    o.F = OF(features_of)(c, o.map);
    o.sum = oracle_param(c, "sum_normalise", o.map != OF(IDENTITY)) != 0;
    OF(recurrence_gradient)(c, g, &o);
}

static void OF(attention_gated_delta_gradient)(const oracle_call *c, REAL *const *g)
{
    OF(recurrence)
    o = {.F = AXIS('D'),
         .map = OF(IDENTITY),
         .delta = 1,
         .eta = 1,
         .sum_eps = (REAL)1e-6,
         .unit = oracle_param(c, "normalise_qk", 1) != 0,
         .scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)AXIS('D')))};
    OF(recurrence_gradient)(c, g, &o);
}

static void OF(attention_performer_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *given = OF(get)(c, "projection");
    OF(recurrence)
    o = {.normalise = 1,
         .scale = 1,
         .eta = 1,
         .kernel = (int)oracle_param(c, "kernel", 0),
         .rows = given ? AXIS('P') : (int64_t)oracle_param(c, "features", 256)};
    REAL *drawn = given ? NULL : OF(performer_draw)(c, o.rows);
    o.table = given ? given : drawn;
    o.F = o.kernel == OF(PERFORMER_HYPERBOLIC) ? 2 * o.rows : o.rows;
    OF(recurrence_gradient)(c, g, &o);
    free(drawn);
}
