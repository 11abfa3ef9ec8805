/* SPDX-License-Identifier: MIT
 *
 * attention/dynamic_conv, the maths: rows behind their gate, into the workspace if they are not
 * there already; the logits of all tokens' taps, one product of kit/gemm/gemm.h; then kit/conv.h,
 * where each tile normalises its taps.
 *
 * Error: kit/gemm/gemm.h's of the logits, which the softmax takes over, and kit/conv.h's.
 */
#include <heed/kit.h>
#include <heed/kit/conv/conv.h>
#include <heed/kit/gemm/gemm.h>

#ifdef KIT_FIRST
enum { TAPS = CONV_PORT_COUNT, GENERATOR, GENERATOR_OFFSET };
typedef struct dynamic_conv {
    kit_weights generator; /* [H K, H E]; no panels: taps are given */
    const float *offset;   /* [H][E padded], or NULL */
    int softmax;
    float data[] __attribute__((aligned(64)));
} dynamic_conv;

typedef struct dynamic_call {
    kit_conv c, given; /* `given`: with v and gate as they came */
    heed_tensor rows, logits;
} dynamic_call;

/* A float32 tensor [B, T, a, b] of this call, at `*room`, which moves on. */
static heed_tensor dynamic_tensor(const heed_call *call, int64_t a, int64_t b, float **room)
{
    const int64_t B = HEED_AXIS(call->axis, 'B'), T = HEED_AXIS(call->axis, 'T');
    heed_tensor t = {.size = sizeof t,
                     .dtype = HEED_F32,
                     .rank = 4,
                     .data = *room,
                     .dim = {B, T, a, b},
                     .stride = {T * a * b, a * b, b, 1}};
    if (*room) *room += kit_lanes(B * T * a * b);
    return t;
}

/* The same rows, all heads side by side: [B, T, a b]. */
static heed_tensor dynamic_joined(const heed_tensor *t)
{
    heed_tensor x = *t;
    x.rank = 3, x.dim[2] = t->dim[2] * t->dim[3], x.stride[2] = t->stride[3];
    return x;
}

/* Whether v is such a tensor as it is. */
static int dynamic_is_made(const heed_call *call)
{
    const heed_tensor *v = call->tensor[CONV_V];
    return !call->tensor[CONV_GATE] && (v->stride[2] == v->dim[3] * v->stride[3] || v->dim[2] == 1);
}

static dynamic_call dynamic_begin(const dynamic_conv *self, const heed_call *call)
{
    const int64_t *axis = call->axis;
    float *room = call->workspace;
    dynamic_call d = {.c = kit_conv_call(call, self->offset)};
    d.c.logits = call->tensor[TAPS], d.c.softmax = self->softmax;
    d.given = d.c;
    d.c.own_row = d.c.logits == NULL;
    d.rows = *d.c.v;
    if (d.c.own_row)
        d.logits = dynamic_tensor(call, HEED_AXIS(axis, 'H'), HEED_AXIS(axis, 'K'), &room);
    if (d.c.own_row && !dynamic_is_made(call)) /* last: the only one that may be left out */
        d.rows = dynamic_tensor(call, HEED_AXIS(axis, 'H'), HEED_AXIS(axis, 'E'), &room);
    return d;
}
#endif

static void KIT(make)(void *arg, int64_t tile, uint32_t lane)
{
    const dynamic_call *d = arg;
    const int64_t T = d->c.T, end = (tile + 1) * KIT_CONV_TOKENS;
    (void)lane;
    for (int64_t n = tile * KIT_CONV_TOKENS; n < end && n < d->c.B * T; n++)
        for (int64_t h = 0; h < d->c.H; h++)
            KIT(conv_make)(&d->given, n / T, n % T, h,
                           (float *)d->rows.data + (n * d->c.H + h) * d->c.E, 0);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const dynamic_conv *self = instance;
    dynamic_call d = dynamic_begin(self, call);
    int32_t failed = kit_conv_setup(&d.c, HEED_AXIS(call->axis, 'K'));
    if (failed || !d.c.own_row) return failed ? failed : KIT(conv_run)(&d.c);
    d.given.B = d.c.B, d.given.T = d.c.T, d.given.H = d.c.H, d.given.E = d.c.E;
    d.c.logits = &d.logits;
    if (!dynamic_is_made(call)) {
        const int64_t tiles = (d.c.B * d.c.T + KIT_CONV_TOKENS - 1) / KIT_CONV_TOKENS;
        failed = call->host->parallel_for(call->host, tiles, KIT(make), &d);
        d.c.v = &d.rows, d.c.gate = NULL;
    }
    const heed_tensor x = dynamic_joined(&d.rows), y = dynamic_joined(&d.logits);
    if (!failed)
        failed = KIT(kit_gemm_run)(call, &self->generator, &x, 0, &y, 0, d.c.B * d.c.T, NULL, NULL);
    return failed ? failed : KIT(conv_run)(&d.c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
