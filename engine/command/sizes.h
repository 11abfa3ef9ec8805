/* SPDX-License-Identifier: MIT
 *
 * sizes.h: how large an op is for a shape: heed describe --shape.
 */
#ifndef HEED_COMMAND_SIZES_H
#define HEED_COMMAND_SIZES_H

#include "command/cost.h"

typedef struct op_sizes {
    const char *op;            /* its id */
    char shape[SHAPE_TEXT];
    int64_t parameters;
    double state, state_fixed; /* bytes a token; bytes of a state that does not grow */
    int64_t keeps;             /* the state is of so many tokens; -1: of all */
    call_cost cost;            /* of one call */
} op_sizes;

/* `text` is a spec. It is opened with weights of operands.c, and not run. */
int32_t sizes_of(heed_engine *engine, const char *text, const call_shape *shape, op_sizes *s,
                 heed_error *error);

#endif
