/* SPDX-License-Identifier: MIT
 *
 * stack_plan.c: the text of a stack spec to numbers, choices and ops, and back to its canonical
 * text.
 *
 * It knows the keys and that an op is of the kind that a key takes, but no weights and nothing of
 * how the ops go together. Invariant: what is printed reads back as the same plan. The text is
 * hostile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/stack.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

enum { NUMBER, CHOICE, OP, OPS }; /* OPS: one op, or a list repeated over the layers */

/* In canonical order. */
static const struct key {
    const char *name;
    uint32_t type, slot, required;
    int64_t min, max;      /* of a NUMBER */
    const char *choice[2]; /* of a CHOICE; the first is the default */
    const char *doc;
} keys[] = {
    {"vocab", NUMBER, STACK_VOCAB, 1, 1, INT32_MAX, {0}, "the number of tokens"},
    {"width", NUMBER, STACK_WIDTH, 1, 1, 1 << 24, {0}, "the width of a layer"},
    {"layers", NUMBER, STACK_LAYERS, 1, 1, 10000, {0}, "how many there are"},
    {"heads", NUMBER, STACK_HEADS, 1, 1, 1 << 20, {0}, "of queries"},
    {"kv_heads",
     NUMBER,
     STACK_KV_HEADS,
     0,
     1,
     1 << 20,
     {0},
     "of keys and values; as many as heads if not given"},
    {"head_width", NUMBER, STACK_HEAD_WIDTH, 0, 1, 1 << 20, {0}, "width / heads if not given"},
    {"context",
     NUMBER,
     STACK_CONTEXT,
     0,
     0,
     (int64_t)1 << 40,
     {0},
     "the longest sequence; 0 = unlimited"},
    {"residual", CHOICE, STACK_RESIDUAL, 0, 0, 0, {"pre", "post"}, "where the norms are"},
    {"norm", OP, STACK_PART_NORM, 1, 0, 0, {0}, "an op of kind norm"},
    {"attention", OPS, STACK_PART_ATTENTION, 1, 0, 0, {0}, "an op of kind attention, or a list"},
    {"position", OP, STACK_PART_POSITION, 0, 0, 0, {0}, "an op of kind position, or none"},
    {"feedforward",
     OPS,
     STACK_PART_FEEDFORWARD,
     1,
     0,
     0,
     {0},
     "an op of kind feedforward, or a list"},
    {"tied",
     CHOICE,
     STACK_TIED,
     0,
     0,
     0,
     {"false", "true"},
     "true: the output's weights are embed.table"},
    {"bos", NUMBER, STACK_BOS, 0, 0, INT32_MAX, {0}, "the token that a sequence begins with"},
};
#define KEYS (sizeof keys / sizeof *keys)

/* ---- reading the spec ---- */

/* The value of a key, or NULL. */
static const spec_node *given(const stack_plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->s->n_keys; i++)
        if (!strcmp(p->s->keys[i].key, name)) return p->s->keys[i].value;
    return NULL;
}

static int32_t unknown_key(const stack_plan *p, const spec_arg *arg, heed_error *error)
{
    const char *names[KEYS];
    for (size_t k = 0; k < KEYS; k++) names[k] = keys[k].name;
    const char *near = error_nearest(arg->key, names, KEYS);
    return spec_error(p->s, arg->key_at, error, "unknown key " QUOTE " of a stack%s%s",
                      QUOTED(arg->key), near ? "; nearest is " : "", near ? near : "");
}

static int is_bare(const spec_node *n, const char *word)
{
    return n->type == SPEC_WORD && !n->has_args && !strcmp(n->word, word);
}

static int32_t read_plain(stack_plan *p, const struct key *k, const spec_node *n, heed_error *error)
{
    char right[64];
    if (k->type == NUMBER)
        return spec_int(p->s, n, k->name, k->min, k->max, &p->number[k->slot], error);
    for (int i = 0; i < 2; i++) {
        if (!is_bare(n, k->choice[i])) continue;
        p->choice[k->slot] = i;
        return HEED_OK;
    }
    snprintf(right, sizeof right, "%s or %s", k->choice[0], k->choice[1]);
    return spec_takes(p->s, n, k->name, right, error);
}

static int32_t read_keys(stack_plan *p, heed_error *error)
{
    for (uint32_t i = 0; i < STACK_NUMBERS; i++) p->number[i] = -1;
    for (uint32_t i = 0; i < p->s->n_keys; i++) {
        const spec_arg *arg = &p->s->keys[i];
        size_t k = 0;
        while (k < KEYS && strcmp(keys[k].name, arg->key)) k++;
        if (k == KEYS) return unknown_key(p, arg, error);
        if (keys[k].type == NUMBER || keys[k].type == CHOICE)
            TRY(read_plain(p, &keys[k], arg->value, error));
    }
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].required && !given(p, keys[k].name))
            return spec_error(p->s, 0, error, "the key %s is missing: %s", keys[k].name,
                              keys[k].doc);
    return HEED_OK;
}

/* What is not given follows from the rest. */
static int32_t fill_numbers(stack_plan *p, heed_error *error)
{
    int64_t *n = p->number;
    if (n[STACK_KV_HEADS] < 0) n[STACK_KV_HEADS] = n[STACK_HEADS];
    if (n[STACK_CONTEXT] == 0) n[STACK_CONTEXT] = -1;
    if (n[STACK_BOS] >= n[STACK_VOCAB])
        return spec_error(p->s, given(p, "bos")->at, error,
                          "bos is %lld, but tokens are below vocab, %lld", (long long)n[STACK_BOS],
                          (long long)n[STACK_VOCAB]);
    if (n[STACK_HEADS] % n[STACK_KV_HEADS])
        return spec_error(p->s, given(p, "kv_heads")->at, error,
                          "kv_heads is %lld, which does not divide heads, %lld",
                          (long long)n[STACK_KV_HEADS], (long long)n[STACK_HEADS]);
    if (n[STACK_HEAD_WIDTH] >= 0) return HEED_OK;
    if (n[STACK_WIDTH] % n[STACK_HEADS])
        return spec_error(p->s, given(p, "heads")->at, error,
                          "%lld heads do not divide the width %lld, so head_width must be given",
                          (long long)n[STACK_HEADS], (long long)n[STACK_WIDTH]);
    n[STACK_HEAD_WIDTH] = n[STACK_WIDTH] / n[STACK_HEADS];
    return HEED_OK;
}

static int32_t read_op(const registry *r, stack_plan *p, stack_part *to, const char *kind,
                       const spec_node *n, heed_error *error)
{
    uint32_t i = to->count;
    to->op[i] = resolve(r, p->s, n, kind, error);
    if (!to->op[i]) return error->code;
    to->count++;
    to->node[i] = n;
    to->text[i] = resolve_print(to->op[i]);
    if (!to->text[i]) return error_memory(error);
    const char *id = to->op[i]->entry->op.id;
    size_t length = strlen(kind);
    if (strncmp(id, kind, length) || id[length] != '/')
        return spec_error(p->s, n->at, error, "%s takes an op of kind %s, not %s", kind, kind, id);
    return HEED_OK;
}

static int32_t read_part(const registry *r, stack_plan *p, const struct key *k, const spec_node *n,
                         heed_error *error)
{
    stack_part *to = &p->parts[k->slot];
    int list = n->type == SPEC_LIST;
    uint32_t items = list ? n->n_items : 1;
    int64_t layers = p->number[STACK_LAYERS], length = 0;
    if (k->slot == STACK_PART_POSITION && is_bare(n, "none")) return HEED_OK;
    if (list && k->type == OP) return spec_takes(p->s, n, k->name, "one op", error);
    to->op = calloc(items, sizeof *to->op);
    to->text = calloc(items, sizeof *to->text);
    to->node = calloc(items, sizeof *to->node);
    if (!to->op || !to->text || !to->node) return error_memory(error);
    if (k->type == OPS && !(to->of_layer = calloc((size_t)layers, sizeof *to->of_layer)))
        return error_memory(error);
    for (uint32_t i = 0; i < items; i++) {
        const spec_node *item = list ? n->items[i] : n;
        TRY(read_op(r, p, to, k->name, item, error));
        if (list && item->repeat > layers - length)
            return spec_error(p->s, item->at, error,
                              "%s lists more ops than there are layers, %lld", k->name,
                              (long long)layers);
        for (int64_t j = 0; list && j < item->repeat; j++) to->of_layer[length++] = i;
    }
    for (int64_t j = length; list && j < layers; j++) to->of_layer[j] = to->of_layer[j - length];
    return HEED_OK;
}

int32_t stack_plan_read(stack_plan *p, const registry *r, const char *text, heed_error *error)
{
    if (!(p->s = spec_parse(text, 1, error))) return error->code;
    TRY(read_keys(p, error));
    TRY(fill_numbers(p, error));
    for (size_t k = 0; k < KEYS; k++) {
        const spec_node *n = given(p, keys[k].name);
        if (n && (keys[k].type == OP || keys[k].type == OPS))
            TRY(read_part(r, p, &keys[k], n, error));
    }
    return HEED_OK;
}

void stack_plan_free(stack_plan *p)
{
    for (uint32_t i = 0; i < STACK_PARTS; i++) {
        stack_part *t = &p->parts[i];
        for (uint32_t j = 0; j < t->count; j++) {
            resolve_free(t->op[j]);
            free(t->text[j]);
        }
        free(t->op);
        free(t->text);
        free(t->node);
        free(t->of_layer);
    }
    spec_free(p->s);
}

/* ---- printing it ---- */

static int is_derived(const stack_plan *p, const struct key *k)
{
    const int64_t *n = p->number;
    if (k->slot == STACK_KV_HEADS) return n[STACK_KV_HEADS] == n[STACK_HEADS];
    if (k->slot == STACK_HEAD_WIDTH) return n[STACK_HEAD_WIDTH] * n[STACK_HEADS] == n[STACK_WIDTH];
    return n[k->slot] < 0;
}

/* The shortest list that repeats to the same ops: "[a x5, b]"; without brackets if it is one op. */
static void print_part(FILE *out, const stack_part *t, int64_t layers)
{
    if (!t->of_layer) {
        fputs(t->text[0], out);
        return;
    }
    int64_t period = 1, i = 1;
    for (; i < layers; i++) { /* a mismatch at i rules out every period up to the one tried */
        if (!strcmp(t->text[t->of_layer[i]], t->text[t->of_layer[i - period]])) continue;
        i = period++;
    }
    if (period > 1) fputc('[', out);
    for (int64_t from = 0, end; from < period; from = end) {
        const char *text = t->text[t->of_layer[from]];
        for (end = from + 1; end < period && !strcmp(t->text[t->of_layer[end]], text); end++) {}
        fprintf(out, "%s%s", from ? ", " : "", text);
        if (end - from > 1) fprintf(out, " x%lld", (long long)(end - from));
    }
    if (period > 1) fputc(']', out);
}

char *stack_plan_print(const stack_plan *p)
{
    char *text = NULL;
    size_t length;
    const char *between = "";
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    for (size_t i = 0; i < KEYS; i++) {
        const struct key *k = &keys[i];
        const stack_part *t = &p->parts[k->type == OP || k->type == OPS ? k->slot : 0];
        if (k->type == NUMBER   ? is_derived(p, k)
            : k->type == CHOICE ? !p->choice[k->slot]
                                : !t->count)
            continue;
        fprintf(out, "%s%s=", between, k->name);
        if (k->type == NUMBER) fprintf(out, "%lld", (long long)p->number[k->slot]);
        else if (k->type == CHOICE) fputs(k->choice[p->choice[k->slot]], out);
        else print_part(out, t, p->number[STACK_LAYERS]);
        between = "; ";
    }
    int failed = ferror(out);
    if (fclose(out) || failed) {
        free(text);
        return NULL;
    }
    return text;
}

int32_t stack_plan_slot(const char *key)
{
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].type == NUMBER && !strcmp(keys[k].name, key)) return (int32_t)keys[k].slot;
    return -1;
}
