/* SPDX-License-Identifier: MIT
 *
 * attention/lightweight_conv, the maths: kit/conv.h with one table of taps, normalised when the
 * instance is made.
 */
#include <heed/kit.h>
#include <heed/kit/conv/conv.h>

#ifdef KIT_FIRST
enum { W = CONV_PORT_COUNT };
typedef struct lightweight_conv {
    int64_t K;
    int softmax;
    const float *offset; /* [H][E padded], or NULL */
    float table[] __attribute__((aligned(64))); /* taps [K][H padded], then the offset */
} lightweight_conv;

static kit_conv conv_begin(const lightweight_conv *self, const heed_call *call)
{
    kit_conv c = kit_conv_call(call, self->offset);
    c.table = self->table;
    return c;
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const lightweight_conv *self = instance;
    kit_conv c = conv_begin(self, call);
    const int32_t failed = kit_conv_setup(&c, self->K);
    return failed ? failed : KIT(conv_run)(&c);
}

/* ---- backward ---- */

#include <heed/kit/conv/backward.h>

#ifdef KIT_FIRST
static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const int64_t *axis = g->call->axis, H = HEED_AXIS(axis, 'H'),
                  rows = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T'),
                  K16 = kit_lanes(((const lightweight_conv *)instance)->K);
    size->workspace =
        sizeof(float) * (uint64_t)(2 * kit_conv_matrix(g->call) + (kit_blocks(rows) + 1) * H * K16 +
                                   kit_conv_offsets(g->call));
    return HEED_OK;
}
#endif

/* The blocks' sums of dtaps, added up; then what the softmax makes of them. */
static int32_t KIT(taps_back)(const kit_conv_backward *w, int softmax, const heed_tensor *to)
{
    const kit_conv *c = &w->c;
    const int64_t K16 = kit_lanes(c->K), blocks = kit_conv_blocks(c);
    float *total = w->dw + blocks * c->H * K16;
    const heed_tensor sums = {.size = sizeof sums,
                              .dtype = HEED_F32,
                              .rank = 2,
                              .data = total,
                              .dim = {c->H, c->K},
                              .stride = {K16, 1}};
    memset(total, 0, (size_t)(c->H * K16) * sizeof(float));
    const int32_t failed = KIT(conv_back_add)(c, w->dw, c->K, &sums);
    for (int64_t h = 0; h < c->H && !failed; h++) {
        if (softmax) KIT(conv_back_softmax)(w->w + h * w->head, w->tap, c->K, total + h * K16);
        for (int64_t t = 0; t < c->K; t++)
            *(float *)(void *)kit_at(to, (const int64_t[]){h, t}, 2) += total[h * K16 + t];
    }
    return failed;
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const lightweight_conv *self = instance;
    const heed_tensor *const *d = g->gradient;
    kit_conv_backward w = {.c = conv_begin(self, g->call),
                           .d_out = d[CONV_OUT],
                           .d_v = d[CONV_V],
                           .d_gate = d[CONV_GATE],
                           .d_offset = d[CONV_OFFSET],
                           .w = self->table,
                           .head = 1,
                           .shared = 1,
                           .x = g->call->workspace};
    int32_t failed = kit_conv_setup(&w.c, self->K);
    if (failed) return failed;
    w.tap = kit_lanes(w.c.H);
    w.dx = w.x + kit_conv_matrix(g->call), w.dw = w.dx + kit_conv_matrix(g->call);
    w.offsets = w.dw + (kit_conv_blocks(&w.c) + 1) * w.c.H * kit_lanes(w.c.K);
    failed = KIT(conv_back_make)(&w);
    if (!failed) failed = KIT(conv_back_run)(&w);
    if (!failed && d[W]) failed = KIT(taps_back)(&w, self->softmax, d[W]);
    return failed ? failed : KIT(conv_back_end)(&w);
}
KIT_BACKWARD(KIT_PORT(CONV_V) | KIT_PORT(CONV_GATE) | KIT_PORT(CONV_OFFSET) | KIT_PORT(W),
             KIT_PORT(CONV_OUT), 0, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
