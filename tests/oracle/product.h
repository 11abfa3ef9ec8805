/* SPDX-License-Identifier: MIT
 *
 * product.h: the matrix product of the oracles of linear layers.
 */
/* y = x W^T + b */
static void OF(product)(REAL *y, const REAL *x, const REAL *w, const REAL *bias, int64_t rows,
                        int64_t n, int64_t m)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            REAL sum = 0;
            for (int64_t j = 0; j < m; j++) sum += x[r * m + j] * w[i * m + j];
            y[r * n + i] = sum + (bias ? bias[i] : 0);
        }
}
