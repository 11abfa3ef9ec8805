/* SPDX-License-Identifier: MIT
 *
 * resolve.c: a spec's tree to an op: which entry, the value of each param, the mask, the accuracy,
 * the ops inside; and back to text.
 *
 * It opens nothing and looks at no tensor. What params an op has comes from its table, what the
 * mask keys mean from the table below. Invariant: two specs with the same canonical text resolve to
 * the same thing, bit for bit: `given` is 1 only where the text must say the value, that is where
 * it is not the default or where there is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

#define ID_MAX 128      /* bytes of an id; no op's is near it */
#define NAMES_MAX 256   /* names compared or listed in an error */
#define KINDS_MAX 32    /* kinds that are */
#define EXTENT_MAX ((int64_t)1 << 40) /* of mask numbers: sums of a few never overflow */

typedef struct context {
    const registry *registry;
    const spec *s;
    heed_error *error;
} context;
#define FAIL(c, at, ...) spec_error((c)->s, at, (c)->error, __VA_ARGS__)

/* ---- mask keys: the engine's own, for every op that honours the kind ---- */

static int32_t read_causal(const context *c, const spec_node *n, heed_mask *mask);
static int32_t read_window(const context *c, const spec_node *n, heed_mask *mask);
static int32_t read_prefix(const context *c, const spec_node *n, heed_mask *mask);
static int32_t read_sinks(const context *c, const spec_node *n, heed_mask *mask);
static int32_t read_blocks(const context *c, const spec_node *n, heed_mask *mask);
static void print_causal(FILE *out, const heed_mask *mask);
static void print_window(FILE *out, const heed_mask *mask);
static void print_prefix(FILE *out, const heed_mask *mask);
static void print_sinks(FILE *out, const heed_mask *mask);
static void print_blocks(FILE *out, const heed_mask *mask);

static const struct mask_key {
    const char *key;
    uint32_t kind;
    /* sets no kind if it masks nothing */
    int32_t (*read)(const context *c, const spec_node *n, heed_mask *mask);
    void (*print)(FILE *out, const heed_mask *mask);
} mask_keys[] = {
    /* true | false | top_left | bottom_right | offset:N */
    {"causal", HEED_MASK_CAUSAL, read_causal, print_causal},
    {"window", HEED_MASK_WINDOW, read_window, print_window}, /* LEFT | LEFT:RIGHT */
    {"prefix", HEED_MASK_PREFIX, read_prefix, print_prefix}, /* N */
    {"sinks", HEED_MASK_SINKS, read_sinks, print_sinks},     /* N */
    {"blocks", HEED_MASK_BLOCKS, read_blocks, print_blocks}, /* N | QUERIES:KEYS */
};
#define MASK_KEYS (sizeof mask_keys / sizeof *mask_keys)

static int is_bare(const spec_node *n) { return n->type == SPEC_WORD && !n->has_args; }

static int is_word(const spec_node *n, const char *word)
{
    return is_bare(n) && !strcmp(n->word, word);
}

/* An integer that is a part of the node's word: `length` bytes from `first` on. */
static int32_t read_part(const context *c, const spec_node *n, size_t first, size_t length,
                         const char *what, int64_t min, int64_t *out)
{
    char digits[64]; /* longer ones are cut, and out of range all the same */
    snprintf(digits, sizeof digits, "%.*s", (int)length, n->word + first);
    spec_node number = {.type = SPEC_WORD, .at = n->at + first, .word = digits};
    return spec_int(c->s, &number, what, min, EXTENT_MAX, out, c->error);
}

static int32_t read_causal(const context *c, const spec_node *n, heed_mask *mask)
{
    if (is_word(n, "false")) return HEED_OK;
    mask->kinds |= HEED_MASK_CAUSAL;
    mask->align = HEED_ALIGN_TOP_LEFT;
    if (is_word(n, "true") || is_word(n, "top_left")) return HEED_OK;
    mask->align = HEED_ALIGN_BOTTOM_RIGHT;
    if (is_word(n, "bottom_right")) return HEED_OK;
    mask->align = HEED_ALIGN_OFFSET;
    if (is_bare(n) && !strncmp(n->word, "offset:", 7)) {
        return read_part(c, n, 7, strlen(n->word + 7), "the offset of causal", -EXTENT_MAX,
                         &mask->offset);
    }
    return spec_takes(c->s, n, "causal", "true, false, bottom_right or offset:N", c->error);
}

static void print_causal(FILE *out, const heed_mask *mask)
{
    if (mask->align == HEED_ALIGN_OFFSET) fprintf(out, "offset:%lld", (long long)mask->offset);
    else fputs(mask->align == HEED_ALIGN_TOP_LEFT ? "true" : "bottom_right", out);
}

/* A number, or two as A:B; `second` stays what it is without. `what`: of the number, of A and of B. */
static int32_t read_pair(const context *c, const spec_node *n, const char *const what[3],
                         int64_t min, int64_t *first, int64_t *second)
{
    const char *colon = is_bare(n) ? strchr(n->word, ':') : NULL;
    if (!colon) return spec_int(c->s, n, what[0], min, EXTENT_MAX, first, c->error);
    size_t left = (size_t)(colon - n->word);
    int32_t code = read_part(c, n, 0, left, what[1], min, first);
    return code ? code : read_part(c, n, left + 1, strlen(colon + 1), what[2], min, second);
}

static int32_t read_window(const context *c, const spec_node *n, heed_mask *mask)
{
    static const char *const what[] = {"window", "the left of window", "the right of window"};
    mask->kinds |= HEED_MASK_WINDOW;
    return read_pair(c, n, what, 0, &mask->left, &mask->right);
}

static void print_window(FILE *out, const heed_mask *mask)
{
    fprintf(out, "%lld", (long long)mask->left);
    if (mask->right) fprintf(out, ":%lld", (long long)mask->right);
}

static int32_t read_prefix(const context *c, const spec_node *n, heed_mask *mask)
{
    int32_t code = spec_int(c->s, n, "prefix", 0, EXTENT_MAX, &mask->prefix, c->error);
    if (!code && mask->prefix) mask->kinds |= HEED_MASK_PREFIX;
    return code;
}

static void print_prefix(FILE *out, const heed_mask *mask)
{
    fprintf(out, "%lld", (long long)mask->prefix);
}

static int32_t read_sinks(const context *c, const spec_node *n, heed_mask *mask)
{
    int32_t code = spec_int(c->s, n, "sinks", 0, EXTENT_MAX, &mask->sinks, c->error);
    if (!code && mask->sinks) mask->kinds |= HEED_MASK_SINKS;
    return code;
}

static void print_sinks(FILE *out, const heed_mask *mask)
{
    fprintf(out, "%lld", (long long)mask->sinks);
}

static int32_t read_blocks(const context *c, const spec_node *n, heed_mask *mask)
{
    static const char *const what[] = {"blocks", "the queries of blocks", "the keys of blocks"};
    mask->kinds |= HEED_MASK_BLOCKS;
    int32_t code = read_pair(c, n, what, 1, &mask->block_queries, &mask->block_keys);
    if (!mask->block_keys) mask->block_keys = mask->block_queries;
    return code;
}

static void print_blocks(FILE *out, const heed_mask *mask)
{
    fprintf(out, "%lld", (long long)mask->block_queries);
    if (mask->block_keys != mask->block_queries) fprintf(out, ":%lld", (long long)mask->block_keys);
}

/* ---- accuracy: the engine's own too, for every op ---- */

/* exact: a path whose bits all paths share. fast: the highest path that runs here, also one that
 * gives other bits; where the op or the machine has none, that is an exact one. */
static int32_t read_accuracy(const context *c, const spec_node *n, resolved *op)
{
    op->fast = is_word(n, "fast");
    return op->fast || is_word(n, "exact")
               ? HEED_OK
               : spec_takes(c->s, n, "accuracy", "exact or fast", c->error);
}

/* ---- names, for errors ---- */

typedef struct names {
    const char *name[NAMES_MAX];
    uint32_t count;
} names;

static void add_name(names *all, const char *name)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (!strcmp(all->name[i], name)) return;
    }
    if (all->count < NAMES_MAX) all->name[all->count++] = name;
}

#define HINT 512 /* bytes of what may have been meant: it fits a sentence of spec_error */

/* "; nearest is "left"", what else is to be said, `intro` and as many names as fit. */
static void suggest(char out[HINT], const names *all, const char *word, const char *more,
                    const char *intro)
{
    const char *nearest = error_nearest(word, all->name, all->count);
    snprintf(out, HINT, "%s%s%s%s", nearest ? "; nearest is \"" : "", nearest ? nearest : "",
             nearest ? "\"" : "", more);
    error_list(out, HINT, intro, all->name, all->count);
}

/* Out of the frames of who reads a spec, which nest as deep as ops in ops. */
#define APART __attribute__((noinline))

/* ---- which op ---- */

static size_t kind_length(const char *id) { return strcspn(id, "/"); }

static int is_of_kind(const char *id, const char *kind, size_t length)
{
    return kind_length(id) == length && !strncmp(id, kind, length) && id[length] == '/';
}

/* `refused`: of plugins that may be why. */
static APART void unknown_kind(const context *c, const spec_node *n, const char *kind,
                               size_t length, const char *refused)
{
    const registry *r = c->registry;
    char kinds[KINDS_MAX][ID_MAX / 4], cut[ID_MAX / 4], hint[HINT];
    names all = {.count = 0};
    for (uint32_t i = 0; i < r->count && all.count < KINDS_MAX; i++) {
        const char *id = r->entries[i]->op.id;
        char *copy = kinds[all.count];
        snprintf(copy, sizeof kinds[0], "%.*s", (int)kind_length(id), id);
        add_name(&all, copy);
    }
    snprintf(cut, sizeof cut, "%.*s", (int)(length < sizeof cut ? length : sizeof cut - 1), kind);
    suggest(hint, &all, cut, refused, "; there are ");
    FAIL(c, n->at, "no op is of kind \"%s\"%s%s", cut, all.count ? "" : ": no plugin is loaded",
         hint);
}

static APART void unknown_op(const context *c, const spec_node *n, const char *kind, size_t length,
                             const char *name)
{
    const registry *r = c->registry;
    registry_all(r, NULL);
    char hint[HINT], refused[REFUSED_TEXT], asked[ID_MAX];
    names of_kind = {.count = 0};
    for (uint32_t i = 0; i < r->count; i++) {
        const char *id = r->entries[i]->op.id;
        if (is_of_kind(id, kind, length)) add_name(&of_kind, id + length + 1);
    }
    snprintf(asked, sizeof asked, "%.*s/%s", (int)length, kind, name);
    registry_refused(r, asked, refused);
    if (!of_kind.count) {
        unknown_kind(c, n, kind, length, refused);
        return;
    }
    suggest(hint, &of_kind, name, refused, "; there are ");
    FAIL(c, n->at, "no %.*s op is called " QUOTE "%s", (int)length, kind, QUOTED(name), hint);
}

/* A name without its kind, where none is understood. */
static APART void no_kind(const context *c, const spec_node *n)
{
    const registry *r = c->registry;
    registry_all(r, NULL);
    char refused[REFUSED_TEXT];
    names all = {.count = 0}; /* the i-th is that of entry i */
    for (uint32_t i = 0; i < r->count && i < NAMES_MAX; i++)
        all.name[all.count++] = r->entries[i]->op.id + kind_length(r->entries[i]->op.id) + 1;
    const char *nearest = error_nearest(n->word, all.name, all.count);
    registry_refused(r, n->word, refused);
    for (uint32_t i = 0; i < all.count; i++) {
        if (nearest != all.name[i]) continue;
        FAIL(c, n->at, QUOTE " needs its kind in front; nearest is \"%s\"%s", QUOTED(n->word),
             r->entries[i]->op.id, refused);
        return;
    }
    FAIL(c, n->at, QUOTE " is no op's id; write kind/name%s", QUOTED(n->word), refused);
}

static const entry *find_op(const context *c, const spec_node *n, const char *kind)
{
    char id[ID_MAX];
    if (n->type != SPEC_WORD) return FAIL(c, n->at, "an op must stand here, not a list"), NULL;

    const char *slash = strchr(n->word, '/');
    if (!slash && !kind) return no_kind(c, n), NULL;
    if (slash) kind = n->word;
    size_t length = slash ? (size_t)(slash - n->word) : strlen(kind);
    const char *name = slash ? slash + 1 : n->word;
    int written = snprintf(id, sizeof id, "%.*s/%s", (int)length, kind, name);
    heed_error memory = {0};
    entry *e = written < (int)sizeof id ? (entry *)registry_seek(c->registry, id, &memory) : NULL;
    if (memory.code) return *c->error = memory, NULL;
    if (!e) return unknown_op(c, n, kind, length, name), NULL;
    e->used = 1;
    return e;
}

/* ---- values ---- */

const char *resolve_choice(const char *choices, int64_t i, size_t *length)
{
    for (const char *word = choices;; word++) {
        *length = strcspn(word, "|");
        if (!i--) return word;
        word += *length;
        if (!*word) return NULL;
    }
}

static int32_t read_choice(const context *c, const spec_node *n, const heed_param *p, int64_t *out)
{
    char right[320];
    size_t length, at = 0;
    const char *word;
    for (int64_t i = 0; is_bare(n) && (word = resolve_choice(p->choices, i, &length)); i++) {
        if (strlen(n->word) != length || strncmp(n->word, word, length)) continue;
        *out = i;
        return HEED_OK;
    }
    right[0] = 0;
    for (int64_t i = 0;
         (word = resolve_choice(p->choices, i, &length)) && at + length + 8 < sizeof right; i++) {
        const char *between = !i ? "" : word[length] ? ", " : " or ";
        at += (size_t)snprintf(right + at, sizeof right - at, "%s%.*s", between, (int)length, word);
    }
    return spec_takes(c->s, n, p->key, right, c->error);
}

static int64_t to_int(double f)
{
    return f >= 0x1p63 ? INT64_MAX : f < -0x1p63 ? INT64_MIN : (int64_t)f;
}

static int32_t read_child(const context *c, const spec_node *n, const heed_param *p,
                          resolved **child)
{
    if (n->type != SPEC_WORD) return spec_takes(c->s, n, p->key, "an op", c->error);
    *child = resolve(c->registry, c->s, n, p->choices, c->error);
    if (!*child) return c->error->code;
    const char *id = (*child)->entry->op.id;
    if ((*child)->mask.kinds)
        return FAIL(c, n->at,
                    "%s is inside of another op, whose mask it has: mask keys stand there", id);
    if (p->choices && !is_of_kind(id, p->choices, strlen(p->choices))) {
        return FAIL(c, n->at, "%s takes an op of kind %s, not %s", p->key, p->choices, id);
    }
    return HEED_OK;
}

static int32_t read_value(const context *c, const spec_node *n, const heed_param *p, heed_value *v,
                          resolved **child)
{
    int32_t code = HEED_OK;
    switch (p->type) {
    case HEED_PARAM_INT:
        code = spec_int(c->s, n, p->key, to_int(p->min), to_int(p->max), &v->i, c->error);
        break;
    case HEED_PARAM_FLOAT:
        code = spec_float(c->s, n, p->key, p->min, p->max, &v->f, c->error);
        break;
    case HEED_PARAM_BOOL: code = spec_bool(c->s, n, p->key, &v->i, c->error); break;
    case HEED_PARAM_CHOICE: code = read_choice(c, n, p, &v->i); break;
    default: code = read_child(c, n, p, child); break;
    }
    if (code) return code;
    if (p->type != HEED_PARAM_FLOAT) v->f = (double)v->i;
    int has_default =
        !(p->flags & (HEED_PARAM_AUTO | HEED_PARAM_REQUIRED)) && p->type != HEED_PARAM_OP;
    v->given = !has_default || v->f != p->standard ||
               (p->type != HEED_PARAM_FLOAT && v->i != to_int(p->standard));
    return HEED_OK;
}

/* ---- arguments ---- */

/* The param that an argument is for: by its key, or the n-th OP param for the n-th one without a
 * key. -1 = none. */
static int find_param(const entry *e, const char *key, uint32_t position)
{
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        if (key ? !strcmp(p->key, key) : p->type == HEED_PARAM_OP && !position--) return (int)i;
    }
    return -1;
}

static const struct mask_key *find_mask_key(const char *key)
{
    for (size_t i = 0; i < MASK_KEYS; i++) {
        if (!strcmp(mask_keys[i].key, key)) return &mask_keys[i];
    }
    return NULL;
}

static void keys_of(const entry *e, names *keys)
{
    for (uint32_t i = 0; i < e->op.params.count; i++) add_name(keys, entry_param(e, i)->key);
    for (size_t i = 0; i < MASK_KEYS; i++) {
        if (e->op.masks & mask_keys[i].kind) add_name(keys, mask_keys[i].key);
    }
    add_name(keys, "accuracy");
}

static APART int32_t unknown_key(const context *c, const spec_arg *arg, const entry *e)
{
    char hint[HINT];
    names keys = {.count = 0};
    keys_of(e, &keys);
    suggest(hint, &keys, arg->key, "", "; it takes ");
    return FAIL(c, arg->key_at, "unknown key " QUOTE " of %s%s", QUOTED(arg->key), e->op.id, hint);
}

/* The n-th argument without a key, and there are fewer OP params. */
static APART int32_t needs_key(const context *c, const spec_arg *arg, const entry *e,
                               uint32_t position)
{
    names keys = {.count = 0};
    char hint[HINT] = "";
    keys_of(e, &keys);
    error_list(hint, sizeof hint, "; keys are ", keys.name, keys.count);
    if (position)
        return FAIL(c, arg->key_at, "%s takes only %u without a key%s", e->op.id, position, hint);
    return FAIL(c, arg->key_at, "%s takes nothing without a key%s", e->op.id, hint);
}

static int32_t read_engine_key(const context *c, const spec_arg *arg, resolved *op)
{
    const entry *e = op->entry;
    const struct mask_key *m = find_mask_key(arg->key);
    if (!strcmp(arg->key, "accuracy")) return read_accuracy(c, arg->value, op);
    if (!m) return unknown_key(c, arg, e);
    if (!(e->op.masks & m->kind))
        return FAIL(c, arg->key_at, "%s does not honour the mask %s", e->op.id, m->key);
    return m->read(c, arg->value, &op->mask);
}

/* A mask key that changes nothing without another is a slip, and is refused. */
static int32_t check_mask(const context *c, const spec_node *n, const resolved *op)
{
    static const struct {
        const char *key;
        uint32_t kind;
        const char *needs;
        uint32_t needed;
        const char *why;
    } all[] = {
        {"prefix", HEED_MASK_PREFIX, "causal", HEED_MASK_CAUSAL,
         "it shows the first keys to queries in front of them"},
        {"sinks", HEED_MASK_SINKS, "window", HEED_MASK_WINDOW,
         "it keeps the first keys that a window has left behind"},
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (!(op->mask.kinds & all[k].kind) || op->mask.kinds & all[k].needed) continue;
        for (uint32_t i = 0; i < n->n_args; i++) {
            const spec_arg *arg = &n->args[i];
            if (arg->key && !strcmp(arg->key, all[k].key))
                return FAIL(c, arg->key_at, "%s has no effect without %s: %s", arg->key,
                            all[k].needs, all[k].why);
        }
    }
    return HEED_OK;
}

/* `seen`: a set of params. All that are missing are named. */
static APART int32_t check_required(const context *c, const spec_node *n, const entry *e,
                                    uint64_t seen)
{
    const heed_param *first = NULL;
    names others = {.count = 0};
    char list[160] = "";
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        if (!(p->flags & HEED_PARAM_REQUIRED) || seen >> i & 1) continue;
        if (first) add_name(&others, p->key);
        else first = p;
    }
    if (!first) return HEED_OK;
    error_list(list, sizeof list, "; and ", others.name, others.count);
    return FAIL(c, n->at, "%s needs the key \"%s\": %s%s", e->op.id, first->key,
                first->doc ? first->doc : "it has no default", list);
}

static int32_t read_args(const context *c, const spec_node *n, resolved *op)
{
    const entry *e = op->entry;
    uint64_t seen = 0; /* set of params; there are at most PARAM_MAX = 64 */
    uint32_t position = 0;

    for (uint32_t i = 0; i < n->n_args; i++) {
        const spec_arg *arg = &n->args[i];
        int32_t code;
        int at = find_param(e, arg->key, position);
        if (at >= 0) {
            const heed_param *p = entry_param(e, (uint32_t)at);
            if (seen >> at & 1) return FAIL(c, arg->key_at, "\"%s\" is given twice", p->key);
            seen |= (uint64_t)1 << at;
            code = read_value(c, arg->value, p, &op->value[at], &op->child[at]);
        } else {
            code = arg->key ? read_engine_key(c, arg, op) : needs_key(c, arg, e, position);
        }
        if (code) return code;
        position += !arg->key;
    }
    int32_t code = check_required(c, n, e, seen);
    return code ? code : check_mask(c, n, op);
}

resolved *resolve(const registry *r, const spec *s, const spec_node *n, const char *kind,
                  heed_error *error)
{
    heed_error own; /* read_child needs the code even where the caller wants no sentence */
    context c = {.registry = r, .s = s, .error = error ? error : &own};
    const entry *e = find_op(&c, n, kind);
    if (!e) return NULL;

    uint32_t params = e->op.params.count;
    resolved *op = calloc(1, sizeof *op);
    if (op) {
        op->entry = e;
        op->at = n->at;
        op->mask.size = sizeof op->mask;
        op->value = calloc(params + 1, sizeof *op->value);
        op->child = calloc(params + 1, sizeof *op->child);
    }
    if (!op || !op->value || !op->child) {
        resolve_free(op);
        error_memory(c.error);
        return NULL;
    }
    for (uint32_t i = 0; i < params; i++) {
        const heed_param *p = entry_param(e, i);
        op->value[i] =
            (heed_value){.size = sizeof *op->value, .f = p->standard, .i = to_int(p->standard)};
    }
    if (read_args(&c, n, op)) {
        resolve_free(op);
        return NULL;
    }
    return op;
}

void resolve_free(resolved *op)
{
    if (!op) return;
    for (uint32_t i = 0; op->child && i < op->entry->op.params.count; i++)
        resolve_free(op->child[i]);
    free(op->child);
    free(op->value);
    free(op);
}

/* ---- back to text ---- */

static void print_op(FILE *out, const resolved *op);

static void print_value(FILE *out, const heed_param *p, const heed_value *v, const resolved *child)
{
    char number[32];
    size_t length;
    const char *word;
    switch (p->type) {
    case HEED_PARAM_INT: fprintf(out, "%lld", (long long)v->i); break;
    case HEED_PARAM_BOOL: fputs(v->i ? "true" : "false", out); break;
    case HEED_PARAM_FLOAT:
        spec_number(number, v->f);
        fputs(number, out);
        break;
    case HEED_PARAM_CHOICE:
        if ((word = resolve_choice(p->choices, v->i, &length)))
            fprintf(out, "%.*s", (int)length, word);
        break;
    default: print_op(out, child); break;
    }
}

static void print_op(FILE *out, const resolved *op)
{
    const char *between = "(";
    fputs(op->entry->op.id, out);
    for (uint32_t i = 0; i < op->entry->op.params.count; i++) {
        if (!op->value[i].given) continue;
        fprintf(out, "%s%s=", between, entry_param(op->entry, i)->key);
        print_value(out, entry_param(op->entry, i), &op->value[i], op->child[i]);
        between = ", ";
    }
    for (size_t i = 0; i < MASK_KEYS; i++) {
        if (!(op->mask.kinds & mask_keys[i].kind)) continue;
        fprintf(out, "%s%s=", between, mask_keys[i].key);
        mask_keys[i].print(out, &op->mask);
        between = ", ";
    }
    if (op->fast) {
        fprintf(out, "%saccuracy=fast", between);
        between = ", ";
    }
    if (*between == ',') fputc(')', out);
}

char *resolve_print(const resolved *op)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    print_op(out, op);
    int failed = ferror(out);
    if (fclose(out) || failed) {
        free(text);
        return NULL;
    }
    return text;
}

resolved *resolve_text(const registry *r, const char *text, heed_error *error)
{
    spec *s = spec_parse(text, 0, error);
    resolved *op = s ? resolve(r, s, s->op, NULL, error) : NULL;
    spec_free(s);
    return op;
}

void resolve_axes(const resolved *op, int64_t *axis, int over)
{
    for (uint32_t p = 0; p < op->entry->op.params.count; p++) {
        const heed_param *param = entry_param(op->entry, p);
        int fixed = param->axis && (op->value[p].given || !(param->flags & HEED_PARAM_AUTO));
        int64_t *size = fixed ? &axis[param->axis - 'A'] : NULL;
        if (size && (over || *size < 0)) *size = op->value[p].i;
    }
}
