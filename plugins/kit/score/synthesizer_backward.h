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
    size->workspace = kit_flash_workspace(f.documents, HEED_AXIS(f.call->axis, 'B'));
    return HEED_OK;
}

/* A path's get_extension that has heed.score/1, filling by `function`, and heed.grad/1. */
#define SYNTHESIZER_EXTENSIONS(name, function, gives, measure, backward)                           \
    static const void *name(const char *id)                                                        \
    {                                                                                              \
        static const heed_score score = {sizeof score, 1, function, synthesizer_fits};             \
        static const heed_grad grad = {sizeof grad,                                                \
                                       0,                                                          \
                                       KIT_PORT(SYNTHESIZER_V) | (gives),                          \
                                       SYNTHESIZER_TAKES,                                          \
                                       SYNTHESIZER_TAKES,                                          \
                                       0,                                                          \
                                       measure,                                                    \
                                       backward};                                                  \
        return strcmp(id, HEED_SCORE_ID) == 0  ? (const void *)&score                              \
               : strcmp(id, HEED_GRAD_ID) == 0 ? (const void *)&grad                               \
                                               : NULL;                                             \
    }
#endif

/* From its tensors to its end. */
static __attribute__((unused)) int32_t
KIT(synthesizer_backward)(kit_flash_backward *w, const synthesizer *s, const heed_grad_call *g)
{
    int32_t failed = kit_flash_back_child(g, SYNTHESIZER_POSITION);
    if (!failed) failed = synthesizer_setup(&w->f, s);
    return failed ? failed : KIT(flash_backward_run)(w);
}
