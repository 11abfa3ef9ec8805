/* SPDX-License-Identifier: MIT
 *
 * Sparse Transformers, arXiv 1904.10509, sections 4.2 and 4.3: the sets A1 (local) and A2 (columns)
 * of both patterns
 */
static REAL OF(sparse_score)(const oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s)
{
    const int64_t l = (int64_t)oracle_param(c, "stride", 0),
                  sets = (int64_t)oracle_param(c, "sets", 1);
    const int64_t standard = l / 4 < 1 ? 1 : l / 4 < l / sets ? l / 4 : l / sets;
    const int64_t columns = (int64_t)oracle_param(c, "columns", (double)standard);
    const int fixed = oracle_param(c, "pattern", 0) == 1,
              factor = (int)oracle_param(c, "factor", 0);
    const int64_t turn = oracle_param(c, "factor", 0) == 3 ? h / 2 : h; /* of the heads that have columns */
    const int64_t end = l - turn % sets * columns;                      /* of the columns in a block */
    const int local = fixed ? j / l == at / l : at - j < l + (oracle_param(c, "inclusive", 1) != 0);
    const int column = fixed ? j % l >= end - columns && j % l < end : (at - j) % l == 0;
    const int first = factor == 0 || factor == 1 || (factor == 3 && h % 2 == 0);
    const int second = factor == 0 || factor == 2 || (factor == 3 && h % 2 == 1);
    return j <= at && ((first && local) || (second && column)) ? s : -INFINITY;
}
static void OF(attention_sparse)(const oracle_call *c) { OF(attention)(c, OF(sparse_score)); }
