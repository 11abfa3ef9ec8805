/* SPDX-License-Identifier: MIT
 *
 * The formula of norm/hostile, for a plugin that is off.
 */
#include <heed/oracle.h>

static void OF(copy)(const heed_oracle_call *c)
{
    const REAL *x = OF(get)(c, "x");
    REAL *out = OF(get)(c, "out");
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = x[i];
}

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("norm/hostile", copy))
#endif
