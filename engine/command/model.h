/* SPDX-License-Identifier: MIT
 *
 * model.h: a network and its file, opened for a command.
 */
#ifndef HEED_COMMAND_MODEL_H
#define HEED_COMMAND_MODEL_H

#include "base/local.h"

typedef struct model {
    heed_engine *engine;
    heed_weights *weights;
    heed_stack *stack;
    heed_session *session;
} model;

/* Engine, weights, stack and a session; spec NULL = the file's own; path NULL = weights of chance,
 * from the seed. The calling thread is pinned as the plan says, for it is the command's own.
 * model_close also after a failure. */
int32_t model_open(model *m, const heed_options *options, const char *path, const char *spec,
                   uint64_t seed, heed_error *error);
void model_close(model *m);

#endif
