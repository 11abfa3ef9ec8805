/* SPDX-License-Identifier: MIT
 *
 * linear/projection, the maths: one product of kit/gemm/gemm.h, which adds the bias. Backward has
 * its own three sums, kit/gemm/backward.h's; the weights are packed the other way for each call.
 *
 * Error: kit/gemm/gemm.h's, and one rounding of the bias.
 */
#include <heed/kit.h>
#include <heed/kit/gemm/gemm.h>
#include <heed/kit/gemm/backward.h>

#ifdef KIT_FIRST
enum { X, WEIGHT, BIAS, OUT };
enum { WEIGHTS };
typedef struct projection {
    kit_weights weight;
    float data[] __attribute__((aligned(64)));
} projection;

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const int64_t rows = kit_rows(g->call->tensor[X]), M = HEED_AXIS(g->call->axis, 'M'),
                  N = HEED_AXIS(g->call->axis, 'N');
    const projection *self = instance;
    const int32_t failed = kit_check_given(&self->weight, g->call->sink);
    if (failed) return failed;
    size->workspace = (uint64_t)(kit_packed_floats(N, M) + kit_outer_floats(rows, N, M) +
                                 kit_column_floats(rows, N)) *
                      sizeof(float);
    size->scratch =
        kit_gemm_scratch() > kit_outer_scratch(rows) ? kit_gemm_scratch() : kit_outer_scratch(rows);
    return HEED_OK;
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const projection *self = instance;
    const heed_tensor *x = call->tensor[X];
    return KIT(kit_gemm_run)(call, &self->weight, x, 0, call->tensor[OUT], 0, kit_rows(x), NULL,
                             NULL);
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    const heed_tensor *x = call->tensor[X], *w = g->weight[WEIGHT], *dy = g->gradient[OUT],
                      *dx = g->gradient[X], *dw = g->gradient[WEIGHT], *db = g->gradient[BIAS];
    const int64_t rows = kit_rows(x), M = w->dim[1], N = w->dim[0];
    float *packed = call->workspace, *outer = packed + kit_packed_floats(N, M),
          *columns = outer + kit_outer_floats(rows, N, M);
    int32_t failed = HEED_OK;
    (void)instance;
    if (dx) {
        const kit_weights back = kit_weights_at(KIT_STORED_F32, packed, kit_panels(M), N);
        failed = KIT(kit_repack_run)(call, (kit_repack){packed, N, 0, 16, w});
        if (!failed) failed = KIT(kit_gemm_run)(call, &back, dy, 0, dx, 0, rows, NULL, NULL);
    }
    if (dw && !failed)
        failed = KIT(kit_outer_run)(call, kit_all_columns(dy), kit_all_columns(x), rows, dw, outer);
    if (db && !failed) failed = KIT(kit_column_sums)(call, kit_all_columns(dy), rows, db, columns);
    return failed;
}
KIT_BACKWARD_WITH(HEED_GRAD_ROWS, KIT_PORT(X) | KIT_PORT(WEIGHT) | KIT_PORT(BIAS), KIT_PORT(OUT), 0,
                  measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
