/* SPDX-License-Identifier: MIT
 *
 * convolution/short, the maths. The one invariant: an output is one chain, sum = fma(taps[i], x[t - K
 * + 1 + i], sum) for i ascending, from 0, over the taps that meet a row; then the bias, then silu. So
 * the bits are the same on every path, whole and in parts.
 *
 * Error: K + 1 roundings, and the kit's of the sigmoid.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, TAPS, BIAS, OUT };
enum { KERNEL, ACTIVATION };
enum { SHORT_TAPS = 64, SHORT_BACK = 32, SHORT_TOKENS = 16, SHORT_CHANNELS = 1024 };

typedef struct short_conv {
    int64_t N, K;
    int silu, biased;
    float table[] __attribute__((aligned(64))); /* taps [K][N padded], then the bias */
} short_conv;

typedef struct short_call {
    const heed_call *call;
    const short_conv *op;
    int64_t B, T, runs, parts; /* tiles: runs of tokens, and parts of the channels */
} short_call;

/* Rows of a state: those that a call looks at behind any boundary that can be gone back to. */
KIT_INLINE int64_t short_ring(const short_conv *op) { return 2 * SHORT_BACK + op->K; }

KIT_INLINE int64_t short_past(const short_call *c, int64_t b)
{
    return c->call->state ? c->call->state[b]->length : 0;
}

/* Channel `from` of the row at position p, and how it lies. */
KIT_INLINE const char *short_row(const short_call *c, int64_t b, int64_t p, int64_t from,
                                 uint32_t *dtype, int64_t *stride)
{
    const heed_tensor *x = c->call->tensor[X];
    const int64_t past = short_past(c, b);
    *dtype = HEED_F32, *stride = 1;
    if (p < past)
        return (const char *)((const float *)c->call->state[b]->page[0] +
                              p % short_ring(c->op) * c->op->N + from);
    *dtype = x->dtype, *stride = x->stride[2];
    return kit_at(x, (const int64_t[]){b, p - past, from}, 3);
}
#endif

/* New rows take the places of the oldest, when all tiles have ended. */
static void KIT(commit)(const short_call *c)
{
    const heed_tensor *x = c->call->tensor[X];
    const int64_t ring = short_ring(c->op), first = c->T > ring ? c->T - ring : 0;
    for (int64_t b = 0; b < c->B; b++)
        for (int64_t t = first; t < c->T; t++)
            kit_read_row((float *)c->call->state[b]->page[0] +
                             (short_past(c, b) + t) % ring * c->op->N,
                         kit_at(x, (const int64_t[]){b, t}, 2), x->dtype, x->stride[2], c->op->N);
}

/* One token, channels [from, to). */
KIT_KERNEL void KIT(token)(const short_call *c, int64_t b, int64_t t, int64_t from, int64_t to)
{
    const short_conv *self = c->op;
    const heed_tensor *out = c->call->tensor[OUT];
    const int64_t K = self->K, step = kit_lanes(self->N), first = short_past(c, b) + t - K + 1,
                  missing = first < 0 ? -first : 0;
    char *y = kit_at(out, (const int64_t[]){b, t, from}, 3);
    const char *row[SHORT_TAPS];
    uint32_t dtype[SHORT_TAPS];
    int64_t stride[SHORT_TAPS];
    for (int64_t i = missing; i < K; i++)
        row[i] = short_row(c, b, first + i, from, &dtype[i], &stride[i]);
    for (int64_t e = from; e < to; e += 16) {
        const int n = to - e < 16 ? (int)(to - e) : 16;
        vf sum = v_set(0.0f);
        for (int64_t i = missing; i < K; i++)
            sum = v_fma(v_load(self->table + i * step + e),
                        v_read(row[i] + (e - from) * stride[i] * kit_width(dtype[i]), dtype[i],
                               stride[i], n),
                        sum);
        if (self->biased) sum = v_add(sum, v_load(self->table + K * step + e));
        if (self->silu) sum = v_mul(sum, v_sigmoid(sum));
        v_write(y + (e - from) * out->stride[2] * kit_width(out->dtype), out->dtype, out->stride[2],
                sum, n);
    }
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const short_call *c = arg;
    const int64_t from = tile % c->parts * SHORT_CHANNELS, run = tile / c->parts % c->runs,
                  b = tile / c->parts / c->runs, end = (run + 1) * SHORT_TOKENS;
    const int64_t to = c->op->N - from < SHORT_CHANNELS ? c->op->N : from + SHORT_CHANNELS;
    (void)lane;
    for (int64_t t = run * SHORT_TOKENS; t < end && t < c->T; t++) KIT(token)(c, b, t, from, to);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const short_conv *self = instance;
    const int64_t B = HEED_AXIS(call->axis, 'B'), T = HEED_AXIS(call->axis, 'T');
    short_call c = {call, self, B, T, (T + SHORT_TOKENS - 1) / SHORT_TOKENS,
                    (self->N + SHORT_CHANNELS - 1) / SHORT_CHANNELS};
    const heed_host *host = call->host;
    const int32_t failed = host->parallel_for(host, B * c.runs * c.parts, KIT(tile), &c);
    if (!failed && call->state) KIT(commit)(&c);
    return failed;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
