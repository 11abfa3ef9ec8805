/* SPDX-License-Identifier: MIT
 *
 * model.c: a network and its file, opened for a command.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command/model.h"
#include "command/ranks.h"
#include "inspect.h"
#include "io/gguf.h"
#include "io/weights.h"

int model_is_file(const char *word)
{
    size_t n = strlen(word), end = strlen(".safetensors");
    return (n > end && !strcmp(word + n - end, ".safetensors")) || checkpoint_is(word);
}

/* Before its parenthesis an op's spec has no "=", and a network's begins with a key. */
int model_is(const char *word) { return model_is_file(word) || word[strcspn(word, "=(")] == '='; }

int32_t model_shape(const call_shape *shape, int64_t *tokens, int *decode, heed_error *error)
{
    int other = shape->n_leading || shape->key_lengths || shape->documents || shape->pitch ||
                shape->shift || shape->fresh || shape->forks || shape->with || shape->values ||
                SHAPE_AXIS(shape, 'B') > 1;
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

/* Most commands give a network one text. */
static int32_t check_encoder(const heed_stack *stack, heed_error *error)
{
    if (heed_stack_number(stack, "encoder_layers") < 0) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED,
                     "this network has an encoder, which this command has no text for: "
                     "heed generate and heed_session_encode take one");
}

static int32_t check_logits(const heed_stack *stack, heed_error *error)
{
    const char *spec = heed_stack_spec(stack);
    if (strstr(spec, "; output="))
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this network gives no logits, which a command takes (%.80s)",
                         strstr(spec, "; output=") + 2);
    return HEED_OK;
}

int32_t model_open_text(model *m, const char *path, heed_error *error)
{
    const char *tokens = heed_weights_metadata(m->weights, "heed.tokens");
    char *file;
    if (!tokens || strcmp(tokens, "ids")) return HEED_OK;
    if (gguf_is(path) || heed_weights_metadata(m->weights, "heed.tokenizer")) {
        m->tokenizer = tokenizer_open(path, error);
        return m->tokenizer ? HEED_OK : error->code;
    }
    if (asprintf(&file, "%s/tokenizer.json", path) < 0) return error_memory(error);
    const int is_there = !access(file, F_OK);
    free(file);
    if (!is_there)
        return error_set(
            error, HEED_E_UNSUPPORTED,
            "%s: tokens of this checkpoint are not bytes, and there is no "
            "tokenizer.json: --ids FILE.npy takes their numbers in the place of a text",
            path);
    m->tokenizer = tokenizer_open(path, error);
    return m->tokenizer ? HEED_OK : error->code;
}

/* A tokenizer may have tokens that the network has not: Gemma 3's has one for images. */
int32_t model_encode(const model *m, const char *name, const char *text, size_t n, int special,
                     size_t most, id_list *to, heed_error *error)
{
    const int64_t vocab = heed_stack_number(m->stack, "vocab");
    const size_t before = to->n;
    TRY(tokenizer_encode(m->tokenizer, name, text, n, special, most, to, error));
    for (size_t i = before; i < to->n; i++)
        if (to->at[i] >= vocab)
            return error_set(error, HEED_E_DATA,
                             "%s: the tokenizer makes token %d of it, but the network has those "
                             "from 0 to %lld",
                             name, to->at[i], (long long)vocab - 1);
    return HEED_OK;
}

/* The next of a list, "2, 7", from *at on. */
static int next_token(const char **at, int64_t *token)
{
    char *end;
    if (!*at || !**at) return 0;
    *token = strtoll(*at, &end, 10);
    *at = end + strspn(end, ", ");
    return 1;
}

int64_t model_token(const model *m, const char *which)
{
    const char *list = heed_weights_metadata(m->weights, which);
    int64_t token;
    return next_token(&list, &token) && token < heed_stack_number(m->stack, "vocab") ? token : -1;
}

int model_ends(const model *m, int64_t token)
{
    const char *list = heed_weights_metadata(m->weights, "heed.end");
    int64_t end;
    while (next_token(&list, &end))
        if (end == token) return 1;
    return 0;
}

int32_t model_read_ids(const model *m, const char *path, int32_t **ids, int64_t *n,
                       heed_error *error)
{
    heed_tensor t;
    const int64_t vocab = heed_stack_number(m->stack, "vocab");
    TRY(heed_npy_read(path, &t, error));
    *n = heed_tensor_elements(&t);
    const int whole = t.dtype == HEED_I32 || t.dtype == HEED_I64;
    *ids = whole ? calloc((size_t)*n + 1, sizeof **ids) : NULL;
    int32_t failed = HEED_OK;
    if (!whole)
        failed =
            error_set(error, HEED_E_DATA, "%s: is of the type %s, but tokens are int32 or int64",
                      path, heed_dtype_name(t.dtype));
    else if (!*ids) failed = error_memory(error);
    for (int64_t i = 0; !failed && i < *n; i++) {
        const int64_t id = t.dtype == HEED_I32 ? ((int32_t *)t.data)[i] : ((int64_t *)t.data)[i];
        if (id < 0 || id >= vocab)
            failed = error_set(error, HEED_E_DATA,
                               "%s: token %lld is %lld, but the network has those from 0 to %lld",
                               path, (long long)i, (long long)id, (long long)vocab - 1);
        (*ids)[i] = (int32_t)id;
    }
    free(t.data);
    return failed;
}

static int32_t open_stack(model *m, const heed_options *options, const char *path, const char *spec,
                          uint64_t seed, heed_error *error)
{
    /* first: a wrong name fails at once */
    m->weights = path ? heed_weights_open(path, error) : NULL;
    if (!m->engine && (m->weights || !path)) m->engine = heed_engine_new(options, error);
    if (m->engine && !path) m->weights = heed_weights_random(m->engine, spec, seed, error);
    if (!m->weights) return error->code;
    if (m->engine && heed_lanes(m->engine) > 1) inspect_pin_caller(m->engine);
    if (m->engine) m->stack = heed_stack_open(m->engine, spec, m->weights, error);
    return m->stack ? HEED_OK : error->code;
}

int32_t model_open_both(model *m, const heed_options *options, const char *path, const char *spec,
                        uint64_t seed, heed_error *error)
{
    *m = (model){0};
    TRY(open_stack(m, options, path, spec, seed, error));
    TRY(check_logits(m->stack, error));
    m->session = heed_session_new(m->stack, error);
    return m->session ? HEED_OK : error->code;
}

int32_t model_open(model *m, const heed_options *options, const char *path, const char *spec,
                   uint64_t seed, heed_error *error)
{
    TRY(model_open_both(m, options, path, spec, seed, error));
    return check_encoder(m->stack, error);
}

/* What of model_open is each rank's own. */
static int32_t open_alone(model *m, const heed_options *options, const char *path, const char *spec,
                          uint64_t seed, heed_error *error)
{
    TRY(open_stack(m, options, path, spec, seed, error));
    TRY(check_encoder(m->stack, error));
    return check_logits(m->stack, error);
}

int32_t model_open_shared(model *m, const heed_options *options, const char *path,
                          const char *spec, uint64_t seed, int32_t failed, heed_error *error)
{
    heed_error why;
    if (!ranks_are_several())
        return failed ? failed : model_open(m, options, path, spec, seed, error);
    *m = (model){.engine = heed_engine_new(options, &why)};
    if (m->engine) m->group = ranks_join(m->engine, RANKS_SECONDS, &why);
    if (!m->group) return *error = why, why.code;
    if (!failed) failed = open_alone(m, options, path, spec, seed, error);
    TRY(heed_group_agree(m->group, NULL, 0, failed, error));
    TRY(heed_group_spread(m->group, m->stack, error));
    m->session = heed_session_new(m->stack, error);
    return heed_group_agree(m->group, NULL, 0, m->session ? HEED_OK : error->code, error);
}

void model_tell(const model *m, const char *name)
{
    const uint32_t threads = heed_lanes(m->engine);
    fprintf(stderr, "%s, %s, %u thread%s\n", name, inspect_path(m->engine), threads,
            threads == 1 ? "" : "s");
}

void model_tell_ranks(const model *m)
{
    uint64_t sent, received;
    double seconds;
    if (!m->group) return;
    heed_group_counted(m->group, &sent, &received, &seconds);
    fprintf(stderr,
            "%u ranks: rank 0 has sent %.1f MB, received %.1f MB and waited %.2f s for others\n",
            heed_group_ranks(m->group), 1e-6 * (double)sent, 1e-6 * (double)received, seconds);
}

int32_t model_agree(const model *m, int32_t failed, heed_error *error)
{
    return m->group ? heed_group_agree(m->group, NULL, 0, failed, error) : failed;
}

int32_t model_open_any(model *m, const heed_options *options, const char *path, const char *spec,
                       uint64_t seed, heed_error *error)
{
    *m = (model){0};
    TRY(open_stack(m, options, path, spec, seed, error));
    TRY(check_encoder(m->stack, error));
    m->session = heed_session_new(m->stack, error);
    return m->session ? HEED_OK : error->code;
}

int model_ponder(const model *m, double *steps, double *cost)
{
    const int64_t tokens = heed_session_ponder(m->session, 0, steps, cost);
    if (!tokens) return 0;
    *cost = (*cost + *steps) / (double)tokens;
    *steps /= (double)tokens;
    return 1;
}

void model_close(model *m)
{
    tokenizer_close(m->tokenizer);
    heed_session_free(m->session);
    heed_stack_close(m->stack);
    heed_weights_close(m->weights);
    heed_group_free(m->group);
    heed_engine_free(m->engine);
}
