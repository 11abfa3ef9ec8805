/* SPDX-License-Identifier: MIT
 *
 * attention/adaptive_span, the maths: kit/flash/flash.h with the soft mask of kit/flash/span.h;
 * each head has its own reach.
 */
#include <heed/kit.h>
#include <heed/kit/flash/span.h>

#ifdef KIT_FIRST
enum { SPAN = FLASH_PORT_COUNT, TABLE };
typedef struct adaptive_span {
    kit_flash_soft soft; /* first: what the hooks see */
    int64_t most;        /* keys before its own that the head with the longest reach sees */
    kit_flash_table table;
    float z[]; /* [H], and behind them the table's */
} adaptive_span;
#endif
#include <heed/kit/flash/flash.h>
#include <heed/kit/flash/partial.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(flash_forward)(instance, call);
}

/* ---- backward ---- */

#include <heed/kit/flash/span_backward.h>
#include <heed/kit/gemm/gemm.h>
#include <heed/kit/gemm/backward.h>

#ifdef KIT_FIRST
/* The reaches' gradients, and the sums over them. */
static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const int64_t *axis = g->call->axis, H = HEED_AXIS(axis, 'H'),
                  tokens = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T');
    kit_flash f = kit_flash_call(instance, g->call);
    const adaptive_span *s = f.variant;
    kit_flash_back_relative r;
    size->workspace =
        kit_flash_soft_place(&f, &s->soft, &r) +
        sizeof(float) * (uint64_t)(kit_lanes(tokens * H) + kit_column_floats(tokens, H));
    size->scratch = kit_flash_soft_scratch(&f, &s->soft);
    return HEED_OK;
}
#endif

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    kit_flash_backward w = KIT(flash_backward_call)(instance, g);
    const adaptive_span *s = w.f.variant;
    kit_flash_back_relative r;
    float *dz =
        (float *)(void *)((char *)g->call->workspace + kit_flash_soft_place(&w.f, &s->soft, &r));
    int32_t failed = kit_flash_back_child(g, FLASH_POSITION);
    if (!failed) failed = kit_flash_setup(&w.f);
    if (failed) return failed;
    const int64_t tokens = w.f.B * w.f.T, n = tokens * w.f.H;
    w.rows_wanted = g->gradient[SPAN] != NULL, w.own = w.rows_wanted ? dz : NULL;
    if (s->soft.table) w.relative = &r;
    failed = KIT(flash_soft_backward)(&w, &r, g, g->gradient[TABLE]);
    if (failed || !w.own) return failed;
    for (int64_t i = 0; i < n; i++) dz[i] *= (float)s->soft.limit;
    const heed_tensor rows = kit_matrix(dz, tokens, w.f.H, w.f.H);
    return KIT(kit_column_sums)(g->call, kit_all_columns(&rows), tokens, g->gradient[SPAN],
                                dz + kit_lanes(n));
}

static const void *KIT(extension)(const char *id)
{
    static const heed_grad grad = {
        sizeof grad,      HEED_GRAD_INNER, KIT_FLASH_GIVES | KIT_PORT(SPAN) | KIT_PORT(TABLE),
        KIT_FLASH_TAKES,  KIT_FLASH_TAKES, 0,
        measure_backward, KIT(backward)};
    static const heed_partial partial = KIT_FLASH_PARTIAL;
    return strcmp(id, HEED_GRAD_ID) == 0      ? (const void *)&grad
           : strcmp(id, HEED_PARTIAL_ID) == 0 ? (const void *)&partial
                                              : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
