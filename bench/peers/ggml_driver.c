/* SPDX-License-Identifier: MIT
 *
 * ggml_driver.c: one operator of ggml as a graph of its own, for ggml.py. Compiled beside ggml's libraries, and only if
 * somebody names its sources; no part of heed.
 */
#include <stdlib.h>
#include <string.h>

#include <ggml-cpu.h>
#include <ggml.h>

typedef struct driver {
    struct ggml_context *context;
    struct ggml_cgraph *graph;
    struct ggml_cplan plan;
    struct ggml_threadpool *pool;
    struct ggml_tensor *out;
} driver;

/* `bytes` of tensors. */
static driver *start(size_t bytes)
{
    driver *d = calloc(1, sizeof *d);
    struct ggml_init_params p = {.mem_size = bytes + ((size_t)16 << 20)};
    ggml_cpu_init();
    d->context = ggml_init(p);
    return d;
}

static driver *finish(driver *d, struct ggml_tensor *out, int threads)
{
    struct ggml_threadpool_params p = ggml_threadpool_params_default(threads);
    p.poll = 0; /* threads that spin between calls would run while others are timed */
    d->out = out;
    d->graph = ggml_new_graph(d->context);
    ggml_build_forward_expand(d->graph, out);
    d->pool = ggml_threadpool_new(&p);
    d->plan = ggml_graph_plan(d->graph, threads, d->pool);
    if (d->plan.work_size) d->plan.work_data = aligned_alloc(64, (d->plan.work_size + 63) & ~(size_t)63);
    return d;
}

static struct ggml_tensor *put(driver *d, enum ggml_type type, int64_t a, int64_t b, int64_t c, const void *data)
{
    struct ggml_tensor *t = ggml_new_tensor_3d(d->context, type, a, b, c);
    if (type == GGML_TYPE_F16) ggml_fp32_to_fp16_row(data, t->data, a * b * c);
    else memcpy(t->data, data, ggml_nbytes(t));
    return t;
}

/* q [T][H][D], k and v [S][G][D], float32; `half`: k and v are kept as f16, as a cache of llama.cpp does by default.
 * mask [T][S] of 0 and -inf, or NULL. */
driver *driver_attention(int64_t T, int64_t S, int64_t H, int64_t G, int64_t D, const float *q, const float *k,
                         const float *v, const float *mask, int half, float scale, int threads)
{
    enum ggml_type kept = half ? GGML_TYPE_F16 : GGML_TYPE_F32;
    driver *d = start(sizeof(float) * (size_t)(2 * T * H * D + 2 * S * G * D) + 2 * (size_t)(mask ? T * S : 0));
    struct ggml_tensor *tensor[3] = {put(d, GGML_TYPE_F32, D, H, T, q),
                                     put(d, kept, D, G, S, k), put(d, kept, D, G, S, v)};
    for (int i = 0; i < 3; i++) tensor[i] = ggml_permute(d->context, tensor[i], 0, 2, 1, 3);
    struct ggml_tensor *m = mask ? put(d, GGML_TYPE_F16, S, T, 1, mask) : NULL;
    return finish(d, ggml_flash_attn_ext(d->context, tensor[0], tensor[1], tensor[2], m, scale, 0, 0), threads);
}

/* x [T][M], w [N][M]. */
driver *driver_matmul(int64_t T, int64_t M, int64_t N, const float *x, const float *w, int threads)
{
    driver *d = start(sizeof(float) * (size_t)(T * M + N * M + T * N));
    struct ggml_tensor *a = put(d, GGML_TYPE_F32, M, N, 1, w), *b = put(d, GGML_TYPE_F32, M, T, 1, x);
    return finish(d, ggml_mul_mat(d->context, a, b), threads);
}

/* bias NULL: root mean square. */
driver *driver_norm(int64_t T, int64_t M, const float *x, const float *gain, const float *bias, float eps, int threads)
{
    driver *d = start(sizeof(float) * (size_t)(4 * T * M + 2 * M));
    struct ggml_tensor *a = put(d, GGML_TYPE_F32, M, T, 1, x), *g = put(d, GGML_TYPE_F32, M, 1, 1, gain);
    struct ggml_tensor *y = bias ? ggml_norm(d->context, a, eps) : ggml_rms_norm(d->context, a, eps);
    y = ggml_mul(d->context, y, g);
    if (bias) y = ggml_add(d->context, y, put(d, GGML_TYPE_F32, M, 1, 1, bias));
    return finish(d, y, threads);
}

/* x [T][H][D]; pairs (i, i + D/2). */
driver *driver_rope(int64_t T, int64_t H, int64_t D, const float *x, int threads)
{
    driver *d = start(sizeof(float) * (size_t)(2 * T * H * D + T));
    struct ggml_tensor *a = put(d, GGML_TYPE_F32, D, H, T, x), *p = ggml_new_tensor_1d(d->context, GGML_TYPE_I32, T);
    for (int64_t t = 0; t < T; t++) ((int32_t *)p->data)[t] = (int32_t)t;
    return finish(d, ggml_rope(d->context, a, p, (int)D, GGML_ROPE_TYPE_NEOX), threads);
}

const char *driver_version(void) { return ggml_version(); }
int driver_run(driver *d) { return ggml_graph_compute(d->graph, &d->plan); }
const float *driver_out(driver *d) { return d->out->data; }

void driver_free(driver *d)
{
    ggml_threadpool_free(d->pool);
    ggml_free(d->context);
    free(d->plan.work_data);
    free(d);
}
