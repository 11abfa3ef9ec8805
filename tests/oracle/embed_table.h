/* SPDX-License-Identifier: MIT
 *
 * y = scale times the row of the table that the token names
 */
static void OF(embed_table)(const oracle_call *c)
{
    const REAL *tokens = OF(get)(c, "tokens"), *table = OF(get)(c, "table");
    REAL *y = OF(get)(c, "out");
    int64_t M = AXIS('M');
    const REAL scale = (REAL)(float)oracle_param(c, "scale", 1);
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < M; i++) y[r * M + i] = scale * table[(int64_t)tokens[r] * M + i];
}
