/* SPDX-License-Identifier: MIT
 * The oracle of attention/@NAME@: its formula, read once in double and once in float. S and z are
 * made as the op makes them: of one key alone, w v / w would have next to no error in float. */
#include <heed/oracle.h>

static REAL OF(phi)(REAL x) { return x > 0 ? x + 1 : MATH(exp)(x); }

static void OF(formula)(const heed_oracle_call *c)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"), *n = OF(get)(c, "key_lengths");
    const int64_t T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), D = AXIS('D'), E = AXIS('E');
    REAL *out = OF(get)(c, "out"), *s = malloc((size_t)(D * E + D + 1) * sizeof *s), *z = s + D * E;
    for (int64_t i = 0; i < AXIS('B') * H; i++) { /* a head of a sequence, of its own memory */
        const int64_t b = i / H, g = i % H / (H / G), valid = n ? (int64_t)n[b] : S;
        memset(s, 0, (size_t)(D * E + D) * sizeof *s);
        for (int64_t t = 0, j = 0; t < T; t++) {
            const int64_t row = (b * T + t) * H + i % H;
            for (; OF(live)(c, NULL, NULL, b, t, oracle_position(c, valid, t), valid, j); j++)
                for (int64_t d = 0, key = (b * S + j) * G + g; d < D; d++) {
                    const REAL f = OF(phi)(k[key * D + d]);
                    for (int64_t e = 0; e < E; e++) s[d * E + e] += f * v[key * E + e];
                    z[d] += f;
                }
            REAL sum = (REAL)oracle_param(c, "eps", 1e-6);
            for (int64_t d = 0; d < D; d++) sum += OF(phi)(q[row * D + d]) * z[d];
            for (int64_t e = 0; e < E; e++) {
                REAL read = 0;
                for (int64_t d = 0; d < D; d++) read += OF(phi)(q[row * D + d]) * s[d * E + e];
                out[row * E + e] = j && sum != 0 ? read / sum : 0;
            }
        }
    }
    free(s);
}

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("attention/@NAME@", formula))
#endif
