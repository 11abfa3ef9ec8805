/* SPDX-License-Identifier: MIT
 *
 * depth.h: what flows between the layers of a network while it reads: how large it is, and how
 * alike it is to what flowed in one layer earlier.
 */
#ifndef HEED_COMMAND_DEPTH_H
#define HEED_COMMAND_DEPTH_H

#include "base/local.h"

typedef struct depth {
    const heed_stack *stack;
    heed_instance *cosine, *distance;
    int64_t layers, width;
    int64_t room; /* rows that `before` and `told` hold */
    float *before, *told, *zeros;
    /* of the text that was read last, means over its tokens: the root of the mean square of what
     * flows into the first layer and out of each, [layers + 1], and the cosine between the two
     * ends of each layer, [layers] */
    double *size, *similarity;
} depth;

/* To be closed also after an error. */
int32_t depth_open(depth *d, heed_engine *engine, const heed_stack *stack, heed_error *error);
void depth_close(depth *d);
/* Reads a text with a session, which is reset first, in calls of `longest` tokens; 0: at once. */
int32_t depth_read(depth *d, heed_session *session, const int32_t *tokens, int64_t n,
                   int64_t longest, heed_error *error);

#endif
