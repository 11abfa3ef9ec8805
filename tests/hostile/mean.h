/* SPDX-License-Identifier: MIT
 *
 * mean.h: an attention that is right in everything: for each query the mean of the values of the keys that it sees,
 * under the masks causal and key_lengths. SEES and WEIGH are for its files to spoil.
 */
#ifndef HOSTILE_MEAN_H
#define HOSTILE_MEAN_H

#include "hostile.h"

static heed_port mean_ports[] = {
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "q", "B T H D", "queries"},
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "k", "B S H D", "keys"},
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "v", "B S H E", "values"},
    {sizeof(heed_port), HEED_INPUT, HEED_PORT_OPTIONAL, HEED_BIT(HEED_I64), 0, 0, "key_lengths", "B", "valid keys"},
    {sizeof(heed_port), HEED_OUTPUT, 0, HEED_BIT(HEED_F32), 0, 0, "out", "B T H E", "means"},
};

/* The keys of sequence b that are valid. */
static int64_t valid(const heed_call *call, int64_t b)
{
    const heed_tensor *t = call->tensor[3];
    return t ? ((const int64_t *)t->data)[b * t->stride[0]] : HEED_AXIS(call->axis, 'S');
}

/* The last key that query t of sequence b may see. */
static int64_t last_seen(const heed_call *call, int64_t b, int64_t t)
{
    const heed_mask *m = call->mask;
    const int64_t n = valid(call, b), T = HEED_AXIS(call->axis, 'T');
    const int64_t p = t + (m->align == HEED_ALIGN_BOTTOM_RIGHT ? n - T : m->align == HEED_ALIGN_OFFSET ? m->offset : 0);
    return m->kinds & HEED_MASK_CAUSAL && p < n - 1 ? p : n - 1;
}

#ifndef SEES
#define SEES(call, b, t, j) ((j) <= last_seen(call, b, t))
#endif
#ifndef WEIGH /* a value into its sum */
#define WEIGH(sum, sees, value) if (sees) sum += value
#endif

static void mean_tile(void *arg, int64_t tile, uint32_t lane)
{
    const heed_call *call = arg;
    const int64_t T = HEED_AXIS(call->axis, 'T'), S = HEED_AXIS(call->axis, 'S'), H = HEED_AXIS(call->axis, 'H');
    const int64_t E = HEED_AXIS(call->axis, 'E'), b = tile / T, t = tile % T;
    (void)lane;
    for (int64_t h = 0; h < H; h++)
        for (int64_t e = 0; e < E; e++) {
            float sum = 0, n = 0;
            for (int64_t j = 0; j < S; j++) {
                const int sees = SEES(call, b, t, j);
                WEIGH(sum, sees, *at(call->tensor[2], ((b * S + j) * H + h) * E + e));
                n += (float)sees;
            }
            *at(call->tensor[4], ((b * T + t) * H + h) * E + e) = n > 0 ? sum / n : 0;
        }
}

static int32_t mean_forward(const void *instance, const heed_call *call)
{
    (void)instance;
    return call->host->parallel_for(call->host, HEED_AXIS(call->axis, 'B') * HEED_AXIS(call->axis, 'T'), mean_tile,
                                    (void *)call);
}

#define HOSTILE_MEAN(...)                                                                                             \
    HOSTILE(reply->ops.count = 1; ops[0].id = "attention/hostile";                                                    \
            ops[0].masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS;                                                  \
            ops[0].ports = (heed_table){mean_ports, 5, sizeof *mean_ports}; ops[0].measure_call = 0;                  \
            for (int i = 0; i < 2; i++) paths[i].forward = mean_forward; __VA_ARGS__)

#endif
