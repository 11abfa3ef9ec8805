/* SPDX-License-Identifier: MIT
 *
 * sequence_saved.c: a sequence as bytes, and back: a file, a message, a cache of prompts. The pages
 * are copied as they are; only their op knows what is in them.
 *
 * What is loaded is hostile. Which op it is for, its sizes and where its pages go follow from the
 * instance and the axes that the caller gives; the bytes can only agree with them or be refused.
 * Memory taken is at most that of the bytes, a place in a table for each page, and SAVED_GONE_MAX
 * places for pages that are not there.
 */
#include <string.h>

#include "base/error.h"
#include "base/saved.h"
#include "op/registry.h"
#include "op/sequence.h"
#include "op/sequence_saved.h"

static const saved_kind kind = {"sequence", "heed.seq", 1};

#define AROUND (sizeof(saved_sequence) + sizeof(uint64_t)) /* bytes that are no pages */

/* Copies a text into its place in a head; 0 if it can not stand there. */
static int put_text(char to[SAVED_TEXT], const char *text)
{
    const size_t n = strnlen(text, SAVED_TEXT);
    for (size_t c = 0; c < n; c++)
        if (text[c] < ' ' || text[c] > '~') return 0;
    if (n < SAVED_TEXT) memcpy(to, text, n);
    return n > 0 && n < SAVED_TEXT;
}

/* Whether a head has such a text: one to print, and nothing behind it. */
static int is_text(const char text[SAVED_TEXT])
{
    char plain[SAVED_TEXT] = {0};
    return put_text(plain, text) && !memcmp(plain, text, sizeof plain);
}

int64_t heed_sequence_save(const heed_sequence *s, void *to, uint64_t room, heed_error *error)
{
    saved_sequence head = {.frame = {.schema = kind.schema},
                           .version = s->size.version,
                           .length = s->view.length,
                           .page_tokens = s->size.page_tokens,
                           .page_bytes = s->size.page_bytes};
    const uint32_t count = (uint32_t)sequence_pages(&s->size, s->view.length);
    const uint32_t absent = s->gone < s->gone_to ? s->gone_to - s->gone : 0;
    const char *id = s->entry->op.id;
    if (error) *error = (heed_error){0};
    if (s->ranks)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: %u ranks have parts of the sequence, so none can save it", id,
                         s->ranks);
    if (s->gone < s->gone_to) head.gone = s->gone, head.gone_to = s->gone_to;
    else if (!s->size.page_tokens && s->size.recent)
        head.gone_to = (uint32_t)(s->floor / s->size.recent);
    if (absent > SAVED_GONE_MAX)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: %u pages of the sequence are out of sight; at most %d may be", id,
                         absent, SAVED_GONE_MAX);
    if (!put_text(head.op, id) || !put_text(head.format, s->size.format))
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: the format of its pages is no text of 1 to %d ASCII letters", id,
                         SAVED_TEXT - 1);
    head.frame.bytes = AROUND + (count - absent) * head.page_bytes;
    memcpy(head.frame.magic, kind.magic, sizeof head.frame.magic);
    for (int a = 0; a < HEED_AXES; a++)
        head.axis[a] = strchr(SEQUENCE_FREE_AXES, 'A' + a) ? -1 : s->axis[a];

    int32_t failed = saved_fits(&kind, head.frame.bytes, to, room, error);
    if (failed || !to) return failed ? failed : (int64_t)head.frame.bytes;
    char *at = to;
    memcpy(at, &head, sizeof head), at += sizeof head;
    for (uint32_t p = 0; p < count; p++)
        if (s->pages[p]) memcpy(at, s->memory[p], head.page_bytes), at += head.page_bytes;
    saved_seal(to, head.frame.bytes);
    return (int64_t)head.frame.bytes;
}

/* ---- back ---- */

/* What is saved against the empty sequence that it is for. */
static int32_t check_op(const heed_sequence *s, const saved_sequence *head, heed_error *error)
{
    const char *id = s->entry->op.id;
    if (!is_text(head->op) || !is_text(head->format) || head->reserved)
        return error_set(error, HEED_E_DATA, "the saved sequence does not tell what it is of");
    if (strcmp(head->op, id))
        return error_set(error, HEED_E_ARGUMENT, "%s: the saved sequence is of %s", id, head->op);
    if (strcmp(head->format, s->size.format) || head->version != s->size.version)
        return error_set(
            error, HEED_E_DATA,
            "%s: the saved pages have the format %s, version %u; here it is %s, version %u", id,
            head->format, head->version, s->size.format, s->size.version);
    const heed_state_size size = {.page_bytes = head->page_bytes, .page_tokens = head->page_tokens};
    return sequence_check_sizes(id, head->axis, &size, s->axis, &s->size, error);
}

/* The length, and that just the pages are there that it needs. */
static int32_t check_pages(const heed_sequence *s, const saved_sequence *head, heed_error *error)
{
    const char *id = s->entry->op.id;
    const uint64_t bytes = head->frame.bytes - AROUND, each = s->size.page_bytes;
    /* a recurrent state has one page, however long */
    if (head->length < 0 || head->length > (int64_t)1 << 40)
        return error_set(error, HEED_E_DATA,
                         "%s: the saved sequence says that it has %lld tokens; 0 to 2^40 is right",
                         id, (long long)head->length);
    const uint64_t count = sequence_pages(&s->size, head->length),
                   tokens = (uint64_t)s->size.page_tokens;
    const uint64_t first = tokens ? ((uint64_t)s->size.first + tokens - 1) / tokens : 0,
                   last = tokens ? (uint64_t)sequence_oldest(s, head->length) / tokens : 0;
    const int64_t floor = tokens ? 0 : (int64_t)head->gone_to * s->size.recent;
    const int none = (!head->gone && !head->gone_to) || !tokens;
    if (!tokens && (head->gone || (!s->size.recent && head->gone_to) || floor > head->length ||
                    (s->size.recent && floor < sequence_floor(&s->size, head->length))))
        return error_set(error, HEED_E_DATA,
                         "%s: the saved sequence of %lld tokens says that it can be cut to %lld; "
                         "%lld or more is right",
                         id, (long long)head->length, (long long)floor,
                         (long long)sequence_floor(&s->size, head->length));
    if (!none && (head->gone >= head->gone_to || head->gone < first || head->gone_to > last))
        return error_set(error, HEED_E_DATA,
                         "%s: the saved sequence is without the pages from %u up to %u of its "
                         "%llu; those from %llu up "
                         "to %llu are out of sight",
                         id, head->gone, head->gone_to, (unsigned long long)count,
                         (unsigned long long)first, (unsigned long long)last);
    const uint64_t gone = tokens ? head->gone_to - head->gone : 0;
    if (gone > SAVED_GONE_MAX || bytes % each || bytes / each != count - gone)
        return error_set(error, HEED_E_DATA,
                         "%s: the saved sequence has %llu bytes of pages, but %lld tokens without "
                         "%llu pages are %llu "
                         "pages of %llu",
                         id, (unsigned long long)bytes, (long long)head->length,
                         (unsigned long long)gone, (unsigned long long)(count - gone),
                         (unsigned long long)each);
    return HEED_OK;
}

static int32_t take_pages(heed_sequence *s, const saved_sequence *head, const char *from,
                          heed_error *error)
{
    const uint64_t count = sequence_pages(&s->size, head->length);
    int32_t failed = sequence_make_room(s, count, error);
    while (!failed && s->count < count) {
        if (s->size.page_tokens && s->count >= head->gone && s->count < head->gone_to) {
            s->pages[s->count] = NULL, s->memory[s->count++] = NULL;
            continue;
        }
        failed = sequence_append(s, from, error);
        from += head->page_bytes;
    }
    if (s->size.page_tokens) s->gone = head->gone, s->gone_to = head->gone_to;
    else s->floor = s->size.recent ? (int64_t)head->gone_to * s->size.recent : head->length;
    s->view.length = head->length;
    for (int a = 0; a < HEED_AXES; a++)
        if (s->axis[a] < 0) s->axis[a] = head->axis[a];
    return failed;
}

heed_sequence *heed_sequence_load(const heed_instance *i, const int64_t *axes, const void *from,
                                  uint64_t bytes, heed_error *error)
{
    saved_sequence head;
    if (error) *error = (heed_error){0};
    if (saved_open(&kind, &head, sizeof head, from, bytes, error)) return NULL;
    heed_sequence *s = heed_sequence_new(i, axes, error);
    if (!s) return NULL;
    int32_t failed = check_op(s, &head, error);
    if (!failed) failed = check_pages(s, &head, error);
    if (!failed) failed = take_pages(s, &head, (const char *)from + sizeof head, error);
    if (!failed) return s;
    heed_sequence_free(s);
    return NULL;
}
