/* SPDX-License-Identifier: MIT
 *
 * shape.c: the words of --shape: read, completed, checked against an op's ports, printed.
 *
 * Invariant: what is printed reads back as the same shape, and names all that the tensors depend
 * on.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heed/abi/axes.h>

#include "base/error.h"
#include "command/operands.h"
#include "command/options.h"
#include "command/shape.h"

/* What a size is if it is not given: the rows of abi/axes.h. Shapes are printed in this order
 * too. */
#define STANDARD(axis, name, factor, axes, parts) {axis, factor, axes, parts},
static const struct standard {
    char axis;
    int64_t factor; /* 0: it has no standard size */
    const char *axes;
    char parts;
} standards[] = {HEED_AXES_TABLE(STANDARD)};
#define STANDARDS (sizeof standards / sizeof *standards)
#define UNKNOWN 64 /* an axis that only its plugin knows */

/* Words other than axes, and the optional port that is there because of them. */
static const struct word {
    const char *key;
    size_t at; /* in call_shape */
    const char *port;
} words[] = {
    {"L", offsetof(call_shape, key_lengths), "key_lengths"},
    {"documents", offsetof(call_shape, documents), "documents"},
    {"decode", offsetof(call_shape, decode), NULL},
    {"new", offsetof(call_shape, fresh), NULL},
    {"forks", offsetof(call_shape, forks), NULL},
    {"pitch", offsetof(call_shape, pitch), NULL},
    {"shift", offsetof(call_shape, shift), NULL},
};
#define WORDS (sizeof words / sizeof *words)

/* Optional ports that take part unasked: what a network has in that place. */
static const struct usual {
    uint32_t role;
    const char *port;
} usual[] = {{HEED_WEIGHT, "gain"},
             {HEED_WEIGHT, "bias"},
             {HEED_WEIGHT, "relative_values"},
             {HEED_INPUT, "draw"}};

static int64_t *word_size(call_shape *shape, size_t w)
{
    return (int64_t *)(void *)((char *)shape + words[w].at);
}
static int64_t word_value(const call_shape *shape, size_t w)
{
    return *(const int64_t *)(const void *)((const char *)shape + words[w].at);
}

/* ---- reading ---- */

static int read_size(const char *at, const char **end, int64_t *size)
{
    int64_t n = 0;
    for (*end = at; **end >= '0' && **end <= '9' && n < (int64_t)1 << 31; (*end)++)
        n = 10 * n + (**end - '0');
    *size = n;
    return *end > at && n > 0 && n < (int64_t)1 << 31;
}

static int is_key(const char *at, size_t length, const char *key)
{
    return strlen(key) == length && !memcmp(at, key, length);
}

/* Where the number of that key goes; NULL: no key. */
static int64_t *number_of(call_shape *shape, const char *at, size_t length)
{
    for (size_t w = 0; w < WORDS; w++)
        if (is_key(at, length, words[w].key)) return word_size(shape, w);
    return length == 1 && *at >= 'A' && *at <= 'Z' ? &SHAPE_AXIS(shape, *at) : NULL;
}

/* "span:0.1+0.5": the end, or NULL if it is none. */
static const char *read_values(const char *at)
{
    size_t name = strcspn(at, ":+,=");
    if (!name || at[name] != ':') return NULL;
    for (char *end = (char *)(uintptr_t)(at + name);;) {
        const char *number = end + 1;
        if (!strchr("-.0123456789", *number) || !*number) return NULL;
        if (!isfinite(strtod(number, &end)) || end == number) return NULL;
        if (*end != '+') return *end && *end != ',' ? NULL : end;
    }
}

/* A word that --shape has not, and those that it has. */
static int unknown_word(const char *text, const char *at, size_t length)
{
    static const char *const others[] = {"x", "with", "values"};
    const char *names[WORDS + 3];
    char word[64], list[160] = "";
    for (size_t w = 0; w < WORDS; w++) names[w] = words[w].key;
    memcpy(names + WORDS, others, sizeof others);
    snprintf(word, sizeof word, "%.*s", (int)(length < 48 ? length : 48), at);
    const char *near = error_nearest(word, names, WORDS + 3);
    error_list(list, sizeof list, "; it has axes, capital letters, and ", names, WORDS + 3);
    return options_usage("--shape takes sizes from 1 on, such as B=1,H=8,T=2048,D=64, not " QUOTE
                         ": it has no \"%s\"%s%s%s",
                         QUOTED(text), word, near ? ", the nearest is " : "", near ? near : "",
                         list);
}

int shape_read(const char *text, call_shape *shape)
{
    *shape = (call_shape){.n_leading = 0};
    for (int a = 0; a < HEED_AXES; a++) shape->axis[a] = -1;
    for (const char *at = text, *end;; at = end + 1) {
        size_t length = strcspn(at, "=");
        int leading = is_key(at, length, "x"), with = is_key(at, length, "with"),
            values = is_key(at, length, "values");
        int64_t *size = number_of(shape, at, length);
        if (!at[length]) break;
        if (!(size || leading || with || values)) return unknown_word(text, at, length);
        if (leading  ? shape->n_leading > 0
            : with   ? !!shape->with
            : values ? !!shape->values
                     : *size > 0)
            return options_usage("--shape " QUOTE " has %.*s twice", QUOTED(text), (int)length, at);
        const char *value = at + length + 1;
        if (with) {
            shape->with = value;
            end = value + strcspn(value, ",");
            if (end == value)
                return options_usage(
                    "--shape: with= takes names of ports, such as with=residual+sum");
        } else if (values) {
            shape->values = value;
            if (!(end = read_values(value)))
                return options_usage("--shape: values= takes a weight and its numbers, such as "
                                     "values=span:0.1+0.5, not " QUOTE,
                                     QUOTED(value));
        } else if (!read_size(value, &end, leading ? &shape->leading[shape->n_leading++] : size)) {
            break;
        }
        while (leading && *end == 'x' && shape->n_leading < HEED_MAX_RANK - 1)
            if (!read_size(end + 1, &end, &shape->leading[shape->n_leading++]))
                return options_usage("--shape takes x=3x5, sizes from 1 on, not " QUOTE,
                                     QUOTED(text));
        if (!*end) return 0;
        if (*end != ',') break;
    }
    return options_usage("--shape takes sizes from 1 on, such as B=1,H=8,T=2048,D=64, not " QUOTE,
                         QUOTED(text));
}

/* ---- numbers of a weight ---- */

int shape_gives(const call_shape *shape, const heed_port *port)
{
    return shape->values && port->role == HEED_WEIGHT &&
           is_key(shape->values, strcspn(shape->values, ":"), port->name);
}

double shape_value(const call_shape *shape, const char **at)
{
    char *end;
    const char *from = *at && **at == '+' ? *at + 1 : strchr(shape->values, ':') + 1;
    double x = strtod(from, &end);
    *at = end;
    return x;
}

int64_t shape_values(const call_shape *shape)
{
    int64_t n = 1;
    for (const char *at = shape->values; *at && *at != ','; at++) n += *at == '+';
    return n;
}

int32_t shape_given(const call_shape *shape, operands *const *calls, uint32_t n, heed_error *error)
{
    for (uint32_t i = 0; shape->values && i < n; i++)
        for (uint32_t p = 0; p < calls[i]->entry->op.ports.count; p++)
            if (shape_gives(shape, entry_port(calls[i]->entry, p))) return HEED_OK;
    if (!shape->values) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "no op here has a weight \"%.*s\", whose numbers --shape gives by values=",
                     (int)strcspn(shape->values, ":") < 48 ? (int)strcspn(shape->values, ":") : 48,
                     shape->values);
}

/* ---- what differs ---- */

int64_t shape_number(const call_shape *shape, const char *key)
{
    call_shape copy = *shape;
    return *number_of(&copy, key, strlen(key));
}

/* The k-th key of a number; NULL behind the last. */
static const char *number_key(size_t k, char letter[2])
{
    if (k >= HEED_AXES) return k - HEED_AXES < WORDS ? words[k - HEED_AXES].key : NULL;
    letter[0] = (char)('A' + k), letter[1] = 0;
    return letter;
}

static int same_text(const char *a, const char *b) /* of with=, up to its comma */
{
    if (!a || !b) return a == b;
    return strcspn(a, ",") == strcspn(b, ",") && !strncmp(a, b, strcspn(a, ","));
}

int32_t shape_varies(const call_shape *shapes, uint32_t n, char key[16], heed_error *error)
{
    char letter[2];
    const char *at;
    *key = 0;
    for (size_t k = 0; (at = number_key(k, letter)); k++) {
        int differs = 0, absent = 0;
        for (uint32_t i = 0; i < n; i++) {
            differs |= shape_number(&shapes[i], at) != shape_number(&shapes[0], at);
            absent |= shape_number(&shapes[i], at) <= 0;
        }
        if (!differs) continue;
        if (*key)
            return error_set(error, HEED_E_ARGUMENT,
                             "both %s and %s differ between the shapes, and a plot has room "
                             "for one",
                             key, at);
        if (absent)
            return error_set(error, HEED_E_ARGUMENT, "%s must be said in every --shape, or in none",
                             at);
        snprintf(key, 16, "%s", at);
    }
    for (uint32_t i = 1; i < n; i++)
        if (shapes[i].n_leading != shapes[0].n_leading ||
            !same_text(shapes[i].with, shapes[0].with) ||
            !same_text(shapes[i].values, shapes[0].values) ||
            memcmp(shapes[i].leading, shapes[0].leading, sizeof shapes[0].leading))
            return error_set(error, HEED_E_ARGUMENT,
                             "x=, with= and values= must be the same in every --shape of a "
                             "plot");
    if (*key) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "a plot needs two sizes or more, such as --shape T=512 --shape T=1024");
}

/* ---- ports ---- */

/* The next name of with=, from `at` on; its length, 0 behind the last. */
static size_t next_name(const char **at, const char *after)
{
    if (after && *after != '+') return 0;
    if (after) *at = after + 1;
    return *at ? strcspn(*at, "+,") : 0;
}
#define EACH_NAME(shape, name, length)                                                             \
    const char *name = (shape)->with;                                                              \
    for (size_t length = next_name(&name, NULL); length; length = next_name(&name, name + length))

static int asked(const call_shape *shape, const char *port)
{
    for (size_t w = 0; w < WORDS; w++)
        if (words[w].port && !strcmp(words[w].port, port) && word_value(shape, w)) return 1;
    EACH_NAME(shape, name, length)
        if (is_key(name, length, port)) return 1;
    return 0;
}

static int is_usual(const heed_port *p)
{
    for (size_t u = 0; u < sizeof usual / sizeof *usual; u++)
        if (p->role == usual[u].role && !strcmp(p->name, usual[u].port)) return 1;
    return 0;
}

int shape_takes(const call_shape *shape, const heed_port *p)
{
    return !(p->flags & HEED_PORT_OPTIONAL) || is_usual(p) || asked(shape, p->name);
}

static int32_t check_port(const entry *e, const char *key, const char *name, size_t length,
                          heed_error *error)
{
    char list[256] = "";
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const heed_port *port = entry_port(e, p);
        size_t n = strlen(list);
        if (!(port->flags & HEED_PORT_OPTIONAL)) continue;
        if (is_key(name, length, port->name)) return HEED_OK;
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", port->name);
    }
    return error_set(error, HEED_E_ARGUMENT,
                     "%s has no optional port \"%.*s\", which --shape asks for by %s=; it has %s",
                     e->op.id, (int)(length < 48 ? length : 48), name, key, *list ? list : "none");
}

int32_t shape_check(const call_shape *shape, const entry *e, heed_error *error)
{
    int32_t failed = HEED_OK;
    if ((shape->fresh || shape->forks) && shape->decode <= shape->fresh)
        return error_set(
            error, HEED_E_ARGUMENT,
            "%s: %s=%lld is of a call that decodes, so decode=N goes with it, and N is "
            "more than new",
            e->op.id, shape->fresh ? "new" : "forks",
            (long long)(shape->fresh ? shape->fresh : shape->forks));
    for (size_t w = 0; w < WORDS && !failed; w++)
        if (words[w].port && word_value(shape, w))
            failed = check_port(e, words[w].key, words[w].port, strlen(words[w].port), error);
    EACH_NAME(shape, name, length)
        if (!failed) failed = check_port(e, "with", name, length, error);
    return failed;
}

/* ---- completing ---- */

void shape_fill(call_shape *shape, const resolved *op)
{
    resolve_axes(op, shape->axis, 0);
    int stateful = op->entry->op.measure_state != NULL;
    if (shape->decode) { /* an op without a state sees all keys as inputs */
        SHAPE_AXIS(shape, 'T') = shape_new(shape);
        SHAPE_AXIS(shape, 'S') = stateful ? shape_new(shape) : shape->decode;
    }
    for (size_t i = 0; i < STANDARDS; i++) {
        if (!standards[i].factor || SHAPE_AXIS(shape, standards[i].axis) >= 0) continue;
        const int64_t tokens = shape->decode ? shape->decode : SHAPE_AXIS(shape, 'T');
        int64_t size = standards[i].factor;
        for (const char *a = standards[i].axes; *a; a++)
            size *= *a == '.' ? tokens : SHAPE_AXIS(shape, *a);
        if (standards[i].parts) size = (size - 1) / SHAPE_AXIS(shape, standards[i].parts) + 1;
        SHAPE_AXIS(shape, standards[i].axis) = size;
    }
    for (int a = 0; a < HEED_AXES; a++)
        if (shape->axis[a] < 0) shape->axis[a] = UNKNOWN, shape->guessed |= 1u << a;
    if (!shape->n_leading) shape->leading[shape->n_leading++] = SHAPE_AXIS(shape, 'T');
    if (asked(shape, "key_lengths") && !shape->key_lengths)
        shape->key_lengths = SHAPE_AXIS(shape, 'S');
    if (asked(shape, "documents") && !shape->documents) shape->documents = 1;
}

int shape_guesses(const call_shape *shape, const entry *e, char axis)
{
    int used = 0;
    for (uint32_t p = 0; p < e->op.ports.count; p++) used |= entry_has_axis(e, p, axis);
    return used && shape->guessed >> (axis - 'A') & 1;
}

/* ---- printing ---- */

/* Whether a tensor of the call has the axis; '.': leading ones. */
static int uses(const operands *c, char axis)
{
    int used = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (c->tensor[p].rank >= 0)
            used |= axis == '.' ? c->entry->axes[p].leading : entry_has_axis(c->entry, p, axis);
    return used;
}

static void put(operands *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(operands *c, const char *format, ...)
{
    size_t n = strlen(c->text);
    va_list list;
    va_start(list, format);
    /* the first of them without its comma */
    vsnprintf(c->text + n, sizeof c->text - n, format + (n == 0), list);
    va_end(list);
}

/* Optional ports that are there because their name was asked for, in the op's order. */
static void print_with(operands *c)
{
    const char *before = ",with=";
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        const heed_port *port = entry_port(c->entry, p);
        int own_key = 0;
        for (size_t w = 0; w < WORDS; w++)
            own_key |= words[w].port && !strcmp(words[w].port, port->name);
        if (c->tensor[p].rank < 0 || !(port->flags & HEED_PORT_OPTIONAL) || is_usual(port) ||
            own_key)
            continue;
        put(c, "%s%s", before, port->name);
        before = "+";
    }
}

/* Without the sizes that follow from others, S=T, G=H, E=D. */
void shape_print(operands *c)
{
    static const char follow[][2] = {{'S', 'T'}, {'G', 'H'}, {'E', 'D'}};
    const call_shape *s = &c->shape;
    /* leading axes are T rows */
    int rows = s->n_leading == 1 && s->leading[0] == SHAPE_AXIS(s, 'T');
    char letters[HEED_AXES + 1] = "";
    for (size_t i = 0; i < STANDARDS; i++)
        if (standards[i].factor) letters[strlen(letters)] = standards[i].axis;
    for (char a = 'A'; a <= 'Z'; a++)
        if (!strchr(letters, a)) letters[strlen(letters)] = a;
    c->text[0] = 0;
    for (int i = 0; !rows && uses(c, '.') && i < s->n_leading; i++)
        put(c, i ? "x%lld" : ",x=%lld", (long long)s->leading[i]);
    for (const char *a = letters; *a; a++) {
        int left_out = !uses(c, *a) && !(*a == 'T' && rows && uses(c, '.'));
        for (size_t i = 0; i < sizeof follow / sizeof *follow; i++)
            left_out |= *a == follow[i][0] && SHAPE_AXIS(s, *a) == SHAPE_AXIS(s, follow[i][1]);
        left_out |= c->stateful && (*a == 'T' || *a == 'S');
        if (!left_out) put(c, ",%c=%lld", *a, (long long)SHAPE_AXIS(s, *a));
    }
    for (size_t w = 0; w < WORDS; w++)
        if (word_value(s, w) && (words[w].at < offsetof(call_shape, decode) ||
                                 words[w].at > offsetof(call_shape, forks) || c->stateful))
            put(c, ",%s=%lld", words[w].key, (long long)word_value(s, w));
    print_with(c);
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (c->tensor[p].rank >= 0 && shape_gives(s, entry_port(c->entry, p)))
            put(c, ",values=%.*s", (int)strcspn(s->values, ","), s->values);
}
