/* SPDX-License-Identifier: MIT
 *
 * model.c: a network and its file, opened for a command.
 */
#include <string.h>

#include "base/error.h"
#include "command/model.h"
#include "inspect.h"

int model_is_file(const char *word)
{
    size_t n = strlen(word), end = strlen(".safetensors");
    return n > end && !strcmp(word + n - end, ".safetensors");
}

/* Before its parenthesis an op's spec has no "=", and a network's begins with a key. */
int model_is(const char *word) { return model_is_file(word) || word[strcspn(word, "=(")] == '='; }

int32_t model_shape(const call_shape *shape, int64_t *tokens, int *decode, heed_error *error)
{
    int other = shape->n_leading || shape->key_lengths || shape->documents || shape->pitch ||
                shape->shift || shape->with || shape->values || SHAPE_AXIS(shape, 'B') > 1;
    for (char letter = 'A'; letter <= 'Z'; letter++)
        other |= SHAPE_AXIS(shape, letter) >= 0 && letter != 'T' && letter != 'B';
    if (other)
        return error_set(error, HEED_E_ARGUMENT,
                         "a network has its sizes from its spec, and reads one text: --shape takes "
                         "T=N, or decode=N, alone");
    *decode = shape->decode > 0;
    *tokens = *decode ? shape->decode : SHAPE_AXIS(shape, 'T') > 0 ? SHAPE_AXIS(shape, 'T') : 0;
    return HEED_OK;
}

int32_t model_check_measured(const heed_stack *stack, heed_error *error)
{
    if (heed_stack_number(stack, "encoder_layers") < 0) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED,
                     "a network with an encoder is not measured: it attends to another text, whose "
                     "length no shape tells");
}

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
