/* SPDX-License-Identifier: MIT
 *
 * call.h: one call of an instance, with its parts, before it runs.
 */
#ifndef HEED_OP_CALL_H
#define HEED_OP_CALL_H

#include "op/bind.h"

/* Not to be moved: the call points at the other parts. */
typedef struct prepared {
    binding_set set;
    heed_mask mask;
    heed_call call;
    heed_sink sink;
    char text[sizeof ((heed_error *)0)->text];
} prepared;

/* Binds the inputs and completes the mask; there is no workspace yet. `with_data` 0: shapes
 * alone. */
HEED_LOCAL int32_t call_prepare(prepared *c, const heed_instance *i, const heed_binding *in,
                                uint32_t n_in, int with_data, heed_error *error);
/* Whether two tensors, neither of them empty, surely share an element. */
HEED_LOCAL int call_share_memory(const heed_tensor *a, const heed_tensor *b);

/* What a call is to do: how much memory that takes, and the work in it. */
typedef struct call_work {
    int32_t (*measure)(void *arg, const heed_instance *i, const heed_call *call,
                       heed_call_size *size);
    int32_t (*run)(void *arg, const heed_instance *i, const heed_call *call);
    void *arg;
} call_work;
/* Does it, in workspace and scratch, under plain rules for floating-point numbers. */
HEED_LOCAL int32_t call_compute(prepared *c, const heed_instance *i, const call_work *work,
                                heed_error *error);
/* The sentence of an op that answered `code`; returns the code. */
HEED_LOCAL int32_t call_failed(const prepared *c, const heed_instance *i, int32_t code,
                               heed_error *error);

#endif
