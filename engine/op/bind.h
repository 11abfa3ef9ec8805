/* SPDX-License-Identifier: MIT
 *
 * bind.h: tensors to ports, axes to sizes.
 */
#ifndef HEED_OP_BIND_H
#define HEED_OP_BIND_H

#include "op/registry.h"

/* The tensors and sizes of one call while they are put together. Not to be moved: `tensor` may point at `repeated`. */
typedef struct binding_set {
    const entry *entry;
    const heed_tensor *tensor[PORT_MAX]; /* by port */
    int64_t axis[HEED_AXES];             /* -1: not known yet */
    const char *axis_port[HEED_AXES];    /* the port that fixed it, for errors */
    int64_t leading[HEED_MAX_RANK];      /* the sizes behind "..." */
    int n_leading;                       /* -1: not known yet */
    heed_tensor repeated[REPEATS_MAX];   /* views of inputs that repeat, with the call's sizes */
} binding_set;

HEED_LOCAL void bind_start(binding_set *set, const entry *e, const int64_t *known);
/* Binds tensors to the ports of one role; checks names, dtypes, ranks, sizes, strides, valid bytes (`with_data`), and
 * that no port is missing. */
HEED_LOCAL int32_t bind_role(binding_set *set, uint32_t role, const heed_binding *b, uint32_t n, int with_data,
                             heed_error *error);
/* The same of outputs or weights, where any may be missing. */
HEED_LOCAL int32_t bind_some(binding_set *set, uint32_t role, const heed_binding *b, uint32_t n,
                             int with_data, heed_error *error);
/* Sizes, strides and valid bytes of another tensor of a port's shape, which is written, or read. */
HEED_LOCAL int32_t bind_check_memory(const binding_set *set, const heed_port *port,
                                     const heed_tensor *t, int written, heed_error *error);
/* The shape of an output, from what is bound. */
HEED_LOCAL int32_t bind_infer(const binding_set *set, uint32_t port, heed_tensor *tensor, heed_error *error);
#define AXIS_BIT(letter) (1u << ((letter) - 'A')) /* in a set of axes */
#define AXES_OF_A_CALL                                                                             \
    (AXIS_BIT('B') | AXIS_BIT('T') | AXIS_BIT('S')) /* no op is opened for them */

/* Part of a sentence about sizes that are not known, a set of axes: "the sizes of J and K
 * are not known<where>; rank=N gives J; <otherwise> gives K". Params give what they fix. */
HEED_LOCAL void bind_unknown(const entry *e, uint32_t axes, const char *where,
                             const char *otherwise, char *text, size_t size);
/* The axes of a port whose sizes are not known. */
HEED_LOCAL uint32_t bind_unknown_axes(const entry *e, uint32_t port, const int64_t *axis);

#endif
