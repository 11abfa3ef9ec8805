/* SPDX-License-Identifier: MIT
 *
 * stack_wirings.h: where the norms stand, and what is added to what, as data: the values of the key
 * residual.
 */
#ifndef HEED_MODEL_STACK_WIRINGS_H
#define HEED_MODEL_STACK_WIRINGS_H

#include "base/local.h"

/* The buffers of a layer by what they are for; which buffer has a role changes on the way. */
enum {
    STACK_ROLE_X, /* the stream */
    STACK_ROLE_H, /* x, normalised */
    STACK_ROLE_Y, /* what a sublayer gives */
    STACK_ROLE_R, /* a second stream */
    STACK_ROLES
};

enum {
    WIRE_END,
    WIRE_NORM,       /* to = norm(from) */
    WIRE_OUT_NORM,   /* the same, with the norm that stands behind f */
    WIRE_APPLY,      /* y = f(from) */
    WIRE_ADD,        /* to = from + with */
    WIRE_ADD_SCALED, /* to = alpha from + with */
    WIRE_SWAP        /* from and to change places */
};
enum { WIRED_NEVER, WIRED_OF_LAYER, WIRED_OF_STACK }; /* which sublayers are `first` */

typedef struct stack_wire {
    uint8_t what, from, with, to;
} stack_wire;

typedef struct stack_wires {
    const char *name;
    uint8_t first_is; /* the sublayers of `first`; all others are `rest` */
    stack_wire first[5], rest[5], layer_end[2], end[3];
} stack_wires;

/* A row of the table; NULL behind the last. */
HEED_LOCAL const stack_wires *stack_wires_at(uint32_t wiring);
HEED_LOCAL const char *stack_wires_name(uint32_t wiring);

#endif
