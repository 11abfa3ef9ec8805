/* SPDX-License-Identifier: MIT
 *
 * Gated attention unit, arXiv 2202.10447, section 3: squared ReLU, keys and queries of one base
 */
static void OF(attention_gau)(const oracle_call *c)
{
    const REAL *base = OF(get)(c, "q"), *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate");
    const REAL *lengths = OF(get)(c, "key_lengths");
    const REAL *documents = OF(get)(c, "documents"), *qg = OF(get)(c, "q_gain"),
               *qo = OF(get)(c, "q_offset");
    const REAL *kg = OF(get)(c, "k_gain"), *ko = OF(get)(c, "k_offset");
    REAL *out = OF(get)(c, "out");
    const int64_t B = AXIS('B'), T = AXIS('T'), H = AXIS('H'), D = AXIS('D'), E = AXIS('E');
    const int by_width = oracle_param(c, "scale", 0) == 1;
    for (int64_t row = 0; row < B * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T,
                      valid = lengths ? (int64_t)lengths[b] : T;
        const int64_t at = oracle_position(c, valid, t);
        REAL *y = out + row * E, live = 0;
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        for (int64_t j = 0; j < T; j++) {
            if (!OF(live)(c, documents, NULL, b, t, at, valid, j)) continue;
            REAL dot = 0;
            const REAL *key = base + ((b * T + j) * H + h) * D,
                       *value = v + ((b * T + j) * H + h) * E;
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
