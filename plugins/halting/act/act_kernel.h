/* SPDX-License-Identifier: MIT
 *
 * halting/act, the maths: one number for each token, compared with 1 - epsilon in float32.
 *
 * Error: |out - exact| <= 2^-22 where both say the same about halting.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, SPENT, OUT };
enum { EPSILON, OFFSET };
typedef struct act {
    float enough; /* 1 - epsilon */
    float offset;
} act;

typedef struct act_call {
    const heed_tensor *x, *spent, *out;
    int64_t tokens;
    act self;
} act_call;
enum { PER_TILE = 1024 };
#endif

/* Elements i, i + 1, ... of a tensor, n of them, counted over all its axes. */
KIT_INLINE vf KIT(numbers)(const heed_tensor *t, int64_t i, int n)
{
    float f[16] = {0}, one[16];
    for (int l = 0; l < n; l++) {
        v_store(one, v_read(kit_element(t, i + l), t->dtype, 1, 1));
        f[l] = one[0];
    }
    return v_load(f);
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const act_call *c = arg;
    const int64_t last = (tile + 1) * PER_TILE, end = last < c->tokens ? last : c->tokens;
    (void)lane;
    for (int64_t i = tile * PER_TILE; i < end; i += 16) {
        const int n = end - i < 16 ? (int)(end - i) : 16;
        const vf x = v_add(KIT(numbers)(c->x, i, n), v_set(c->self.offset)),
                 sum = v_add(KIT(numbers)(c->spent, i, n), v_sigmoid(x));
        float f[16];
        v_store(f, v_select(v_lt(sum, v_set(c->self.enough)), sum,
                            v_select(v_eq(sum, sum), v_set(1.0f), sum))); /* a NaN stays */
        for (int l = 0; l < n; l++)
            v_write(kit_element(c->out, i + l), c->out->dtype, 1, v_set(f[l]), 1);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    act_call c = {x, call->tensor[SPENT], call->tensor[OUT], 1, *(const act *)instance};
    for (int a = 0; a < x->rank; a++) c.tokens *= x->dim[a];
    return call->host->parallel_for(call->host, (c.tokens + PER_TILE - 1) / PER_TILE, KIT(tile),
                                    &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
