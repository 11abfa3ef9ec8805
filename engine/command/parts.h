/* SPDX-License-Identifier: MIT
 *
 * parts.h: a network by what its ops cost: one row a part, such as "q" or "attention", over all
 * layers.
 */
#ifndef HEED_COMMAND_PARTS_H
#define HEED_COMMAND_PARTS_H

#include "base/local.h"

typedef struct part_cost {
    const char *part, *op; /* "q", "linear/projection"; they are the network's */
    int64_t calls;
    double seconds; /* 0 = not measured */
    double flops, bytes;
    double executed; /* flops that the algorithms do, tiles rounded up */
    int told;        /* the op tells its flops */
} part_cost;

typedef struct part_costs {
    part_cost *row;
    uint32_t count;
} part_costs;

/* Adds to the row of this part and op, or makes one; `part` is a place in a network,
 * "layers.3.q". */
int32_t parts_add(part_costs *all, const part_cost *more, heed_error *error);
/* What it costs to read so many tokens at once, behind so many. */
int32_t parts_of_stack(part_costs *all, const heed_stack *stack, int64_t tokens, int64_t before,
                       heed_error *error);
void parts_free(part_costs *all);

/* "8.59 G", or "-" for what is not known. */
const char *parts_amount(double x, char *text, size_t n);

#endif
