/* SPDX-License-Identifier: MIT
 *
 * attention/window: out = softmax(scale q k^T) v over the keys near each query
 *
 *     query i sees key j    if  i - left < j <= i + right  (i - left <= j, if inclusive)
 *                           or  j < sinks and j <= i + right    or  i < global  or  j < global
 *
 * left = W alone is the causal window of Mistral 7B (arXiv 2310.06825, section 2): W keys, the
 * query's own among them. Its reference code takes W + 1 in a prompt and W in decoding:
 * inclusive=true gives the first. left = right = w, inclusive, is Longformer's (arXiv 2004.05150,
 * section 3.1), and global its global attention, symmetric, of the first tokens, with the queries,
 * keys and values that all have: Longformer has projections of their own for those rows, and any
 * tokens. Sinks are those of arXiv 2309.17453. The cache keeps what the window reaches, and the
 * first keys.
 */
#include "window_kernel.h"
#include <heed/kit/core/field.h>

static const heed_port ports[] = {FLASH_PORTS};

enum { LEFT = FLASH_PARAM_COUNT, RIGHT, INCLUSIVE, SINKS, GLOBAL };
#define MOST 0x1p40
static const heed_param params[] = {
    FLASH_PARAMS,
    [LEFT] = KIT_INT_REQUIRED("left", 0, 1, MOST,
                              "keys that a query sees from the left on, its own among them"),
    [RIGHT] = KIT_INT("right", 0, 0, MOST, "keys after its own; 0 = it sees no later one"),
    [INCLUSIVE] = KIT_BOOL("inclusive", 0, "true: one key more on the left, i - left itself"),
    [SINKS] =
        KIT_INT("sinks", 0, 0, MOST, "the first keys: no query is too far behind to see them"),
    [GLOBAL] = KIT_INT("global", 0, 0, MOST,
                       "the first tokens: they see all, and are seen from everywhere"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    return kit_flash_measure(open, sizeof(window), bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    window *w = kit_flash_init(memory, open);
    w->left = open->value[LEFT].i - !open->value[INCLUSIVE].i;
    w->right = open->value[RIGHT].i;
    w->global = open->value[GLOBAL].i;
    w->sinks = open->value[SINKS].i;
    return HEED_OK;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const window *w = kit_flash_variant(instance);
    size->recent = w->left ? w->left : 1;
    size->first = w->sinks > w->global ? w->sinks : w->global;
    size->flags = w->right == 0 && w->global == 0 ? HEED_STATE_CAUSAL : 0;
    return kit_flash_measure_state(instance, axis, size);
}

/* The rows that see all, and the columns that all see, stay where they are. */
static int32_t field(const heed_open *open, const heed_mask *mask, int64_t begin, int64_t at,
                     heed_field *f)
{
    const heed_value *value = open->value;
    const int64_t left = value[LEFT].i - !value[INCLUSIVE].i, right = value[RIGHT].i,
                  global = value[GLOBAL].i, end = at + right + 1,
                  sinks = value[SINKS].i < end ? value[SINKS].i : end;
    const int64_t seen = sinks > global ? sinks : global;
    (void)mask, (void)begin;
    f->flags = global ? 0 : HEED_FIELD_MOVES;
    f->loose = left + 1 + right;
    if (at < global) return kit_field_add(f, 0, INT64_MAX), HEED_OK;
    kit_field_add(f, at - left, end);
    kit_field_add(f, 0, seen < at - left ? seen : at - left);
    return HEED_OK;
}

KIT_COST_FIELD(get_extension, kit_flash_op_cost, field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_PREFIX | HEED_MASK_DOCUMENTS,
    .id = "attention/window",
    .version = "1.0",
    .summary = "sliding window attention, with sinks, global tokens and a cache that does not grow",
    .formula = "out = softmax(scale * q k^T) v, over the keys with i - left < j <= i + right,\n"
               "or j < sinks and j <= i + right, or i < global, or j < global",
    .reference =
        "arXiv 2310.06825, section 2; arXiv 2004.05150, section 3.1; sinks arXiv 2309.17453\n"
        "the code of 2310.06825 sees left + 1 keys in a prompt: inclusive=true\n"
        "the code of 2004.05150 projects global rows apart; here they have the q, k, v of all",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_flash_measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_window", "MIT", ops)
