/* SPDX-License-Identifier: MIT
 *
 * stored.c: a network's spec with other caches and weights: attention=softmax(causal=true) becomes
 * attention=softmax(causal=true, cache=int8), in each item of a list, and weights=int8 is a key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/stored.h"
#include "op/spec.h"

typedef struct codecs {
    const char *key[2], *value[2]; /* value NULL: it stays */
} codecs;

static int is_replaced(const codecs *c, const char *key)
{
    for (int i = 0; i < 2; i++)
        if (key && c->value[i] && !strcmp(key, c->key[i])) return 1;
    return 0;
}

/* An op with its arguments but those that are replaced, then the codecs. */
static int print_op(FILE *out, const spec_node *n, const codecs *c)
{
    const char *comma = "(";
    fputs(n->word, out);
    for (uint32_t i = 0; i < n->n_args; i++) {
        if (is_replaced(c, n->args[i].key)) continue;
        char *value = spec_print_node(n->args[i].value);
        if (!value) return 0;
        fprintf(out, "%s%s%s%s", comma, n->args[i].key ? n->args[i].key : "",
                n->args[i].key ? "=" : "", value);
        free(value);
        comma = ", ";
    }
    for (int i = 0; i < 2; i++)
        if (c->value[i]) fprintf(out, "%s%s=%s", comma, c->key[i], c->value[i]), comma = ", ";
    fputs(")", out);
    return 1;
}

static int print_attention(FILE *out, const spec_node *n, const codecs *c)
{
    if (n->type != SPEC_LIST) return print_op(out, n, c);
    for (uint32_t i = 0; i < n->n_items; i++) {
        fputs(i ? ", " : "[", out);
        if (!print_op(out, n->items[i], c)) return 0;
        if (n->items[i]->repeat != 1) fprintf(out, " x%lld", (long long)n->items[i]->repeat);
    }
    fputs("]", out);
    return 1;
}

static int print_key(FILE *out, const spec_arg *arg, const codecs *c)
{
    fprintf(out, "%s=", arg->key);
    if (!strcmp(arg->key, "attention")) return print_attention(out, arg->value, c);
    char *value = spec_print_node(arg->value);
    if (value) fputs(value, out);
    free(value);
    return value != NULL;
}

char *stored_spec(const char *spec_text, const stored_change *to, heed_error *error)
{
    const codecs c = {{"cache", "value_cache"}, {to->cache, to->value_cache}};
    const char *comma = "";
    char *text = NULL;
    size_t size = 0;
    spec *s = spec_parse(spec_text, 1, error);
    FILE *out = s ? open_memstream(&text, &size) : NULL;
    if (!s) return NULL;
    int whole = out != NULL;
    for (uint32_t i = 0; whole && i < s->n_keys; i++) {
        if (to->weights && !strcmp(s->keys[i].key, "weights")) continue;
        fputs(comma, out);
        whole = print_key(out, &s->keys[i], &c);
        comma = "; ";
    }
    if (whole && to->weights) fprintf(out, "%sweights=%s", comma, to->weights);
    whole = out && !ferror(out) && whole;
    if (out && fclose(out)) whole = 0;
    spec_free(s);
    if (whole) return text;
    free(text);
    error_memory(error);
    return NULL;
}

int stored_is_asked(const stored_change *to) { return to->cache || to->value_cache || to->weights; }

int32_t stored_spec_of(const char *path, const char *own, const stored_change *to, char **text,
                       heed_error *error)
{
    *text = NULL;
    if (!stored_is_asked(to)) return HEED_OK;
    heed_weights *w = own || !path ? NULL : heed_weights_open(path, error);
    if (!own && !w) return error->code;
    const char *spec_text = own ? own : heed_weights_metadata(w, "heed.spec");
    int32_t failed = HEED_OK;
    if (!spec_text)
        failed = error_set(error, HEED_E_DATA,
                           "%s: its metadata has no heed.spec: --spec gives one", path);
    else if (!(*text = stored_spec(spec_text, to, error))) failed = error->code;
    heed_weights_close(w);
    return failed;
}
