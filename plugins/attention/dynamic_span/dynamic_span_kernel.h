/* SPDX-License-Identifier: MIT
 *
 * attention/dynamic_span, the maths: each token's reach from its input, one dot product a head;
 * then kit/flash/flash.h with the soft mask of kit/flash/span.h. A dot product is 16 chains of fma
 * (element modulo 16), summed by halves.
 */
#include <heed/kit.h>
#include <heed/kit/flash/span.h>

#ifdef KIT_FIRST
typedef struct dynamic_span {
    kit_flash_soft soft; /* first: what the hooks see, once z is there */
    const heed_tensor *weight, *bias;
    kit_flash_table table;
    float room[];
} dynamic_span;

/* Bytes of the workspace before z. */
KIT_INLINE uint64_t dynamic_before(const heed_call *call)
{
    return kit_line(kit_flash_workspace(call->tensor[FLASH_DOCUMENTS], HEED_AXIS(call->axis, 'B')));
}

/* One call: the reach z [B, T, H] of every row. */
typedef struct dynamic_call {
    const dynamic_span *self;
    const heed_tensor *x;
    float *z;
} dynamic_call;
#endif
#include <heed/kit/flash/flash.h>

/* z of one token: tile = sequence * T + query. */
static void KIT(reach)(void *arg, int64_t tile, uint32_t lane)
{
    (void)lane;
    const dynamic_call *c = arg;
    const heed_tensor *x = c->x, *w = c->self->weight, *bias = c->self->bias;
    const int64_t M = x->dim[2], H = w->dim[0], at[2] = {tile / x->dim[1], tile % x->dim[1]};
    const char *from = kit_at(x, at, 2);
    for (int64_t h = 0; h < H; h++) {
        const char *row = kit_at(w, &h, 1);
        vf sum = v_set(0.0f);
        float b[16];
        v_store(b, v_read(kit_at(bias, &h, 1), bias->dtype, 1, 1));
        for (int64_t m = 0; m < M; m += 16) {
            const int n = M - m < 16 ? (int)(M - m) : 16;
            sum = v_fma(
                v_read(from + m * x->stride[2] * kit_width(x->dtype), x->dtype, x->stride[2], n),
                v_read(row + m * w->stride[1] * kit_width(w->dtype), w->dtype, w->stride[1], n),
                sum);
        }
        c->z[tile * H + h] =
            (float)((double)c->self->soft.limit / (1 + exp(-(double)(v_sum(sum) + b[0]))));
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    dynamic_span self = *(const dynamic_span *)f.variant;
    dynamic_call c = {&self, call->tensor[FLASH_PORT_COUNT],
                      (float *)((char *)call->workspace + dynamic_before(call))};
    int32_t failed = kit_flash_setup(&f);
    self.soft.batch = f.T * f.H, self.soft.query = f.H, self.soft.head = 1;
    self.soft.z = c.z, f.variant = &self;
    if (!failed) failed = call->host->parallel_for(call->host, f.B * f.T, KIT(reach), &c);
    return failed ? failed : KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
