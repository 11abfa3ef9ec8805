/* SPDX-License-Identifier: MIT
 *
 * judge.c: outputs against each other, to the bit, and against the oracle, to its bound.
 */
#include "call.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const heed_port *port_of(const call *c, uint32_t i) { return (const heed_port *)c->op->ports.data + i; }

/* Element i, whatever the strides. */
static double element(const heed_tensor *t, int64_t i)
{
    heed_tensor one = *t;
    one.data = tensor_at(t, i);
    return tensor_get(&one, 0);
}

/* The first element with other bits; -1: none. */
static int64_t difference(const heed_tensor *a, const heed_tensor *b)
{
    for (int64_t j = 0; j < heed_tensor_elements(a); j++)
        if (memcmp(tensor_at(a, j), tensor_at(b, j), heed_dtype_bytes(a->dtype)) &&
            !(isnan(element(a, j)) && isnan(element(b, j))))
            return j;
    return -1;
}

int tensors_equal(const heed_tensor *a, const heed_tensor *b) { return difference(a, b) < 0; }

/* ---- sentences about an element ---- */

/* "out[0, 3, 1]" */
static void put_index(FILE *to, const char *name, const heed_tensor *t, int64_t i)
{
    int64_t below[HEED_MAX_RANK + 1] = {0};
    below[t->rank] = 1;
    for (int a = t->rank - 1; a >= 0; a--) below[a] = below[a + 1] * t->dim[a];
    fprintf(to, "%s[", name);
    for (int a = 0; a < t->rank; a++)
        fprintf(to, "%s%lld", a ? ", " : "", (long long)(i % below[a] / below[a + 1]));
    fputs("]", to);
}

static char said[256];

const char *tensors_difference(const char *name, const heed_tensor *is, const heed_tensor *right)
{
    int64_t i = difference(is, right);
    FILE *to = fmemopen(said, sizeof said, "w");
    if (i >= 0 && to) {
        put_index(to, name, is, i);
        fprintf(to, " is %.9g, not %.9g", element(is, i), element(right, i));
    }
    if (i < 0) *said = 0;
    if (to) fclose(to);
    return said;
}

const char *outputs_difference(const call *c, const heed_tensor *is, const heed_tensor *right)
{
    *said = 0;
    for (uint32_t i = 0; i < c->op->ports.count && !*said; i++)
        if (port_of(c, i)->role == HEED_OUTPUT && is[i].data)
            tensors_difference(port_of(c, i)->name, &is[i], &right[i]);
    return said;
}

const char *judged_text(const judged *j)
{
    FILE *to = fmemopen(said, sizeof said, "w");
    if (!to) return "";
    put_index(to, j->port, j->tensor, j->element);
    fprintf(to, " is %.9g, but must be within %.3g of %.9g", element(j->tensor, j->element),
            j->bound, j->right);
    fclose(to);
    return said;
}

int outputs_equal(const call *c, const heed_tensor *a, const heed_tensor *b)
{
    for (uint32_t i = 0; i < c->op->ports.count; i++)
        if (port_of(c, i)->role == HEED_OUTPUT && a[i].data && !tensors_equal(&a[i], &b[i])) return 0;
    return 1;
}

/* The largest error of the naive loop, per port. The luck of a few outputs is no yardstick (the naive loop is exact for
 * some): a call with fewer than 4096 outputs is drawn again, with other numbers, until there are as many. Nor is that
 * of short numbers, whose products are exact in f32: what is drawn again is f32, and such a call is once at least. */
static void naive_errors(const call *c, const heed_oracle *o, double error[ORACLE_PORTS])
{
    enum { ENOUGH = 4096, DRAWS = 64 };
    int64_t outputs = 0;
    const int is_short = c->how->dtype == HEED_F16 || c->how->dtype == HEED_BF16, least = is_short ? 2 : 1;
    for (int draw = 0; draw < DRAWS && (outputs < ENOUGH || draw < least); draw++) {
        call again;
        call_case how = *c->how;
        if (draw && is_short) how.dtype = HEED_F32;
        how.seed += 1000003u * (uint64_t)draw;
        call_make(&again, &how);
        /* The very data, which a test may have changed; lengths and ids always. */
        for (uint32_t p = 0; p < c->ports; p++) {
            const int given = c->plain[p].data && (p >= c->op->ports.count || port_of(c, p)->role != HEED_OUTPUT);
            const int whole = c->plain[p].dtype == HEED_I32 || c->plain[p].dtype == HEED_I64;
            if (given && (draw == 0 || whole)) tensor_copy(&again.plain[p], &c->plain[p]);
        }
        call_update(&again);
        for (uint32_t p = c->ports; p < c->oracle.ports; p++) { /* the past is lent */
            again.port[p] = c->port[p];
            again.d[p] = c->d[p];
            again.f[p] = c->f[p];
        }
        again.oracle.ports = c->oracle.ports;
        again.oracle.past = c->oracle.past;
        o->f64(&again.oracle);
        o->f32(&again.oracle);
        for (uint32_t p = c->ports; p < c->oracle.ports; p++) {
            again.d[p] = NULL;
            again.f[p] = NULL;
        }
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            if (port_of(c, p)->role != HEED_OUTPUT || !again.plain[p].data) continue;
            int64_t n = heed_tensor_elements(&again.plain[p]);
            outputs += n;
            for (int64_t i = 0; i < n; i++) {
                double e = fabs((double)again.f[p][i] - again.d[p][i]);
                if (e > error[p] && isfinite(e)) error[p] = e;
            }
        }
        call_free(&again);
        if (outputs == 0) break;
    }
}

/* Of one output; `where` is that of the worst element, if its error is above `ratio`. */
static double worst(const double *exact, double naive_error, const heed_tensor *out,
                    const char *port, double ratio, judged *where)
{
    for (int64_t i = 0; i < heed_tensor_elements(out) && ratio < INFINITY; i++) {
        const double y = tensor_get(out, i), x = exact[i];
        const int finite = isfinite(x) && isfinite(y), same = x == y || (isnan(x) && isnan(y));
        double ulp = (double)nextafterf((float)fabs(x), INFINITY) - (double)(float)fabs(x);
        double bound =
            4 * fmax(naive_error, ulp / 2) + ulp; /* exact by luck is half a unit off too */
        double error = finite ? fabs(y - x) / bound : same ? 0 : INFINITY;
        if (!(error > ratio)) continue;
        ratio = error;
        *where = (judged){port, out, i, x, finite ? bound : 0};
    }
    return ratio;
}

double call_judge(call *c, const heed_tensor *out)
{
    judged where;
    return call_judge_element(c, out, &where);
}

double call_judge_element(call *c, const heed_tensor *out, judged *where)
{
    *where = (judged){.port = NULL};
    const heed_oracle *o = call_oracle(c);
    double naive[ORACLE_PORTS] = {0}, ratio = 0;
    if (!o) harness_fail("%s has no oracle", c->op->id);
    naive_errors(c, o, naive);
    o->f64(&c->oracle);
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        if (port_of(c, i)->role != HEED_OUTPUT || !out[i].data) continue;
        ratio = worst(c->d[i], naive[i], &out[i], port_of(c, i)->name, ratio, where);
    }
    return ratio;
}
