/* SPDX-License-Identifier: MIT
 *
 * attention/performer: softmax attention by random features
 *                                               FAVOR+, arXiv 2009.14794, section 2; in linear time
 *
 *     out[i] = sum_j K(q_i, k_j) v_j / sum_j K(q_i, k_j),
 *                                    K(x, y) = phi(x) . phi(y),   x' = x / D^(1/4), rows w of Omega
 *
 *     softmax    phi(x) = exp(w x' - |x'|^2 / 2) / sqrt(m): its expectation is exp(x . y / sqrt(D))
 *                                                                                           lemma 1
 *     hyperbolic   the same of w and of -w: 2 m features, and less variance
 *     relu         relu(w x) / sqrt(m) + 1e-3
 *
 * Omega has orthogonal rows and is drawn from a seed (draw.h); an instance that knows D when it is
 * opened, as those of a network do, or by the param width, draws it once. The authors' own
 * stabiliser is a constant added to each feature.
 */
#include "performer_kernel.h"

static const heed_port ports[] = {
    LINEAR_PORTS,
    [PROJECTION] = KIT_WEIGHT_OPTIONAL("projection", "P D", HEED_INIT_ZEROS,
                                       "Omega; drawn from the seed if absent"),
};

enum { FEATURES, KERNEL, SEED, REDRAW, SCALING, STABILISER, WIDTH };
static const heed_param params[] = {
    [FEATURES] = KIT_INT_AUTO("features", 'P', 1, 4096, "m, rows of Omega; if not given, 256"),
    [KERNEL] =
        KIT_CHOICE("kernel", 0, "softmax|relu|hyperbolic", "which features; hyperbolic has 2 m"),
    [SEED] = KIT_INT("seed", 0, 0, 4294967295.0, "of Omega"),
    [REDRAW] = KIT_INT("redraw", 0, 0, 2147483647, "another Omega of the same seed"),
    [SCALING] = KIT_CHOICE("scaling", 0, "norms|sqrt",
                           "length of the rows: as of normal vectors, or sqrt(D)"),
    [STABILISER] = KIT_FLOAT("stabiliser", 0, 0, 1,
                             "added to each feature behind its exponential; the authors have 1e-6"),
    [WIDTH] = KIT_INT_AUTO("width", 'D', 1, 1 << 20,
                           "of the heads: then Omega is drawn once, and not at each call"),
};

static int64_t rows_of(const heed_open *open)
{
    const heed_tensor *w = open->weight[PROJECTION];
    return w ? w->dim[0] : open->value[FEATURES].given ? open->value[FEATURES].i : 256;
}

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t m = rows_of(open), D = HEED_AXIS(open->axis, 'D');
    if (m < 1 || m > 4096)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "the projection has %lld rows; 1 to 4096 are taken", (long long)m);
    *bytes = kit_linear_bytes(sizeof(performer));
    if (D >= 0) *bytes += kit_line((uint64_t)performer_floats(m, D) * sizeof(float));
    if (D >= 0 && !open->weight[PROJECTION])
        *bytes += (uint64_t)performer_block(m, D) * sizeof(double);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    const heed_value *value = open->value;
    const heed_tensor *w = open->weight[PROJECTION];
    const int64_t m = rows_of(open), D = HEED_AXIS(open->axis, 'D');
    kit_linear_op *op = memory;
    performer *self = (void *)op->variant;
    *self = (performer){.m = m,
                        .seed = value[SEED].i,
                        .redraw = value[REDRAW].i,
                        .kernel = (int)value[KERNEL].i,
                        .norms = value[SCALING].i == 0,
                        .stabiliser = (float)value[STABILISER].f};
    op->features = self->kernel == KERNEL_HYPERBOLIC ? 2 * m : m;
    op->own_rows = 1;
    op->normalise = 1;
    op->decays = op->keeps_level = self->kernel != KERNEL_RELU;
    if (D >= 0) self->omega = self->room;
    if (D >= 0 && !w)
        performer_draw(
            self->room, m, D, self->seed, self->redraw, self->norms,
            (double *)(void *)((char *)self->room +
                               kit_line((uint64_t)performer_floats(m, D) * sizeof(float))));
    for (int64_t r = 0; w && r < m; r++)
        for (int64_t d = 0; d < D; d++)
            performer_pack(self->room, m, D, r, d, kit_linear_number(w, (int64_t[]){r, d}, 2));
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    kit_linear l;
    return performer_call(instance, call, &l, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_linear l = kit_linear_call(instance, call);
    const int32_t failed = kit_linear_cost(&l, c);
    const double rows = (double)(l.B * l.T * l.H + l.B * l.S * l.G);
    c->flops += 2 * rows * (double)(((const performer *)l.variant)->m * l.D);
    if (HEED_HAS(c, executed))
        c->executed += 2 * rows * (double)(((const performer *)l.variant)->m * l.D);
    return failed;
}
KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = LINEAR_MASKS,
    .id = "attention/performer",
    .version = "1.0",
    .summary =
        "softmax attention by positive orthogonal random features, with a state of constant size",
    .formula =
        "out[i] = sum_j phi(q_i) . phi(k_j) v_j / sum_j phi(q_i) . phi(k_j)\n"
        "phi(x) = exp(w x' - |x'|^2 / 2), x' = x / D^(1/4), for m rows w drawn from the seed",
    .reference = "arXiv 2009.14794, section 2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = kit_linear_measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_performer", "MIT", ops)
