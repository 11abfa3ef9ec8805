/* SPDX-License-Identifier: MIT
 *
 * cached.c: a network's spec with other caches: attention=softmax(causal=true) becomes
 * attention=softmax(causal=true, cache=int8), in each item of a list.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/cached.h"
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

char *cached_spec(const char *spec_text, const char *cache, const char *value_cache,
                  heed_error *error)
{
    const codecs c = {{"cache", "value_cache"}, {cache, value_cache}};
    char *text = NULL;
    size_t size = 0;
    spec *s = spec_parse(spec_text, 1, error);
    FILE *out = s ? open_memstream(&text, &size) : NULL;
    if (!s) return NULL;
    int whole = out != NULL;
    for (uint32_t i = 0; whole && i < s->n_keys; i++) {
        fputs(i ? "; " : "", out);
        whole = print_key(out, &s->keys[i], &c);
    }
    whole = out && !ferror(out) && whole;
    if (out && fclose(out)) whole = 0;
    spec_free(s);
    if (whole) return text;
    free(text);
    error_memory(error);
    return NULL;
}
