/* SPDX-License-Identifier: MIT
 *
 * Sinusoidal positions, arXiv 1706.03762, section 3.5 (interleaved, exponent 2k / M), or the first
 * half sines and the second cosines with exponent k / (M / 2 - 1), as in tensor2tensor;
 * with a step its waves too, arXiv 1807.03819, equation 6
 */
static void OF(position_sinusoidal)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *positions = OF(get)(c, "positions");
    REAL *y = OF(get)(c, "out"), base = (REAL)oracle_param(c, "base", 0);
    const REAL step = (REAL)oracle_param(c, "step", 0);
    int64_t M = AXIS('M'), half = M / 2, rows = AXIS('B') * AXIS('T');
    int halves = oracle_param(c, "layout", 0) == 1, t2t = oracle_param(c, "exponent", 0) == 1;
    for (int64_t r = 0; r < rows; r++) {
        REAL at = positions ? positions[r] : (REAL)(r % AXIS('T'));
        for (int64_t i = 0; i < M; i++) {
            int64_t k = halves ? i % (half ? half : 1) : i / 2;
            int cosine = halves ? i >= half : i % 2;
            REAL power =
                t2t ? (half > 1 ? (REAL)k / (REAL)(half - 1) : (REAL)0) : 2 * (REAL)k / (REAL)M;
            REAL angle = at * MATH(pow)(base, -power), turn = step * MATH(pow)(base, -power);
            REAL p = halves && i >= 2 * half ? 0 : cosine ? MATH(cos)(angle) : MATH(sin)(angle);
            if (step != 0 && (!halves || i < 2 * half))
                p += cosine ? MATH(cos)(turn) : MATH(sin)(turn);
            y[r * M + i] = x[r * M + i] + p;
        }
    }
}
