/* SPDX-License-Identifier: MIT
 * The oracle of attention/@NAME@: its formula, read once in double and once in float. */
#include <heed/oracle.h>

static REAL OF(phi)(REAL x) { return x > 0 ? x + 1 : MATH(exp)(x); }

static void OF(formula)(const heed_oracle_call *c)
{
    const REAL *q = OF(get)(c, "q"), *k = OF(get)(c, "k"), *v = OF(get)(c, "v"), *n = OF(get)(c, "key_lengths");
    const int64_t T = AXIS('T'), S = AXIS('S'), H = AXIS('H'), G = AXIS('G'), D = AXIS('D'), E = AXIS('E');
    REAL *out = OF(get)(c, "out");
    for (int64_t i = 0; i < AXIS('B') * T * H; i++) {
        const int64_t b = i / H / T, t = i / H % T, g = i % H / (H / G), valid = n ? (int64_t)n[b] : S;
        REAL sum = 0, *y = memset(out + i * E, 0, (size_t)E * sizeof *out);
        for (int64_t j = 0; j < valid; j++) {
            const int64_t key = (b * S + j) * G + g;
            REAL w = 0;
            if (!OF(live)(c, NULL, NULL, b, t, oracle_position(c, valid, t), valid, j)) continue;
            for (int64_t d = 0; d < D; d++) w += OF(phi)(q[i * D + d]) * OF(phi)(k[key * D + d]);
            for (int64_t e = 0; D && e < E; e++) y[e] += w * v[key * E + e];
            sum += w;
        }
        sum += (REAL)oracle_param(c, "eps", 1e-6);
        for (int64_t e = 0; e < E && sum != 0; e++) y[e] /= sum;
    }
}

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("attention/@NAME@", formula))
#endif
