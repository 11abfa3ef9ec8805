/* SPDX-License-Identifier: MIT
 *
 * Transformer-XL, arXiv 1901.02860, section 3.3; clamp and same_length as in its PyTorch code
 */
static void OF(attention_transformer_xl)(const oracle_call *c)
{
    const int64_t H = AXIS('H'), D = AXIS('D'), M = AXIS('M'),
                  memory = (int64_t)oracle_param(c, "memory", 0);
    const int64_t low = -2 * memory, rows = 2 * memory + 1,
                  clamp = (int64_t)oracle_param(c, "clamp", 0);
    const REAL *weight = OF(get)(c, "relative_weight"), *lengths = OF(get)(c, "key_lengths");
    REAL *a = calloc((size_t)(H * rows * D + 1), sizeof *a),
         *encoding = malloc(sizeof *encoding * (size_t)(M + 1));
    int64_t farthest = 0; /* from a query to key 0 */
    for (int64_t n = 0; n < AXIS('B') * AXIS('T'); n++) {
        const int64_t valid = lengths ? (int64_t)lengths[n / AXIS('T')] : c->past + AXIS('S');
        const int64_t at = oracle_position(c, valid, n % AXIS('T'));
        if (at > farthest) farthest = at;
    }
    for (int64_t p = 0; p < rows && p <= farthest; p++) {
        for (int64_t m = 0; m < M / 2; m++) {
            const double angle =
                (double)(clamp && p > clamp ? clamp : p) * pow(10000, -2.0 * (double)m / (double)M);
            const int turns = oracle_param(c, "encoding", 0) == 1;
            encoding[turns ? 2 * m : m] = (REAL)sin(angle),
                                     encoding[turns ? 2 * m + 1 : M / 2 + m] = (REAL)cos(angle);
        }
        for (int64_t hd = 0; hd < H * D; hd++) {
            REAL *to = &a[hd / D * rows * D + (-p - low) * D + hd % D];
            for (int64_t m = 0; m < M; m++) *to += weight[hd * M + m] * encoding[m];
        }
    }
    OF(relative)
    (c, &(OF(relatives)){.a = a,
                         .u = OF(get)(c, "content_bias"),
                         .w = OF(get)(c, "position_bias"),
                         .low = low,
                         .per_head = rows * D,
                         .memory = memory,
                         .same_length = oracle_param(c, "same_length", 0) != 0});
    free(a);
    free(encoding);
}
