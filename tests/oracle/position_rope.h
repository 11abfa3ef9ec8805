/* SPDX-License-Identifier: MIT
 *
 * Rotary embedding, arXiv 2104.09864, section 3.2.2: pairs (2k, 2k + 1) interleaved, or
 * (k, k + width / 2) half
 */
static void OF(position_rope)(const oracle_call *c)
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
                REAL *to = y + ((b * T + t) * H + h) * D,
                     at = positions ? positions[b * T + t] : (REAL)t;
                for (int64_t i = 0; i < D; i++) to[i] = in[i];
                for (int64_t k = 0; k < width / 2; k++) {
                    REAL angle = at * MATH(pow)(base, -2 * (REAL)k / (REAL)width);
                    int64_t i = half ? k : 2 * k, j = half ? k + width / 2 : 2 * k + 1;
                    to[i] = in[i] * MATH(cos)(angle) - in[j] * MATH(sin)(angle);
                    to[j] = in[i] * MATH(sin)(angle) + in[j] * MATH(cos)(angle);
                }
            }
}
