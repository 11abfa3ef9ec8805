/* SPDX-License-Identifier: MIT
 *
 * normalize.c: what is done to a text before it is split.
 *
 * The types of tokenizer.json become steps of fewer kinds: BertNormalizer, for one, is five of them.
 */
#include "text/normalize.h"

#include <jansson.h>

#include "base/error.h"
#include "base/grow.h"
#include "text/byte_chars.h"

#define STEPS_MOST 64

enum { FORM, LOWER, DROP, STRIP, PREPEND, REPLACE, CLEAN, CHINESE, CHARSMAP, BYTES };
enum { LEFT = 1, RIGHT = 2 };

/* ---- reading ---- */

static normalize_step *add(normalizer *z, const field *f, uint32_t kind)
{
    if (f->of->failed) return NULL;
    if (z->n_steps == STEPS_MOST) {
        field_wrong(f, "at most %d steps are read", STEPS_MOST);
        return NULL;
    }
    normalize_step *s = grow_append(&z->step, &z->n_steps, sizeof *s);
    if (s) s->kind = kind;
    else field_no_memory(f);
    return s;
}

static void add_form(normalizer *z, const field *f, int form)
{
    normalize_step *s = add(z, f, FORM);
    if (s) s->form = form;
}

static void add_drop(normalizer *z, const field *f, unicode_kind *kind)
{
    normalize_step *s = add(z, f, DROP);
    if (s) s->pattern.kind = kind;
}

static void read_content(normalize_step *s, const field *f, const char *key)
{
    size_t n;
    const char *text = field_text(f, key, NULL, &n);
    bytes_put(&s->content, text, n);
    if (s->content.failed) field_no_memory(f);
}

static void read_bert(normalizer *z, const field *f)
{
    const int lower = field_flag(f, "lowercase", 1);
    if (field_flag(f, "clean_text", 1)) add(z, f, CLEAN);
    if (field_flag(f, "handle_chinese_chars", 1)) add(z, f, CHINESE);
    if (field_flag(f, "strip_accents", lower)) {
        add_form(z, f, UNICODE_NFD);
        add_drop(z, f, unicode_accent);
    }
    if (lower) add(z, f, LOWER);
}

static void read_strip(normalizer *z, const field *f)
{
    normalize_step *s = add(z, f, STRIP);
    if (s)
        s->form = (field_flag(f, "strip_left", 1) ? LEFT : 0) |
                  (field_flag(f, "strip_right", 1) ? RIGHT : 0);
}

static void read_replace(normalizer *z, const field *f)
{
    normalize_step *s = add(z, f, REPLACE);
    if (!s) return;
    pattern_read(&s->pattern, f, "pattern");
    read_content(s, f, "content");
}

static void read_one(normalizer *z, const field *f, int depth)
{
    static const char types[] = "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, "
                                "Prepend, Replace, BertNormalizer, Precompiled, ByteLevel";
    const int type = field_choice(f, "type", NULL, types);
    const field list = field_key(f, "normalizers");
    normalize_step *s;
    if (f->of->failed) return;
    switch (type) {
    case 0:
        for (size_t i = 0; i < field_list(&list) && !f->of->failed; i++) {
            const field item = field_item(&list, i);
            if (depth > 8) field_wrong(f, "at most 8 sequences in one another are read");
            else read_one(z, &item, depth + 1);
        }
        break;
    case 1:
    case 2:
    case 3:
    case 4: add_form(z, f, type - 1); break;
    case 5: add(z, f, LOWER); break;
    case 6: add_drop(z, f, unicode_mark); break;
    case 7: read_strip(z, f); break;
    case 8:
        if ((s = add(z, f, PREPEND))) read_content(s, f, "prepend");
        break;
    case 9: read_replace(z, f); break;
    case 10: read_bert(z, f); break;
    case 11:
        if ((s = add(z, f, CHARSMAP))) charsmap_read(&s->map, f);
        break;
    default: add(z, f, BYTES); break;
    }
}

void normalizer_read(normalizer *z, const field *f)
{
    z->of = f->of;
    if (f->value) read_one(z, f, 0);
}

void normalizer_close(normalizer *z)
{
    for (uint32_t i = 0; i < z->n_steps; i++) {
        pattern_close(&z->step[i].pattern);
        charsmap_close(&z->step[i].map);
        free(z->step[i].content.at);
    }
    free(z->step);
    free(z->text[0].at);
    free(z->text[1].at);
}

/* ---- running ---- */

/* Without it nothing changes in a text of ASCII alone. */
static int is_ascii(const char *text, size_t n)
{
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++) all |= (unsigned char)text[i];
    return all < 0x80;
}

static void strip(const normalize_step *s, const char *text, size_t n, bytes *to)
{
    size_t length;
    while (n && s->form & LEFT && unicode_space(utf8_at(text, &length)))
        text += length, n -= length;
    while (n && s->form & RIGHT) {
        size_t last = n - 1;
        while (last && ((unsigned char)text[last] & 0xC0) == 0x80) last--;
        if (!unicode_space(utf8_at(text + last, &length))) break;
        n = last;
    }
    bytes_put(to, text, n);
}

/* What is done to each character by itself. */
static void change(const normalize_step *s, const char *text, size_t n, bytes *to)
{
    size_t length;
    for (size_t i = 0; i < n; i += length) {
        const uint32_t c = utf8_at(text + i, &length);
        const int is_control = c != '\t' && c != '\n' && c != '\r' && unicode_other(c);
        if (s->kind == LOWER) unicode_put_lower(to, c);
        else if (s->kind == CLEAN && (!c || c == 0xFFFD || is_control)) continue;
        else if (s->kind == CLEAN && unicode_space(c)) bytes_put(to, " ", 1);
        else if (s->kind == DROP && s->pattern.kind(c)) continue;
        else if (s->kind == CHINESE && unicode_chinese(c)) {
            bytes_put(to, " ", 1);
            bytes_put(to, text + i, length);
            bytes_put(to, " ", 1);
        } else bytes_put(to, text + i, length);
    }
}

static int run_step(const normalize_step *s, const char *text, size_t n, bytes *to)
{
    switch (s->kind) {
    case FORM: return unicode_form(s->form, text, n, to) ? 0 : (to->failed = 1, 0);
    case STRIP: return strip(s, text, n, to), 0;
    case PREPEND:
        if (n) bytes_put(to, s->content.at, s->content.n);
        return bytes_put(to, text, n), 0;
    case REPLACE: return pattern_replace(&s->pattern, &s->content, text, n, to);
    case CHARSMAP: return charsmap_run(&s->map, text, n, to), 0;
    case BYTES: return byte_chars_put(to, text, n), 0;
    default: return change(s, text, n, to), 0;
    }
}

int32_t normalizer_run(normalizer *z, const char **text, size_t *n, heed_error *error)
{
    for (uint32_t i = 0; i < z->n_steps; i++) {
        const normalize_step *s = &z->step[i];
        bytes *to = &z->text[i & 1];
        if ((s->kind == FORM || s->kind == DROP) && is_ascii(*text, *n)) {
            if (*text != z->text[~i & 1].at) continue;
            /* the next step writes where this text lies */
            bytes swap = z->text[0];
            z->text[0] = z->text[1], z->text[1] = swap;
            continue;
        }
        to->n = 0;
        if (run_step(s, *text, *n, to))
            return error_set(error, HEED_E_DATA,
                             "%s: step %u of \"normalizer\" takes too long to find its pattern",
                             z->of->path, i + 1);
        if (to->failed) return error_memory(error);
        *text = to->at ? to->at : "", *n = to->n;
    }
    return HEED_OK;
}
