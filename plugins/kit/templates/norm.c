/* SPDX-License-Identifier: MIT
 *
 * norm/@NAME@: y = x / sqrt(mean(x^2) + eps), over the last axis        arXiv 1910.07467, section 4
 */
#include <heed/kit.h>
#include <heed/kit/reduce/reduce.h>

#ifdef KIT_FIRST /* once; what stands outside is compiled for every path */
enum { EPS };
static const heed_param params[] = {
    [EPS] = KIT_FLOAT("eps", 1e-6, 0, 1, "added to the mean square"),
};

enum { X, OUT };
static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "what is normalised, over its last axis"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the normalised x; may be the same memory"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    return (void)open, *bytes = sizeof(double), HEED_OK;
}
static int32_t init(void *memory, const heed_open *open)
{
    return *(double *)memory = open->value[EPS].f, HEED_OK;
}
#endif

/* What is to be known of a row before it is written: a sum in one order, whatever the path. */
static kit_moments KIT(look)(const void *memory, const float *x, int64_t n)
{
    const double eps = *(const double *)memory,
                 mean = (double)kit_sums_about(x, n, 0.0f).second / (double)n;
    return (kit_moments){0.0f, (float)(1.0 / sqrt(mean + eps)), 1.0f};
}

/* Elements [at, at + n) of a row. */
static void KIT(apply)(const void *memory, kit_moments row, float *y, const float *x, int64_t at,
                       int64_t n)
{
    (void)memory, (void)at;
    for (int64_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        v_write(y + i, HEED_F32, 1, v_mul(v_read(x + i, HEED_F32, 1, m), v_set(row.scale)), m);
    }
}

static int32_t KIT(forward)(const void *memory, const heed_call *call)
{
    return KIT(kit_rowwise_run)((kit_rowwise){.call = call,
                                              .instance = memory,
                                              .x = call->tensor[X],
                                              .out = call->tensor[OUT],
                                              .measure = KIT(look),
                                              .apply = KIT(apply)});
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
/* It has no backward: docs/gradients.md tells how one is written. */
static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "norm/@NAME@",
    .version = "0.1",
    .summary = "root mean square normalisation, to be changed",
    .formula = "y = x / sqrt(mean(x^2) + eps)",
    .reference = "arXiv 1910.07467, section 4",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_rowwise_measure_call,
}};

KIT_PLUGIN("norm_@NAME@", "MIT", ops)
#endif
