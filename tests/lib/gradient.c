/* SPDX-License-Identifier: MIT
 *
 * gradient.c: the backward of a call.
 */
#include "gradient.h"

#include <string.h>

static const heed_port *port_of(const call *c, uint32_t i)
{
    return (const heed_port *)c->op->ports.data + i;
}

const heed_grad *call_grad(const heed_instance *i)
{
    return heed_op_grad(heed_instance_op(i), heed_instance_path(i));
}

int gradient_comes(const call *c, uint32_t port) { return port_of(c, port)->role == HEED_OUTPUT; }

static void make(const heed_tensor *like, heed_tensor *to)
{
    *to = heed_tensor_of(NULL, HEED_F32, like->rank, like->dim);
    if (heed_tensor_alloc(to, NULL)) harness_fail("no memory");
}

void gradients_make(const call *c, const heed_grad *grad, uint64_t seed,
                    heed_tensor to[ORACLE_PORTS])
{
    memset(to, 0, sizeof *to * ORACLE_PORTS);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        if (!((grad->gives | grad->takes) >> p & 1) || !c->plain[p].data) continue;
        make(&c->plain[p], &to[p]);
        for (int64_t i = 0; gradient_comes(c, p) && i < heed_tensor_elements(&to[p]); i++)
            tensor_put(&to[p], i, (double)harness_normal(&seed));
    }
}

void gradients_like(const call *c, const heed_tensor from[ORACLE_PORTS], double fill,
                    heed_tensor to[ORACLE_PORTS])
{
    memset(to, 0, sizeof *to * ORACLE_PORTS);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        if (!from[p].data) continue;
        make(&from[p], &to[p]);
        if (gradient_comes(c, p)) tensor_copy(&to[p], &from[p]);
        for (int64_t i = 0; !gradient_comes(c, p) && i < heed_tensor_elements(&to[p]); i++)
            tensor_put(&to[p], i, fill);
    }
}

int32_t gradients_run(const call *c, const heed_instance *i, heed_tensor out[ORACLE_PORTS],
                      heed_tensor gradient[ORACLE_PORTS], heed_error *error)
{
    heed_binding in[ORACLE_PORTS], from[ORACLE_PORTS], to[ORACLE_PORTS];
    heed_tensor once[ORACLE_PORTS];
    uint32_t n = 0;
    call_once(c, c->plain, once);
    for (uint32_t p = 0; p < c->ports; p++)
        if (gradient[p].data) to[n++] = (heed_binding){c->port[p], &gradient[p]};
    const uint32_t n_in = call_bindings(c, HEED_INPUT, once, in),
                   n_out = call_bindings(c, HEED_OUTPUT, out, from);
    return heed_backward(i, in, n_in, from, n_out, to, n, error);
}
