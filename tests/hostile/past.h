/* SPDX-License-Identifier: MIT
 *
 * past.h: an attention with a recurrent state that is right in everything: the mean of all values so far. Its page has
 * their sum; the sums of a call are made in the workspace, and taken over when nothing can fail any more. Of q only the
 * width counts, which must be even. SUMS, KEEP and REFUSE are for its files to spoil.
 */
#ifndef HOSTILE_PAST_H
#define HOSTILE_PAST_H

#include <string.h>

#include "hostile.h"

static heed_port past_ports[] = {
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "q", "B T H D", "queries"},
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "v", "B T H E", "values"},
    {sizeof(heed_port), HEED_OUTPUT, 0, HEED_BIT(HEED_F32), 0, 0, "out", "B T H E", "means"},
};

static int64_t width(const int64_t *axis) { return HEED_AXIS(axis, 'H') * HEED_AXIS(axis, 'E'); }
static float *workspace(const heed_call *call, int64_t b) { return (float *)call->workspace + b * width(call->axis); }

#ifndef SUMS /* what is remembered of sequence b, NULL without a state */
#define SUMS(call, b) ((call)->state ? (float *)(call)->state[b]->page[0] : NULL)
#endif
#ifndef KEEP /* at the end of a tile, and of a call that has succeeded */
#define KEEP(call, b, last) if (last) take_over(call, b)
#endif
#ifndef REFUSE /* before a call is refused */
#define REFUSE(call) (void)0
#endif

static void take_over(const heed_call *call, int64_t b)
{
    float *to = SUMS(call, b);
    if (to) memcpy(to, workspace(call, b), sizeof *to * (size_t)width(call->axis));
}

static void past_tile(void *arg, int64_t b, uint32_t lane)
{
    const heed_call *call = arg;
    const int64_t T = HEED_AXIS(call->axis, 'T'), n = width(call->axis);
    const int64_t past = call->state ? call->state[b]->length : 0;
    float *sum = workspace(call, b);
    const float *from = SUMS(call, b);
    (void)lane;
    for (int64_t i = 0; i < n; i++) sum[i] = from ? from[i] : 0;
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < n; i++) {
            sum[i] += *at(call->tensor[1], (b * T + t) * n + i);
            *at(call->tensor[2], (b * T + t) * n + i) = sum[i] / (float)(past + t + 1);
        }
    KEEP(call, b, 0);
}

static int32_t past_forward(const void *instance, const heed_call *call)
{
    const int64_t B = HEED_AXIS(call->axis, 'B');
    (void)instance;
    if (HEED_AXIS(call->axis, 'D') % 2) {
        REFUSE(call);
        strncpy(call->sink->text, "q has an odd width", call->sink->capacity - 1);
        return HEED_E_SHAPE;
    }
    int32_t failed = call->host->parallel_for(call->host, B, past_tile, (void *)call);
    for (int64_t b = 0; b < B && !failed; b++) KEEP(call, b, 1);
    return failed;
}

static int32_t past_measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    size->workspace = (uint64_t)(HEED_AXIS(call->axis, 'B') * width(call->axis)) * sizeof(float);
    return HEED_OK;
}

/* The sums, and room for a sin. */
static int32_t past_measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    (void)instance;
    size->format = "sums/f32";
    size->version = 1;
    if (HEED_AXIS(axis, 'H') > 0 && HEED_AXIS(axis, 'E') > 0) size->page_bytes = 8 * (uint64_t)width(axis) + 8;
    return HEED_OK;
}

#define HOSTILE_PAST(...)                                                                                             \
    HOSTILE(reply->ops.count = 1; ops[0].id = "attention/hostile"; ops[0].measure_call = past_measure_call;           \
            ops[0].ports = (heed_table){past_ports, 3, sizeof *past_ports}; ops[0].measure_state = past_measure_state; \
            for (int i = 0; i < 2; i++) paths[i].forward = past_forward; __VA_ARGS__)

#endif
