/* SPDX-License-Identifier: MIT
 *
 * split.c: how a text becomes words.
 *
 * The types of tokenizer.json become steps of four kinds: ByteLevel, for one, puts a space in front,
 * splits by the expression of GPT-2, and writes bytes as characters. A step hands each part to the
 * next one as soon as it has it, so that there is no list of them.
 */
#include "text/split.h"

#include <jansson.h>

#include "base/error.h"
#include "base/grow.h"
#include "text/byte_chars.h"

#define STEPS_MOST 64

enum { FRONT, SPLIT, BYTES, SPACES };
/* What becomes of the parts that match. */
enum { REMOVED, ISOLATED, WITH_PREVIOUS, WITH_NEXT, CONTIGUOUS };
enum { ALWAYS, FIRST, NEVER };

static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/* \w there is that of another library than in patterns of the file. */
static const char words[] = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|"
                            "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}\\s]+";

/* ---- reading ---- */

static split_step *add(splitter *s, const field *f, uint32_t kind, int32_t how)
{
    if (f->of->failed) return NULL;
    if (s->n_steps == STEPS_MOST) {
        field_wrong(f, "at most %d steps are read", STEPS_MOST);
        return NULL;
    }
    split_step *step = grow_append(&s->step, &s->n_steps, sizeof *step);
    if (step) step->kind = kind, step->how = how;
    else field_no_memory(f);
    return step;
}

static void add_kind(splitter *s, const field *f, unicode_kind *kind, int32_t how)
{
    split_step *step = add(s, f, SPLIT, how);
    if (step) step->pattern.kind = kind;
}

static void add_regex(splitter *s, const field *f, const char *regex, int32_t how, int invert)
{
    split_step *step = add(s, f, SPLIT, how);
    if (!step) return;
    step->invert = invert;
    pattern_regex(&step->pattern, f, regex, strlen(regex));
}

static int read_behaviour(const field *f, const char *key, const char *usual)
{
    return field_choice(f, key, usual,
                        "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

static void read_byte_level(splitter *s, const field *f)
{
    if (field_flag(f, "add_prefix_space", 1)) {
        split_step *step = add(s, f, FRONT, ALWAYS);
        if (step) bytes_put(&step->content, " ", 1);
    }
    if (field_flag(f, "use_regex", 1)) add_regex(s, f, gpt2, ISOLATED, 0);
    add(s, f, BYTES, 0);
}

static void read_metaspace(splitter *s, const field *f)
{
    size_t n;
    const char *space = field_text(f, "replacement", "\xE2\x96\x81", &n);
    const field old = field_key(f, "add_prefix_space");
    const int scheme = old.value
                           ? field_flag(f, "add_prefix_space", 1) ? ALWAYS : NEVER
                           : field_choice(f, "prepend_scheme", "always", "always, first, never");
    const int splits = field_flag(f, "split", 1);
    if (!n || utf8_length(*space) != n) {
        const field at = field_key(f, "replacement");
        field_wrong(&at, "one character is right");
    }
    split_step *step = add(s, f, SPACES, scheme);
    if (step) bytes_put(&step->content, space, n);
    step = splits ? add(s, f, SPLIT, WITH_NEXT) : NULL;
    if (step) pattern_literal(&step->pattern, space, n);
}

static void read_split(splitter *s, const field *f)
{
    const int how = read_behaviour(f, "behavior", NULL);
    split_step *step = add(s, f, SPLIT, how);
    if (!step) return;
    step->invert = field_flag(f, "invert", 0);
    pattern_read(&step->pattern, f, "pattern");
}

static void read_delimiter(splitter *s, const field *f)
{
    size_t n;
    const char *text = field_text(f, "delimiter", NULL, &n);
    split_step *step = add(s, f, SPLIT, REMOVED);
    if (step) pattern_literal(&step->pattern, text, n);
}

static void read_one(splitter *s, const field *f, int depth)
{
    static const char types[] = "Sequence, ByteLevel, Split, Metaspace, BertPreTokenizer, "
                                "Whitespace, WhitespaceSplit, Punctuation, Digits, "
                                "CharDelimiterSplit";
    const int type = field_choice(f, "type", NULL, types);
    const field list = field_key(f, "pretokenizers");
    if (f->of->failed) return;
    switch (type) {
    case 0:
        for (size_t i = 0; i < field_list(&list) && !f->of->failed; i++) {
            const field item = field_item(&list, i);
            if (depth > 8) field_wrong(f, "at most 8 sequences in one another are read");
            else read_one(s, &item, depth + 1);
        }
        break;
    case 1: read_byte_level(s, f); break;
    case 2: read_split(s, f); break;
    case 3: read_metaspace(s, f); break;
    case 4:
        add_kind(s, f, unicode_space, REMOVED);
        add_kind(s, f, unicode_punctuation, ISOLATED);
        break;
    case 5: add_regex(s, f, words, REMOVED, 1); break;
    case 6: add_kind(s, f, unicode_space, REMOVED); break;
    case 7: add_kind(s, f, unicode_punctuation, read_behaviour(f, "behavior", "Isolated")); break;
    case 8:
        add_kind(s, f, unicode_number,
                 field_flag(f, "individual_digits", 0) ? ISOLATED : CONTIGUOUS);
        break;
    default: read_delimiter(s, f); break;
    }
}

void splitter_read(splitter *s, const field *f)
{
    s->of = f->of;
    if (f->value) read_one(s, f, 0);
    for (uint32_t i = 0; i < s->n_steps; i++)
        if (s->step[i].content.failed || s->step[i].pattern.literal.failed) field_no_memory(f);
}

void splitter_close(splitter *s)
{
    for (uint32_t i = 0; i < s->n_steps; i++) {
        pattern_close(&s->step[i].pattern);
        free(s->step[i].content.at);
        free(s->step[i].text.at);
    }
    free(s->step);
}

/* ---- running ---- */

typedef struct run {
    splitter *of;
    split_word *word;
    void *context;
    heed_error *error;
} run;

/* A part of the text between two steps. */
typedef struct part {
    const char *text;
    size_t n;
    int first;
} part;

static int32_t run_from(const run *r, uint32_t step, part p);

/* Parts that are matches and parts that are not come in turn; one is kept until it is known whether
 * the next belongs to it. */
typedef struct joiner {
    const run *r;
    uint32_t step;
    part all;
    split_span kept;
    int is_match;
} joiner;

static int32_t hand_on(joiner *j)
{
    const split_span s = j->kept;
    if (s.begin == s.end) return HEED_OK;
    j->kept.begin = s.end;
    return run_from(j->r, j->step + 1,
                    (part){j->all.text + s.begin, s.end - s.begin, j->all.first && !s.begin});
}

static int32_t join(joiner *j, size_t begin, size_t end, int is_match)
{
    const int how = j->r->of->step[j->step].how;
    if (how == REMOVED && is_match) {
        TRY(hand_on(j));
        j->kept = (split_span){end, end};
        return HEED_OK;
    }
    const int together = how == CONTIGUOUS      ? is_match == j->is_match
                         : how == WITH_PREVIOUS ? is_match && !j->is_match
                         : how == WITH_NEXT     ? j->is_match && !is_match
                                                : 0;
    if (!together) TRY(hand_on(j));
    if (!together) j->kept.begin = begin;
    j->kept.end = end, j->is_match = is_match;
    return HEED_OK;
}

static int32_t run_split(const run *r, uint32_t step, part p)
{
    const split_step *s = &r->of->step[step];
    joiner j = {.r = r, .step = step, .all = p};
    size_t from = 0, at = 0, begin, end;
    int found = 0;
    while (at <= p.n && (found = pattern_find(&s->pattern, p.text, p.n, at, &begin, &end)) > 0) {
        if (begin > from) TRY(join(&j, from, begin, s->invert));
        /* an empty one ends the part in front of it */
        TRY(join(&j, begin, end, !s->invert));
        from = at = end;
        if (begin == end) at += end < p.n ? utf8_length(p.text[end]) : 1;
    }
    if (found < 0)
        return error_set(r->error, HEED_E_DATA,
                         "%s: step %u of \"pre_tokenizer\" takes too long to find its pattern",
                         r->of->of->path, step + 1);
    if (from < p.n) TRY(join(&j, from, p.n, s->invert));
    return hand_on(&j);
}

static int begins_with(part p, const bytes *text)
{
    return p.n >= text->n && !memcmp(p.text, text->at, text->n);
}

/* Spaces by what stands for them, and one in front. */
static void put_spaces(split_step *s, part p)
{
    const char *end = p.text + p.n;
    const int in_front = s->how == ALWAYS || (s->how == FIRST && p.first);
    const int is_there = begins_with(p, &s->content) || (p.n && *p.text == ' ');
    if (in_front && !is_there) bytes_put(&s->text, s->content.at, s->content.n);
    for (const char *at = p.text; at < end;) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        bytes_put(&s->text, at, (size_t)((space ? space : end) - at));
        if (space) bytes_put(&s->text, s->content.at, s->content.n);
        at = space ? space + 1 : end;
    }
}

static int32_t run_from(const run *r, uint32_t step, part p)
{
    if (step == r->of->n_steps) return r->word(r->context, p.text, p.n, r->error);
    split_step *s = &r->of->step[step];
    if (s->kind == SPLIT) return run_split(r, step, p);
    if (s->kind == FRONT && begins_with(p, &s->content)) return run_from(r, step + 1, p);
    s->text.n = 0;
    if (s->kind == SPACES) put_spaces(s, p);
    else if (s->kind == BYTES) byte_chars_put(&s->text, p.text, p.n);
    else {
        bytes_put(&s->text, s->content.at, s->content.n);
        bytes_put(&s->text, p.text, p.n);
    }
    if (s->text.failed) return error_memory(r->error);
    return run_from(r, step + 1, (part){s->text.at, s->text.n, p.first});
}

int32_t splitter_run(splitter *s, const char *text, size_t n, int first, split_word *word,
                     void *context, heed_error *error)
{
    const run r = {s, word, context, error};
    return n ? run_from(&r, 0, (part){text, n, first}) : HEED_OK;
}
