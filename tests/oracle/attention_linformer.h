/* SPDX-License-Identifier: MIT
 *
 * Linformer, arXiv 2006.04768, equation 7: out_i = softmax(scale q_i (E K)^T) (F V), with E and F
 * of J slots, whose first columns are for the keys that there are. F = E where it is absent; one of
 * each for all heads, or one of each head.
 */
static void OF(attention_linformer)(const oracle_call *c)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"),
               *lengths = OF(get)(c, "key_lengths");
    const REAL *e = OF(get)(c, "e"), *f = OF(get)(c, "f") ? OF(get)(c, "f") : e;
    const int64_t B = AXIS('B'), T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'),
                  D = AXIS('D'), E = AXIS('E');
    const int64_t J = AXIS('J'), C = AXIS('C');
    const REAL scale = (REAL)oracle_param(c, "scale", 1 / sqrt((double)(D ? D : 1)));
    REAL *out = OF(get)(c, "out"), *keys = malloc((size_t)(J * (D + E + 1) + 1) * sizeof *keys);
    REAL *values = keys + J * D, *s = values + J * E;
    for (int64_t bh = 0; bh < B * H; bh++) {
        const int64_t b = bh / H, h = bh % H, g = h / (H / G), w = AXIS('W') == 1 ? 0 : g;
        const int64_t valid = lengths ? (int64_t)lengths[b] : S;
        memset(keys, 0, (size_t)(J * (D + E)) * sizeof *keys);
        for (int64_t j = 0; j < J; j++)
            for (int64_t n = 0; n < valid; n++) {
                const int64_t slot = (w * J + j) * C + n, token = (b * S + n) * G + g;
                for (int64_t d = 0; d < D; d++) keys[j * D + d] += e[slot] * k[token * D + d];
                for (int64_t i = 0; i < E; i++) values[j * E + i] += f[slot] * v[token * E + i];
            }
        for (int64_t t = 0; t < T; t++) {
            const int64_t row = (b * T + t) * H + h;
            REAL max = -INFINITY, sum = 0;
            for (int64_t j = 0; j < J; j++) {
                s[j] = 0;
                for (int64_t d = 0; d < D; d++) s[j] += scale * q[row * D + d] * keys[j * D + d];
                if (s[j] > max || s[j] != s[j]) max = s[j];
            }
            for (int64_t j = 0; j < J; j++) sum += s[j] = MATH(exp)(s[j] - max);
            for (int64_t i = 0; i < E; i++) {
                REAL y = 0;
                for (int64_t j = 0; j < J; j++) y += s[j] * values[j * E + i];
                out[row * E + i] = y / sum;
            }
        }
    }
    free(keys);
}
