/* SPDX-License-Identifier: MIT
 *
 * What the three rotary positions share: the angles, those of longer texts too: arXiv
 * 2306.15595 (linear), 2309.00071 (ntk, dynamic, yarn), and Llama 3.1's code (llama3)
 */
static REAL OF(rope_clamp)(REAL x, REAL low, REAL high)
{
    return x < low ? low : x > high ? high : x;
}

/* The pair that turns `turns` times within L tokens, in whole pairs if asked. */
static REAL OF(rope_pair)(REAL turns, REAL L, REAL base, REAL d, int whole, int up)
{
    REAL pair =
        d * MATH(log)(L / (2 * (REAL)3.14159265358979323846 * turns)) / (2 * MATH(log)(base));
    return !whole ? pair : up ? MATH(ceil)(pair) : MATH(floor)(pair);
}

/* What pair k of d channels turns by at each position. */
static REAL OF(rope_frequency)(const oracle_call *c, REAL k, REAL d)
{
    REAL base = (REAL)oracle_param(c, "base", 0), s = (REAL)oracle_param(c, "factor", 1),
         L = (REAL)oracle_param(c, "original", 1), N = (REAL)oracle_param(c, "length", 1);
    int rule = (int)oracle_param(c, "scaling", -1) + 1, whole = oracle_param(c, "truncate", 1) != 0;
    if (rule == 2) base *= MATH(pow)(s, d / (d - 2));
    if (rule == 3 && N > L) base *= MATH(pow)(s * N / L - (s - 1), d / (d - 2));
    REAL t = MATH(pow)(base, -2 * k / d);
    if (rule == 1) return t / s;
    if (rule == 4) {
        REAL low = OF(rope_pair)((REAL)oracle_param(c, "high", 32), L, base, d, whole, 0);
        REAL high = OF(rope_pair)((REAL)oracle_param(c, "low", 1), L, base, d, whole, 1);
        if (low < 0) low = 0;
        if (high > d - 1) high = d - 1;
        if (low == high) high += (REAL)0.001;
        REAL ramp = OF(rope_clamp)((k - low) / (high - low), 0, 1);
        return t / s * ramp + t * (1 - ramp);
    }
    if (rule == 5) {
        REAL low = (REAL)oracle_param(c, "low", 1), high = (REAL)oracle_param(c, "high", 4);
        REAL turns = L * t / (2 * (REAL)3.14159265358979323846); /* within L tokens */
        REAL mix = OF(rope_clamp)((turns - low) / (high - low), 0, 1);
        return (1 - mix) * t / s + mix * t;
    }
    return t;
}

/* All vectors of the call turned, `width` channels of each; list: longrope's, or NULL. */
static void OF(rope_turn)(const oracle_call *c, int64_t width, const REAL *list, REAL amplitude)
{
    const REAL *x = OF(get)(c, "x"), *positions = OF(get)(c, "positions");
    REAL *y = OF(get)(c, "out");
    int64_t B = AXIS('B'), T = AXIS('T'), H = AXIS('H'), D = AXIS('D');
    int half = oracle_param(c, "pairs", 0) == 1;
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < H; h++) {
                const REAL *in = x + ((b * T + t) * H + h) * D;
                REAL *to = y + ((b * T + t) * H + h) * D,
                     at = positions ? positions[b * T + t] : (REAL)t;
                for (int64_t i = 0; i < D; i++) to[i] = in[i];
                for (int64_t k = 0; k < width / 2; k++) {
                    REAL angle =
                        at * OF(rope_frequency)(c, (REAL)k, (REAL)width) / (list ? list[k] : 1);
                    int64_t i = half ? k : 2 * k, j = half ? k + width / 2 : 2 * k + 1;
                    to[i] = amplitude * (in[i] * MATH(cos)(angle) - in[j] * MATH(sin)(angle));
                    to[j] = amplitude * (in[i] * MATH(sin)(angle) + in[j] * MATH(cos)(angle));
                }
            }
}
