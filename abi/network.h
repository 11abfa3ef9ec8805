/* SPDX-License-Identifier: MIT
 *
 * heed/abi/network.h: "heed.network/1", which inputs of an op a network may make by a projection.
 *
 * A network projects each layer's input to the inputs that an attention's ports ask for. A
 * projection gives any number, and some inputs may not have any number: a log decay is at most 0, a
 * write strength between 0 and 1. Where a param of the op says what the input has, this table says
 * with which of its choices any number is right: with these a network makes the input. Where the
 * param is left alone and has no default, it goes without; with any other choice it refuses the op.
 */
#ifndef HEED_ABI_NETWORK_H
#define HEED_ABI_NETWORK_H

#include "base.h"

#define HEED_NETWORK_ID "heed.network/1"

typedef struct heed_network_input {
    uint32_t size;
    uint32_t reserved;
    const char *port;    /* an optional input: "gate" */
    const char *param;   /* a param of type CHOICE, which says what it has: "gate" */
    const char *choices; /* those that take any number: "softplus|sigmoid" */
} heed_network_input;

/* From heed_op.get_extension. Inputs that are not named take any number. [any] */
typedef struct heed_network {
    uint32_t size;
    uint32_t reserved;
    heed_table inputs; /* of heed_network_input */
} heed_network;

#endif
