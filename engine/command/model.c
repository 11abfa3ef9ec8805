/* SPDX-License-Identifier: MIT
 *
 * model.c: a network and its file, opened for a command.
 */
#include <string.h>

#include "base/error.h"
#include "command/model.h"
#include "inspect.h"

/* A command gives a network one text, and takes logits. */
static int32_t check_logits(const heed_stack *stack, heed_error *error)
{
    const char *spec = heed_stack_spec(stack);
    if (strstr(spec, "; encoder_layers="))
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this network has an encoder, which a command has no text for: "
                         "heed_session_encode takes one");
    if (strstr(spec, "; output="))
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this network gives no logits, which a command takes (%.80s)",
                         strstr(spec, "; output=") + 2);
    return HEED_OK;
}

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
    if (m->stack && check_logits(m->stack, error)) return error->code;
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
