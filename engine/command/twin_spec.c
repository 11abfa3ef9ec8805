/* SPDX-License-Identifier: MIT
 *
 * twin_spec.c: the spec of a smaller network of the same shape: layers, heads and widths of heads all
 * shrink by the same factor, as far as whole numbers go, and the width of the heads makes up for
 * what was rounded. What is said of attentions, norms and positions stays.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/twin.h"
#include "io/weights.h"
#include "model/source.h"
#include "op/spec.h"

#define GRAIN 4 /* widths of heads are its multiples: rotary positions take pairs */

/* The numbers of the twin, and how much wider its stream is than the network's. */
typedef struct sizes {
    int64_t layers, heads, kv_heads, head_width, width, vocab;
    double wider;
} sizes;

/* ---- the numbers ---- */

/* Ops that the longest list of a spec has: there are no fewer layers. */
static int64_t longest_list(const spec *s)
{
    int64_t most = 1;
    for (uint32_t i = 0; i < s->n_keys; i++) {
        const spec_node *n = s->keys[i].value;
        int64_t length = 0;
        for (uint32_t k = 0; n->type == SPEC_LIST && k < n->n_items; k++)
            length += n->items[k]->repeat;
        if (length > most) most = length;
    }
    return most;
}

static int64_t at_least(int64_t x, int64_t least) { return x > least ? x : least; }

static int64_t grains(double x) { return at_least((int64_t)ceil(x / GRAIN), 1) * GRAIN; }

static sizes find_sizes(const plan_network *n, const spec *s, double share, int64_t vocab)
{
    const int64_t *of = n->plan.number, groups = of[STACK_HEADS] / of[STACK_KV_HEADS];
    const double factor = cbrt(share), layers = (double)of[STACK_LAYERS];
    sizes to = {.vocab = vocab ? vocab : of[STACK_VOCAB]};
    if (share >= 1) {
        to = (sizes){of[STACK_LAYERS],
                     of[STACK_HEADS],
                     of[STACK_KV_HEADS],
                     of[STACK_HEAD_WIDTH],
                     of[STACK_WIDTH],
                     to.vocab,
                     1};
        return to;
    }
    to.layers = at_least((int64_t)round(layers * factor), longest_list(s));
    if (to.layers > of[STACK_LAYERS]) to.layers = of[STACK_LAYERS];
    to.wider = sqrt(share * layers / (double)to.layers);
    to.heads = at_least((int64_t)round((double)of[STACK_HEADS] * factor), 1);
    while (to.heads % groups && groups <= to.heads) to.heads++;
    to.kv_heads = to.heads % groups ? 1 : to.heads / groups;
    to.head_width =
        grains((double)(of[STACK_HEADS] * of[STACK_HEAD_WIDTH]) * to.wider / (double)to.heads);
    to.width = of[STACK_WIDTH] == of[STACK_HEADS] * of[STACK_HEAD_WIDTH]
                   ? to.heads * to.head_width
                   : grains((double)of[STACK_WIDTH] * to.wider);
    to.wider = (double)to.width / (double)of[STACK_WIDTH];
    return to;
}

/* ---- the text ---- */

static int32_t set_word(spec_node *n, const char *word, heed_error *error)
{
    char *own = strdup(word);
    if (!own) return error_memory(error);
    free(n->word);
    n->word = own;
    return HEED_OK;
}

static int32_t set_number(spec_node *n, int64_t x, heed_error *error)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)x);
    return set_word(n, text, error);
}

/* Hidden widths of feed-forwards, wherever they stand. */
static int32_t scale_hidden(spec_node *n, double wider, heed_error *error)
{
    for (uint32_t i = 0; i < n->n_items; i++) TRY(scale_hidden(n->items[i], wider, error));
    for (uint32_t i = 0; i < n->n_args; i++) {
        spec_node *value = n->args[i].value;
        if (n->args[i].key && !strcmp(n->args[i].key, "hidden") && value->word)
            TRY(set_number(value, grains(strtod(value->word, NULL) * wider - 0.5), error));
        else TRY(scale_hidden(value, wider, error));
    }
    return HEED_OK;
}

static int32_t shrink_key(spec_arg *key, const sizes *to, heed_error *error)
{
    const struct {
        const char *key;
        int64_t number;
    } numbers[] = {{"vocab", to->vocab},       {"width", to->width},
                   {"layers", to->layers},     {"heads", to->heads},
                   {"kv_heads", to->kv_heads}, {"head_width", to->head_width}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(key->key, numbers[i].key))
            return set_number(key->value, numbers[i].number, error);
    if (!strcmp(key->key, "feedforward")) return scale_hidden(key->value, to->wider, error);
    if (strcmp(key->key, "embed_scale") || !key->value->word) return HEED_OK;
    char text[32];
    spec_number(text, strtod(key->value->word, NULL) * sqrt(to->wider));
    return set_word(key->value, text, error);
}

/* What training alone has more, and the token of another vocabulary, is left out. */
static int stays(const char *key, int bytes)
{
    return strcmp(key, "auxiliary") && !(bytes && !strcmp(key, "bos"));
}

static int32_t write_spec(char **text, const spec *s, const sizes *to, int bytes, heed_error *error)
{
    size_t length;
    FILE *out = open_memstream(text, &length);
    if (!out) return error_memory(error);
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < s->n_keys && !failed; i++) {
        if (!stays(s->keys[i].key, bytes)) continue;
        failed = shrink_key(&s->keys[i], to, error);
        char *value = failed ? NULL : spec_print_node(s->keys[i].value);
        if (value) fprintf(out, "%s%s=%s", ftell(out) ? "; " : "", s->keys[i].key, value);
        else if (!failed) failed = error_memory(error);
        free(value);
    }
    if (bytes) fprintf(out, "; bos=%d", TWIN_BOS);
    if (ferror(out)) failed = error_memory(error);
    if (fclose(out)) failed = error_memory(error);
    return failed;
}

/* ---- a twin ---- */

static int32_t count_body(twin_shape *to, heed_engine *engine, heed_error *error)
{
    heed_weights *w = source_sketch(engine, to->spec, error);
    if (!w) return error->code;
    for (uint32_t i = 0; i < heed_weights_count(w); i++) {
        const char *name = heed_weights_name(w, i);
        if (!plan_is_table(name))
            to->body += (double)heed_tensor_elements(heed_weights_find(w, name));
    }
    heed_weights_close(w);
    return HEED_OK;
}

int32_t twin_shrink(twin_shape *to, const plan_network *n, heed_engine *engine, double share,
                    int64_t vocab, heed_error *error)
{
    spec *s = spec_parse(n->text, 1, error);
    if (!s) return error->code;
    const sizes z = find_sizes(n, s, share, vocab);
    *to = (twin_shape){.layers = z.layers, .heads = z.heads, .width = z.width};
    int32_t failed = write_spec(&to->spec, s, &z, vocab != 0, error);
    spec_free(s);
    if (!failed) failed = count_body(to, engine, error);
    if (!failed) return HEED_OK;
    heed_error why = *error;
    return error_set(error, why.code, "%s: a twin of %lld layers can not be made: %.300s", n->name,
                     (long long)z.layers, why.text);
}
