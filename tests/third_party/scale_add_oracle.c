/* SPDX-License-Identifier: MIT
 *
 * The oracle of example/affine (scale_add.c): the formula once, read in double and in float.
 *
 *     cc -shared -fPIC -O2 $(pkg-config --cflags heed-plugin) scale_add_oracle.c -o scale_add_oracle.so -lm
 *     heed check scale_add.so --oracle scale_add_oracle.so
 */
#include <heed/oracle.h>

static void OF(affine)(const heed_oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), factor = (REAL)oracle_param(c, "factor", 1);
    REAL *out = OF(get)(c, "out"), offset = (REAL)oracle_param(c, "offset", 0);
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = factor * x[i] + offset;
}

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else
HEED_ORACLES(HEED_ORACLE("example/affine", affine))
#endif
