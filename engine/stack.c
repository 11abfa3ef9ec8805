/* SPDX-License-Identifier: MIT
 *
 * stack.c: a network from a spec: keys to numbers and ops, ops to steps, tensors of the weights file to ports.
 *
 *     pre   x = x + o(attention(norm x));  x = x + feedforward(norm x);  logits = output(norm x)
 *     post  x = norm(x + o(attention x));  x = norm(x + feedforward x);  logits = output x
 *
 * It runs nothing (session.c does) and knows no op of attention, norm, position or feed-forward by name: what is made
 * for an attention follows from its ports. Invariant: the network is put together twice by the same code. The first
 * round is dry: it asks for every tensor and opens nothing, so that a missing or an unused one is known before any work
 * is done. The spec and the weights are hostile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack.h"

#define SHOWN 96 /* bytes of a tensor's name in a sentence */

/* ---- the keys of a spec, in canonical order ---- */

enum { NUMBER, CHOICE, OP, OPS };                   /* OPS: one op, or a list repeated over the layers */
enum { RESIDUAL, TIED, CHOICES };
enum { NORM, ATTENTION, POSITION, FEEDFORWARD, PARTS };

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
    {"kv_heads", NUMBER, STACK_KV_HEADS, 0, 1, 1 << 20, {0}, "of keys and values; as many as heads if not given"},
    {"head_width", NUMBER, STACK_HEAD_WIDTH, 0, 1, 1 << 20, {0}, "width / heads if not given"},
    {"context", NUMBER, STACK_CONTEXT, 0, 0, (int64_t)1 << 40, {0}, "the longest sequence; 0 = unlimited"},
    {"residual", CHOICE, RESIDUAL, 0, 0, 0, {"pre", "post"}, "where the norms are"},
    {"norm", OP, NORM, 1, 0, 0, {0}, "an op of kind norm"},
    {"attention", OPS, ATTENTION, 1, 0, 0, {0}, "an op of kind attention, or a list"},
    {"position", OP, POSITION, 0, 0, 0, {0}, "an op of kind position, or none"},
    {"feedforward", OPS, FEEDFORWARD, 1, 0, 0, {0}, "an op of kind feedforward, or a list"},
    {"tied", CHOICE, TIED, 0, 0, 0, {"false", "true"}, "true: the output's weights are embed.table"},
    {"bos", NUMBER, STACK_BOS, 0, 0, INT32_MAX, {0}, "the token that a sequence begins with"},
};
#define KEYS (sizeof keys / sizeof *keys)

/* Inputs of an attention that are made from the layer's input, and the buffers they go to. */
static const char *const projected[STACK_PROJECTED] = {
    [STACK_Q] = "q", [STACK_K] = "k", [STACK_V] = "v", [STACK_BETA] = "beta", [STACK_GATE] = "gate",
};

/* The op or ops of one key. */
typedef struct part {
    resolved **op;      /* [count], each item of a list once */
    char **text;        /* [count], canonical */
    size_t *at;         /* [count], offsets in the spec */
    uint32_t count;
    uint32_t *of_layer; /* [layers], NULL for OP */
} part;

typedef struct plan {
    spec *s;
    const spec_arg *given[KEYS];
    int64_t number[STACK_NUMBERS];
    int choice[CHOICES];
    part parts[PARTS];
} plan;

/* What the stack uses by name. */
enum { EMBED, PROJECTION, ADD, FIXED };
static const char *const fixed_ids[FIXED] = {
    [EMBED] = "embed/table", [PROJECTION] = "linear/projection", [ADD] = "residual/add"};

typedef struct builder {
    heed_stack *stack;
    heed_engine *engine;
    const heed_weights *weights;
    heed_error *error;
    plan plan;
    resolved *fixed[FIXED];
    heed_instance *add, *position; /* shared by all layers */
    uint32_t acts;                 /* where the position op does; HEED_ACTS_NOWHERE: there is none */
    int dry;
    uint8_t *used;                 /* [tensors of the weights] */
    char **absent;                 /* names that were asked for and are not there */
    uint32_t n_absent;
    char *missing;                 /* the first of them that is needed, and the sentence about it */
    heed_error why;
} builder;

#define TRY(call) do { int32_t code_ = (call); if (code_) return code_; } while (0)

/* Room for one more element, zeroed; capacities are powers of two. NULL if there is none. */
static void *append(void *array, uint32_t *count, size_t size)
{
    void **a = array;
    if (!(*count & (*count - 1))) {
        void *larger = reallocarray(*a, *count ? 2 * (size_t)*count : 1, size);
        if (!larger) return NULL;
        *a = larger;
    }
    return memset((char *)*a + size * (*count)++, 0, size);
}

/* ---- reading the spec ---- */

static int32_t unknown_key(const plan *p, const spec_arg *arg, heed_error *error)
{
    const char *names[KEYS];
    for (size_t k = 0; k < KEYS; k++) names[k] = keys[k].name;
    const char *near = error_nearest(arg->key, names, KEYS);
    return spec_error(p->s, arg->key_at, error, "unknown key " SPEC_QUOTE " of a stack%s%s", SPEC_QUOTED(arg->key),
                      near ? "; nearest is " : "", near ? near : "");
}

static int is_bare(const spec_node *n, const char *word)
{
    return n->type == SPEC_WORD && !n->has_args && !strcmp(n->word, word);
}

static int32_t read_plain(plan *p, const struct key *k, const spec_node *n, heed_error *error)
{
    char right[64];
    if (k->type == NUMBER) return spec_int(p->s, n, k->name, k->min, k->max, &p->number[k->slot], error);
    for (int i = 0; i < 2; i++) {
        if (!is_bare(n, k->choice[i])) continue;
        p->choice[k->slot] = i;
        return HEED_OK;
    }
    snprintf(right, sizeof right, "%s or %s", k->choice[0], k->choice[1]);
    return spec_takes(p->s, n, k->name, right, error);
}

static int32_t read_keys(plan *p, heed_error *error)
{
    for (uint32_t i = 0; i < STACK_NUMBERS; i++) p->number[i] = -1;
    for (uint32_t i = 0; i < p->s->n_keys; i++) {
        const spec_arg *arg = &p->s->keys[i];
        size_t k = 0;
        while (k < KEYS && strcmp(keys[k].name, arg->key)) k++;
        if (k == KEYS) return unknown_key(p, arg, error);
        p->given[k] = arg;
        if (keys[k].type == NUMBER || keys[k].type == CHOICE) TRY(read_plain(p, &keys[k], arg->value, error));
    }
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].required && !p->given[k])
            return spec_error(p->s, 0, error, "the key %s is missing: %s", keys[k].name, keys[k].doc);
    return HEED_OK;
}

static size_t place_of(const plan *p, const char *name)
{
    for (size_t k = 0; k < KEYS; k++)
        if (p->given[k] && !strcmp(keys[k].name, name)) return p->given[k]->value->at;
    return 0;
}

/* What is not given follows from the rest. */
static int32_t fill_numbers(plan *p, heed_error *error)
{
    int64_t *n = p->number;
    if (n[STACK_KV_HEADS] < 0) n[STACK_KV_HEADS] = n[STACK_HEADS];
    if (n[STACK_CONTEXT] == 0) n[STACK_CONTEXT] = -1;
    if (n[STACK_BOS] >= n[STACK_VOCAB])
        return spec_error(p->s, place_of(p, "bos"), error, "bos is %lld, but tokens are below vocab, %lld",
                          (long long)n[STACK_BOS], (long long)n[STACK_VOCAB]);
    if (n[STACK_HEAD_WIDTH] >= 0) return HEED_OK;
    if (n[STACK_WIDTH] % n[STACK_HEADS])
        return spec_error(p->s, place_of(p, "heads"), error,
                          "%lld heads do not divide the width %lld, so head_width must be given",
                          (long long)n[STACK_HEADS], (long long)n[STACK_WIDTH]);
    n[STACK_HEAD_WIDTH] = n[STACK_WIDTH] / n[STACK_HEADS];
    return HEED_OK;
}

static int32_t read_op(const registry *r, plan *p, part *to, const char *kind, const spec_node *n, heed_error *error)
{
    uint32_t i = to->count;
    to->op[i] = resolve(r, p->s, n, kind, error);
    if (!to->op[i]) return error->code;
    to->count++;
    to->at[i] = n->at;
    to->text[i] = resolve_print(to->op[i]);
    if (!to->text[i]) return error_memory(error);
    const char *id = to->op[i]->entry->op.id;
    size_t length = strlen(kind);
    if (strncmp(id, kind, length) || id[length] != '/')
        return spec_error(p->s, n->at, error, "%s takes an op of kind %s, not %s", kind, kind, id);
    return HEED_OK;
}

static int32_t read_part(const registry *r, plan *p, const struct key *k, const spec_node *n, heed_error *error)
{
    part *to = &p->parts[k->slot];
    int list = n->type == SPEC_LIST;
    uint32_t items = list ? n->n_items : 1;
    int64_t layers = p->number[STACK_LAYERS], length = 0;
    if (k->slot == POSITION && is_bare(n, "none")) return HEED_OK;
    if (list && k->type == OP) return spec_takes(p->s, n, k->name, "one op", error);
    to->op = calloc(items, sizeof *to->op);
    to->text = calloc(items, sizeof *to->text);
    to->at = calloc(items, sizeof *to->at);
    if (!to->op || !to->text || !to->at) return error_memory(error);
    if (k->type == OPS && !(to->of_layer = calloc((size_t)layers, sizeof *to->of_layer))) return error_memory(error);
    for (uint32_t i = 0; i < items; i++) {
        const spec_node *item = list ? n->items[i] : n;
        TRY(read_op(r, p, to, k->name, item, error));
        if (list && item->repeat > layers - length)
            return spec_error(p->s, item->at, error, "%s lists more ops than there are layers, %lld", k->name,
                              (long long)layers);
        for (int64_t j = 0; list && j < item->repeat; j++) to->of_layer[length++] = i;
    }
    for (int64_t j = length; list && j < layers; j++) to->of_layer[j] = to->of_layer[j - length];
    return HEED_OK;
}

static int32_t plan_read(plan *p, const registry *r, const char *text, heed_error *error)
{
    if (!(p->s = spec_parse(text, 1, error))) return error->code;
    TRY(read_keys(p, error));
    TRY(fill_numbers(p, error));
    for (size_t k = 0; k < KEYS; k++)
        if (p->given[k] && (keys[k].type == OP || keys[k].type == OPS))
            TRY(read_part(r, p, &keys[k], p->given[k]->value, error));
    return HEED_OK;
}

static void plan_free(plan *p)
{
    for (uint32_t i = 0; i < PARTS; i++) {
        part *t = &p->parts[i];
        for (uint32_t j = 0; j < t->count; j++) {
            resolve_free(t->op[j]);
            free(t->text[j]);
        }
        free(t->op);
        free(t->text);
        free(t->at);
        free(t->of_layer);
    }
    spec_free(p->s);
}

/* ---- printing it ---- */

static int is_derived(const plan *p, const struct key *k)
{
    const int64_t *n = p->number;
    if (k->slot == STACK_KV_HEADS) return n[STACK_KV_HEADS] == n[STACK_HEADS];
    if (k->slot == STACK_HEAD_WIDTH) return n[STACK_HEAD_WIDTH] * n[STACK_HEADS] == n[STACK_WIDTH];
    return n[k->slot] < 0;
}

/* The shortest list that repeats to the same ops: "[a x5, b]"; without brackets if it is one op. */
static void print_part(FILE *out, const part *t, int64_t layers)
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

static char *plan_print(const plan *p)
{
    char *text = NULL;
    size_t length;
    const char *between = "";
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    for (size_t i = 0; i < KEYS; i++) {
        const struct key *k = &keys[i];
        const part *t = &p->parts[k->type == OP || k->type == OPS ? k->slot : 0];
        if (k->type == NUMBER ? is_derived(p, k) : k->type == CHOICE ? !p->choice[k->slot] : !t->count) continue;
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

/* ---- the weights ---- */

/* The tensor of that name, which is used from now on; weights.c keeps the names sorted. */
static heed_tensor *find_tensor(builder *b, const char *name)
{
    uint32_t low = 0, high = heed_weights_count(b->weights);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(heed_weights_name(b->weights, mid), name);
        if (order < 0) low = mid + 1;
        else if (order > 0) high = mid;
        else {
            b->used[mid] = 1;
            break;
        }
    }
    return heed_weights_find(b->weights, name);
}

static int has_tensor(const builder *b, const char *name) { return heed_weights_find(b->weights, name) != NULL; }

/* "[128, F]": the sizes that are known, the letters of the others. */
static void print_shape(char *out, size_t size, const port_axes *axes, const int64_t *axis)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < axes->count; i++) {
        int64_t known = axis[axes->letter[i] - 'A'];
        n += (size_t)(known >= 0 ? snprintf(out + n, size - n, "%s%lld", i ? ", " : "", (long long)known)
                                 : snprintf(out + n, size - n, "%s%c", i ? ", " : "", axes->letter[i]));
    }
    snprintf(out + n, size - n, "]");
}

/* Remembers a name that is not in the file: for the sentence about a missing tensor, or about one that nothing uses. */
static int32_t note_absent(builder *b, const char *name, const entry *e, uint32_t p, const int64_t *axis)
{
    if (!b->dry) return HEED_OK;
    char **slot = append(&b->absent, &b->n_absent, sizeof *slot), shape[24 * HEED_MAX_RANK + 8];
    if (!slot || !(*slot = strdup(name))) return error_memory(b->error);
    if (entry_port(e, p)->flags & HEED_PORT_OPTIONAL || b->missing) return HEED_OK;
    print_shape(shape, sizeof shape, &e->axes[p], axis);
    b->missing = *slot;
    error_set(&b->why, HEED_E_DATA, "the weights have no tensor \"%.*s\" of the shape %s, %s of %s", SHOWN, name, shape,
              entry_port(e, p)->name, e->op.id);
    return HEED_OK;
}

/* The name that is nearest to `name`, or NULL. What both begin with, up to a dot, does not count: else any two tensors
 * of a layer would be near. */
static const char *nearest_name(const char *name, const char *const *names, uint32_t count)
{
    const char *few[16];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count && kept < 16; i++) {
        size_t same = 0;
        for (size_t k = 0; name[k] && name[k] == names[i][k]; k++)
            if (name[k] == '.') same = k + 1;
        const char *rest = names[i] + same;
        if (error_nearest(name + same, &rest, 1)) few[kept++] = names[i];
    }
    return error_nearest(name, few, kept);
}

/* After the dry round. */
static int32_t check_weights(const builder *b)
{
    uint32_t count = heed_weights_count(b->weights), unused = 0;
    const char **names = malloc(sizeof *names * ((size_t)count + 1)), *near = NULL;
    if (!names) return error_memory(b->error);
    for (uint32_t i = 0; i < count; i++)
        if (!b->used[i]) names[unused++] = heed_weights_name(b->weights, i);
    int32_t failed = HEED_OK;
    if (b->missing) {
        near = nearest_name(b->missing, names, unused);
        failed = error_set(b->error, b->why.code, "%s%s%.*s%s", b->why.text,
                           near ? "; nearest of those that nothing uses is \"" : "", SHOWN, near ? near : "",
                           near ? "\"" : "");
    } else if (unused) {
        near = nearest_name(names[0], (const char *const *)b->absent, b->n_absent);
        failed = error_set(b->error, HEED_E_DATA,
                           "the weights have a tensor \"%.*s\" that nothing in this network uses%s%.*s%s", SHOWN,
                           names[0], near ? "; nearest of those that it could use is \"" : "", SHOWN,
                           near ? near : "", near ? "\"" : "");
    }
    free(names);
    return failed;
}

typedef struct weight_list {
    heed_binding *at;
    uint32_t count, names;
    char **name; /* of the ports; at[i].port is name[i] */
} weight_list;

/* Every weight port of an op and of the ops inside: port "gain" is tensor "<prefix>gain", port "table" of the op inside
 * that is called "position" is "<prefix>position.table", but "position.table" if the stack put it there. Sizes that the
 * op's own weights tell are added to `axis`. */
static int32_t collect(builder *b, const resolved *op, const char *prefix, const char *inside, int64_t *axis,
                       weight_list *list)
{
    const entry *e = op->entry;
    char *name = NULL, *inner = NULL, **port;
    int32_t failed = HEED_OK;
    for (uint32_t p = 0; p < e->op.ports.count && !failed; p++) {
        const heed_port *w = entry_port(e, p);
        if (w->role != HEED_WEIGHT) continue;
        int shared = w->scope == HEED_SCOPE_STACK && !strncmp(prefix, "layers.", 7);
        if (asprintf(&name, "%s%s", shared ? "stack." : prefix, w->name) < 0) return error_memory(b->error);
        const char *which = b->plan.choice[TIED] && !strcmp(name, "output.weight") ? "embed.table" : name;
        heed_tensor *t = find_tensor(b, which);
        heed_binding *bound = t ? append(&list->at, &list->count, sizeof *bound) : NULL;
        if (!t) failed = note_absent(b, which, e, p, axis);
        else if (!bound || !(port = append(&list->name, &list->names, sizeof *port))) failed = error_memory(b->error);
        else if (asprintf(port, "%s%s", inside, w->name) < 0) *port = NULL, failed = error_memory(b->error);
        else *bound = (heed_binding){*port, t};
        const port_axes *a = &e->axes[p];
        for (int i = 0; t && !*inside && t->rank == a->count && i < a->count; i++) /* or binding refuses it */
            if (axis[a->letter[i] - 'A'] < 0) axis[a->letter[i] - 'A'] = t->dim[i];
        free(name);
    }
    for (uint32_t p = 0; p < e->op.params.count && !failed; p++) {
        const heed_param *param = entry_param(e, p);
        if (!op->child[p]) continue;
        int ours = b->acts == HEED_ACTS_SCORES && !*inside && !strcmp(param->choices, "position");
        name = inner = NULL;
        if (asprintf(&inner, "%s%s.", inside, param->key) < 0) inner = NULL;
        if (asprintf(&name, "%s%s.", ours ? "" : prefix, ours ? "position" : param->key) < 0) name = NULL;
        failed = name && inner ? collect(b, op->child[p], name, inner, axis, list) : error_memory(b->error);
        free(name);
        free(inner);
    }
    return failed;
}

/* The sizes that an op's params fix. */
static void add_params(const resolved *op, int64_t *axis)
{
    for (uint32_t p = 0; p < op->entry->op.params.count; p++) {
        uint32_t letter = entry_param(op->entry, p)->axis;
        if (letter && op->value[p].given) axis[letter - 'A'] = op->value[p].i;
    }
}

/* Opens an op with its weights, whose names start with `prefix`. `axis` is what is known, and becomes what is known
 * then. In the dry round *out is NULL. */
static int32_t open_op(builder *b, const resolved *op, const char *prefix, int64_t *axis, heed_instance **out)
{
    weight_list list = {0};
    *out = NULL;
    add_params(op, axis);
    int32_t failed = collect(b, op, prefix, "", axis, &list);
    if (!failed && !b->dry) {
        heed_opening opening = {.size = sizeof opening, .n_weights = list.count, .weights = list.at, .axes = axis};
        heed_instance **slot = append(&b->stack->instances, &b->stack->n_instances, sizeof *slot);
        if (!slot) failed = error_memory(b->error);
        else if (!(*slot = instance_make(b->engine, op, &opening, b->error)))
            failed = error_set(b->error, b->error->code, "%.*s: %s", (int)strlen(prefix) - 1, prefix, b->error->text);
        else memcpy(axis, (*slot)->axis, sizeof (*slot)->axis);
        if (!failed) *out = *slot;
    }
    for (uint32_t i = 0; i < list.names; i++) free(list.name[i]);
    free(list.name);
    free(list.at);
    return failed;
}

/* ---- views and steps ---- */

static int32_t view_of(builder *b, uint32_t buffer, uint32_t tail, int32_t rank, const int64_t *dim, uint32_t *out)
{
    heed_stack *s = b->stack;
    stack_view v = {.buffer = buffer, .tail = tail, .rank = rank + 2, .dim = {1, 1},
                    .dtype = buffer == STACK_TOKENS ? HEED_I32 : buffer == STACK_POSITIONS ? HEED_I64 : HEED_F32};
    for (int i = 0; i < rank; i++) v.dim[i + 2] = dim[i];
    for (*out = 0; *out < s->n_views; ++*out)
        if (!memcmp(&s->views[*out], &v, sizeof v)) return HEED_OK;
    stack_view *slot = append(&s->views, &s->n_views, sizeof *slot);
    if (!slot) return error_memory(b->error);
    *slot = v;
    return HEED_OK;
}

static int32_t row_view(builder *b, uint32_t buffer, uint32_t tail, int64_t width, uint32_t *out)
{
    return view_of(b, buffer, tail, 1, &width, out);
}

static heed_tensor tensor_of(const builder *b, uint32_t view)
{
    const stack_view *v = &b->stack->views[view];
    return heed_tensor_of(NULL, v->dtype, v->rank, v->dim);
}

/* That the inputs fit, and that the output is what its view says: for one token, and so for any number. */
static int32_t check_step(const builder *b, const heed_instance *i, const stack_use *in, uint32_t n, stack_use out)
{
    heed_tensor tensor[PORT_MAX], given, right = tensor_of(b, out.view);
    heed_binding bound[PORT_MAX];
    const entry *e = i->entry;
    for (uint32_t u = 0; u < n; u++) {
        tensor[u] = tensor_of(b, in[u].view);
        bound[u] = (heed_binding){in[u].port, &tensor[u]};
    }
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const heed_port *port = entry_port(e, p);
        if (port->role == HEED_OUTPUT && !(port->flags & HEED_PORT_OPTIONAL) && strcmp(port->name, out.port))
            return error_set(b->error, HEED_E_UNSUPPORTED, "%s can not be in a stack: nothing takes its output %s",
                             e->op.id, port->name);
    }
    TRY(heed_infer(i, bound, n, out.port, &given, b->error));
    if (given.rank != right.rank || memcmp(given.dim, right.dim, sizeof *given.dim * (size_t)given.rank)) {
        port_axes all = {.count = (int8_t)right.rank, .letter = {'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'}};
        char is[24 * HEED_MAX_RANK + 8], needed[24 * HEED_MAX_RANK + 8];
        print_shape(needed, sizeof needed, &all, right.dim);
        all.count = (int8_t)given.rank;
        print_shape(is, sizeof is, &all, given.dim);
        return error_set(b->error, HEED_E_SHAPE, "%s: its output %s is %s for a token, but the stack needs %s",
                         e->op.id, out.port, is, needed);
    }
    return HEED_OK;
}

static int32_t add_step(builder *b, const heed_instance *i, const stack_use *in, uint32_t n, uint32_t to,
                        int32_t memory)
{
    heed_stack *s = b->stack;
    stack_use out = {"out", to};
    if (b->dry) return HEED_OK;
    TRY(check_step(b, i, in, n, out));
    stack_step *step = append(&s->steps, &s->n_steps, sizeof *step);
    if (!step) return error_memory(b->error);
    *step = (stack_step){.instance = i, .first = s->n_uses, .n_in = n, .memory = memory};
    for (uint32_t u = 0; u <= n; u++) {
        stack_use *use = append(&s->uses, &s->n_uses, sizeof *use);
        if (!use) return error_memory(b->error);
        *use = u < n ? in[u] : out;
    }
    return HEED_OK;
}

static void no_axes(int64_t *axis)
{
    for (int a = 0; a < HEED_AXES; a++) axis[a] = -1;
}

/* An op from rows of one width to rows of the same width: x -> out. */
static int32_t map_rows(builder *b, const resolved *op, const char *prefix, uint32_t tail, uint32_t from, uint32_t to)
{
    int64_t axis[HEED_AXES], width = b->stack->number[STACK_WIDTH];
    heed_instance *i;
    uint32_t in, out;
    no_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    TRY(open_op(b, op, prefix, axis, &i));
    TRY(row_view(b, from, tail, width, &in));
    TRY(row_view(b, to, tail, width, &out));
    return add_step(b, i, &(stack_use){"x", in}, 1, out, -1);
}

static int32_t project(builder *b, const char *prefix, uint32_t tail, uint32_t from, int64_t inputs, uint32_t to,
                       int64_t outputs)
{
    int64_t axis[HEED_AXES];
    heed_instance *i;
    uint32_t in, out;
    no_axes(axis);
    HEED_AXIS(axis, 'M') = inputs;
    HEED_AXIS(axis, 'N') = outputs;
    TRY(open_op(b, b->fixed[PROJECTION], prefix, axis, &i));
    TRY(row_view(b, from, tail, inputs, &in));
    TRY(row_view(b, to, tail, outputs, &out));
    return add_step(b, i, &(stack_use){"x", in}, 1, out, -1);
}

/* x = x + y */
static int32_t add_rows(builder *b, uint32_t x, uint32_t y)
{
    uint32_t vx, vy;
    TRY(row_view(b, x, 0, b->stack->number[STACK_WIDTH], &vx));
    TRY(row_view(b, y, 0, b->stack->number[STACK_WIDTH], &vy));
    return add_step(b, b->add, (stack_use[]){{"x", vx}, {"y", vy}}, 2, vx, -1);
}

/* ---- positions ---- */

static const heed_port *find_port(const entry *e, const char *name, uint32_t role)
{
    for (uint32_t p = 0; p < e->op.ports.count; p++)
        if (entry_port(e, p)->role == role && !strcmp(entry_port(e, p)->name, name)) return entry_port(e, p);
    return NULL;
}

/* Puts the position op into the attention as its setting. */
static int32_t place_in_scores(builder *b, uint32_t item)
{
    const part *attention = &b->plan.parts[ATTENTION], *position = &b->plan.parts[POSITION];
    resolved *op = attention->op[item];
    const char *id = op->entry->op.id, *name = position->op[0]->entry->op.id;
    uint32_t p = 0, params = op->entry->op.params.count;
    for (; p < params; p++) {
        const heed_param *param = entry_param(op->entry, p);
        if (param->type == HEED_PARAM_OP && !strcmp(param->choices, "position")) break;
    }
    if (p == params)
        return spec_error(b->plan.s, position->at[0], b->error,
                          "%s acts on scores, and %s has no setting for a position op", name, id);
    if (op->child[p])
        return spec_error(b->plan.s, position->at[0], b->error, "%s has a position op of its own already", id);
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].type == OP && keys[k].slot == POSITION)
            op->child[p] = resolve(&b->engine->registry, b->plan.s, b->plan.given[k]->value, "position", b->error);
    if (!op->child[p]) return b->error->code;
    op->value[p].given = 1;
    return HEED_OK;
}

/* What the position op acts on, and whether the attentions have it. */
static int32_t place_position(builder *b)
{
    const part *attention = &b->plan.parts[ATTENTION], *position = &b->plan.parts[POSITION];
    if (!position->count) return HEED_OK;
    const char *name = position->op[0]->entry->op.id;
    b->acts = position->op[0]->entry->op.acts;
    if (b->acts == HEED_ACTS_NOWHERE)
        return spec_error(b->plan.s, position->at[0], b->error,
                          "%s does not say where it acts, so a stack can not use it", name);
    for (uint32_t i = 0; i < attention->count; i++) {
        const entry *e = attention->op[i]->entry;
        if (b->acts == HEED_ACTS_SCORES) TRY(place_in_scores(b, i));
        if (b->acts == HEED_ACTS_QK && (!find_port(e, "q", HEED_INPUT) || !find_port(e, "k", HEED_INPUT)))
            return spec_error(b->plan.s, position->at[0], b->error, "%s acts on queries and keys, and %s takes none",
                              name, e->op.id);
    }
    return HEED_OK;
}

/* One instance of a position op that has a step of its own. */
static int32_t open_position(builder *b)
{
    int64_t axis[HEED_AXES];
    if (b->acts != HEED_ACTS_INPUT && b->acts != HEED_ACTS_QK) return HEED_OK;
    no_axes(axis);
    if (b->acts == HEED_ACTS_INPUT) HEED_AXIS(axis, 'M') = b->stack->number[STACK_WIDTH];
    else HEED_AXIS(axis, 'D') = b->stack->number[STACK_HEAD_WIDTH];
    return open_op(b, b->plan.parts[POSITION].op[0], "position.", axis, &b->position);
}

/* Applies it to a buffer; *from becomes `elsewhere` if the op does not work in place. */
static int32_t add_position(builder *b, uint32_t *from, uint32_t elsewhere, int32_t rank, const int64_t *dim)
{
    const entry *e = b->plan.parts[POSITION].op[0]->entry;
    const heed_port *out = find_port(e, "out", HEED_OUTPUT);
    int in_place = out && out->flags & HEED_PORT_IN_PLACE;
    stack_use in[2] = {{"x", 0}, {"positions", 0}};
    uint32_t to;
    TRY(view_of(b, *from, 0, rank, dim, &in[0].view));
    TRY(view_of(b, STACK_POSITIONS, 0, 0, NULL, &in[1].view));
    if (!in_place) *from = elsewhere;
    TRY(view_of(b, *from, 0, rank, dim, &to));
    return add_step(b, b->position, in, find_port(e, "positions", HEED_INPUT) ? 2 : 1, to, -1);
}

/* ---- one layer ---- */

/* The view for an input of an attention, or *bound = 0 if it is left out. */
static int32_t attention_input(builder *b, const char *prefix, const part *t, uint32_t item, uint32_t port,
                               const int64_t *axis, uint32_t from, uint32_t *view, int *bound)
{
    const entry *e = t->op[item]->entry;
    const heed_port *p = entry_port(e, port);
    const port_axes *a = &e->axes[port];
    int optional = p->flags & HEED_PORT_OPTIONAL;
    int over_time = !a->leading && a->count >= 2 && a->letter[0] == 'B' && (a->letter[1] == 'T' || a->letter[1] == 'S');
    int64_t dim[HEED_MAX_RANK], outputs = 1;
    uint32_t which = 0, buffer;
    char name[96];
    *bound = 1;
    if (over_time && a->count == 3 && a->letter[2] == 'M' && !strcmp(p->name, "x"))
        return row_view(b, from, 0, b->stack->number[STACK_WIDTH], view);
    if (over_time && a->count == 2 && !optional && !strcmp(p->name, "positions"))
        return view_of(b, STACK_POSITIONS, 0, 0, NULL, view);
    while (which < STACK_PROJECTED && strcmp(p->name, projected[which])) which++;
    if (which < STACK_PROJECTED && over_time && a->count > 2) {
        snprintf(name, sizeof name, "%s%s.weight", prefix, p->name);
        *bound = !optional || has_tensor(b, name); /* an optional one is made where the file has weights for it */
        if (!*bound) return HEED_OK;
        for (int i = 2; i < a->count; i++) {
            dim[i - 2] = axis[a->letter[i] - 'A'];
            if (dim[i - 2] < 0 || __builtin_mul_overflow(outputs, dim[i - 2], &outputs))
                return spec_error(b->plan.s, t->at[item], b->error,
                                  "%s has the input %s (%s), and the size of %c is not known", e->op.id, p->name,
                                  p->axes, a->letter[i]);
        }
        buffer = STACK_PROJECTIONS + which;
        snprintf(name, sizeof name, "%s%s.", prefix, p->name);
        TRY(project(b, name, 0, from, b->stack->number[STACK_WIDTH], buffer, outputs));
        if (b->acts == HEED_ACTS_QK && (which == STACK_Q || which == STACK_K))
            TRY(add_position(b, &buffer, STACK_ROTATED + which, a->count - 2, dim));
        return view_of(b, buffer, 0, a->count - 2, dim, view);
    }
    *bound = 0;
    if (optional) return HEED_OK;
    return spec_error(b->plan.s, t->at[item], b->error, "%s needs the input %s (%s), which a stack can not make",
                      e->op.id, p->name, p->axes);
}

static int32_t remember(builder *b, const heed_instance *i, int32_t *memory)
{
    *memory = -1;
    if (b->dry) return HEED_OK;
    if (!i->entry->op.measure_state) b->stack->forgets = i->entry->op.id;
    if (!i->entry->op.measure_state || !(i->mask.kinds & HEED_MASK_CAUSAL)) b->stack->whole = 1;
    if (!i->entry->op.measure_state) return HEED_OK;
    const heed_instance **slot = append(&b->stack->memories, &b->stack->n_memories, sizeof *slot);
    if (!slot) return error_memory(b->error);
    *slot = i;
    *memory = (int32_t)b->stack->n_memories - 1;
    return HEED_OK;
}

/* From `from` to STACK_Y. */
static int32_t build_attention(builder *b, const char *prefix, int64_t layer, uint32_t from)
{
    const part *t = &b->plan.parts[ATTENTION];
    const int64_t *number = b->stack->number;
    uint32_t item = t->of_layer[layer], n = 0, to;
    const entry *e = t->op[item]->entry;
    int64_t axis[HEED_AXES], dim[HEED_MAX_RANK], outputs = 1;
    char name[96];
    heed_instance *i;
    stack_use in[PORT_MAX];
    int32_t memory;

    no_axes(axis);
    HEED_AXIS(axis, 'M') = number[STACK_WIDTH];
    HEED_AXIS(axis, 'H') = number[STACK_HEADS];
    HEED_AXIS(axis, 'G') = number[STACK_KV_HEADS];
    HEED_AXIS(axis, 'D') = HEED_AXIS(axis, 'E') = number[STACK_HEAD_WIDTH];
    HEED_AXIS(axis, 'V') = number[STACK_VOCAB];
    snprintf(name, sizeof name, "%sattention.", prefix);
    TRY(open_op(b, t->op[item], name, axis, &i));
    TRY(remember(b, i, &memory));
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        int bound = 0;
        if (entry_port(e, p)->role != HEED_INPUT) continue;
        in[n].port = entry_port(e, p)->name;
        TRY(attention_input(b, prefix, t, item, p, axis, from, &in[n].view, &bound));
        n += bound != 0;
    }
    const heed_port *port = find_port(e, "out", HEED_OUTPUT);
    if (!port) return spec_error(b->plan.s, t->at[item], b->error, "%s has no output named out", e->op.id);
    const port_axes *a = &e->axes[port - entry_port(e, 0)];
    for (int k = 2; k < a->count; k++) {
        dim[k - 2] = axis[a->letter[k] - 'A'];
        if (dim[k - 2] < 0 || __builtin_mul_overflow(outputs, dim[k - 2], &outputs))
            return spec_error(b->plan.s, t->at[item], b->error,
                              "%s has the output out (%s), and the size of %c is not known", e->op.id,
                              port->axes, a->letter[k]);
    }
    int mixed = !(a->count == 3 && a->letter[2] == 'M'); /* "B T M" is the sum over the heads already */
    if (a->leading || a->count < 3 || a->letter[0] != 'B' || a->letter[1] != 'T')
        return spec_error(b->plan.s, t->at[item], b->error,
                          "%s has the output out (%s), which is no row for each token", e->op.id,
                          port->axes);
    TRY(view_of(b, mixed ? STACK_MIXED : STACK_Y, 0, a->count - 2, dim, &to));
    TRY(add_step(b, i, in, n, to, memory));
    snprintf(name, sizeof name, "%so.", prefix);
    return mixed ? project(b, name, 0, STACK_MIXED, outputs, STACK_Y, number[STACK_WIDTH]) : HEED_OK;
}

/* x and h are the buffers of those roles; with residual=post they swap after every norm. */
static int32_t build_layer(builder *b, int64_t layer, uint32_t *x, uint32_t *h)
{
    const part *norm = &b->plan.parts[NORM], *feedforward = &b->plan.parts[FEEDFORWARD];
    int post = b->plan.choice[RESIDUAL];
    char prefix[32], name[64];
    snprintf(prefix, sizeof prefix, "layers.%lld.", (long long)layer);
    for (int half = 0; half < 2; half++) {
        uint32_t from = post ? *x : *h;
        snprintf(name, sizeof name, "%s%s_norm.", prefix, half ? "feedforward" : "attention");
        if (!post) TRY(map_rows(b, norm->op[0], name, 0, *x, *h));
        if (half) {
            char ff[64];
            snprintf(ff, sizeof ff, "%sfeedforward.", prefix);
            TRY(map_rows(b, feedforward->op[feedforward->of_layer[layer]], ff, 0, from, STACK_Y));
        } else {
            TRY(build_attention(b, prefix, layer, from));
        }
        TRY(add_rows(b, *x, STACK_Y));
        if (!post) continue;
        TRY(map_rows(b, norm->op[0], name, 0, *x, *h));
        from = *x, *x = *h, *h = from;
    }
    return HEED_OK;
}

/* ---- the whole ---- */

static int32_t build(builder *b)
{
    heed_stack *s = b->stack;
    int64_t width = s->number[STACK_WIDTH], vocab = s->number[STACK_VOCAB], axis[HEED_AXES];
    uint32_t x = STACK_X, h = STACK_H, tokens, rows;
    heed_instance *embed;
    no_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    TRY(open_op(b, b->fixed[ADD], "residual.", axis, &b->add));
    HEED_AXIS(axis, 'V') = vocab;
    TRY(open_op(b, b->fixed[EMBED], "embed.", axis, &embed));
    TRY(open_position(b));

    TRY(view_of(b, STACK_TOKENS, 0, 0, NULL, &tokens));
    TRY(row_view(b, x, 0, width, &rows));
    TRY(add_step(b, embed, &(stack_use){"tokens", tokens}, 1, rows, -1));
    if (b->acts == HEED_ACTS_INPUT) {
        TRY(add_position(b, &x, STACK_H, 1, &width));
        h = x == STACK_X ? STACK_H : STACK_X;
    }
    for (int64_t layer = 0; layer < s->number[STACK_LAYERS]; layer++) TRY(build_layer(b, layer, &x, &h));
    s->tail = s->n_steps;
    if (!b->plan.choice[RESIDUAL]) {
        TRY(map_rows(b, b->plan.parts[NORM].op[0], "final_norm.", 1, x, h));
        x = h;
    }
    return project(b, "output.", 1, x, width, STACK_LOGITS, vocab);
}

static int32_t find_fixed(builder *b)
{
    for (uint32_t i = 0; i < FIXED; i++) {
        if (!registry_find(&b->engine->registry, fixed_ids[i]))
            return error_set(b->error, HEED_E_UNSUPPORTED,
                             "every stack needs the op %s, and no plugin that is loaded has it", fixed_ids[i]);
        spec *s = spec_parse(fixed_ids[i], 0, b->error);
        b->fixed[i] = s ? resolve(&b->engine->registry, s, s->op, NULL, b->error) : NULL;
        spec_free(s);
        if (!b->fixed[i]) return b->error->code;
    }
    return HEED_OK;
}

static int32_t build_twice(builder *b, const char *text)
{
    TRY(plan_read(&b->plan, &b->engine->registry, text, b->error));
    memcpy(b->stack->number, b->plan.number, sizeof b->plan.number);
    if (!(b->stack->spec = plan_print(&b->plan))) return error_memory(b->error);
    TRY(find_fixed(b));
    TRY(place_position(b));
    if (!(b->used = calloc((size_t)heed_weights_count(b->weights) + 1, 1))) return error_memory(b->error);
    b->dry = 1;
    TRY(build(b));
    TRY(check_weights(b));
    b->dry = 0;
    return build(b);
}

heed_stack *heed_stack_open(heed_engine *engine, const char *text, const heed_weights *weights, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (!weights) return error_set(error, HEED_E_ARGUMENT, "a stack needs weights, and none are given"), NULL;
    if (!text && !(text = heed_weights_metadata(weights, "heed.spec")))
        return error_set(error, HEED_E_DATA, "the weights have no spec (heed.spec), so one must be given"), NULL;
    heed_stack *stack = calloc(1, sizeof *stack);
    if (!stack) return error_memory(error), NULL;
    stack->engine = engine;
    builder b = {.stack = stack, .engine = engine, .weights = weights, .error = error};
    int32_t failed = build_twice(&b, text);
    plan_free(&b.plan);
    for (uint32_t i = 0; i < FIXED; i++) resolve_free(b.fixed[i]);
    for (uint32_t i = 0; i < b.n_absent; i++) free(b.absent[i]);
    free(b.absent);
    free(b.used);
    if (!failed) return stack;
    heed_stack_close(stack);
    return NULL;
}

void heed_stack_close(heed_stack *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->n_instances; i++) heed_instance_close(s->instances[i]);
    free(s->instances);
    free(s->views);
    free(s->uses);
    free(s->steps);
    free(s->memories);
    free(s->spec);
    free(s);
}

const char *heed_stack_spec(const heed_stack *s) { return s->spec; }

int64_t heed_stack_number(const heed_stack *s, const char *key)
{
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].type == NUMBER && !strcmp(keys[k].name, key)) return s->number[keys[k].slot];
    return -1;
}
