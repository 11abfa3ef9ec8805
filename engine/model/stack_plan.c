/* SPDX-License-Identifier: MIT
 *
 * stack_plan.c: the text of a stack spec to numbers, choices and ops, and back to its canonical
 * text.
 *
 * It knows the keys and that an op is of the kind that a key takes, but no weights and nothing of
 * how the ops go together. Invariant: what is printed reads back as the same plan. The text is
 * hostile.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/presets.h"
#include "model/stack.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_wirings.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

enum { NUMBER, REAL, CHOICE, OP, OPS }; /* OPS: one op, or a list repeated over the layers */
/* must be given; "none" is an op; "none" is the default; a list by layer is right too */
enum { MUST = 1, NONE = 2, NO_OP = 4, LAYERED = 8 };

static const char *truth(uint32_t i)
{
    static const char *const words[] = {"false", "true"};
    return i < 2 ? words[i] : NULL;
}

static const char *stored_name(uint32_t i)
{
    static const char *const words[] = {"given", "int8", "int4"};
    return i < 3 ? words[i] : NULL;
}

/* clang-format off */
/* In canonical order. */
static const struct key {
    const char *name;
    uint32_t type, slot, flags;
    int64_t min, max;               /* of a NUMBER */
    const char *(*choice)(uint32_t); /* of a CHOICE; the first is the default */
    const char *kind;               /* of an OP */
    const char *doc;
} keys[] = {
#define NUMBER_KEY(key, slot, flags, min, max, doc) {key, NUMBER, slot, flags, min, max, 0, 0, doc}
#define REAL_KEY(key, slot, doc) {key, REAL, slot, 0, 0, 0, 0, 0, doc}
#define CHOICE_KEY(key, slot, choice, doc) {key, CHOICE, slot, 0, 0, 0, choice, 0, doc}
#define OP_KEY(key, type, part, flags, kind) \
    {key, type, STACK_PART_##part, flags, 0, 0, 0, kind, \
     (type) == OPS ? "an op of kind " kind ", or a list" : "an op of kind " kind}
#define ENCODER_KEY(key, type, part, flags, kind) \
    OP_KEY("encoder_" key, type, part + STACK_SIDE_PARTS, flags, kind)
    NUMBER_KEY("vocab", STACK_VOCAB, MUST, 1, INT32_MAX, "the number of tokens"),
    NUMBER_KEY("width", STACK_WIDTH, MUST, 1, 1 << 24, "the width of a layer"),
    NUMBER_KEY("layers", STACK_LAYERS, MUST, 1, 10000, "how many there are"),
    NUMBER_KEY("heads", STACK_HEADS, MUST | LAYERED, 1, 1 << 20, "of queries"),
    NUMBER_KEY("kv_heads", STACK_KV_HEADS, LAYERED, 1, 1 << 20,
               "of keys and values; as many as heads if not given"),
    NUMBER_KEY("head_width", STACK_HEAD_WIDTH, LAYERED, 1, 1 << 20, "width / heads if not given"),
    NUMBER_KEY("value_width", STACK_VALUE_WIDTH, LAYERED, 1, 1 << 20,
               "of a head's values; head_width if not given"),
    NUMBER_KEY("qk_repeat", STACK_QK_REPEAT, LAYERED, 1, 1 << 20,
               "heads that share a projection of queries, and one of keys; 1 if not given"),
    NUMBER_KEY("context", STACK_CONTEXT, 0, 0, (int64_t)1 << 40,
               "the longest sequence; 0 = unlimited"),
    REAL_KEY("embed_scale", STACK_EMBED_SCALE, "factor of the embedding"),
    NUMBER_KEY("types", STACK_TYPES_COUNT, 0, 1, 65536, "token types, whose vectors are added"),
    OP_KEY("embed_norm", OP, EMBED_NORM, NO_OP, "norm"),
    CHOICE_KEY("shared", STACK_SHARED, truth, "true: all layers have the weights of the first"),
    CHOICE_KEY("residual", STACK_RESIDUAL, stack_wires_name, "where the norms are"),
    OP_KEY("norm", OPS, NORM, MUST, "norm"),
    OP_KEY("final_norm", OP, FINAL_NORM, NONE, "norm"),
    OP_KEY("attention", OPS, ATTENTION, MUST, "attention"),
    OP_KEY("cross_attention", OPS, CROSS, 0, "attention"),
    OP_KEY("convolution", OPS, CONVOLUTION, NO_OP, "convolution"),
    OP_KEY("qk_norm", OPS, QK_NORM, NO_OP, "norm"),
    OP_KEY("position", OPS, POSITION, NO_OP, "position"),
    OP_KEY("head_norm", OPS, HEAD_NORM, NO_OP, "norm"),
    OP_KEY("output_gate", OPS, OUTPUT_GATE, NO_OP, "activation"),
    OP_KEY("feedforward", OPS, FEEDFORWARD, MUST | NONE, "feedforward"),
    OP_KEY("router", OPS, ROUTER, NO_OP, "router"),
    NUMBER_KEY("shared_experts", STACK_SHARED_EXPERTS, 0, 1, 65536, "that every token goes to"),
    OP_KEY("shared_feedforward", OPS, SHARED_FEEDFORWARD, 0, "feedforward"),
    OP_KEY("shared_gate", OPS, SHARED_GATE, NO_OP, "activation"),
    OP_KEY("halting", OP, HALTING, NO_OP, "halting"),
    CHOICE_KEY("weights", STACK_STORED, stored_name, "how projections and feed-forwards store theirs"),
    CHOICE_KEY("biases", STACK_BIASES, truth, "true: projections and feed-forwards have biases"),
    NUMBER_KEY("encoder_layers", STACK_ENCODER_LAYERS, 0, 1, 10000, "of the encoder"),
    NUMBER_KEY("encoder_vocab", STACK_ENCODER_VOCAB, 0, 1, INT32_MAX,
               "tokens of a table of the encoder's own"),
    ENCODER_KEY("norm", OPS, NORM, 0, "norm"),
    ENCODER_KEY("final_norm", OP, FINAL_NORM, NONE, "norm"),
    ENCODER_KEY("attention", OPS, ATTENTION, 0, "attention"),
    ENCODER_KEY("qk_norm", OPS, QK_NORM, NONE, "norm"),
    ENCODER_KEY("position", OPS, POSITION, NONE, "position"),
    ENCODER_KEY("feedforward", OPS, FEEDFORWARD, NONE, "feedforward"),
    ENCODER_KEY("router", OPS, ROUTER, NONE, "router"),
    ENCODER_KEY("halting", OP, HALTING, NONE, "halting"),
    CHOICE_KEY("tied", STACK_TIED, truth, "true: the output's weights are embed.table"),
    REAL_KEY("softcap", STACK_SOFTCAP, "logits become softcap tanh(logits / softcap)"),
    OP_KEY("output", OP, OUTPUT, 0, "pool"),
    CHOICE_KEY("pooler", STACK_POOLER, truth, "true: a projection and tanh behind the output"),
    NUMBER_KEY("classes", STACK_CLASSES, 0, 1, 1 << 24, "that a row of the output is one of"),
    NUMBER_KEY("auxiliary", STACK_AUXILIARY, 0, 1, 64, "targets of classifiers for training alone"),
    NUMBER_KEY("bos", STACK_BOS, 0, 0, INT32_MAX, "the token that a sequence begins with"),
};
/* clang-format on */
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
    char list[480] = "";
    error_list(list, sizeof list, "; it takes ", names, KEYS);
    return spec_error(p->s, arg->key_at, error, "unknown key " QUOTE " of a stack%s%s%s",
                      QUOTED(arg->key), near ? "; nearest is " : "", near ? near : "", list);
}

static int is_bare(const spec_node *n, const char *word)
{
    return n->type == SPEC_WORD && !n->has_args && !strcmp(n->word, word);
}

static int32_t read_choice(stack_plan *p, const struct key *k, const spec_node *n,
                           heed_error *error)
{
    char right[160];
    size_t length = 0;
    for (uint32_t i = 0; k->choice(i); i++) {
        if (is_bare(n, k->choice(i))) return p->choice[k->slot] = (int)i, HEED_OK;
        length += (size_t)snprintf(right + length, sizeof right - length, "%s%s",
                                   !i                 ? ""
                                   : k->choice(i + 1) ? ", "
                                                      : " or ",
                                   k->choice(i));
    }
    return spec_takes(p->s, n, k->name, right, error);
}

static int32_t read_plain(stack_plan *p, const struct key *k, const spec_node *n, heed_error *error)
{
    if (k->flags & LAYERED && n->type == SPEC_LIST) return HEED_OK; /* read_layered */
    if (k->type == NUMBER)
        return spec_int(p->s, n, k->name, k->min, k->max, &p->number[k->slot], error);
    if (k->type == CHOICE) return read_choice(p, k, n, error);
    return k->type == REAL ? spec_float(p->s, n, k->name, 1e-6, 1e6, &p->real[k->slot], error)
                           : HEED_OK;
}

static int32_t check_required(const stack_plan *p, heed_error *error)
{
    const struct key *first = NULL;
    const char *others[KEYS];
    uint32_t n = 0;
    char list[160] = "";
    for (size_t k = 0; k < KEYS; k++) {
        if (!(keys[k].flags & MUST) || given(p, keys[k].name)) continue;
        if (first) others[n++] = keys[k].name;
        else first = &keys[k];
    }
    if (!first) return HEED_OK;
    error_list(list, sizeof list, "; so are ", others, n);
    return spec_error(p->s, 0, error, "the key %s is missing: %s%s", first->name, first->doc, list);
}

static int32_t read_keys(stack_plan *p, heed_error *error)
{
    for (uint32_t i = 0; i < STACK_NUMBERS; i++) p->number[i] = -1;
    for (uint32_t i = 0; i < STACK_REALS; i++) p->real[i] = NAN;
    for (uint32_t i = 0; i < p->s->n_keys; i++) {
        const spec_arg *arg = &p->s->keys[i];
        size_t k = 0;
        while (k < KEYS && strcmp(keys[k].name, arg->key)) k++;
        if (k == KEYS) return unknown_key(p, arg, error);
        TRY(read_plain(p, &keys[k], arg->value, error));
    }
    return check_required(p, error);
}

/* The number of each layer: of a list, which is repeated over them, or the same for all. */
static int32_t read_layered(stack_plan *p, const struct key *k, heed_error *error)
{
    const spec_node *n = given(p, k->name);
    const int64_t layers = p->number[STACK_LAYERS];
    const int list = n && n->type == SPEC_LIST;
    int64_t *to = p->by_layer[k->slot] = calloc((size_t)layers, sizeof *to), count = 0, one;
    if (!to) return error_memory(error);
    if (list && given(p, "encoder_layers"))
        return spec_takes(p->s, n, k->name, "one number where there is an encoder", error);
    for (uint32_t i = 0; list && i < n->n_items; i++) {
        const spec_node *item = n->items[i];
        TRY(spec_int(p->s, item, k->name, k->min, k->max, &one, error));
        if (item->repeat > layers - count)
            return spec_error(p->s, item->at, error,
                              "%s lists more numbers than there are layers, %lld", k->name,
                              (long long)layers);
        for (int64_t j = 0; j < item->repeat; j++) to[count++] = one;
    }
    for (int64_t l = count; l < layers; l++) to[l] = list ? to[l - count] : p->number[k->slot];
    return HEED_OK;
}

static int32_t read_all_layered(stack_plan *p, heed_error *error)
{
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].flags & LAYERED) TRY(read_layered(p, &keys[k], error));
    return HEED_OK;
}

/* An encoder is there with all that it needs, or nothing of it is. */
static int32_t check_encoder(const stack_plan *p, heed_error *error)
{
    static const char *const needs[] = {"encoder_attention", "cross_attention"};
    const spec_node *layers = given(p, "encoder_layers");
    if (layers && given(p, "types"))
        return spec_error(p->s, given(p, "types")->at, error,
                          "token types are of a network of one stack, and this one has an encoder");
    for (uint32_t i = 0; layers && i < 2; i++)
        if (!given(p, needs[i]))
            return spec_error(p->s, layers->at, error, "an encoder needs the key %s as well",
                              needs[i]);
    for (uint32_t i = 0; !layers && i < p->s->n_keys; i++) {
        const spec_arg *arg = &p->s->keys[i];
        if (!strncmp(arg->key, "encoder_", 8) || !strcmp(arg->key, "cross_attention"))
            return spec_error(p->s, arg->key_at, error,
                              "%s is of a network with an encoder, which encoder_layers makes",
                              arg->key);
    }
    return HEED_OK;
}

static int is_even(const int64_t *number, int64_t layers)
{
    for (int64_t l = 1; number && l < layers; l++)
        if (number[l] != number[0]) return 0;
    return 1;
}

const char *stack_plan_uneven(const stack_plan *p)
{
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].flags & LAYERED && !is_even(p->by_layer[keys[k].slot], p->number[STACK_LAYERS]))
            return keys[k].name;
    return NULL;
}

/* Layers that share their weights are one layer, so a key has one op for all of them. Of positions
 * each layer may have its own, which tells the layers apart. */
static int32_t check_shared(const stack_plan *p, heed_error *error)
{
    const char *uneven = p->choice[STACK_SHARED] ? stack_plan_uneven(p) : NULL;
    if (uneven)
        return spec_error(p->s, given(p, uneven)->at, error,
                          "with shared=true all layers have the weights of the first, so %s takes "
                          "one number, not a list",
                          uneven);
    for (size_t k = 0; p->choice[STACK_SHARED] && k < KEYS; k++) {
        const stack_part *t = &p->parts[keys[k].slot];
        if (keys[k].type != OPS || t->count < 2 || t->inherited ||
            !strcmp(keys[k].kind, "position"))
            continue;
        return spec_error(p->s, t->node[1]->at, error,
                          "with shared=true all layers have the weights of the first, so %s takes "
                          "one op, not a list",
                          keys[k].name);
    }
    return HEED_OK;
}

/* A router sends tokens to experts, which are feed-forwards. */
static int32_t check_router(const stack_plan *p, uint32_t side, heed_error *error)
{
    for (int64_t l = 0; l < stack_plan_layers(p, side); l++)
        if (stack_plan_op(p, side, STACK_PART_ROUTER, l) &&
            !stack_plan_op(p, side, STACK_PART_FEEDFORWARD, l))
            return spec_error(p->s, stack_plan_node(p, side, STACK_PART_ROUTER, l)->at, error,
                              "a router needs a feed-forward, of which its experts are, and layer "
                              "%lld has none",
                              (long long)l);
    return HEED_OK;
}

static int32_t check_experts(const stack_plan *p, heed_error *error)
{
    const spec_node *shared = given(p, "shared_experts");
    TRY(check_router(p, STACK_DECODER, error));
    TRY(check_router(p, STACK_ENCODER, error));
    const spec_node *own = given(p, "shared_feedforward"), *gate = given(p, "shared_gate");
    if (!shared && (own || gate))
        return spec_error(p->s, own ? own->at : gate->at, error,
                          "%s is of shared_experts, and there are none",
                          own ? "shared_feedforward" : "shared_gate");
    if (!shared || given(p, "router") || given(p, "encoder_router")) return HEED_OK;
    return spec_error(p->s, shared->at, error,
                      "shared_experts is of layers with a router, which sends tokens to others");
}

/* The numbers of heads in one layer. */
static int32_t fill_layer(stack_plan *p, int64_t layer, heed_error *error)
{
    int64_t *heads = p->by_layer[STACK_HEADS] + layer, *kv = p->by_layer[STACK_KV_HEADS] + layer,
            *width = p->by_layer[STACK_HEAD_WIDTH] + layer,
            *values = p->by_layer[STACK_VALUE_WIDTH] + layer,
            *repeat = p->by_layer[STACK_QK_REPEAT] + layer;
    const long long all = p->number[STACK_WIDTH];
    if (*kv < 0) *kv = *heads;
    if (*repeat < 0) *repeat = 1;
    if (*heads % *kv)
        return spec_error(p->s, given(p, "kv_heads")->at, error,
                          "kv_heads is %lld, which does not divide heads, %lld", (long long)*kv,
                          (long long)*heads);
    if (*kv % *repeat)
        return spec_error(p->s, given(p, "qk_repeat")->at, error,
                          "qk_repeat is %lld, which does not divide kv_heads, %lld",
                          (long long)*repeat, (long long)*kv);
    if (*width < 0 && all % *heads)
        return spec_error(p->s, given(p, "heads")->at, error,
                          "%lld heads do not divide the width %lld, so head_width must be given",
                          (long long)*heads, all);
    if (*width < 0) *width = all / *heads;
    if (*values < 0) *values = *width;
    return HEED_OK;
}

/* What is not given follows from the rest. */
static int32_t fill_numbers(stack_plan *p, heed_error *error)
{
    int64_t *n = p->number;
    if (n[STACK_CONTEXT] == 0) n[STACK_CONTEXT] = -1;
    if (n[STACK_BOS] >= n[STACK_VOCAB])
        return spec_error(p->s, given(p, "bos")->at, error,
                          "bos is %lld, but tokens are below vocab, %lld", (long long)n[STACK_BOS],
                          (long long)n[STACK_VOCAB]);
    for (int64_t l = 0; l < n[STACK_LAYERS]; l++) TRY(fill_layer(p, l, error));
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].flags & LAYERED) n[keys[k].slot] = p->by_layer[keys[k].slot][0];
    return HEED_OK;
}

static int32_t read_op(const registry *r, stack_plan *p, stack_part *to, const struct key *k,
                       const spec_node *n, heed_error *error)
{
    const uint32_t i = to->count;
    const int none = k->flags & (NONE | NO_OP) && is_bare(n, "none");
    if (!none && !(to->op[i] = resolve(r, p->s, n, k->kind, error))) return error->code;
    to->count++;
    to->node[i] = n;
    to->text[i] = none ? strdup("none") : resolve_print(to->op[i]);
    if (!to->text[i]) return error_memory(error);
    if (none) return HEED_OK;
    const char *id = to->op[i]->entry->op.id;
    const size_t length = strlen(k->kind);
    if (strncmp(id, k->kind, length) || id[length] != '/')
        return spec_error(p->s, n->at, error, "%s takes an op of kind %s, not %s", k->name, k->kind,
                          id);
    return HEED_OK;
}

static int32_t read_part(const registry *r, stack_plan *p, const struct key *k, const spec_node *n,
                         heed_error *error)
{
    stack_part *to = &p->parts[k->slot];
    const int list = n->type == SPEC_LIST, encoder = k->slot / STACK_SIDE_PARTS == STACK_ENCODER;
    uint32_t items = list ? n->n_items : 1;
    int64_t layers = stack_plan_layers(p, encoder ? STACK_ENCODER : STACK_DECODER), length = 0;
    if (k->flags & NO_OP && is_bare(n, "none")) return HEED_OK;
    if (list && k->type == OP) return spec_takes(p->s, n, k->name, "one op", error);
    to->op = calloc(items, sizeof *to->op);
    to->text = calloc(items, sizeof *to->text);
    to->node = calloc(items, sizeof *to->node);
    to->listed = (uint32_t)list;
    if (!to->op || !to->text || !to->node) return error_memory(error);
    if (k->type == OPS && !(to->of_layer = calloc((size_t)layers, sizeof *to->of_layer)))
        return error_memory(error);
    for (uint32_t i = 0; i < items; i++) {
        const spec_node *item = list ? n->items[i] : n;
        TRY(read_op(r, p, to, k, item, error));
        if (list && item->repeat > layers - length)
            return spec_error(p->s, item->at, error,
                              "%s lists more ops than there are layers, %lld", k->name,
                              (long long)layers);
        for (int64_t j = 0; list && j < item->repeat; j++) to->of_layer[length++] = i;
    }
    for (int64_t j = length; list && j < layers; j++) to->of_layer[j] = to->of_layer[j - length];
    return HEED_OK;
}

/* What the encoder does not say is the decoder's. */
static int32_t read_parts(stack_plan *p, const registry *r, heed_error *error)
{
    for (size_t k = 0; k < KEYS; k++) {
        if (keys[k].type != OP && keys[k].type != OPS) continue;
        const spec_node *n = given(p, keys[k].name);
        const int encoder = !strncmp(keys[k].name, "encoder_", 8);
        if (!n && encoder && p->number[STACK_ENCODER_LAYERS] >= 0) {
            n = given(p, keys[k].name + strlen("encoder_"));
            p->parts[keys[k].slot].inherited = n != NULL;
        }
        if (n && keys[k].slot == STACK_PART_OUTPUT) p->hidden = is_bare(n, "hidden");
        if (!n || (keys[k].slot == STACK_PART_OUTPUT && (p->hidden || is_bare(n, "logits"))))
            continue;
        TRY(read_part(r, p, &keys[k], n, error));
    }
    return HEED_OK;
}

int32_t stack_plan_read(stack_plan *p, const registry *r, const char *text, heed_error *error)
{
    char *whole;
    TRY(presets_expand(text, &whole, error));
    p->s = spec_parse(whole ? whole : text, 1, error);
    free(whole);
    if (!p->s) return error->code;
    TRY(read_keys(p, error));
    TRY(check_encoder(p, error));
    TRY(read_all_layered(p, error));
    TRY(fill_numbers(p, error));
    TRY(read_parts(p, r, error));
    TRY(check_shared(p, error));
    TRY(check_experts(p, error));
    const spec_node *tied = given(p, "tied"), *capped = given(p, "softcap"),
                    *classes = given(p, "classes"), *pooler = given(p, "pooler");
    const int other = p->hidden || p->parts[STACK_PART_OUTPUT].count;
    const spec_node *auxiliary = given(p, "auxiliary");
    if (other && auxiliary)
        return spec_error(
            p->s, auxiliary->at, error,
            "auxiliary classifiers are of logits, and this network's output is another");
    if (other && (p->choice[STACK_TIED] || capped))
        return spec_error(p->s, capped ? capped->at : tied->at, error,
                          "%s is of logits, and this network's output is another",
                          capped ? "softcap" : "tied=true");
    if (!other && (classes || p->choice[STACK_POOLER]))
        return spec_error(
            p->s, classes ? classes->at : pooler->at, error,
            "%s is of hidden states or of a row of them all, and this network's output "
            "is logits: output=hidden or output=tokens is right with it",
            classes ? "classes" : "pooler=true");
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
    for (uint32_t i = 0; i < STACK_NUMBERS; i++) free(p->by_layer[i]);
    spec_free(p->s);
}

/* ---- printing it ---- */

/* Whether it is so in all layers without being said. */
static int is_derived(const stack_plan *p, const struct key *k)
{
    const int64_t width = p->number[STACK_WIDTH];
    if (!(k->flags & LAYERED)) return p->number[k->slot] < 0;
    for (int64_t l = 0; l < p->number[STACK_LAYERS]; l++) {
        const int64_t heads = p->by_layer[STACK_HEADS][l], own = p->by_layer[STACK_HEAD_WIDTH][l],
                      number = p->by_layer[k->slot][l];
        const int usual = k->slot == STACK_KV_HEADS      ? number == heads
                          : k->slot == STACK_HEAD_WIDTH  ? number * heads == width
                          : k->slot == STACK_VALUE_WIDTH ? number == own
                          : k->slot == STACK_QK_REPEAT   ? number == 1
                                                         : number < 0;
        if (!usual) return 0;
    }
    return 1;
}

typedef const char *text_of(const void *of, int64_t layer, char room[24]);

static int same_text(text_of *text, const void *of, int64_t a, int64_t b)
{
    char one[24], other[24];
    return !strcmp(text(of, a, one), text(of, b, other));
}

/* The shortest list that repeats to the same texts: "[a x5, b]"; without brackets if it is one, but
 * where a list of one means something else. */
static void print_list(FILE *out, text_of *text, const void *of, int64_t layers, int brackets)
{
    char room[24];
    int64_t period = 1, i = 1;
    for (; i < layers; i++) { /* a mismatch at i rules out every period up to the one tried */
        if (same_text(text, of, i, i - period)) continue;
        i = period++;
    }
    const int list = period > 1 || brackets;
    if (list) fputc('[', out);
    for (int64_t from = 0, end; from < period; from = end) {
        for (end = from + 1; end < period && same_text(text, of, end, from); end++) {}
        fprintf(out, "%s%s", from ? ", " : "", text(of, from, room));
        if (end - from > 1) fprintf(out, " x%lld", (long long)(end - from));
    }
    if (list) fputc(']', out);
}

static const char *text_of_part(const void *of, int64_t layer, char room[24])
{
    const stack_part *t = of;
    return (void)room, t->text[t->of_layer ? t->of_layer[layer] : 0];
}

static const char *text_of_number(const void *of, int64_t layer, char room[24])
{
    snprintf(room, 24, "%lld", (long long)((const int64_t *)of)[layer]);
    return room;
}

static void print_part(FILE *out, const stack_part *t, int64_t layers, int brackets)
{
    if (t->of_layer) print_list(out, text_of_part, t, layers, brackets);
    else fputs(t->text[0], out);
}

static void print_number(FILE *out, const stack_plan *p, uint32_t slot)
{
    if (p->by_layer[slot])
        print_list(out, text_of_number, p->by_layer[slot], p->number[STACK_LAYERS], 0);
    else fprintf(out, "%lld", (long long)p->number[slot]);
}

/* Whether the key says nothing that is not so without it. */
static int is_usual(const stack_plan *p, const struct key *k)
{
    switch (k->type) {
    case NUMBER: return is_derived(p, k);
    case REAL: return isnan(p->real[k->slot]);
    case CHOICE: return !p->choice[k->slot];
    default:
        if (k->slot == STACK_PART_OUTPUT && p->hidden) return 0;
        return !p->parts[k->slot].count || p->parts[k->slot].inherited;
    }
}

static void print_value(FILE *out, const stack_plan *p, const struct key *k)
{
    const int encoder = k->slot / STACK_SIDE_PARTS == STACK_ENCODER;
    const int own = k->slot == STACK_PART_POSITION + (encoder ? STACK_SIDE_PARTS : 0);
    char number[32];
    switch (k->type) {
    case NUMBER: print_number(out, p, k->slot); break;
    case REAL:
        spec_number(number, p->real[k->slot]);
        fputs(number, out);
        break;
    case CHOICE: fputs(k->choice((uint32_t)p->choice[k->slot]), out); break;
    default:
        if (k->slot == STACK_PART_OUTPUT && p->hidden) fputs("hidden", out);
        else
            print_part(out, &p->parts[k->slot],
                       stack_plan_layers(p, encoder ? STACK_ENCODER : STACK_DECODER),
                       own && p->parts[k->slot].listed);
    }
}

char *stack_plan_print(const stack_plan *p)
{
    char *text = NULL;
    size_t length;
    const char *between = "";
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    for (size_t i = 0; i < KEYS; i++) {
        if (is_usual(p, &keys[i])) continue;
        fprintf(out, "%s%s=", between, keys[i].name);
        print_value(out, p, &keys[i]);
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

/* ---- looking things up ---- */

const char *stack_plan_prefix(uint32_t side) { return side == STACK_ENCODER ? "encoder." : ""; }

int64_t stack_plan_weights(const stack_plan *p, int64_t layer)
{
    return p->choice[STACK_SHARED] ? 0 : layer;
}

int64_t stack_plan_layers(const stack_plan *p, uint32_t side)
{
    return p->number[side == STACK_ENCODER ? STACK_ENCODER_LAYERS : STACK_LAYERS];
}

int64_t stack_plan_number(const stack_plan *p, uint32_t side, uint32_t slot, int64_t layer)
{
    return side == STACK_DECODER && layer >= 0 && p->by_layer[slot] ? p->by_layer[slot][layer]
                                                                    : p->number[slot];
}

const stack_part *stack_plan_part(const stack_plan *p, uint32_t side, uint32_t part)
{
    return &p->parts[part + (part < STACK_SIDE_PARTS ? side * STACK_SIDE_PARTS : 0)];
}

/* Which item of a part a layer has. */
static uint32_t item_of(const stack_part *t, int64_t layer)
{
    return t->of_layer ? t->of_layer[layer] : 0;
}

resolved *stack_plan_op(const stack_plan *p, uint32_t side, uint32_t part, int64_t layer)
{
    const stack_part *t = stack_plan_part(p, side, part);
    return t->count ? t->op[item_of(t, layer)] : NULL;
}

resolved *stack_plan_decoder_op(const stack_plan *p, uint32_t side, uint32_t part, int64_t layer)
{
    return side == STACK_DECODER ? stack_plan_op(p, side, part, layer) : NULL;
}

const spec_node *stack_plan_node(const stack_plan *p, uint32_t side, uint32_t part, int64_t layer)
{
    const stack_part *t = stack_plan_part(p, side, part);
    return t->count ? t->node[item_of(t, layer)] : NULL;
}

const char *stack_plan_stored(const stack_plan *p) { return stored_name((uint32_t)p->choice[STACK_STORED]); }
