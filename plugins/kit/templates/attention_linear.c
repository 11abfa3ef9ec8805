/* SPDX-License-Identifier: MIT
 *
 * attention/@NAME@: out = phi(q) S / (phi(q) . z + eps), S = sum of phi(k) v^T, z = sum of phi(k)    arXiv 2006.16236
 */
#include <heed/kit.h>
#include <heed/kit/linear/linear.h> /* linear/hooks.h tells of the hooks, which stand in front of it */

#ifdef KIT_FIRST /* once; what stands outside is compiled for every path */
enum { EPS };
static const heed_param params[] = {
    [EPS] = KIT_FLOAT("eps", 1e-6, 0, 1, "added to the divisor"),
};

static const heed_port ports[] = {LINEAR_PORTS}; /* yours follow: [LINEAR_PORT_COUNT] = KIT_IN_OPTIONAL(...) */

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = kit_linear_bytes(0); /* and what yours keeps, which it finds in op->variant */
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_linear_op *op = memory; /* linear/type.h tells of its fields */
    op->map = LINEAR_ELU;
    op->normalise = 1; /* of features that are never negative */
    op->eps = (float)open->value[EPS].f;
    return HEED_OK;
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(instance, call);
}

/* The backward: what it gives besides q, k and v, and which outputs it reads. Hooks have twins in
 * linear/backward_hooks.h, which stand in front of it. Without one: KIT_PATHS_FORWARD. */
#include <heed/kit/linear/backward.h>
KIT_LINEAR_BACKWARD(0, KIT_PORT(LINEAR_OUT))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    LINEAR_OP, /* linear/op.h tells what is in it */
    .id = "attention/@NAME@",
    .version = "0.1",
    .summary = "linear attention with a state of constant size, to be changed",
    .formula = "out = phi(q) S / (phi(q) . z + eps), S = sum of phi(k) v^T, z = sum of phi(k)",
    .reference = "arXiv 2006.16236, section 3.2",
}};

KIT_PLUGIN("attention_@NAME@", "MIT", ops)
#endif
