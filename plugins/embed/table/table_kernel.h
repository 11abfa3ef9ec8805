/* SPDX-License-Identifier: MIT
 *
 * embed/table, the work: rows of the table copied, times a factor, 16 elements at a time. All
 * tokens are checked before anything is written. The table stays where its owner has it: it is
 * large, and each row is read as it is.
 *
 * Backward adds each row's gradient to that of its token, in the order of the rows: tiles are
 * columns of the table, so that an element is one chain.
 *
 * Error: none where scale is 1, but for the rounding to an output narrower than the table; else
 * that of one product.
 */
#include <heed/kit.h>
#include <heed/kit/core/blocks.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { TOKENS, TABLE, OUT };
enum { SCALE };
typedef struct embed {
    heed_tensor table;
    float scale;
} embed;

typedef struct embed_call {
    const heed_tensor *tokens, *table, *out;
    int64_t rows, rows_per_tile;
    float scale;
} embed_call;

enum { COLUMNS = 64 }; /* of a tile of backward */
#endif

/* Elements [i, i + n) of a row of the table, n <= 16. */
KIT_INLINE vf KIT(element)(const heed_tensor *table, int64_t token, int64_t i, int n)
{
    const int64_t block = kit_block_bytes(table->dtype), at[] = {token, i};
    float f[16] = {0};
    if (!block) return v_read(kit_at(table, at, 2), table->dtype, table->stride[1], n);
    kit_block_read(f, (const char *)table->data + token * table->stride[0] / HEED_BLOCK * block,
                   table->dtype, i, n);
    return v_load(f);
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const embed_call *c = arg;
    const heed_tensor *table = c->table, *out = c->out;
    int64_t width = table->dim[1], to_stride = out->stride[out->rank - 1];
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++) {
        int64_t token = kit_index(c->tokens, kit_element(c->tokens, r));
        char *to = kit_row(out, r);
        for (int64_t i = 0; i < width; i += 16) {
            int n = width - i < 16 ? (int)(width - i) : 16;
            vf x = KIT(element)(table, token, i, n);
            if (c->scale != 1.0f) x = v_mul(x, v_set(c->scale));
            v_write(to + i * to_stride * kit_width(out->dtype), out->dtype, to_stride, x, n);
        }
    }
}

static int32_t KIT(check)(const heed_call *call, const heed_tensor *tokens, int64_t rows,
                          int64_t words)
{
    for (int64_t r = 0; r < rows; r++) {
        int64_t token = kit_index(tokens, kit_element(tokens, r));
        if (token < 0 || token >= words)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "token %lld (number %lld) is not in the table, which has %lld rows",
                            (long long)token, (long long)r, (long long)words);
    }
    return HEED_OK;
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const embed *self = instance;
    const heed_tensor *table = &self->table, *tokens = call->tensor[TOKENS],
                      *out = call->tensor[OUT];
    int64_t rows = kit_rows(out), per_tile = 16384 / (table->dim[1] + 1) + 1;
    const int32_t failed = KIT(check)(call, tokens, rows, table->dim[0]);
    if (failed) return failed;
    embed_call c = {tokens, table, out, rows, per_tile, self->scale};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const embed_call *c = arg;
    const heed_tensor *table = c->table, *d = c->out;
    const int64_t from = tile * COLUMNS, left = table->dim[1] - from,
                  n = left < COLUMNS ? left : COLUMNS, ts = table->stride[1],
                  ds = kit_gradient_stride(d);
    (void)lane;
    for (int64_t r = 0; r < c->rows; r++) {
        const int64_t token = kit_index(c->tokens, kit_element(c->tokens, r));
        float *to = (float *)kit_at(table, &token, 1) + from * ts;
        const float *row = kit_gradient_row(d, r) + from * ds;
        for (int64_t i = 0; i < n; i += 16) {
            const int m = n - i < 16 ? (int)(n - i) : 16;
            const vf sum = v_fma(v_set(c->scale), v_read(row + i * ds, HEED_F32, ds, m),
                                 v_read(to + i * ts, HEED_F32, ts, m));
            v_write(to + i * ts, HEED_F32, ts, sum, m);
        }
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const embed *self = instance;
    const heed_tensor *tokens = g->call->tensor[TOKENS], *d = g->gradient[OUT],
                      *table = g->gradient[TABLE];
    const heed_host *host = g->call->host;
    embed_call c = {tokens, table, d, kit_rows(d), 0, self->scale};
    const int32_t failed = KIT(check)(g->call, tokens, c.rows, self->table.dim[0]);
    if (failed || !table) return failed;
    return host->parallel_for(host, (table->dim[1] + COLUMNS - 1) / COLUMNS, KIT(tile_backward),
                              &c);
}
KIT_BACKWARD(KIT_PORT(TABLE), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
