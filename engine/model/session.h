/* SPDX-License-Identifier: MIT
 *
 * session.h: a text that runs through a network, from inside; session_saved.c writes and reads one.
 */
#ifndef HEED_MODEL_SESSION_H
#define HEED_MODEL_SESSION_H

#include "model/stack.h"

struct heed_session {
    const heed_stack *stack;
    heed_sequence **sequences; /* [memories] */
    void **buffer;             /* [stack->n_buffers] */
    int64_t room;              /* tokens that the buffers hold, but for those that stay */
    int64_t source,
        source_room; /* tokens of the encoded text, -1: none yet; and what stays has room for */
    heed_tensor *tensors;   /* [views] */
    heed_binding *bindings; /* [uses], prepared once: they point at the tensors */
    int64_t length;         /* tokens fed */
    int broken;
    heed_instance *sampler; /* for the settings that were asked for last */
    char *settings;
};

#endif
