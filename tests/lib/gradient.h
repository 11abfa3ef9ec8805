/* SPDX-License-Identifier: MIT
 *
 * gradient.h: the backward of a call (call.h): its gradients by port, and one run of it.
 */
#ifndef HEED_GRADIENT_H
#define HEED_GRADIENT_H

#include "call.h"

/* What the backward of an instance has; NULL: there is none. */
const heed_grad *call_grad(const heed_instance *i);
/* Gradients of a call, float32 and contiguous, by port: of outputs through which gradients come,
 * normal numbers; of inputs and weights that have one, zeros. data NULL: the call is without it.
 * outputs_free. */
void gradients_make(const call *c, const heed_grad *grad, uint64_t seed,
                    heed_tensor to[ORACLE_PORTS]);
/* Another set of the same shapes: what comes is the same, what is given is full of `fill`. */
void gradients_like(const call *c, const heed_tensor from[ORACLE_PORTS], double fill,
                    heed_tensor to[ORACLE_PORTS]);
/* Whether the port's gradient comes (an output's) or is given. */
int gradient_comes(const call *c, uint32_t port);
/* heed_backward of the call, whose outputs are in `out`, and of these gradients, where they lie. */
int32_t gradients_run(const call *c, const heed_instance *i, heed_tensor out[ORACLE_PORTS],
                      heed_tensor gradient[ORACLE_PORTS], heed_error *error);

#endif
