/* SPDX-License-Identifier: MIT
 *
 * operands.h: the tensors of an op for one shape, filled with numbers that are the same everywhere.
 */
#ifndef HEED_COMMAND_OPERANDS_H
#define HEED_COMMAND_OPERANDS_H

#include "command/shape.h"

/* Not to be moved: the bindings point at the tensors. 16 KB, so not to be on a stack either. */
typedef struct operands {
    const entry *entry;
    call_shape shape;            /* nothing left to defaults */
    uint32_t dtype;
    int stateful;                 /* decodes with a sequence */
    heed_tensor tensor[PORT_MAX]; /* rank -1 = absent */
    void *memory[PORT_MAX];       /* of the tensors */
    heed_tensor inner[PORT_MAX];  /* weights of the ops inside, "position.table" */
    char inner_name[PORT_MAX][64];
    uint32_t n_inner;
    heed_binding in[PORT_MAX], weights[2 * PORT_MAX], out[PORT_MAX];
    uint32_t n_in, n_weights, n_out;
    char text[SHAPE_TEXT];        /* of the shape: reads back as the same one */
} operands;

/* Sizes that were left open follow from those given and from the op's params. With `whole` 0 only
 * weights and indices get memory: enough to open the op and to ask what a call costs. */
int32_t operands_make(operands *c, const resolved *op, const call_shape *shape, uint32_t dtype,
                      int whole, heed_error *error);
void operands_free(operands *c);
/* The shapes of all tensors anew, without memory. */
void operands_shapes(operands *c);

/* The op, on a path (NULL: the best) and with these weights. T, B and S may differ from call to
 * call, so the instance is not told. */
heed_instance *operands_open(const operands *c, heed_engine *engine, const resolved *op,
                             const char *isa, heed_error *error);
double operands_element(const heed_tensor *t, int64_t i);             /* of a dense tensor */

#endif
