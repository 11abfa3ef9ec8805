/* SPDX-License-Identifier: MIT
 *
 * grad.c: heed.grad/1: the bits of gradients on every path and at any number of threads, what a
 * NaN in them reaches, and what they say of the oracle's outputs when inputs and weights move a
 * little.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check/grad.h"
#include "check/rows.h"
#include "lib/gradient.h"

/* What the op on its first path tells, as the engine takes it; NULL: it has no backward. */
static const heed_grad *grad_of(const subject *s)
{
    const heed_path *path = entry_path(s->entry, 0);
    const heed_grad *raw = path->get_extension ? path->get_extension(HEED_GRAD_ID) : NULL;
    if (!raw || raw->flags & HEED_GRAD_ADDS) return NULL;
    heed_instance *i = call_open(&s->c, s->paths[0], 1);
    const heed_grad *grad = call_grad(i);
    heed_instance_close(i);
    if (!grad)
        harness_fail("heed.grad/1 has no backward, or names ports that are not of the right role");
    return grad;
}

/* Whether all outputs are there that it reads, and one at least through which gradients come. */
int has_backward(const subject *s)
{
    const heed_grad *grad = grad_of(s);
    uint32_t there = 0;
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (s->first[p].data) there |= 1u << p;
    return grad && !(grad->reads & ~there) && grad->takes & there;
}

/* One run; what a plugin does not support, it refuses with a sentence, and 0 is returned. */
static int run(subject *s, const char *path, uint32_t threads, heed_tensor gradient[ORACLE_PORTS])
{
    heed_error e;
    heed_instance *i = call_open(&s->c, path, threads);
    const int32_t code = gradients_run(&s->c, i, s->first, gradient, &e);
    heed_instance_close(i);
    if (code && code != HEED_E_UNSUPPORTED) harness_fail("its backward on %s: %s", path, e.text);
    return !code;
}

/* The gradients of the call on the first path. */
static int make(subject *s, heed_tensor first[ORACLE_PORTS])
{
    gradients_make(&s->c, grad_of(s), s->seed, first);
    if (run(s, s->paths[0], 1, first)) return 1;
    outputs_free(first);
    return 0;
}

/* Gradients of inputs are written in whole: other runs begin with other numbers there. */
static void same(subject *s, const char *path, uint32_t threads, const heed_tensor *first)
{
    heed_tensor again[ORACLE_PORTS];
    gradients_like(&s->c, first, 0, again);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        for (int64_t i = 0; subject_port(s, p)->role == HEED_INPUT && again[p].data &&
                            i < heed_tensor_elements(&again[p]);
             i++)
            tensor_put(&again[p], i, NAN);
    if (!run(s, path, threads, again)) harness_fail("its backward is refused on %s alone", path);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (first[p].data && !gradient_comes(&s->c, p) && !tensors_equal(&first[p], &again[p]))
            harness_fail("the gradient of %s has other bits on %s with %u threads than on %s with "
                         "one: %s",
                         subject_port(s, p)->name, path, threads, s->paths[0],
                         tensors_difference(subject_port(s, p)->name, &again[p], &first[p]));
    outputs_free(again);
}

/* A NaN in what comes reaches what its output may see, and nothing else. */
static void reach(subject *s, const heed_tensor *first)
{
    uint64_t seed = s->seed;
    for (uint32_t o = 0; o < s->c.op->ports.count; o++) {
        if (!first[o].data || !gradient_comes(&s->c, o) || !heed_tensor_elements(&first[o]))
            continue;
        heed_tensor again[ORACLE_PORTS];
        const int64_t at =
            (int64_t)(harness_random(&seed) % (uint64_t)heed_tensor_elements(&first[o]));
        gradients_like(&s->c, first, 0, again);
        tensor_put(&again[o], at, NAN);
        const char *path = s->paths[harness_random(&seed) % (uint64_t)s->n_paths];
        run(s, path, 1, again);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++)
            for (int64_t i = 0; first[p].data && subject_port(s, p)->role == HEED_INPUT &&
                                i < heed_tensor_elements(&first[p]);
                 i++) {
                const double is = tensor_get(&again[p], i), was = tensor_get(&first[p], i);
                if (is != was && !(isnan(is) && isnan(was)) && !rows_may_reach(s, p, i, o, at))
                    harness_fail("%s: a NaN in the gradient of element %lld of %s changes that of "
                                 "element %lld of %s, which it does not see",
                                 path, (long long)at, subject_port(s, o)->name, (long long)i,
                                 subject_port(s, p)->name);
            }
        outputs_free(again);
    }
}

void check_backward(subject *s)
{
    static const uint32_t counts[] = {2, 3, 7};
    heed_tensor first[ORACLE_PORTS];
    if (!make(s, first)) return;
    for (int p = 0; p < s->n_paths; p++) same(s, s->paths[p], 1, first);
    for (uint32_t i = 0; i < 3; i++)
        same(s, s->paths[(s->seed + i) % (uint64_t)s->n_paths], counts[i], first);
    reach(s, first);
    outputs_free(first);
}

/* ---- directional derivatives ---- */

/* A call costs the oracle two runs a tensor: only those of moderate size. */
int has_slope(const subject *s) { return call_oracle(&s->c) != NULL && has_backward(s); }

static double *moved(subject *s, uint32_t port, const double *way, double h)
{
    const int64_t n = heed_tensor_elements(&s->c.plain[port]);
    double *former = malloc(sizeof *former * ((size_t)n + 1));
    if (!former) harness_fail("no memory");
    for (int64_t i = 0; i < n; i++) {
        former[i] = s->c.d[port][i];
        s->c.d[port][i] += h * way[i];
    }
    return former;
}

/* The outputs' change along a way, element by element, times what comes: its sum, and that of the
 * sizes; and the sum of the squares of the outputs times what comes. */
static void outputs_slope(subject *s, uint32_t port, const double *way, const heed_tensor *gradient,
                          double *sum, double *size, double *squares)
{
    const double h = 1e-6;
    const heed_oracle *oracle = call_oracle(&s->c);
    const int64_t n = heed_tensor_elements(&s->c.plain[port]);
    double *up[ORACLE_PORTS] = {0};
    for (int turn = 0; turn < 2; turn++) {
        double *former = moved(s, port, way, turn ? -h : h);
        oracle->f64(&s->c.oracle);
        memcpy(s->c.d[port], former, sizeof *former * (size_t)n);
        free(former);
        for (uint32_t o = 0; o < s->c.op->ports.count; o++) {
            if (!gradient[o].data || !gradient_comes(&s->c, o)) continue;
            const int64_t elements = heed_tensor_elements(&gradient[o]);
            if (!turn) {
                if (!(up[o] = malloc(sizeof **up * ((size_t)elements + 1))))
                    harness_fail("no memory");
                memcpy(up[o], s->c.d[o], sizeof **up * (size_t)elements);
            }
            for (int64_t i = 0; turn && i < elements; i++) {
                const double d = (up[o][i] - s->c.d[o][i]) / (2 * h) * tensor_get(&gradient[o], i);
                const double y = s->c.d[o][i] * tensor_get(&gradient[o], i);
                if (isfinite(d)) *sum += d, *size += fabs(d); /* -inf where no key is seen */
                if (turn && isfinite(y)) *squares += y * y;
            }
            if (turn) free(up[o]);
        }
    }
}

/* The sums of an oracle's outputs times what comes, element by element, at a place along a way. */
static double *outputs_at(subject *s, uint32_t port, const double *way, double h,
                          const heed_tensor *gradient, int64_t *n)
{
    const int64_t inputs = heed_tensor_elements(&s->c.plain[port]);
    double *former = moved(s, port, way, h), *at = NULL;
    *n = 0;
    call_oracle(&s->c)->f64(&s->c.oracle);
    for (uint32_t o = 0; o < s->c.op->ports.count; o++) {
        if (!gradient[o].data || !gradient_comes(&s->c, o)) continue;
        const int64_t elements = heed_tensor_elements(&gradient[o]);
        if (!(at = realloc(at, sizeof *at * (size_t)(*n + elements + 1))))
            harness_fail("no memory");
        for (int64_t i = 0; i < elements; i++)
            at[*n + i] = s->c.d[o][i] * tensor_get(&gradient[o], i);
        *n += elements;
    }
    memcpy(s->c.d[port], former, sizeof *former * (size_t)inputs);
    free(former);
    return at;
}

/* Whether the outputs turn a corner there, as the larger of two equal numbers does: then they have no
 * slope. Of what is smooth a second difference is as small as the square of the step. */
static int has_corner(subject *s, uint32_t port, const double *way, const heed_tensor *gradient,
                      double size)
{
    const double h = 1e-6;
    int64_t n;
    double *up = outputs_at(s, port, way, h, gradient, &n),
           *here = outputs_at(s, port, way, 0, gradient, &n),
           *down = outputs_at(s, port, way, -h, gradient, &n), turn = 0;
    for (int64_t i = 0; i < n; i++) {
        const double second = fabs(up[i] - 2 * here[i] + down[i]) / h;
        if (isfinite(second)) turn += second;
    }
    free(up), free(here), free(down);
    return turn > 1e-4 * size;
}

/* Along a random way, what the gradients say of the outputs is what the oracle's outputs do. Where a
 * gradient is a small difference of large terms, as of the queries of a divided sum with one
 * feature, float32 has no more of it than of these terms, which are as large as the outputs: their
 * roundings are of either sign, so that 16 of them are bounded by the root of the squares. */
void check_slope(subject *s)
{
    heed_tensor g[ORACLE_PORTS];
    uint64_t seed = s->seed + 1;
    if (!make(s, g)) return;
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        const int64_t n = g[p].data ? heed_tensor_elements(&g[p]) : 0;
        if (n == 0 || gradient_comes(&s->c, p)) continue;
        double *way = malloc(sizeof *way * (size_t)n), is = 0, right = 0, size = 0, squares = 0;
        if (!way) harness_fail("no memory");
        for (int64_t i = 0; i < n; i++) {
            way[i] = (double)harness_normal(&seed);
            is += way[i] * tensor_get(&g[p], i);
            size += fabs(way[i] * tensor_get(&g[p], i));
        }
        outputs_slope(s, p, way, g, &right, &size, &squares);
        const int wrong = !(fabs(is - right) <= 1e-4 * size + 1e-6 * (1 + sqrt(squares))) &&
                          !has_corner(s, p, way, g, size);
        free(way);
        if (wrong)
            harness_fail(
                "the gradient of %s tells a slope of %.9g along a random way; the oracle's "
                "outputs have %.9g (sizes: %.3g)",
                subject_port(s, p)->name, is, right, size);
    }
    outputs_free(g);
}
