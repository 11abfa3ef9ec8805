/* SPDX-License-Identifier: MIT
 *
 * position/t5: score(query i, key j) += table[bucket(i - j)][head]
 *                                                     relative position bias, arXiv 1910.10683, 2.1
 *
 * Distances fall into buckets: near ones each into its own, farther ones into wider and wider ones
 * up to `max_distance`, the rest into the last. Bidirectional, half of the buckets are for keys
 * after the query; else such keys are at distance 0. The rule is that of the authors' code (mesh,
 * transformer_layers.py). One table serves all layers; T5 adds it to unscaled scores, which is
 * attention/softmax(scale=1, position=t5).
 */
#include "t5_kernel.h"

static const heed_port ports[] = {
    [TABLE] = {sizeof(heed_port), HEED_WEIGHT, 0, KIT_FLOATS, HEED_SCOPE_STACK, HEED_INIT_NORMAL,
               "table", "K H", "what each bucket adds to the scores of each head"},
};

enum { BUCKETS, MAX_DISTANCE, BIDIRECTIONAL };
static const heed_param params[] = {
    [BUCKETS] = KIT_INT_AXIS("buckets", 32, 'K', 2, 1 << 16, "distances that are told apart"),
    [MAX_DISTANCE] =
        KIT_INT("max_distance", 128, 2, 1 << 16, "from here on all distances are one bucket"),
    [BIDIRECTIONAL] = KIT_BOOL(
        "bidirectional", 1,
        "true: keys after the query have half of the buckets; false, for causal attention: none"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t both = open->value[BIDIRECTIONAL].i, buckets = open->value[BUCKETS].i;
    const int64_t most = open->value[MAX_DISTANCE].i;
    const int64_t heads = open->weight[TABLE]->dim[1], exact = buckets / (both ? 4 : 2);
    if (both && buckets % 4)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "buckets is %lld, but both directions need a multiple of 4",
                        (long long)buckets);
    if (most <= exact)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "max_distance is %lld, but distances below %lld have a bucket each: "
                        "give more",
                        (long long)most, (long long)exact);
    *bytes = sizeof(t5) + (uint64_t)heads * (uint64_t)(2 * most + 33) * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    t5 *self = memory;
    const heed_tensor *table = open->weight[TABLE];
    self->heads = table->dim[1];
    self->reach = open->value[MAX_DISTANCE].i;
    self->buckets = open->value[BUCKETS].i, self->bidirectional = open->value[BIDIRECTIONAL].i;
    self->width = 2 * self->reach + 33;
    for (int64_t i = 0; i < self->width; i++) {
        const int64_t key_less_query = i - self->reach - 16;
        const int64_t bucket = t5_bucket(self, -key_less_query);
        for (int64_t h = 0; h < self->heads; h++) {
            const int64_t at[2] = {bucket, h};
            kit_read_row_scalar(&self->bias[h * self->width + i], kit_at(table, at, 2),
                                table->dtype, 1, 1);
        }
    }
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_EXTENSION};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_SCORES,
    .id = "position/t5",
    .version = "1.0",
    .summary = "relative position bias: a learned number for each head and bucket of distances",
    .formula =
        "score[i, j] += table[bucket(i - j)][h]; with n = |i - j|, e = half of a direction's "
        "buckets K,\n"
        "bucket = n below e, then min(K - 1, e + floor((K - e) ln(n / e) / ln(max_distance / e)))",
    .reference = "arXiv 1910.10683, section 2.1; the bucket rule is its code's",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("position_t5", "MIT", ops)
