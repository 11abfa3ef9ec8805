/* SPDX-License-Identifier: MIT
 *
 * halting/act, the maths: one number for each token, compared with 1 - epsilon in float32.
 *
 * Backward: which token halts is a constant of it (arXiv 1603.08983, section 2.1): a gradient passes
 * where the sum is what comes out, and none where that is 1.
 *
 * Error: |out - exact| <= 2^-22 where both say the same about halting.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

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
    const heed_tensor *const *d; /* gradients, of backward */
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

KIT_INLINE void KIT(put_numbers)(const heed_tensor *t, int64_t i, int n, vf x)
{
    float f[16];
    v_store(f, x);
    for (int l = 0; t && l < n; l++) v_write(kit_element(t, i + l), t->dtype, 1, v_set(f[l]), 1);
}

static int64_t KIT(tokens_of)(const heed_tensor *t)
{
    int64_t n = 1;
    for (int a = 0; a < t->rank; a++) n *= t->dim[a];
    return n;
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
        KIT(put_numbers)
        (c->out, i, n,
         v_select(v_lt(sum, v_set(c->self.enough)), sum,
                  v_select(v_eq(sum, sum), v_set(1.0f), sum))); /* a NaN stays */
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    act_call c = {
        x, call->tensor[SPENT], call->tensor[OUT], KIT(tokens_of)(x), *(const act *)instance, NULL};
    return call->host->parallel_for(call->host, (c.tokens + PER_TILE - 1) / PER_TILE, KIT(tile),
                                    &c);
}

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const act_call *c = arg;
    const int64_t last = (tile + 1) * PER_TILE, end = last < c->tokens ? last : c->tokens;
    const vf zero = v_set(0.0f), one = v_set(1.0f);
    (void)lane;
    for (int64_t i = tile * PER_TILE; i < end; i += 16) {
        const int n = end - i < 16 ? (int)(end - i) : 16;
        const vf s = v_sigmoid(v_add(KIT(numbers)(c->x, i, n), v_set(c->self.offset))),
                 sum = v_add(KIT(numbers)(c->spent, i, n), s),
                 d = v_select(v_lt(sum, v_set(c->self.enough)), KIT(numbers)(c->d[OUT], i, n),
                              v_select(v_eq(sum, sum), zero, sum));
        KIT(put_numbers)(c->d[SPENT], i, n, d);
        KIT(put_numbers)(c->d[X], i, n, v_mul(d, v_mul(s, v_sub(one, s))));
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *const *t = g->call->tensor;
    const heed_host *host = g->call->host;
    if (!g->gradient[OUT]) return HEED_OK;
    act_call c = {t[X], t[SPENT], NULL, KIT(tokens_of)(t[X]), *(const act *)instance, g->gradient};
    return host->parallel_for(host, (c.tokens + PER_TILE - 1) / PER_TILE, KIT(tile_backward), &c);
}
KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(SPENT), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
