/* SPDX-License-Identifier: MIT
 *
 * heed/kit/score/synthesizer_backward.h: what the backward of synthesizers shares. Include it behind
 * score/synthesizer.h; the twins of an op's hooks stand before it, as before flash/backward.h.
 *
 * Their logits are weights, by position: gradients of these are sums over the sequences, one after
 * another.
 */
#include <heed/kit/score/synthesizer.h>
#include <heed/kit/flash/backward.h>

#ifndef HEED_KIT_SYNTHESIZER_BACKWARD_ONCE
#define HEED_KIT_SYNTHESIZER_BACKWARD_ONCE
#define SYNTHESIZER_TAKES (KIT_PORT(SYNTHESIZER_OUT) | KIT_PORT(SYNTHESIZER_LSE))

/* A call whose logits `f` says; an op adds where their gradients go. */
SYNTHESIZER_FN kit_flash_backward synthesizer_backward_call(kit_flash f, const heed_grad_call *g)
{
    const heed_tensor *const *d = g->gradient;
    return (kit_flash_backward){
        .f = f, .d_out = d[SYNTHESIZER_OUT], .d_lse = d[SYNTHESIZER_LSE], .d_v = d[SYNTHESIZER_V]};
}

SYNTHESIZER_FN int32_t synthesizer_backward_size(kit_flash f, heed_call_size *size)
{
    size->scratch = kit_flash_back_scratch(f);
    size->workspace = kit_flash_back_workspace(&f);
    return HEED_OK;
}

/* relu(q), whose gradient becomes that of q. */
typedef struct synthesizer_rectified {
    const heed_tensor *q, *d;
    float factor;
} synthesizer_rectified;

/* A path's get_extension that has heed.score/1, filling by `function`, heed.grad/1, and
 * heed.fill_grad/1 by `fills`. */
#define SYNTHESIZER_EXTENSIONS(name, function, fills, gives, measure, backward)                    \
    static const void *name(const char *id)                                                        \
    {                                                                                              \
        static const heed_score score = {sizeof score, 1, function, synthesizer_fits};             \
        static const heed_grad grad = {                                                            \
            sizeof grad,       HEED_GRAD_INNER,   KIT_PORT(SYNTHESIZER_V) | (gives),               \
            SYNTHESIZER_TAKES, SYNTHESIZER_TAKES, 0,                                               \
            measure,           backward};                                                          \
        static const heed_fill_grad fill = {sizeof fill, 0, fills};                                \
        return strcmp(id, HEED_SCORE_ID) == 0       ? (const void *)&score                         \
               : strcmp(id, HEED_GRAD_ID) == 0      ? (const void *)&grad                          \
               : strcmp(id, HEED_FILL_GRAD_ID) == 0 ? (const void *)&fill                          \
                                                    : NULL;                                        \
    }
#endif

/* From its tensors to its end. */
static __attribute__((unused)) int32_t
KIT(synthesizer_backward)(kit_flash_backward *w, const synthesizer *s, const heed_grad_call *g)
{
    int32_t failed = kit_flash_back_child(g, SYNTHESIZER_POSITION);
    if (!failed) failed = synthesizer_setup(&w->f, s);
    kit_flash_back_inner(w, g, SYNTHESIZER_POSITION);
    if (!failed) failed = KIT(flash_backward_run)(w);
    return failed ? failed : KIT(flash_back_add_scores)(w);
}

/* A token: the gradient of relu(q), times a factor, becomes that of q. */
static void KIT(synthesizer_rectified_token)(void *arg, int64_t token, uint32_t lane)
{
    const synthesizer_rectified *r = arg;
    const heed_tensor *q = r->q, *d = r->d;
    const int64_t D = q->dim[3];
    const vf zero = v_set(0.0f);
    (void)lane;
    for (int64_t h = 0; h < q->dim[2]; h++)
        for (int64_t i = 0; i < D; i += 16) {
            const int64_t at[3] = {token / q->dim[1], token % q->dim[1], h};
            const int n = D - i < 16 ? (int)(D - i) : 16;
            char *to = kit_at(d, at, 3) + 4 * i * d->stride[3];
            const vf x = v_read(kit_at(q, at, 3) + i * q->stride[3] * kit_width(q->dtype), q->dtype,
                                q->stride[3], n);
            const vf y = v_mul(v_read(to, HEED_F32, d->stride[3], n), v_set(r->factor));
            v_write(to, HEED_F32, d->stride[3],
                    v_select(v_lt(zero, x), y, v_select(v_eq(x, x), zero, x)), n);
        }
}
static __attribute__((unused)) int32_t KIT(synthesizer_rectified_back)(const heed_call *call,
                                                                       const heed_tensor *q,
                                                                       const heed_tensor *d,
                                                                       float factor)
{
    synthesizer_rectified r = {q, d, factor};
    return call->host->parallel_for(call->host, q->dim[0] * q->dim[1],
                                    KIT(synthesizer_rectified_token), &r);
}
