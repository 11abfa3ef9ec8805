/* SPDX-License-Identifier: MIT
 *
 * linear/projection, the maths: one product of kit/gemm/gemm.h, which adds the bias.
 *
 * Error: kit/gemm/gemm.h's, and one rounding of the bias.
 */
#include <heed/kit.h>
#include <heed/kit/gemm/gemm.h>

#ifdef KIT_FIRST
enum { X, WEIGHT, BIAS, OUT };
typedef struct projection {
    kit_weights weight;
    float data[] __attribute__((aligned(64)));
} projection;
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const projection *self = instance;
    const heed_tensor *x = call->tensor[X];
    return KIT(kit_gemm_run)(call, &self->weight, x, 0, call->tensor[OUT], 0, kit_rows(x), NULL,
                             NULL);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
