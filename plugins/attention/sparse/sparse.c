/* SPDX-License-Identifier: MIT
 *
 * attention/sparse: the two factorised patterns of Sparse Transformers, key by key
 *                                                                     arXiv 1904.10509, 4.2 and 4.3
 *
 *     query i sees key j <= i if
 *     strided   i - j <= stride            or   (i - j) mod stride = 0
 *     fixed     j / stride = i / stride    or   j mod stride in [stride - columns, stride)
 *
 * The first set is `local`, the second `columns`; one op has both (merged), or one of them, or even
 * heads have the first and odd heads the second (heads). With sets=N the heads that have columns
 * take turns in N sets of them: head h takes the (h mod N)-th `columns` from the end of a block, as
 * the authors' code does, or, with factor=heads, where only odd heads have columns, the (floor(h /
 * 2) mod N)-th. That code's local set has stride keys and not stride + 1 (inclusive=false), and its
 * blocks of 32 make the patterns coarser: here they are those of the formulas.
 */
#include "sparse_kernel.h"
#include <heed/kit/core/field.h>

static const heed_port ports[] = {FLASH_PORTS};

enum { PATTERN = FLASH_PARAM_COUNT, STRIDE, COLUMNS, SETS, FACTOR, INCLUSIVE };
static const heed_param params[] = {
    FLASH_PARAMS,
    [PATTERN] = KIT_CHOICE("pattern", 0, "strided|fixed", "which keys a query sees"),
    [STRIDE] = KIT_INT_REQUIRED("stride", 0, 1, 1 << 24,
                                "the length of a block; near the root of the sequence's"),
    [COLUMNS] =
        KIT_INT_AUTO("columns", 0, 1, 1 << 24,
                     "fixed: last keys of a block, seen ever after; stride / 4 if not given"),
    [SETS] = KIT_INT("sets", 1, 1, 1 << 20,
                     "fixed: sets of columns that the heads which have columns take turns in"),
    [FACTOR] =
        KIT_CHOICE("factor", 0, "merged|local|columns|heads", "both sets, one, or heads in turn"),
    [INCLUSIVE] =
        KIT_BOOL("inclusive", 1,
                 "strided: stride + 1 local keys, as in the paper; false: stride, as in its code"),
};

/* Last keys of a block that a set of columns has. */
static int64_t columns_of(const heed_value *value)
{
    const int64_t stride = value[STRIDE].i, most = stride / value[SETS].i,
                  quarter = stride / 4 > 0 ? stride / 4 : 1;
    return value[COLUMNS].given ? value[COLUMNS].i : quarter < most ? quarter : most;
}

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_value *value = open->value;
    const int64_t stride = value[STRIDE].i, columns = value[COLUMNS].given ? value[COLUMNS].i : 1;
    if (value[PATTERN].i == 0 && (value[COLUMNS].given || value[SETS].i != 1))
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "%s belongs to pattern=fixed, and the pattern is strided",
                        value[COLUMNS].given ? "columns" : "sets");
    if (columns > stride / value[SETS].i)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "a block of %lld keys (stride) does not hold %lld sets of %lld "
                        "columns",
                        (long long)stride, (long long)value[SETS].i, (long long)columns);
    if (open->child[FLASH_CACHE].op || open->child[FLASH_VALUE_CACHE].op)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "%s: single keys are picked out of the cache, and a codec has them by the "
                        "block; leave it out",
                        open->child[FLASH_CACHE].op ? "cache" : "value_cache");
    return kit_flash_measure(open, sizeof(sparse), bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    sparse *s = kit_flash_init(memory, open);
    s->fixed = open->value[PATTERN].i == 1;
    s->stride = open->value[STRIDE].i;
    s->sets = open->value[SETS].i;
    s->columns = columns_of(open->value);
    s->factor = (int)open->value[FACTOR].i;
    if (s->factor == SPARSE_MERGED && (s->fixed ? s->columns : 1) == s->stride) /* all keys */
        s->factor = SPARSE_COLUMNS;
    s->near = s->stride + open->value[INCLUSIVE].i;
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const int32_t failed = kit_flash_measure_call(instance, call, size);
    const sparse *s = kit_flash_variant(instance);
    int64_t outs, rows;
    size->workspace = sparse_found(call, &outs, &rows);
    if (sparse_has(s, 0) && sparse_has(s, 1))
        size->workspace += sizeof(float) * (uint64_t)(outs + rows);
    return failed;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const sparse *s = kit_flash_variant(instance);
    size->recent = s->factor == SPARSE_LOCAL ? s->near : 0;
    size->flags = HEED_STATE_CAUSAL;
    const int32_t failed = kit_flash_measure_state(instance, axis, size);
    size->format = "kv/f32 rows", size->version = 1;
    return failed;
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = sparse_call(instance, call);
    kit_flash_cost(&f, c);
    return HEED_OK;
}

/* The near keys, and before them, or alone, the columns of all heads' sets. */
static int32_t field(const heed_open *open, const heed_mask *mask, int64_t begin, int64_t at,
                     heed_field *f)
{
    const heed_value *value = open->value;
    const int64_t stride = value[STRIDE].i, fixed = value[PATTERN].i == 1,
                  near = fixed ? at % stride + 1 : stride + value[INCLUSIVE].i,
                  columns = fixed ? columns_of(value) * value[SETS].i : 1;
    const int local = value[FACTOR].i != SPARSE_COLUMNS, far = value[FACTOR].i != SPARSE_LOCAL;
    (void)mask, (void)begin;
    f->flags = fixed || far ? 0 : HEED_FIELD_MOVES;
    f->loose = far ? 0 : fixed ? stride : near;
    if (local) kit_field_add(f, at - near + 1, at + 1);
    if (far)
        f->run[f->runs++] = (heed_field_run){sizeof *f->run,
                                             0,
                                             0,
                                             local ? at - near + 1 : at + 1,
                                             fixed ? stride - columns : at % stride,
                                             stride,
                                             columns};
    return HEED_OK;
}

KIT_COST_FIELD(get_extension, cost, field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_DOCUMENTS,
    .id = "attention/sparse",
    .version = "1.0",
    .summary = "the strided and the fixed pattern of sparse transformers, key by key",
    .formula = "out = softmax(scale * q k^T) v, over the keys j <= i with\n"
               "strided: i - j <= stride, or (i - j) mod stride = 0\n"
               "fixed: j / stride = i / stride, or j mod stride >= stride - columns",
    .reference = "arXiv 1904.10509, sections 4.2 and 4.3\n"
                 "its code rounds the patterns to blocks: not here; its local set has a key less: "
                 "inclusive=false",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_sparse", "MIT", ops)
