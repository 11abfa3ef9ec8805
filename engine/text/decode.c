/* SPDX-License-Identifier: MIT
 *
 * decode.c: how tokens become a text, as they come.
 *
 * Each step takes a token, or a part of the text, and hands what it makes of it to the next one.
 * Invariant: the parts put together are what the tokenizers package makes of the whole list.
 */
#include "text/decode.h"

#include <jansson.h>

#include "base/error.h"
#include "base/grow.h"
#include "text/byte_chars.h"

#define STEPS_MOST 64
#define REPLACED "\xEF\xBF\xBD" /* U+FFFD, for what is no character */

enum { JOIN, BYTES, FALLBACK, STRIP, REPLACE, SPACES, WORDPIECE };

/* ---- reading ---- */

/* `whole` of the steps behind this one. */
static decode_step *add(decoder *d, const field *f, uint32_t kind, int whole)
{
    if (f->of->failed) return NULL;
    if (d->n_steps == STEPS_MOST) {
        field_wrong(f, "at most %d steps are read", STEPS_MOST);
        return NULL;
    }
    decode_step *s = grow_append(&d->step, &d->n_steps, sizeof *s);
    if (s) s->kind = kind, s->whole = whole;
    else field_no_memory(f);
    return s;
}

static void put_text(bytes *to, const field *f, const char *key, const char *usual)
{
    size_t n;
    const char *text = field_text(f, key, usual, &n);
    bytes_put(to, text, n);
    if (to->failed) field_no_memory(f);
}

static void read_strip(decoder *d, const field *f, int whole)
{
    decode_step *s = add(d, f, STRIP, whole);
    if (!s) return;
    put_text(&s->content, f, "content", NULL);
    s->start = field_int(f, "start", 0, INT32_MAX, 0);
    s->stop = field_int(f, "stop", 0, INT32_MAX, 0);
    const field stop = field_key(f, "stop"), content = field_key(f, "content");
    if (whole && s->stop)
        field_wrong(&stop,
                    "0 is read behind Fuse, since the end of a text is not known as it comes");
    if (!s->content.n || utf8_length(*s->content.at) != s->content.n)
        field_wrong(&content, "one character is right");
}

static void read_replace(decoder *d, const field *f, int whole)
{
    decode_step *s = add(d, f, REPLACE, whole);
    if (!s) return;
    pattern_read(&s->pattern, f, "pattern");
    put_text(&s->content, f, "content", NULL);
    const field pattern = field_key(f, "pattern");
    const bytes *literal = &s->pattern.literal;
    if (whole && (!literal->n || utf8_length(*literal->at) != literal->n))
        field_wrong(&pattern, "one character as a String is read behind Fuse");
}

static void read_spaces(decoder *d, const field *f, int whole)
{
    decode_step *s = add(d, f, SPACES, whole);
    if (!s) return;
    put_text(&s->content, f, "replacement", "\xE2\x96\x81");
    const field old = field_key(f, "add_prefix_space");
    s->keeps = old.value ? !field_flag(f, "add_prefix_space", 1)
                         : field_choice(f, "prepend_scheme", "always", "always, first, never") == 2;
    if (s->content.n && utf8_length(*s->content.at) != s->content.n)
        field_wrong(f, "one character is right as \"replacement\"");
}

/* Whether what comes behind it is one text. */
static int read_one(decoder *d, const field *f, int whole, int depth)
{
    static const char types[] =
        "Sequence, ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, WordPiece";
    const int type = field_choice(f, "type", NULL, types);
    const field list = field_key(f, "decoders");
    decode_step *s;
    if (f->of->failed) return whole;
    switch (type) {
    case 0:
        for (size_t i = 0; i < field_list(&list) && !f->of->failed; i++) {
            const field item = field_item(&list, i);
            if (depth > 8) field_wrong(f, "at most 8 sequences in one another are read");
            else whole = read_one(d, &item, whole, depth + 1);
        }
        return whole;
    case 1: add(d, f, BYTES, whole); return 1;
    case 2:
        if (whole) field_wrong(f, "ByteFallback is read in front of Fuse");
        add(d, f, FALLBACK, whole);
        return whole;
    case 3: return 1;
    case 4: read_strip(d, f, whole); return whole;
    case 5: read_replace(d, f, whole); return whole;
    case 6: read_spaces(d, f, whole); return whole;
    default:
        if ((s = add(d, f, WORDPIECE, whole))) {
            put_text(&s->content, f, "prefix", "##");
            s->cleans = field_flag(f, "cleanup", 1);
        }
        return whole;
    }
}

void decoder_read(decoder *d, const field *f)
{
    d->of = f->of;
    if (f->value) read_one(d, f, 0, 0);
    else add(d, f, JOIN, 0);
}

void decoder_close(decoder *d)
{
    for (uint32_t i = 0; i < d->n_steps; i++) {
        decode_step *s = &d->step[i];
        pattern_close(&s->pattern);
        free(s->content.at);
        free(s->held.at);
        free(s->text.at);
    }
    free(d->step);
}

/* ---- running ---- */

static int put_from(decoder *d, uint32_t step, const char *token, size_t n, bytes *to);

static int starts_with(const char *text, size_t n, const bytes *with)
{
    return with->n && n >= with->n && !memcmp(text, with->at, with->n);
}

/* Bytes as they were, of a token that is written by characters for bytes; else its own. */
static void put_bytes(bytes *to, const char *token, size_t n)
{
    const size_t before = to->n;
    size_t length;
    for (size_t i = 0; i < n; i += length) {
        const int byte = byte_char_back(utf8_at(token + i, &length));
        const char one = (char)byte;
        if (byte < 0) {
            to->n = before;
            bytes_put(to, token, n);
            return;
        }
        bytes_put(to, &one, 1);
    }
}

/* What is whole of the held bytes; at the end all of them. */
static int put_held(decoder *d, uint32_t step, int at_end, bytes *to)
{
    decode_step *s = &d->step[step];
    size_t at = 0, length;
    s->text.n = 0;
    while (at < s->held.n) {
        const int is = utf8_check(s->held.at + at, s->held.n - at, &length);
        if (is < 0 && !at_end) break;
        if (is > 0) bytes_put(&s->text, s->held.at + at, length);
        else bytes_put(&s->text, REPLACED, 3);
        at += length;
    }
    memmove(s->held.at, s->held.at + at, s->held.n - at);
    s->held.n -= at;
    return s->text.n ? put_from(d, step + 1, s->text.at, s->text.n, to) : 0;
}

/* The byte of "<0xE5>", or -1. */
static int byte_of(const char *token, size_t n)
{
    char digits[3] = "", *end;
    if (n != 6 || memcmp(token, "<0x", 3) || token[5] != '>') return -1;
    memcpy(digits, token + 3, 2);
    if (!strchr("0123456789abcdefABCDEF", *digits) || !*digits) return -1;
    const long byte = strtol(digits, &end, 16);
    return *end ? -1 : (int)byte;
}

/* The bytes of a row of such tokens: a text, or what is none, one by one. */
static int put_row(decoder *d, uint32_t step, bytes *to)
{
    decode_step *s = &d->step[step];
    const size_t n = s->held.n;
    const int good = n && utf8_valid(s->held.at, n) == n;
    int failed = 0;
    s->held.n = 0;
    if (good) return put_from(d, step + 1, s->held.at, n, to);
    for (size_t i = 0; i < n && !failed; i++) failed = put_from(d, step + 1, REPLACED, 3, to);
    return failed;
}

static void strip(decode_step *s, const char *token, size_t n, bytes *to)
{
    int64_t cut = s->whole ? s->count : 0, back = 0;
    while (cut < s->start && starts_with(token, n, &s->content))
        token += s->content.n, n -= s->content.n, cut++;
    if (s->whole) s->count = n ? s->start : cut;
    while (back++ < s->stop && n >= s->content.n &&
           !memcmp(token + n - s->content.n, s->content.at, s->content.n))
        n -= s->content.n;
    bytes_put(to, token, n);
}

/* Spaces that WordPiece has put in front of marks of English; one after another, as there. */
static void clean(bytes *text)
{
    static const char *const pairs[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const size_t old = strlen(pairs[i][0]), new = strlen(pairs[i][1]);
        size_t to = 0, at = 0;
        while (at < text->n) {
            const int is = text->n - at >= old && !memcmp(text->at + at, pairs[i][0], old);
            if (is) memcpy(text->at + to, pairs[i][1], new);
            else text->at[to] = text->at[at];
            to += is ? new : 1, at += is ? old : 1;
        }
        text->n = to;
    }
}

static void put_piece(decode_step *s, const char *token, size_t n)
{
    const int is_first = !s->count++;
    if (s->kind == JOIN || (!is_first && !starts_with(token, n, &s->content))) {
        if (!is_first) bytes_put(&s->text, " ", 1);
    } else if (!is_first) token += s->content.n, n -= s->content.n;
    bytes_put(&s->text, token, n);
    if (s->cleans) clean(&s->text);
}

static void put_spaces(decode_step *s, const char *token, size_t n)
{
    const int is_first = !s->count++;
    size_t length;
    for (size_t i = 0; i < n; i += length) {
        length = utf8_length(token[i]);
        if (!starts_with(token + i, n - i, &s->content)) bytes_put(&s->text, token + i, length);
        else if (!is_first || s->keeps) bytes_put(&s->text, " ", 1);
    }
}

static int put_from(decoder *d, uint32_t step, const char *token, size_t n, bytes *to)
{
    if (step == d->n_steps) return bytes_put(to, token, n), to->failed;
    decode_step *s = &d->step[step];
    int failed = 0;
    s->text.n = 0;
    switch (s->kind) {
    case BYTES: put_bytes(&s->held, token, n); return put_held(d, step, 0, to);
    case FALLBACK: {
        const char byte = (char)byte_of(token, n);
        if (byte_of(token, n) >= 0) return bytes_put(&s->held, &byte, 1), s->held.failed;
        failed = put_row(d, step, to);
        return failed ? failed : put_from(d, step + 1, token, n, to);
    }
    case STRIP: strip(s, token, n, &s->text); break;
    case REPLACE: failed = pattern_replace(&s->pattern, &s->content, token, n, &s->text); break;
    case SPACES: put_spaces(s, token, n); break;
    default: put_piece(s, token, n); break;
    }
    if (failed || s->text.failed || s->held.failed) return failed ? failed : 1;
    return put_from(d, step + 1, s->text.at ? s->text.at : "", s->text.n, to);
}

void decoder_begin(decoder *d)
{
    for (uint32_t i = 0; i < d->n_steps; i++) d->step[i].held.n = 0, d->step[i].count = 0;
}

/* What a step gives: 0, 1 if there is no memory, -1 if a search takes too long. */
static int32_t tell(const decoder *d, int failed, heed_error *error)
{
    if (failed >= 0) return failed ? error_memory(error) : HEED_OK;
    return error_set(error, HEED_E_DATA,
                     "%s: a step of \"decoder\" takes too long to find its pattern", d->of->path);
}

int32_t decoder_put(decoder *d, const char *token, size_t n, bytes *to, heed_error *error)
{
    return tell(d, put_from(d, 0, token, n, to), error);
}

int32_t decoder_end(decoder *d, bytes *to, heed_error *error)
{
    int failed = 0;
    for (uint32_t i = 0; i < d->n_steps && !failed; i++)
        if (d->step[i].kind == BYTES) failed = put_held(d, i, 1, to);
        else if (d->step[i].kind == FALLBACK) failed = put_row(d, i, to);
    return tell(d, failed, error);
}
