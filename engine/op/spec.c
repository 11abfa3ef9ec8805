/* SPDX-License-Identifier: MIT
 *
 * spec.c: a config string to a tree, a tree to text, and errors that point at a place of the text.
 *
 *     op     = word [ "(" [ arg { "," arg } ] ")" ]          attention/softmax(position=alibi,
 * causal=true) arg    = word "=" value | op value  = op | "[" item { "," item } "]" item   = op [
 * "x" digits ]                             a x5 stack  = word "=" value { ";" word "=" value } [
 * ";" ] word   = { letter | digit | one of _ . / : + - }
 *
 * It knows no op and no key: what the words mean is for resolve.c and stack_plan.c. The text is
 * hostile. Invariants: time and memory are linear in the text, recursion is at most SPEC_DEPTH
 * deep, and every part of the tree is reachable from the spec as soon as it is allocated, so a
 * failure anywhere is cleaned up by spec_free alone.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/spec.h"

#define TEXT_MAX (1u << 24) /* bytes of a spec: counts fit 32 bits */
/* of one op: every key is compared with those before it, and no op has more */
#define ARGS_MAX 128u
#define REPEAT_MAX 10000

/* An error shows so many columns of the line before its place, and from it on: then all fits into
 * heed_error.text. */
#define SHOWN_BEFORE 60
#define SHOWN_AFTER 40
#define SENTENCE 640

typedef struct parser {
    spec *s;
    size_t at;      /* the next byte */
    size_t behind;  /* the end of the last token: where "the spec ends" points */
    uint32_t depth; /* of open brackets */
    heed_error *error;
} parser;
#define FAIL(p, at, ...) spec_error((p)->s, at, (p)->error, __VA_ARGS__)

/* ---- errors ---- */

static int is_plain(char c) { return c >= 32 && c < 127; }

/* Columns that a byte takes in the line shown: what is not ASCII becomes \xNN, a tab or CR one
 * blank. */
static int columns(char c) { return is_plain(c) || c == '\t' || c == '\r' ? 1 : 4; }

/* "  the line" and "  caret" for the place, at most 2 * (2 + 3 + SHOWN_BEFORE + SHOWN_AFTER + 3) +
 * 6 characters. */
static void show_place(char *out, size_t size, const char *text, size_t at)
{
    char line[SHOWN_BEFORE + SHOWN_AFTER + 8];
    size_t first = at, n = 0;
    int before = 0, after = 0;

    while (first && text[first - 1] != '\n' && before + columns(text[first - 1]) <= SHOWN_BEFORE) {
        before += columns(text[--first]);
    }
    const char *cut = first && text[first - 1] != '\n' ? "..." : "";
    for (size_t i = first; text[i] && text[i] != '\n'; i++) {
        if (i >= at && (after += columns(text[i])) > SHOWN_AFTER) {
            n += (size_t)snprintf(line + n, sizeof line - n, "...");
            break;
        }
        if (columns(text[i]) == 4)
            n += (size_t)snprintf(line + n, sizeof line - n, "\\x%02X", (unsigned char)text[i]);
        else line[n++] = is_plain(text[i]) ? text[i] : ' ';
    }
    line[n] = 0;
    snprintf(out, size, "  %s%s\n  %*s^", cut, line, (int)strlen(cut) + before, "");
}

int32_t spec_error(const spec *s, size_t at, heed_error *error, const char *format, ...)
{
    char sentence[SENTENCE], place[2 * (SHOWN_BEFORE + SHOWN_AFTER) + 32];
    size_t line = 1, start = 0;
    va_list list;
    va_start(list, format);
    int written = vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    if (written >= (int)sizeof sentence) memcpy(sentence + sizeof sentence - 4, "...", 4);

    for (size_t i = 0; i < at; i++) {
        if (s->text[i] != '\n') continue;
        line++;
        start = i + 1;
    }
    show_place(place, sizeof place, s->text, at);
    size_t column = at - start + 1;
    return error_set(error, HEED_E_ARGUMENT, "spec, line %zu, column %zu: %s\n%s", line, column,
                     sentence, place);
}

/* ---- tokens ---- */

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static int is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           (c && strchr("_./:+-", c));
}

/* Skips blanks and comments; returns the byte that comes next, 0 at the end. */
static char next(parser *p)
{
    const char *text = p->s->text;
    for (;;) {
        p->at += strspn(text + p->at, " \t\r\n");
        if (text[p->at] != '#') return text[p->at];
        p->at += strcspn(text + p->at, "\n");
    }
}

static void take(parser *p) { p->behind = ++p->at; }

static size_t word_length(const parser *p)
{
    size_t n = 0;
    while (is_word(p->s->text[p->at + n])) n++;
    return n;
}

/* Says what would be right, and what stands there. */
static int32_t expected(parser *p, const char *what)
{
    char c = next(p);
    int length = (int)word_length(p);
    const char *found = p->s->text + p->at, *cut = length > 48 ? "..." : "";
    if (!c) return FAIL(p, p->behind, "expected %s, but the spec ends", what);
    if (length)
        return FAIL(p, p->at, "expected %s, not \"%.*s%s\"", what, length > 48 ? 48 : length, found,
                    cut);
    if (is_plain(c)) return FAIL(p, p->at, "expected %s, not '%c'", what, c);
    return FAIL(p, p->at,
                "expected %s, not the byte \\x%02X; only comments may have more than plain ASCII",
                what, (unsigned char)c);
}

static int32_t read_word(parser *p, const char *what, char **word)
{
    next(p);
    size_t length = word_length(p);
    if (!length) return expected(p, what);
    *word = strndup(p->s->text + p->at, length);
    if (!*word) return error_memory(p->error);
    p->behind = p->at += length;
    return HEED_OK;
}

/* ---- the grammar: each function reads into a slot of the tree ---- */

static int32_t new_node(parser *p, uint32_t type, size_t at, spec_node **slot)
{
    *slot = calloc(1, sizeof **slot);
    if (!*slot) return error_memory(p->error);
    (*slot)->type = type;
    (*slot)->at = at;
    (*slot)->repeat = 1;
    return HEED_OK;
}

static int32_t open_bracket(parser *p)
{
    if (p->depth == SPEC_DEPTH) return FAIL(p, p->at, "nested deeper than %d levels", SPEC_DEPTH);
    p->depth++;
    take(p);
    return HEED_OK;
}

/* Behind an element: 1 = another one follows, 0 = the bracket is closed, or an error. */
static int32_t another(parser *p, char close, size_t opened)
{
    char c = next(p);
    if (c == ',' || c == close) {
        take(p);
        if (c == close) p->depth--;
        return c == ',';
    }
    if (!c) return FAIL(p, opened, "'%c' is never closed", p->s->text[opened]);
    return expected(p, close == ')' ? "',' or ')'" : "',' or ']'");
}

static int32_t read_args(parser *p, spec_node *n);
static int32_t read_value(parser *p, spec_node **slot);

/* The op or word that begins with `word`, which it takes over. */
static int32_t read_op(parser *p, char **word, size_t at, spec_node **slot)
{
    int32_t code = new_node(p, SPEC_WORD, at, slot);
    if (code) return code;
    (*slot)->word = *word;
    *word = NULL;
    return next(p) == '(' ? read_args(p, *slot) : HEED_OK;
}

/* "x5" behind an item. */
static int32_t read_repeat(parser *p, spec_node *n)
{
    const char *text = p->s->text + p->at;
    size_t length = word_length(p);
    if (length < 2 || text[0] != 'x' || strspn(text + 1, "0123456789") != length - 1)
        return HEED_OK;
    int64_t count = strtoll(text + 1, NULL, 10); /* too large becomes INT64_MAX */
    if (count < 1 || count > REPEAT_MAX) {
        return FAIL(p, p->at, "the repeat count is %.*s, but must be from 1 to %d",
                    length > 25 ? 24 : (int)length - 1, text + 1, REPEAT_MAX);
    }
    n->repeat = count;
    p->behind = p->at += length;
    return HEED_OK;
}

static int32_t read_list(parser *p, spec_node **slot)
{
    size_t opened = p->at;
    int32_t code = new_node(p, SPEC_LIST, opened, slot);
    if (code || (code = open_bracket(p))) return code;
    do {
        spec_node *list = *slot;
        if (next(p) == '[') return FAIL(p, p->at, "a list can not hold a list");
        spec_node **item = grow_append(&list->items, &list->n_items, sizeof *item);
        if (!item) return error_memory(p->error);
        if ((code = read_value(p, item))) return code;
        next(p);
        if ((code = read_repeat(p, *item))) return code;
    } while ((code = another(p, ']', opened)) == 1);
    return code;
}

static int32_t read_value(parser *p, spec_node **slot)
{
    char *word = NULL;
    if (next(p) == '[') return read_list(p, slot);
    size_t at = p->at;
    int32_t code = read_word(p, "a value", &word);
    if (!code) code = read_op(p, &word, at, slot);
    free(word);
    return code;
}

/* One "key=value", or, for an op's arguments, an op alone. */
static int32_t read_arg(parser *p, int positional, spec_arg **args, uint32_t *n_args)
{
    next(p);
    size_t at = p->at;
    if (*n_args == ARGS_MAX) return FAIL(p, at, "more than %u arguments", ARGS_MAX);
    int32_t code;
    spec_arg *arg = grow_append(args, n_args, sizeof *arg);
    if (!arg) return error_memory(p->error);
    arg->key_at = at;

    if ((code = read_word(p, positional ? "a key or an op" : "a key", &arg->key))) return code;
    if (next(p) != '=')
        return positional ? read_op(p, &arg->key, at, &arg->value)
                          : expected(p, "'=' behind the key");
    take(p);
    for (const spec_arg *a = *args; a < arg; a++) {
        if (!a->key || strcmp(a->key, arg->key)) continue;
        return FAIL(p, at, QUOTE " is given twice", QUOTED(arg->key));
    }
    return read_value(p, &arg->value);
}

static int32_t read_args(parser *p, spec_node *n)
{
    size_t opened = p->at;
    int32_t code = open_bracket(p);
    if (code) return code;
    n->has_args = 1;
    if (next(p) == ')') return another(p, ')', opened);
    do {
        if ((code = read_arg(p, 1, &n->args, &n->n_args))) return code;
    } while ((code = another(p, ')', opened)) == 1);
    return code;
}

static int32_t read_stack(parser *p)
{
    do {
        int32_t code = read_arg(p, 0, &p->s->keys, &p->s->n_keys);
        if (code) return code;
        if (next(p) != ';') return next(p) ? expected(p, "';'") : HEED_OK;
        take(p);
    } while (next(p));
    return HEED_OK;
}

static int32_t read_spec(parser *p, int stack)
{
    char *word = NULL;
    if (!next(p)) return FAIL(p, 0, "the spec is empty");
    if (stack) return read_stack(p);

    size_t at = p->at;
    int32_t code = read_word(p, "the name of an op", &word);
    if (!code) code = read_op(p, &word, at, &p->s->op);
    free(word);
    if (code || !next(p)) return code;
    return expected(p, p->s->op->has_args ? "the end of the spec" : "'(' or the end of the spec");
}

spec *spec_parse(const char *text, int stack, heed_error *error)
{
    size_t length = text ? strlen(text) : 0;
    if (!text || length > TEXT_MAX) {
        if (!text) error_set(error, HEED_E_ARGUMENT, "no spec is given");
        else
            error_set(error, HEED_E_ARGUMENT, "the spec has %zu bytes, but at most %u are read",
                      length, TEXT_MAX);
        return NULL;
    }
    spec *s = calloc(1, sizeof *s);
    if (s) s->text = strdup(text);
    if (!s || !s->text) {
        free(s);
        error_memory(error);
        return NULL;
    }
    parser p = {.s = s, .error = error};
    if (read_spec(&p, stack)) {
        spec_free(s);
        return NULL;
    }
    return s;
}

static void free_args(spec_arg *args, uint32_t n);

static void free_node(spec_node *n)
{
    if (!n) return;
    free_args(n->args, n->n_args);
    for (uint32_t i = 0; i < n->n_items; i++) free_node(n->items[i]);
    free(n->items);
    free(n->word);
    free(n);
}

static void free_args(spec_arg *args, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free(args[i].key);
        free_node(args[i].value);
    }
    free(args);
}

void spec_free(spec *s)
{
    if (!s) return;
    free_node(s->op);
    free_args(s->keys, s->n_keys);
    free(s->text);
    free(s);
}

/* ---- values ---- */

/* [sign] digits [. digits] [e [sign] digits]; strtod alone would take "inf", "nan" and hexadecimal
 * too. */
static int is_number(const char *w)
{
    w += *w == '+' || *w == '-';
    size_t whole = strspn(w, "0123456789"), part = 0;
    w += whole;
    if (*w == '.') w += 1 + (part = strspn(w + 1, "0123456789"));
    if (!whole && !part) return 0;
    if (*w == 'e' || *w == 'E') {
        w++;
        w += *w == '+' || *w == '-';
        if (!is_digit(*w)) return 0;
        w += strspn(w, "0123456789");
    }
    return !*w;
}

/* strtod with the point as decimal sign, whatever setlocale was told. -0 becomes 0: they are
 * written the same way. */
static double read_number(const char *word)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    /* glibc and musl have this locale without an allocation */
    if (!c) return strtod(word, NULL) + 0.0;
    double f = strtod_l(word, NULL, c) + 0.0;
    freelocale(c);
    return f;
}

/* Starts at printf's usual 6 digits: fewer would only turn 500000 into 5e+05. */
void spec_number(char text[32], double f)
{
    for (int digits = 6; digits <= 17; digits++) {
        char plain[48];
        size_t n = 0;
        snprintf(plain, sizeof plain, "%.*g", digits, f);
        for (const char *c = plain; *c; c++) {
            if (is_word(*c)) text[n++] = *c;
            /* the locale's decimal sign, of one byte or more */
            else if (text[n - 1] != '.') text[n++] = '.';
        }
        text[n] = 0;
        if (read_number(text) == f) break;
    }
}

int32_t spec_takes(const spec *s, const spec_node *n, const char *what, const char *right,
                   heed_error *error)
{
    if (n->type == SPEC_LIST)
        return spec_error(s, n->at, error, "%s takes %s, not a list", what, right);
    if (n->has_args)
        return spec_error(s, n->at, error, "%s takes %s, not an op with arguments", what, right);
    return spec_error(s, n->at, error, "%s takes %s, not " QUOTE, what, right, QUOTED(n->word));
}

/* The sentence for a value out of range; an end without limit is NULL. */
static int32_t out_of_range(const spec *s, const spec_node *n, const char *what, const char *min,
                            const char *max, heed_error *error)
{
    const char *ends = min && max ? "from" : min ? "at least" : "at most", *first = min ? min : max;
    return spec_error(s, n->at, error, "%s is %.48s, but must be %s %s%s%s", what, n->word, ends,
                      first, min && max ? " to " : "", min && max ? max : "");
}

static int is_bare(const spec_node *n) { return n->type == SPEC_WORD && !n->has_args; }

int32_t spec_int(const spec *s, const spec_node *n, const char *what, int64_t min, int64_t max,
                 int64_t *out, heed_error *error)
{
    if (!is_bare(n) || !is_number(n->word)) return spec_takes(s, n, what, "a whole number", error);
    int64_t i;
    int fits = 1; /* in 64 bits */
    const char *digits = n->word + (n->word[0] == '+' || n->word[0] == '-');
    if (!digits[strspn(digits, "0123456789")]) {
        errno = 0;
        i = strtoll(n->word, NULL, 10);
        fits = !errno;
    } else {
        double f = read_number(n->word);
        fits = f >= -0x1p63 && f < 0x1p63;
        i = fits ? (int64_t)f : f < 0 ? INT64_MIN : INT64_MAX;
        if (fits && (double)i != f) {
            return spec_error(s, n->at, error, "%s is %.48s, but must be a whole number", what,
                              n->word);
        }
    }
    if (!fits || i < min || i > max) {
        char low[24], high[24];
        snprintf(low, sizeof low, "%lld", (long long)min);
        snprintf(high, sizeof high, "%lld", (long long)max);
        int no_min = fits && min == INT64_MIN, no_max = fits && max == INT64_MAX;
        return out_of_range(s, n, what, no_min ? NULL : low, no_max ? NULL : high, error);
    }
    *out = i;
    return HEED_OK;
}

int32_t spec_float(const spec *s, const spec_node *n, const char *what, double min, double max,
                   double *out, heed_error *error)
{
    if (!is_bare(n) || !is_number(n->word)) return spec_takes(s, n, what, "a number", error);
    double f = read_number(n->word);
    if (!isfinite(f))
        return spec_error(s, n->at, error, "%s is %.48s, but must be a finite number", what,
                          n->word);
    if (f < min || f > max) {
        char low[32], high[32];
        spec_number(low, min);
        spec_number(high, max);
        int no_min = f >= min && min < -1e30, no_max = f <= max && max > 1e30;
        return out_of_range(s, n, what, no_min ? NULL : low, no_max ? NULL : high, error);
    }
    *out = f;
    return HEED_OK;
}

int32_t spec_bool(const spec *s, const spec_node *n, const char *what, int64_t *out,
                  heed_error *error)
{
    int yes = is_bare(n) && !strcmp(n->word, "true");
    if (!yes && !(is_bare(n) && !strcmp(n->word, "false")))
        return spec_takes(s, n, what, "true or false", error);
    *out = yes;
    return HEED_OK;
}

/* ---- printing ---- */

static void print_node(FILE *out, const spec_node *n)
{
    const char *between = "";
    fputs(n->type == SPEC_LIST ? "[" : n->word, out);
    for (uint32_t i = 0; i < n->n_items; i++, between = ", ") {
        fputs(between, out);
        print_node(out, n->items[i]);
        if (n->items[i]->repeat != 1) fprintf(out, " x%lld", (long long)n->items[i]->repeat);
    }
    for (uint32_t i = 0; i < n->n_args; i++, between = ", ") {
        fputs(i ? between : "(", out);
        if (n->args[i].key) fprintf(out, "%s=", n->args[i].key);
        print_node(out, n->args[i].value);
    }
    if (n->n_args) fputc(')', out);
    if (n->type == SPEC_LIST) fputc(']', out);
}

char *spec_print_node(const spec_node *n)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    print_node(out, n);
    int failed = ferror(out);
    if (fclose(out) || failed) {
        free(text);
        return NULL;
    }
    return text;
}
