/* SPDX-License-Identifier: MIT
 *
 * y = x and the row of the table for where it stands
 */
static void OF(position_learned)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *table = OF(get)(c, "table"),
               *positions = OF(get)(c, "positions");
    REAL *y = OF(get)(c, "out");
    int64_t M = AXIS('M'), T = AXIS('T'), offset = (int64_t)oracle_param(c, "offset", 0);
    for (int64_t r = 0; r < AXIS('B') * T; r++) {
        int64_t at = (positions ? (int64_t)positions[r] : r % T) + offset;
        for (int64_t i = 0; i < M; i++) y[r * M + i] = x[r * M + i] + table[at * M + i];
    }
}
