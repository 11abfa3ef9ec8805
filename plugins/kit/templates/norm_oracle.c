/* SPDX-License-Identifier: MIT
 * The oracle of norm/@NAME@: its formula, read once in double and once in float. */
#include <heed/oracle.h>

static void OF(formula)(const heed_oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), eps = (REAL)oracle_param(c, "eps", 1e-6);
    REAL *y = OF(get)(c, "out");
    const int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++, x += M, y += M) {
        REAL sum = 0;
        for (int64_t i = 0; i < M; i++) sum += x[i] * x[i];
        for (int64_t i = 0; i < M; i++) y[i] = x[i] / MATH(sqrt)(sum / (REAL)M + eps);
    }
}

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("norm/@NAME@", formula))
#endif
