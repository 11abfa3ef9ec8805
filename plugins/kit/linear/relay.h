/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/relay.h: heed.relay/1 for every op on kit/linear/linear.h. A unit is a tile of a
 * causal call: some channels of values of a head of keys. Its carry is the records of two chunks as
 * a state has them, for a head of these channels alone; behind it lies the record that a call keeps
 * aside until its tile has ended. Include it behind linear.h; LINEAR_EXTENSION in linear/backward.h
 * has it.
 *
 * Hooks: LINEAR_PREPARE(instance, call, l, size) fills *l and what a forward needs, and LINEAR_READY
 * (l) makes what lies in the workspace.
 */
#ifndef KIT_HAS_LINEAR_RELAY
#define KIT_HAS_LINEAR_RELAY
#include <heed/abi/relay.h>
#include <heed/kit/linear/op.h>
#ifndef LINEAR_PREPARE
#define LINEAR_PREPARE(instance, call, l, size)                                                    \
    (*(l) = kit_linear_call(instance, call), kit_linear_size(l, size))
#define LINEAR_READY(l) ((void)0)
#endif

#ifndef HEED_KIT_LINEAR_RELAY_ONCE
#define HEED_KIT_LINEAR_RELAY_ONCE
typedef struct kit_linear_relay {
    kit_linear l;
    const heed_relay_call *x;
} kit_linear_relay;
#endif

static int32_t KIT(linear_relay_call)(const void *instance, const heed_relay_call *x, kit_linear *l,
                                      heed_call_size *size)
{
    const int32_t failed = LINEAR_PREPARE(instance, x->call, l, size);
    if (failed) return failed;
    kit_linear_cut(l, x->wanted);
    if (l->causal) return HEED_OK;
    return kit_fail(x->call->sink, HEED_E_UNSUPPORTED,
                    "every query sees every key, so no tokens come before others; with causal=true "
                    "they do");
}

static int32_t KIT(linear_relay_plan)(const void *instance, const heed_relay_call *x,
                                      heed_relay_plan *plan)
{
    kit_linear l;
    heed_call_size size = {.size = sizeof size};
    const int32_t failed = KIT(linear_relay_call)(instance, x, &l, &size);
    if (failed) return failed;
    const uint64_t record = sizeof(float) * (uint64_t)kit_linear_layout(l.F, l.columns).floats;
    plan->units = l.B * l.G * l.splits;
    plan->bytes = 2 * record, plan->room = record;
    return HEED_OK;
}

static int32_t KIT(linear_relay_measure)(const void *instance, const heed_relay_call *x,
                                         heed_call_size *size)
{
    kit_linear l;
    return KIT(linear_relay_call)(instance, x, &l, size);
}

static void KIT(linear_relay_unit)(void *arg, int64_t i, uint32_t lane)
{
    const kit_linear_relay *r = arg;
    const kit_linear *l = &r->l;
    const int64_t unit = r->x->first + i;
    kit_linear_work w = KIT(linear_begin)(l, unit / l->splits, unit % l->splits, lane);
    w.carry = r->x->carry[i], w.whole = 1;
    KIT(linear_tile)(&w);
    const int64_t first = kit_linear_length(l, w.b) / KIT_LINEAR_CHUNK,
                  last = kit_linear_keys(l, w.b) / KIT_LINEAR_CHUNK;
    const size_t record = sizeof(float) * (size_t)kit_linear_layout(l->F, l->columns).floats;
    if (last - first > 1)
        memcpy(w.carry + (size_t)(first % 2) * record, w.carry + 2 * record, record);
}

static int32_t KIT(linear_relay_run)(const void *instance, const heed_relay_call *x)
{
    kit_linear_relay r = {.x = x};
    heed_call_size size = {.size = sizeof size};
    const heed_host *host = x->call->host;
    const int32_t failed = KIT(linear_relay_call)(instance, x, &r.l, &size);
    if (failed) return failed;
    LINEAR_READY(&r.l);
    return host->parallel_for(host, r.l.S ? x->count : 0, KIT(linear_relay_unit), &r);
}

static void KIT(linear_relay_page)(const void *instance, const heed_relay_call *x, int64_t unit,
                                   void *page, char *carry, int32_t stores)
{
    kit_linear l;
    heed_call_size size = {.size = sizeof size};
    if (KIT(linear_relay_call)(instance, x, &l, &size)) return;
    const kit_linear_record all = kit_linear_layout(l.F, l.E),
                            own = kit_linear_layout(l.F, l.columns);
    const int64_t e = unit % l.splits * l.columns, g = unit / l.splits % l.G;
    const int64_t n = l.E16 - e < l.columns ? l.E16 - e : l.columns, C = KIT_LINEAR_CHUNK;
    for (int slot = 0; slot < 2; slot++) {
        float *there = (float *)page + (slot * l.G + g) * all.floats,
              *here = (float *)(void *)carry + slot * own.floats;
        const int64_t part[3][3] = {
            {0, 0, all.u}, {all.u + e * C, own.u, n * C}, {all.s + e * l.F, own.s, n * l.F}};
        for (int k = 0; k < 3; k++) {
            float *a = there + part[k][0], *b = here + part[k][1];
            memcpy(stores ? a : b, stores ? b : a, sizeof(float) * (size_t)part[k][2]);
        }
    }
}

#define KIT_LINEAR_RELAY                                                                           \
    {                                                                                              \
        sizeof(heed_relay), 0, KIT(linear_relay_plan), KIT(linear_relay_measure),                  \
            KIT(linear_relay_run), KIT(linear_relay_page)                                          \
    }
#endif
