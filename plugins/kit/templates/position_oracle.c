/* SPDX-License-Identifier: MIT
 * The oracle of position/@NAME@: its formula, read once in double and once in float. */
#include <heed/oracle.h>

static void OF(formula)(const heed_oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *positions = OF(get)(c, "positions"),
               *table = OF(get)(c, "table");
    REAL *y = OF(get)(c, "out");
    const int64_t T = AXIS('T'), M = AXIS('M'), last = AXIS('P') - 1;
    for (int64_t r = 0; r < AXIS('B') * T; r++) {
        int64_t at = positions ? (int64_t)positions[r] : r % T;
        at = at < 0 ? 0 : at > last ? last : at;
        for (int64_t i = 0; i < M; i++) y[r * M + i] = x[r * M + i] + table[at * M + i];
    }
}

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("position/@NAME@", formula))
#endif
