/* SPDX-License-Identifier: MIT
 *
 * linear/projection, the maths: kit/gemm.h, and the bias added to a finished sum.
 *
 * Error: kit/gemm.h's, and one rounding of the bias.
 */
#include <heed/kit.h>
#include <heed/kit/gemm.h>

#ifdef KIT_FIRST
enum { X, WEIGHT, BIAS, OUT };
typedef struct projection {
    kit_weights weight;
    const float *bias; /* [16 panels], or NULL */
    float data[] __attribute__((aligned(64)));
} projection;

typedef struct projection_call {
    const projection *self;
    const heed_tensor *out;
} projection_call;
#endif

static void KIT(finish)(const void *arg, int64_t row, int64_t panel, int64_t panels, const float *sums)
{
    const projection_call *c = arg;
    KIT(kit_gemm_store)(c->out, row, panel, panels, sums, c->self->bias);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const projection *self = instance;
    const projection_call c = {self, call->tensor[OUT]};
    return KIT(kit_gemm_run)(call, &self->weight, call->tensor[X], 0, kit_rows(call->tensor[X]), KIT(finish), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
