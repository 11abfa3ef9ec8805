/* SPDX-License-Identifier: MIT
 *
 * embed/table, the work: rows of the table copied, times a factor, 16 elements at a time. All tokens are checked
 * before anything is written. The table stays where its owner has it: it is large, and each row is
 * read as it is.
 *
 * Error: none where scale is 1, but for the rounding to an output narrower than the table; else that
 * of one product.
 */
#include <heed/kit.h>

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
#endif

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const embed_call *c = arg;
    const heed_tensor *table = c->table, *out = c->out;
    int64_t width = table->dim[1], from_stride = table->stride[1],
            to_stride = out->stride[out->rank - 1];
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++) {
        int64_t token = kit_index(c->tokens, kit_element(c->tokens, r));
        const char *from = kit_at(table, &token, 1);
        char *to = kit_row(out, r);
        for (int64_t i = 0; i < width; i += 16) {
            int n = width - i < 16 ? (int)(width - i) : 16;
            vf x = v_read(from + i * from_stride * kit_width(table->dtype), table->dtype,
                          from_stride, n);
            if (c->scale != 1.0f) x = v_mul(x, v_set(c->scale));
            v_write(to + i * to_stride * kit_width(out->dtype), out->dtype, to_stride, x, n);
        }
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const embed *self = instance;
    const heed_tensor *table = &self->table, *tokens = call->tensor[TOKENS],
                      *out = call->tensor[OUT];
    int64_t rows = kit_rows(out), per_tile = 16384 / (table->dim[1] + 1) + 1;
    for (int64_t r = 0; r < rows; r++) {
        int64_t token = kit_index(tokens, kit_element(tokens, r));
        if (token < 0 || token >= table->dim[0])
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "token %lld (number %lld) is not in the table, which has %lld rows",
                            (long long)token, (long long)r, (long long)table->dim[0]);
    }
    embed_call c = {tokens, table, out, rows, per_tile, self->scale};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
