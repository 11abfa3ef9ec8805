/* SPDX-License-Identifier: MIT
 *
 * FLASH's mixed chunk attention, arXiv 2202.10447, section 3.2: chunks of c tokens, within each
 * relu(q k / c)^2, and over all chunks, or where it is causal over the complete ones before, q k' /
 * n, n being the tokens that these have; behind it the gate. The four q and k are gains and offsets
 * of one base; base, values and gate come before their silu.
 */
static REAL OF(flash_dot)(const oracle_call *c, const char *const names[4], const REAL *q,
                          const REAL *k)
{
    const REAL *qg = OF(get)(c, names[0]), *qo = OF(get)(c, names[1]);
    const REAL *kg = OF(get)(c, names[2]), *ko = OF(get)(c, names[3]);
    REAL dot = 0;
    for (int64_t d = 0; d < AXIS('D'); d++)
        dot += (OF(silu)(q[d]) * (qg ? qg[d] : 1) + (qo ? qo[d] : 0)) *
               (OF(silu)(k[d]) * (kg ? kg[d] : 1) + (ko ? ko[d] : 0));
    return dot;
}

static void OF(attention_flash_linear)(const oracle_call *c)
{
    static const char *const within[] = {"q_gain", "q_offset", "k_gain", "k_offset"};
    static const char *const across[] = {"linear_q_gain", "linear_q_offset", "linear_k_gain",
                                         "linear_k_offset"};
    const REAL *base = OF(get)(c, "q"), *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate");
    const REAL *lengths = OF(get)(c, "key_lengths");
    REAL *out = OF(get)(c, "out");
    const int64_t T = AXIS('T'), H = AXIS('H'), D = AXIS('D'), E = AXIS('E');
    const int64_t chunk = (int64_t)oracle_param(c, "chunk", 256);
    const int causal = (c->mask->kinds & HEED_MASK_CAUSAL) != 0;
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        const int64_t h = row % H, t = row / H % T, b = row / H / T,
                      valid = lengths ? (int64_t)lengths[b] : T;
        const int64_t at = causal ? oracle_position(c, valid, t) : t;
        const int64_t begin =
            (at < 0 ? -((chunk - 1 - at) / chunk) : at / chunk) * chunk; /* of its chunk */
        int64_t linear = valid;                                          /* keys of that part */
        if (causal)
            linear = begin < 0 ? 0 : begin < valid / chunk * chunk ? begin : valid / chunk * chunk;
        REAL *y = out + row * E;
        for (int64_t e = 0; e < E; e++) y[e] = 0;
        for (int64_t j = 0; j < valid; j++) {
            const REAL *key = base + ((b * T + j) * H + h) * D,
                       *value = v + ((b * T + j) * H + h) * E;
            const int inside = j >= begin && j < begin + chunk && !(causal && j > at);
            REAL weight = 0;
            if (!inside && j >= linear) continue;
            if (inside) {
                const REAL s =
                    OF(relu)(OF(flash_dot)(c, within, base + row * D, key) / (REAL)chunk);
                weight += s * s;
            }
            if (j < linear) weight += OF(flash_dot)(c, across, base + row * D, key) / (REAL)linear;
            for (int64_t e = 0; e < E; e++) y[e] += weight * OF(silu)(value[e]);
        }
        for (int64_t e = 0; e < E; e++) y[e] *= OF(silu)(gate[row * E + e]);
    }
}
