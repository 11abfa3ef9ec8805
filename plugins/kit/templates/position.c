/* SPDX-License-Identifier: MIT
 *
 * position/@NAME@: out = x + table[min(position, P - 1)], a learned vector for each position
 *                                                                             arXiv 1706.03762, 3.5
 */
#include <heed/kit.h>
#include <heed/kit/reduce/reduce.h>

#ifdef KIT_FIRST /* once; what stands outside is compiled for every path */
enum { X, POSITIONS, TABLE, OUT };
static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T M", "embeddings"),
    [POSITIONS] = KIT_IN_INDEX("positions", "B T", HEED_PORT_OPTIONAL,
                               "where each token stands; 0 to T-1 if absent"),
    [TABLE] = KIT_WEIGHT("table", "P M", HEED_INIT_NORMAL,
                         "one row for each position; later ones share the last"),
    [OUT] = KIT_OUT_IN_PLACE("out", "B T M", "embeddings with their positions"),
};

typedef struct instance { heed_tensor table; } instance;
typedef struct rows { const instance *self; const heed_call *call; } rows;

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    if (open->weight[TABLE]->dim[0] == 0)
        return kit_fail(open->sink, HEED_E_SHAPE,
                        "the table has no row: P is 0, and 1 at least is needed");
    *bytes = sizeof(instance);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    ((instance *)memory)->table = *open->weight[TABLE];
    return HEED_OK;
}
#endif

/* One token. */
static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const rows *r = arg;
    const heed_tensor *const *t = r->call->tensor, *x = t[X], *out = t[OUT],
                             *table = &r->self->table;
    const int64_t place[2] = {tile / x->dim[1], tile % x->dim[1]}, last = table->dim[0] - 1;
    int64_t at = t[POSITIONS] ? kit_index(t[POSITIONS], kit_at(t[POSITIONS], place, 2)) : place[1];
    float *row = (float *)(r->call->scratch + lane * r->call->scratch_stride);
    at = at < 0 ? 0 : at > last ? last : at;
    kit_add_row(row, kit_at(x, place, 2), x->dtype, x->stride[2], kit_at(table, &at, 1),
                table->dtype, table->stride[1], x->dim[2]);
    kit_write_row(kit_at(out, place, 2), out->dtype, out->stride[2], row, x->dim[2]);
}

static int32_t KIT(forward)(const void *memory, const heed_call *call)
{
    rows r = {memory, call};
    return call->host->parallel_for(call->host, kit_rows(call->tensor[X]), KIT(tile), &r);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
/* It has no backward: docs/gradients.md tells how one is written. */
static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_INPUT,
    .id = "position/@NAME@",
    .version = "0.1",
    .summary = "a learned vector for each position, to be changed",
    .formula = "out = x + table[min(position, P - 1)]",
    .reference = "arXiv 1706.03762, section 3.5",
    .ports = KIT_TABLE(ports),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_rowwise_measure_call,
}};

KIT_PLUGIN("position_@NAME@", "MIT", ops)
#endif
