/* SPDX-License-Identifier: MIT
 *
 * vet.c: descriptors of a plugin, copied and then checked field by field. Plugins are trusted for
 * intent, not for correctness: whatever passes here, the rest of the engine takes for granted. What
 * the functions do is not judged.
 *
 * Invariant: what is checked is the copy, and but for the functions no pointer of it leads back
 * into the plugin. Fields that a newer plugin appended are dropped; fields that a shorter struct
 * lacks are 0.
 */
#include "base/error.h"
#include "op/registry.h"
#include "op/vet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define OP_MAX 64           /* of one plugin */
#define STRIDE_MAX 4096
#define WORD_MAX 64         /* bytes of an id, a key, a name */
#define TEXT_MAX 1000
#define INT_LIMIT 0x1p62    /* of a param's range: every double within converts to int64 */

/* What each table may hold. `known` is the size in 0.1: no plugin has less. */
typedef struct table_rule {
    const char *what;
    uint32_t min, max, known, full;
} table_rule;

#define KNOWN(type, last)                                                                          \
    ((uint32_t)(offsetof(type, last) + sizeof(((type *)0)->last))), (uint32_t)sizeof(type)
static const table_rule
    op_rule = {"ops", 1, OP_MAX, KNOWN(heed_op, get_extension)},
    port_rule = {"ports", 0, PORT_MAX, KNOWN(heed_port, doc)},
    param_rule = {"params", 0, PARAM_MAX, KNOWN(heed_param, doc)},
    path_rule = {"paths", 1, PATH_MAX_COUNT, KNOWN(heed_path, get_extension)};

/* Code points that are no text in a line: controls, overrides of the writing direction, surrogates,
 * non-characters. */
static const struct { uint32_t first, last;
} unprintable[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0x200e, 0x200f},       {0x2028, 0x202e},
    {0x2066, 0x2069}, {0xd800, 0xdfff}, {0xfdd0, 0xfdef},       {0xfeff, 0xfeff},
    {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0x110000, UINT32_MAX},
};

#define FAIL(...) return error_set(error, HEED_E_DATA, __VA_ARGS__)
#define TRY(call) do { int32_t code_ = (call); if (code_) return code_; } while (0)

/* ---- texts ---- */

/* Decodes one code point and moves on; overlong and broken forms give UINT32_MAX. */
static uint32_t code_point(const unsigned char **at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t c = *(*at)++;
    int more = c < 0x80             ? 0
               : (c & 0xe0) == 0xc0 ? 1
               : (c & 0xf0) == 0xe0 ? 2
               : (c & 0xf8) == 0xf0 ? 3
                                    : -1;
    if (more < 0) return UINT32_MAX;
    if (more) c &= 0x3fu >> more;
    for (int i = 0; i < more; i++, (*at)++) {
        if ((**at & 0xc0) != 0x80) return UINT32_MAX; /* the final NUL too */
        c = c << 6 | (**at & 0x3f);
    }
    return c < least[more] ? UINT32_MAX : c;
}

static int is_printable(const char *text, int newlines)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        uint32_t c = code_point(&at);
        if (c == '\n' && newlines) continue;
        for (size_t i = 0; i < sizeof unprintable / sizeof *unprintable; i++)
            if (c >= unprintable[i].first && c <= unprintable[i].last) return 0;
    }
    return 1;
}

/* Length of the [a-z0-9_]+ at the front. */
static size_t word_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
}
static int is_word(const char *text) { return *text && !text[word_length(text)]; }

static int is_id(const char *text)
{
    size_t kind = word_length(text);
    return kind && text[kind] == '/' && is_word(text + kind + 1);
}

static int32_t copy_text(registry *r, const char **text, uint32_t min, uint32_t max,
                         const char *what, heed_error *error)
{
    size_t n = *text ? strnlen(*text, (size_t)max + 1) : 0;
    if (!*text && min) FAIL("its %s is missing (NULL)", what);
    if (n < min) FAIL("its %s is empty", what);
    if (n > max) FAIL("its %s is longer than %u bytes", what, max);
    char *copy = registry_alloc(r, n + 1);
    if (!copy) return error_memory(error);
    if (n) memcpy(copy, *text, n);
    *text = copy;
    return HEED_OK;
}

int32_t vet_text(registry *r, const char **text, uint32_t max, const char *what, heed_error *error)
{
    TRY(copy_text(r, text, 1, max, what, error));
    if (!is_printable(*text, 0)) FAIL("its %s is not printable UTF-8 in one line", what);
    return HEED_OK;
}

/* A text that may be left out, "" then, and may have several lines. */
static int32_t vet_prose(registry *r, const char **text, const char *what, heed_error *error)
{
    TRY(copy_text(r, text, 0, TEXT_MAX, what, error));
    if (!is_printable(*text, 1)) FAIL("its %s is not printable UTF-8", what);
    return HEED_OK;
}

static int32_t vet_word(registry *r, const char **text, const char *what, heed_error *error)
{
    TRY(copy_text(r, text, 1, WORD_MAX, what, error));
    if (!is_word(*text)) FAIL("its %s is not a word of [a-z0-9_]", what);
    return HEED_OK;
}

/* ---- tables ---- */

static uint32_t element_size(const heed_table *t, uint32_t i)
{
    uint32_t size; /* every struct's first field */
    memcpy(&size, (const char *)t->data + (size_t)i * t->stride, sizeof size);
    return size;
}

static int32_t check_table(const heed_table *t, const table_rule *rule, heed_error *error)
{
    const char *what = rule->what;
    if (t->count < rule->min || t->count > rule->max)
        FAIL("its table of %s has a count of %u; %u to %u are allowed", what, t->count, rule->min,
             rule->max);
    if (!t->count) return HEED_OK;
    if (!t->data) FAIL("its table of %s is missing (NULL)", what);
    if (t->stride < rule->known || t->stride > STRIDE_MAX)
        FAIL("its table of %s has a stride of %u; %u to %u are allowed", what, t->stride,
             rule->known, STRIDE_MAX);
    if ((t->stride | (uintptr_t)t->data) % _Alignof(uint64_t))
        FAIL("its table of %s is misaligned", what);
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t size = element_size(t, i);
        if (size < rule->known || size > t->stride)
            FAIL(
                "its table of %s has a size of %u in element %u; %u to %u, the stride, are allowed",
                what, size, i, rule->known, t->stride);
    }
    return HEED_OK;
}

int32_t vet_ops(const heed_table *ops, heed_error *error)
{
    return check_table(ops, &op_rule, error);
}

/* As much of a struct as both sides know. */
static void copy_struct(void *to, const void *from, uint32_t size, uint32_t full)
{
    memset(to, 0, full);
    memcpy(to, from, size < full ? size : full);
    memcpy(to, &full, sizeof full);
}

static int32_t copy_table(registry *r, heed_table *t, const table_rule *rule, heed_error *error)
{
    TRY(check_table(t, rule, error));
    char *copy = t->count ? registry_alloc(r, (size_t)t->count * rule->full) : NULL;
    if (t->count && !copy) return error_memory(error);
    for (uint32_t i = 0; i < t->count; i++) {
        const char *from = (const char *)t->data + (size_t)i * t->stride;
        copy_struct(copy + (size_t)i * rule->full, from, element_size(t, i), rule->full);
    }
    *t = (heed_table){copy, t->count, rule->full};
    return HEED_OK;
}

/* ---- ports ---- */

/* "... T M": letters between blanks; "..." only in front. */
static int32_t parse_axes(const char *text, port_axes *axes, heed_error *error)
{
    for (const char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        if (n == 3 && !memcmp(at, "...", 3) && !axes->leading && !axes->count) axes->leading = 1;
        else if (n != 1 || *at < 'A' || *at > 'Z')
            FAIL("its axes \"%s\" are not single capital letters, with \"...\" in front or not at "
                 "all",
                 text);
        else if (axes->count == HEED_MAX_RANK)
            FAIL("its axes \"%s\" are more than %d", text, HEED_MAX_RANK);
        else axes->letter[axes->count++] = *at;
        at += n;
    }
    return HEED_OK;
}

static int32_t check_port(registry *r, heed_port *p, port_axes *axes, heed_error *error)
{
    TRY(vet_word(r, &p->name, "name", error));
    TRY(vet_text(r, &p->axes, TEXT_MAX, "axes", error));
    TRY(vet_text(r, &p->doc, TEXT_MAX, "doc", error));
    if (p->role > HEED_OUTPUT) FAIL("its role %u is unknown", p->role);
    if (p->flags & ~(HEED_PORT_OPTIONAL | HEED_PORT_IN_PLACE | HEED_PORT_REPEATS))
        FAIL("its flags 0x%x are unknown", p->flags);
    if ((p->flags & HEED_PORT_IN_PLACE) && p->role != HEED_OUTPUT)
        FAIL("its flag IN_PLACE is for outputs only");
    if ((p->flags & HEED_PORT_REPEATS) && p->role != HEED_INPUT)
        FAIL("its flag REPEATS is for inputs only");
    const uint32_t blocks = p->role == HEED_WEIGHT ? HEED_BIT(HEED_Q8_0) | HEED_BIT(HEED_Q4_0) : 0;
    if (!(p->dtypes & ~blocks) || (p->dtypes & ~blocks) >= HEED_BIT(HEED_DTYPES))
        FAIL("its dtypes 0x%x are none or unknown", p->dtypes);
    if (p->scope > HEED_SCOPE_STACK) FAIL("its scope %u is unknown", p->scope);
    if (p->init > HEED_INIT_ONES) FAIL("its init %u is unknown", p->init);
    return parse_axes(p->axes, axes, error);
}

static uint32_t letters_of(const port_axes *axes)
{
    uint32_t set = 0;
    for (int i = 0; i < axes->count; i++) set |= 1u << (axes->letter[i] - 'A');
    return set;
}

static uint32_t letters_of_op(const entry *e)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < e->op.ports.count; i++) set |= letters_of(&e->axes[i]);
    for (uint32_t i = 0; i < e->op.params.count; i++)
        if (entry_param(e, i)->axis) set |= 1u << (entry_param(e, i)->axis - 'A');
    return set;
}

/* The engine must be able to tell every output's shape from what it has before the call. */
static int32_t check_outputs(const entry *e, heed_error *error)
{
    uint32_t known = 0, inputs = 0;
    int leading = 0;
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        uint32_t role = entry_port(e, i)->role;
        if (role == HEED_INPUT) inputs++, leading |= e->axes[i].leading;
        if (role != HEED_OUTPUT) known |= letters_of(&e->axes[i]);
    }
    for (uint32_t i = 0; i < e->op.params.count; i++)
        if (entry_param(e, i)->axis) known |= 1u << (entry_param(e, i)->axis - 'A');
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const heed_port *p = entry_port(e, i);
        if (p->role != HEED_OUTPUT) continue;
        if ((p->flags & HEED_PORT_IN_PLACE) && !inputs)
            FAIL("port %s is IN_PLACE, but there is no input", p->name);
        if (e->axes[i].leading && !leading)
            FAIL("port %s has the axes \"...\", which no input has", p->name);
        for (int a = 0; a < e->axes[i].count; a++)
            if (!(known & 1u << (e->axes[i].letter[a] - 'A')))
                FAIL("port %s has the axis %c, which no input, weight or param has", p->name,
                     e->axes[i].letter[a]);
    }
    return HEED_OK;
}

/* How long an axis of size 1 is to be, an input without which there is no call must say. */
static int32_t check_repeats(const entry *e, heed_error *error)
{
    uint32_t known = 0, repeats = 0;
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const heed_port *p = entry_port(e, i);
        if (p->role == HEED_INPUT && !(p->flags & (HEED_PORT_OPTIONAL | HEED_PORT_REPEATS)))
            known |= letters_of(&e->axes[i]);
    }
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const heed_port *p = entry_port(e, i);
        if (!(p->flags & HEED_PORT_REPEATS)) continue;
        if (++repeats > REPEATS_MAX) FAIL("more than %d of its ports are REPEATS", REPEATS_MAX);
        if (e->axes[i].leading) FAIL("port %s is REPEATS, but has the axes \"...\"", p->name);
        for (int a = 0; a < e->axes[i].count; a++)
            if (!(known & 1u << (e->axes[i].letter[a] - 'A')))
                FAIL("port %s is REPEATS, but no input that is always there has its axis %c",
                     p->name, e->axes[i].letter[a]);
    }
    return HEED_OK;
}

/* ---- params ---- */

/* Number of the words in "a|b|c"; 0 if one is malformed or there twice. */
static uint32_t count_choices(const char *text)
{
    uint32_t count = 0;
    for (const char *at = text;; at++) {
        size_t n = word_length(at);
        if (!n || n > WORD_MAX || (at[n] && at[n] != '|')) return 0;
        for (const char *before = text; before < at; before += word_length(before) + 1)
            if (word_length(before) == n && !memcmp(before, at, n)) return 0;
        count++;
        at += n;
        if (!*at) return count;
    }
}

static int32_t check_number(const heed_param *p, int has_standard, heed_error *error)
{
    if (!isfinite(p->min) || !isfinite(p->max) || p->min > p->max)
        FAIL("its range %g to %g is none", p->min, p->max);
    if (has_standard && !(p->standard >= p->min && p->standard <= p->max))
        FAIL("its default %g is outside its range %g to %g", p->standard, p->min, p->max);
    if (p->type == HEED_PARAM_FLOAT) return HEED_OK;
    if (p->min < -INT_LIMIT || p->max > INT_LIMIT)
        FAIL("its range %g to %g is beyond 2^62", p->min, p->max);
    if (p->min != floor(p->min) || p->max != floor(p->max) ||
        (has_standard && p->standard != floor(p->standard)))
        FAIL("its range or default is not of whole numbers");
    return HEED_OK;
}

static int32_t check_param(registry *r, heed_param *p, heed_error *error)
{
    int has_standard = !(p->flags & (HEED_PARAM_AUTO | HEED_PARAM_REQUIRED));
    TRY(vet_word(r, &p->key, "key", error));
    TRY(vet_text(r, &p->doc, TEXT_MAX, "doc", error));
    if (p->flags &
        ~(HEED_PARAM_AUTO | HEED_PARAM_REQUIRED | HEED_PARAM_RUNTIME | HEED_PARAM_COUPLES))
        FAIL("its flags 0x%x are unknown", p->flags);
    if ((p->flags & HEED_PARAM_AUTO) && (p->flags & HEED_PARAM_REQUIRED))
        FAIL("its flags AUTO and REQUIRED exclude each other");
    if (p->axis && (p->axis < 'A' || p->axis > 'Z'))
        FAIL("its axis %u is no capital letter", p->axis);
    if (p->axis && (p->type != HEED_PARAM_INT || p->min < 0))
        FAIL("its axis %c needs the type INT and a range from 0 on", p->axis);
    if (!has_standard) p->standard = 0;

    /* What the type does not use is overwritten, so that nothing unchecked is left in the copy. */
    switch (p->type) {
    case HEED_PARAM_INT:
    case HEED_PARAM_FLOAT:
        p->choices = NULL;
        return check_number(p, has_standard, error);
    case HEED_PARAM_BOOL:
        p->choices = NULL;
        p->min = 0;
        p->max = 1;
        return check_number(p, has_standard, error);
    case HEED_PARAM_CHOICE:
        TRY(copy_text(r, &p->choices, 1, TEXT_MAX, "choices", error));
        p->min = 0;
        p->max = (double)count_choices(p->choices) - 1;
        if (p->max < 0) FAIL("its choices are not different words of [a-z0-9_] between '|'");
        return check_number(p, has_standard, error);
    case HEED_PARAM_OP:
        TRY(vet_word(r, &p->choices, "kind of op", error));
        p->min = p->max = 0;
        if (has_standard) FAIL("it is an op, which has no default: AUTO or REQUIRED must be set");
        if (p->flags & HEED_PARAM_RUNTIME) FAIL("it is an op, which cannot be RUNTIME");
        return HEED_OK;
    }
    FAIL("its type %u is unknown", p->type);
}

/* ---- paths ---- */

/* Bits of `needs` that are not known are legal: they name what no machine here has. */
static int32_t check_path(registry *r, heed_path *p, heed_error *error)
{
    TRY(vet_word(r, &p->name, "name", error));
    if (p->flags & ~HEED_PATH_INEXACT) FAIL("its flags 0x%x are unknown", p->flags);
    if (!p->forward && !p->get_extension)
        FAIL("it has no function: forward or get_extension must be set");
    return HEED_OK;
}

static int32_t check_paths(const entry *e, heed_error *error)
{
    uint32_t n = e->op.paths.count, forward = 0, outputs = 0;
    if (entry_path(e, 0)->needs)
        FAIL("path %s, the first, does not run everywhere (needs is not 0)",
             entry_path(e, 0)->name);
    if (entry_path(e, 0)->flags & HEED_PATH_INEXACT)
        FAIL("path %s, the first, is INEXACT: it is what the others are held against",
             entry_path(e, 0)->name);
    for (uint32_t i = 0; i < n; i++) forward += entry_path(e, i)->forward != NULL;
    if (forward && forward != n)
        FAIL("only %u of its %u paths have the function forward", forward, n);
    for (uint32_t i = 0; i < e->op.ports.count; i++)
        outputs += entry_port(e, i)->role == HEED_OUTPUT;
    if (forward && !outputs) FAIL("its paths have the function forward, but no port is an output");
    return HEED_OK;
}

/* ---- the operator ---- */

/* An element's sentence, with its place in front: "port 2 (out): its axes ...". */
static int32_t at_element(heed_error *error, const char *what, uint32_t i, const char *name,
                          const heed_error *why)
{
    int known = name && strnlen(name, WORD_MAX + 1) <= WORD_MAX && is_word(name);
    return error_set(error, why->code, "%s %u (%s): %s", what, i, known ? name : "?", why->text);
}

/* Each element of the three tables in turn; `name` of each must differ from the ones before. */
#define CHECK_EACH(what, type, table, name, call)                                                  \
    do {                                                                                           \
        type *t = (type *)(e->op.table.data);                                                      \
        for (uint32_t i = 0; i < e->op.table.count; i++) {                                         \
            heed_error why = {0};                                                                  \
            if (call) return at_element(error, what, i, t[i].name, &why);                          \
            for (uint32_t j = 0; j < i; j++)                                                       \
                if (!strcmp(t[j].name, t[i].name))                                                 \
                    FAIL("%ss %u and %u are both named %s", what, j, i, t[i].name);                \
        }                                                                                          \
    } while (0)

static int32_t check_op(registry *r, entry *e, heed_error *error)
{
    heed_op *op = &e->op;
    TRY(vet_text(r, &op->version, WORD_MAX, "version", error));
    TRY(vet_text(r, &op->summary, TEXT_MAX, "summary", error));
    TRY(vet_prose(r, &op->formula, "formula", error));
    TRY(vet_prose(r, &op->reference, "reference", error));
    if (op->acts > HEED_ACTS_SCORES) FAIL("its field acts is %u, which is unknown", op->acts);
    if (op->masks >> HEED_MASK_KINDS) FAIL("its masks 0x%x are unknown", op->masks);
    if (op->reserved) FAIL("its reserved field is not 0");
    if (!op->measure) FAIL("its function measure is missing (NULL)");
    if (!op->init) FAIL("its function init is missing (NULL)");
    TRY(copy_table(r, &op->ports, &port_rule, error));
    TRY(copy_table(r, &op->params, &param_rule, error));
    TRY(copy_table(r, &op->paths, &path_rule, error));
    CHECK_EACH("port", heed_port, ports, name, check_port(r, t + i, &e->axes[i], &why));
    CHECK_EACH("param", heed_param, params, key, check_param(r, t + i, &why));
    CHECK_EACH("path", heed_path, paths, name, check_path(r, t + i, &why));
    e->letters = letters_of_op(e);
    TRY(check_outputs(e, error));
    TRY(check_repeats(e, error));
    return check_paths(e, error);
}

entry *vet_op(registry *r, const heed_op *op, const char *plugin, heed_error *error)
{
    heed_error why = {0};
    const char *id = NULL;
    entry *e = registry_alloc(r, sizeof *e);
    if (!e) {
        error_memory(error);
        return NULL;
    }
    copy_struct(&e->op, op, op->size, sizeof e->op);
    e->plugin = plugin;
    if (!copy_text(r, &e->op.id, 1, WORD_MAX, "id", &why)) {
        if (is_id(e->op.id)) id = e->op.id;
        else error_set(&why, HEED_E_DATA, "its id is not kind/name of [a-z0-9_]");
    }
    if (id && !check_op(r, e, &why)) return e;
    error_set(error, why.code, "op %s: %s", id ? id : "?", why.text);
    return NULL;
}
