/* SPDX-License-Identifier: MIT
 *
 * example/affine: out = factor * x + offset
 *
 * A whole plugin in one file: a template for yours. With heed installed, one command builds it, with every path of the
 * machine's architecture inside:
 *
 *     cc -shared -fPIC -O3 $(pkg-config --cflags heed-plugin) scale_add.c -o scale_add.so
 *     HEED_PLUGINS=$PWD heed run 'example/affine(factor=2)' -i x=x.npy -o out=y.npy
 *
 * The first half is the kernel. It is written once, over vectors of 16 floats, and compiled once per path (scalar,
 * AVX2, AVX-512 or NEON), since the file reads itself again. The second half is read once: what the op says of itself.
 */
#include <heed/kit.h>
#include <heed/kit/reduce/reduce.h>

#ifdef KIT_FIRST /* what all paths share */
enum { X, OUT };          /* ports, in the order of their table */
enum { FACTOR, OFFSET };  /* params */
typedef struct affine {   /* the instance: made by init, never changed afterwards */
    float factor, offset;
} affine;
#endif

/* Elements [at, at + n) of a row. A product and then a sum, each rounded: nothing fuses them unless the source says
 * v_fma or fmaf. So whole vectors, the rest in plain C, and every path give the same bits. */
static void KIT(apply)(const void *instance, kit_moments moments, float *y, const float *x, int64_t at, int64_t n)
{
    const affine *self = instance;
    (void)moments, (void)at; /* all rows and all channels are alike */
    const vf factor = v_set(self->factor), offset = v_set(self->offset);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v_store(y + i, v_add(v_mul(v_load(x + i), factor), offset));
    for (; i < n; i++) y[i] = x[i] * self->factor + self->offset;
}

/* Rows are spread over the threads; other dtypes and strides are decoded to float32 and back on the way. */
static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(kit_rowwise_run)((kit_rowwise){.call = call, .instance = instance, .x = call->tensor[X],
                                              .out = call->tensor[OUT], .apply = KIT(apply)});
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "what is scaled"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the scaled x; may be the same memory"),
};

static const heed_param params[] = {
    [FACTOR] = KIT_FLOAT("factor", 1, -1e30, 1e30, "multiplies x"),
    [OFFSET] = KIT_FLOAT("offset", 0, -1e30, 1e30, "added to the product"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(affine);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    affine *self = memory;
    self->factor = (float)open->value[FACTOR].f;
    self->offset = (float)open->value[OFFSET].f;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "example/affine",
    .version = "1.0",
    .summary = "a factor and an offset, the same for all elements",
    .formula = "out = factor * x + offset",
    .reference = "none: an example",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_rowwise_measure_call,
}};

KIT_PLUGIN("scale_add", "MIT", ops)
#endif
