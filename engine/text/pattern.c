/* SPDX-License-Identifier: MIT
 *
 * pattern.c: what a text is searched for.
 *
 * The tokenizers package has Oniguruma with the syntax of Ruby. What that and PCRE2 read differently
 * is written for PCRE2: \s is White_Space there, \w has all marks and connectors, ^ and $ are the
 * ends of lines. Invariant: the pattern is hostile; a search that does not end is given up.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <jansson.h>
#include <pcre2.h>
#include <stdio.h>

#define STEPS_MOST 50000000u  /* of one search */
#define STACK_MOST (8u << 20) /* bytes that compiled code may use for what it goes back to */
#define PATTERN_MOST 65536u   /* bytes */

#define SPACE                                                                                      \
    "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"           \
    "\\x{202f}\\x{205f}\\x{3000}"
#define WORD "\\p{L}\\p{M}\\p{Nd}\\p{Pc}"

static const struct {
    char letter;        /* behind a backslash */
    const char *inside; /* of brackets, NULL: it is refused there */
    const char *outside;
} classes[] = {
    {'s', SPACE, "[" SPACE "]"},       {'S', NULL, "[^" SPACE "]"}, {'w', WORD, "[" WORD "]"},
    {'W', NULL, "[^" WORD "]"},        {'d', "\\p{Nd}", "\\p{Nd}"}, {'D', "\\P{Nd}", "\\P{Nd}"},
    {'h', "0-9a-fA-F", "[0-9a-fA-F]"}, {'H', NULL, "[^0-9a-fA-F]"},
};

/* The pattern for PCRE2; what it can not have there. */
static const char *translate(bytes *to, const char *text, size_t n)
{
    int depth = 0; /* of brackets */
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\\' && i + 1 < n) {
            const char letter = text[++i];
            size_t c = 0;
            while (c < sizeof classes / sizeof *classes && classes[c].letter != letter) c++;
            if (c == sizeof classes / sizeof *classes) bytes_put(to, text + i - 1, 2);
            else if (depth && !classes[c].inside) return "\\S, \\W or \\H inside of [ ]";
            else {
                const char *in = depth ? classes[c].inside : classes[c].outside;
                bytes_put(to, in, strlen(in));
            }
            continue;
        }
        if (depth && text[i] == '[' && (i + 1 == n || text[i + 1] != ':'))
            return "[ ] inside of [ ]";
        if (depth && text[i] == '&' && i + 1 < n && text[i + 1] == '&') return "&& inside of [ ]";
        if (text[i] == '[' && !depth) {
            depth = 1;
            bytes_put(to, text + i, 1);
            if (i + 1 < n && text[i + 1] == '^') bytes_put(to, text + ++i, 1);
            continue;
        }
        if (text[i] == '[') { /* "[:alpha:]" */
            while (i < n && text[i] != ']') bytes_put(to, text + i++, 1);
            if (i < n) bytes_put(to, text + i, 1);
            continue;
        }
        if (text[i] == ']') depth = 0;
        bytes_put(to, text + i, 1);
    }
    return NULL;
}

void pattern_regex(pattern *p, const field *at, const char *text, size_t n)
{
    int code;
    PCRE2_SIZE where;
    bytes own = {0};
    PCRE2_UCHAR why[120] = "";
    const char *cannot =
        n > PATTERN_MOST || utf8_valid(text, n) < n ? "so many bytes" : translate(&own, text, n);
    if (cannot) field_wrong(at, "a regular expression is read without %s", cannot);
    if (own.failed) field_no_memory(at);
    if (!at->of->failed) {
        p->code = pcre2_compile((PCRE2_SPTR)(own.at ? own.at : ""), own.n,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                &code, &where, NULL);
        if (!p->code) {
            pcre2_get_error_message(code, why, sizeof why);
            field_wrong(at, "PCRE2 says: %.100s", (char *)why);
        }
    }
    free(own.at);
    if (!p->code) return;
    p->match = pcre2_match_data_create(1, NULL);
    p->context = pcre2_match_context_create(NULL);
    p->stack = pcre2_jit_stack_create(32768, STACK_MOST, NULL);
    if (!p->match || !p->context || !p->stack) {
        field_no_memory(at);
        return;
    }
    /* where no code can be made, PCRE2 goes through the pattern itself */
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    pcre2_jit_stack_assign(p->context, NULL, p->stack);
    pcre2_set_match_limit(p->context, STEPS_MOST);
}

void pattern_literal(pattern *p, const char *text, size_t n) { bytes_put(&p->literal, text, n); }

void pattern_read(pattern *p, const field *in, const char *key)
{
    size_t n;
    field at = field_key(in, key);
    const field regex = field_key(&at, "Regex"), literal = field_key(&at, "String");
    if (regex.value) {
        const char *text = field_as_text(&regex, &n);
        pattern_regex(p, &regex, text, n);
    } else if (literal.value) {
        const char *text = field_as_text(&literal, &n);
        pattern_literal(p, text, n);
        if (p->literal.failed) field_no_memory(in);
    } else field_wrong(&at, "{\"Regex\": ...} or {\"String\": ...} is right");
}

void pattern_close(pattern *p)
{
    pcre2_code_free(p->code);
    pcre2_match_data_free(p->match);
    pcre2_match_context_free(p->context);
    pcre2_jit_stack_free(p->stack);
    free(p->literal.at);
}

int pattern_find(const pattern *p, const char *text, size_t n, size_t from, size_t *begin,
                 size_t *end)
{
    if (p->code) {
        const int found = pcre2_match(p->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                                      p->match, p->context);
        if (found == PCRE2_ERROR_NOMATCH) return 0;
        if (found < 0) return -1;
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
        *begin = at[0], *end = at[1];
        return at[0] <= at[1] && at[0] >= from; /* \K may put the end in front of the beginning */
    }
    for (size_t length; p->kind && from < n; from += length)
        if (p->kind(utf8_at(text + from, &length))) return *begin = from, *end = from + length, 1;
    if (p->kind || !p->literal.n) return 0;
    const char *found =
        from < n ? memmem(text + from, n - from, p->literal.at, p->literal.n) : NULL;
    if (!found) return 0;
    *begin = (size_t)(found - text), *end = *begin + p->literal.n;
    return 1;
}

int pattern_replace(const pattern *p, const bytes *by, const char *text, size_t n, bytes *to)
{
    size_t from = 0, at = 0, begin, end;
    int found = 0;
    while (at <= n && (found = pattern_find(p, text, n, at, &begin, &end)) > 0) {
        bytes_put(to, text + from, begin - from);
        bytes_put(to, by->at, by->n);
        from = at = end;
        if (begin == end) at += end < n ? utf8_length(text[end]) : 1;
    }
    bytes_put(to, text + from, n - from);
    return found;
}
