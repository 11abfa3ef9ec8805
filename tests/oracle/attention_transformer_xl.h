/* SPDX-License-Identifier: MIT
 *
 * Transformer-XL, arXiv 1901.02860, section 3.3; clamp and same_length as in its PyTorch code
 */
/* The sinusoid R of a distance. */
static void OF(xl_encoding)(const oracle_call *c, int64_t p, REAL *encoding)
{
    const int64_t M = AXIS('M'), clamp = (int64_t)oracle_param(c, "clamp", 0);
    const int turns = oracle_param(c, "encoding", 0) == 1;
    for (int64_t m = 0; m < M / 2; m++) {
        const double angle =
            (double)(clamp && p > clamp ? clamp : p) * pow(10000, -2.0 * (double)m / (double)M);
        encoding[turns ? 2 * m : m] = (REAL)sin(angle);
        encoding[turns ? 2 * m + 1 : M / 2 + m] = (REAL)cos(angle);
    }
}

/* The distance from a query to key 0, of the query that is farthest from it. */
static int64_t OF(xl_farthest)(const oracle_call *c)
{
    const REAL *lengths = OF(get)(c, "key_lengths");
    int64_t farthest = 0;
    for (int64_t n = 0; n < AXIS('B') * AXIS('T'); n++) {
        const int64_t valid = lengths ? (int64_t)lengths[n / AXIS('T')] : c->past + AXIS('S');
        const int64_t at = oracle_position(c, valid, n % AXIS('T'));
        if (at > farthest) farthest = at;
    }
    return farthest;
}

/* All but the table. */
static OF(relatives) OF(xl_relatives)(const oracle_call *c)
{
    const int64_t memory = (int64_t)oracle_param(c, "memory", 0);
    return (OF(relatives)){.u = OF(get)(c, "content_bias"),
                           .w = OF(get)(c, "position_bias"),
                           .low = -2 * memory,
                           .per_head = (2 * memory + 1) * AXIS('D'),
                           .memory = memory,
                           .same_length = oracle_param(c, "same_length", 0) != 0};
}

/* The table [H, 2 memory + 1, D], as far as a distance of the call needs it; to be freed. */
static REAL *OF(xl_table)(const oracle_call *c, const OF(relatives) * r)
{
    const int64_t H = AXIS('H'), D = AXIS('D'), M = AXIS('M'), rows = 1 - r->low,
                  farthest = OF(xl_farthest)(c);
    const REAL *weight = OF(get)(c, "relative_weight");
    REAL *a = calloc((size_t)(H * rows * D + 1), sizeof *a),
         *encoding = malloc(sizeof *encoding * (size_t)(M + 1));
    for (int64_t p = 0; p < rows && p <= farthest; p++) {
        OF(xl_encoding)(c, p, encoding);
        for (int64_t hd = 0; hd < H * D; hd++) {
            REAL *to = &a[hd / D * rows * D + (-p - r->low) * D + hd % D];
            for (int64_t m = 0; m < M; m++) *to += weight[hd * M + m] * encoding[m];
        }
    }
    free(encoding);
    return a;
}

static void OF(attention_transformer_xl)(const oracle_call *c)
{
    OF(relatives) r = OF(xl_relatives)(c);
    REAL *a = OF(xl_table)(c, &r);
    r.a = a;
    OF(relative)(c, &r);
    free(a);
}
