/* SPDX-License-Identifier: MIT
 *
 * model.c: a network and its file, opened for a command.
 */
#include "command/model.h"
#include "inspect.h"

int32_t model_open(model *m, const heed_options *options, const char *path, const char *spec,
                   uint64_t seed, heed_error *error)
{
    /* first: a wrong name fails at once */
    *m = (model){.weights = path ? heed_weights_open(path, error) : NULL};
    if (m->weights || !path) m->engine = heed_engine_new(options, error);
    if (m->engine && !path) m->weights = heed_weights_random(m->engine, spec, seed, error);
    if (!m->weights) return error->code;
    if (m->engine && heed_lanes(m->engine) > 1) inspect_pin_caller(m->engine);
    if (m->engine) m->stack = heed_stack_open(m->engine, spec, m->weights, error);
    if (m->stack) m->session = heed_session_new(m->stack, error);
    return m->session ? HEED_OK : error->code;
}

void model_close(model *m)
{
    heed_session_free(m->session);
    heed_stack_close(m->stack);
    heed_weights_close(m->weights);
    heed_engine_free(m->engine);
}
