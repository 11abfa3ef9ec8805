/* SPDX-License-Identifier: MIT
 *
 * train_network.c: the network that heed train begins with: of a spec by chance, or a model's, which
 * for another task than its own gets another output; and whether it is one for the task.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/model.h"
#include "command/train.h"
#include "inspect.h"

const char *train_task_name(uint32_t task)
{
    static const char *const names[TRAIN_TASKS] = {"lm", "classify", "pairs"};
    return task < TRAIN_TASKS ? names[task] : NULL;
}

/* ---- a spec with another output ---- */

/* The keys that are of what stands behind the hidden states. */
static int is_of_output(const char *key)
{
    static const char *const keys[] = {"tied",   "softcap", "output",
                                       "pooler", "classes", "auxiliary"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const size_t n = strlen(keys[i]);
        if (!strncmp(key, keys[i], n) && key[n + strspn(key + n, " \t\n")] == '=') return 1;
    }
    return 0;
}

/* Where the key at `at` ends, behind its ';'; those in brackets are of ops. */
static const char *next_key(const char *at)
{
    for (int depth = 0; *at && (*at != ';' || depth); at++)
        depth += (*at == '(' || *at == '[') - (*at == ')' || *at == ']');
    return *at ? at + 1 : at;
}

/* Whether a spec has a key of its own. */
static int has_key(const char *spec, const char *key)
{
    const size_t n = strlen(key);
    for (const char *at = spec; *at; at = next_key(at)) {
        at += strspn(at, " \t\n");
        if (!strncmp(at, key, n) && at[n + strspn(at + n, " \t\n")] == '=') return 1;
    }
    return 0;
}

/* What transformers has behind an encoder's states, and behind a decoder's; concat where the result is
 * no folder of it. */
static const char *usual_pooling(const train_job *j, const char *spec)
{
    if (!j->folder) return "concat";
    return has_key(spec, "output") ? "pooler" : "last";
}

/* The spec with one row of a text as its output, and scores of classes; NULL: no memory. */
static char *with_classes(const char *spec, const char *pooling, int biases, uint32_t classes)
{
    char *all = NULL, *kept = calloc(strlen(spec) + 1, 1), by[32];
    if (!kept) return NULL;
    for (const char *at = spec, *end; *at; at = end) {
        end = next_key(at);
        if (!is_of_output(at + strspn(at, " \t\n"))) strncat(kept, at, (size_t)(end - at));
    }
    for (size_t n = strlen(kept); n && strchr("; \t\n", kept[n - 1]);) kept[--n] = 0;
    const int pooler = !strcmp(pooling, "pooler");
    snprintf(by, sizeof by, "tokens(by=%s)", pooler ? "first" : pooling);
    if (asprintf(&all, "%s%s%s; output=%s%s; classes=%u", kept,
                 has_key(kept, "preset") ? "; tied=false" : "",
                 biases && !has_key(kept, "biases") ? "; biases=true" : "",
                 !strcmp(pooling, "concat") ? "concat" : by, pooler ? "; pooler=true" : "",
                 classes) < 0)
        all = NULL;
    free(kept);
    return all;
}

/* ---- the network ---- */

/* What it has learned before, as weights for a spec with another output: both are to be freed. */
static int32_t change_output(train_job *j, const heed_weights *from, char **spec,
                             heed_weights **weights, heed_error *error)
{
    const char *own = from ? heed_weights_metadata(from, "heed.spec") : j->network;
    if (!own)
        return error_set(error, HEED_E_DATA, "%s: has no spec of a network (heed.spec)",
                         j->network);
    if (has_key(own, "classes")) return HEED_OK;
    /* a checkpoint's spec does not say that all has biases; its tensors do */
    const int biases = from && has_key(own, "output") &&
                       heed_weights_find(from, "layers.0.q.bias") &&
                       heed_weights_find(from, "layers.0.feedforward.up_bias");
    *spec = with_classes(own, j->pooling ? j->pooling : usual_pooling(j, own), biases,
                         j->data.examples.n_classes);
    if (!*spec) return error_memory(error);
    if (!from) return HEED_OK;
    *weights = trainer_with_head(j->engine, *spec, from, j->recipe.seed, error);
    return *weights ? HEED_OK : error->code;
}

static int32_t make_trainer(train_job *j, const heed_weights *from, heed_error *error)
{
    char *spec = NULL;
    heed_weights *made = NULL;
    int32_t failed = HEED_OK;
    if (heed_lanes(j->engine) > 1) inspect_pin_caller(j->engine);
    if (j->task == TRAIN_CLASSIFY) failed = change_output(j, from, &spec, &made, error);
    if (!failed) {
        j->trainer = heed_trainer_new(j->engine,
                                      spec   ? spec
                                      : from ? NULL
                                             : j->network,
                                      made ? made : from, &j->recipe, error);
        if (!j->trainer) failed = error->code;
    }
    heed_weights_close(made);
    free(spec);
    return failed;
}

/* ---- what it is for ---- */

static int32_t check_language_model(const heed_stack *stack, heed_error *error)
{
    if (stack->ahead || stack->prefix)
        return error_set(
            error, HEED_E_DATA,
            "this is no language model: tokens of %s%s see those behind them, and with "
            "them what is to be predicted",
            stack->ahead ? stack->ahead : "the prefix",
            stack->ahead ? ", which is not causal," : "");
    if (stack->n_encode)
        return error_set(error, HEED_E_DATA,
                         "this network has an encoder: --task pairs teaches it what to say of what "
                         "that reads");
    if (stack->number[STACK_CLASSES] < 0) return HEED_OK;
    return error_set(error, HEED_E_DATA,
                     "this is no language model: its output is classes, which --task classify has");
}

static int32_t check_classifier(const train_job *j, const heed_stack *stack, heed_error *error)
{
    const int64_t classes = stack->number[STACK_CLASSES], n = j->data.examples.n_classes;
    if (stack->n_encode)
        return error_set(error, HEED_E_DATA,
                         "this network has an encoder and a decoder; one stack tells texts apart");
    if (!stack->pools)
        return error_set(error, HEED_E_DATA,
                         "this network has a row for each token (%s), and classes are of whole "
                         "texts: output=concat or output=tokens is right",
                         "output=hidden");
    if (classes == n) return HEED_OK;
    return error_set(error, HEED_E_DATA, "%s: has %lld classes, but the network %lld", j->data.path,
                     (long long)n, (long long)classes);
}

static int32_t check_pairs(const train_job *j, const heed_stack *stack, heed_error *error)
{
    if (!stack->n_encode)
        return error_set(error, HEED_E_DATA,
                         "pairs are of a network with an encoder, and this one has none "
                         "(encoder_layers)");
    if (stack->ahead || stack->prefix)
        return error_set(
            error, HEED_E_DATA,
            "the decoder's tokens see those behind them (%s), and with them what is to "
            "be predicted",
            stack->ahead ? stack->ahead : "prefix");
    if (stack->number[STACK_BOS] >= 0 || j->tokens.tokenizer) return HEED_OK;
    return error_set(error, HEED_E_DATA,
                     "this network has no token that a text begins and ends with (bos)");
}

/* Tokens of a file's network: bytes, or by its tokenizer, or DATA has their numbers. */
static int32_t open_tokens(train_job *j, const heed_weights *weights, heed_error *error)
{
    const int numbers = j->task == TRAIN_LM && train_data_is_npy(j->data_path);
    train_tokens *t = &j->tokens;
    TRY(train_tokens_open(t, j->tokenizer, j->network, weights, !numbers, error));
    if (!t->note[TRAIN_TOKENS] || t->tokenizer || numbers) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED,
                     "%s: tokens of this checkpoint are not bytes, and there is no tokenizer.json: "
                     "--tokenizer DIR says where one is%s",
                     j->network,
                     j->task == TRAIN_LM ? ", or DATA is a .npy file of their numbers" : "");
}

/* The examples, of which a model that has classes knows the names. */
static int32_t read_examples(train_job *j, const heed_weights *weights, heed_error *error)
{
    const char *known = weights ? heed_weights_metadata(weights, "heed.classes") : NULL;
    if (j->task == TRAIN_LM) return HEED_OK;
    j->data.path = j->data_path;
    if (known) TRY(train_examples_know(&j->data.examples, known, j->network, error));
    return train_examples_read(&j->data, j->task, error);
}

int32_t train_network_open(train_job *j, heed_error *error)
{
    const int is_file = model_is_file(j->network);
    heed_weights *weights = is_file ? heed_weights_open(j->network, error) : NULL;
    if (is_file && !weights) return error->code;
    int32_t failed = open_tokens(j, weights, error);
    if (!failed) failed = read_examples(j, weights, error);
    if (!failed) failed = make_trainer(j, weights, error);
    heed_weights_close(weights);
    if (failed) return failed;
    const heed_stack *stack = heed_trainer_stack(j->trainer);
    TRY(train_tokens_begin(&j->tokens, stack->number[STACK_BOS], error));
    return j->task == TRAIN_CLASSIFY ? check_classifier(j, stack, error)
           : j->task == TRAIN_PAIRS  ? check_pairs(j, stack, error)
                                     : check_language_model(stack, error);
}
