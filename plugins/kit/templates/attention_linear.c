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
    op->normalise = 1;
    op->eps = (float)open->value[EPS].f;
    return HEED_OK;
}

static kit_linear begin(const void *instance, const heed_call *call) { return kit_linear_call(instance, call); }

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    kit_linear l = begin(instance, call);
    return kit_linear_size(&l, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_linear l = begin(instance, call);
    return kit_linear_cost(&l, c);
}
KIT_COST(get_extension, cost)
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(begin(instance, call));
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = LINEAR_MASKS,
    .id = "attention/@NAME@",
    .version = "0.1",
    .summary = "linear attention with a state of constant size, to be changed",
    .formula = "out = phi(q) S / (phi(q) . z + eps), S = sum of phi(k) v^T, z = sum of phi(k)",
    .reference = "arXiv 2006.16236, section 3.2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = kit_linear_measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_@NAME@", "MIT", ops)
#endif
