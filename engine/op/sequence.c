/* SPDX-License-Identifier: MIT
 *
 * sequence.c: pages of what ops remember. Pages are counted, so that forks share them; a page that
 * a call may write is made private first. Of an op that looks back only so far, pages out of sight
 * are dropped. The engine never looks into a page.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/bind.h"
#include "op/engine.h"
#include "op/registry.h"
#include "op/sequence.h"
#include "op/tree.h"

int32_t sequence_measure(const heed_instance *i, const int64_t *axes, heed_state_size *size,
                         heed_error *error)
{
    const heed_op *op = &i->entry->op;
    if (!op->measure_state)
        return error_set(error, HEED_E_UNSUPPORTED, "%s remembers nothing between calls", op->id);
    *size = (heed_state_size){.size = sizeof *size};
    int32_t failed = op->measure_state(i->memory, axes, size);
    if (!failed && (size->page_bytes == 0 || size->page_bytes > (uint64_t)1 << 40 ||
                    size->page_tokens < 0 || size->recent < 0 || size->first < 0 || !size->format))
        failed = HEED_E_SHAPE;
    if (!failed) return HEED_OK;
    uint32_t unknown = 0;
    char why[200] = "";
    for (uint32_t p = 0; p < op->ports.count; p++) {
        const heed_port *port = entry_port(i->entry, p);
        if (port->role == HEED_INPUT && !(port->flags & HEED_PORT_OPTIONAL))
            unknown |= bind_unknown_axes(i->entry, p, axes);
    }
    unknown &= ~AXES_OF_A_CALL;
    if (unknown) bind_unknown(i->entry, unknown, "", NULL, why, sizeof why);
    return error_set(error, failed,
                     "%s: the state's size does not follow from the axes that are known%s%s",
                     op->id, unknown ? ": " : "", why);
}

int sequence_is_causal(const heed_instance *i)
{
    heed_state_size size;
    return !sequence_measure(i, i->axis, &size, NULL) && size.flags & HEED_STATE_CAUSAL;
}

heed_sequence *heed_sequence_new(const heed_instance *i, const int64_t *axes, heed_error *error)
{
    int64_t known[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) known[a] = axes && axes[a] >= 0 ? axes[a] : i->axis[a];
    instance_own_axes(i, known);
    heed_state_size size;
    if (sequence_measure(i, known, &size, error)) return NULL;
    heed_sequence *s = calloc(1, sizeof *s);
    if (!s) { error_memory(error); return NULL; }
    s->entry = i->entry;
    s->pool = &i->engine->pages;
    memcpy(s->axis, known, sizeof s->axis);
    s->size = size;
    s->view = (heed_state){.size = sizeof s->view, .page_bytes = size.page_bytes};
    return s;
}

int32_t sequence_make_room(heed_sequence *s, uint64_t count, heed_error *error)
{
    if (count <= s->room) return HEED_OK;
    if (count > UINT32_MAX / 2) return error_memory(error);
    uint64_t room = count < 2 * (uint64_t)s->room ? 2 * (uint64_t)s->room : count;
    page **pages = realloc(s->pages, room * sizeof *pages);
    if (pages) s->pages = pages;
    void **memory = realloc(s->memory, room * sizeof *memory);
    if (memory) s->memory = memory;
    if (!pages || !memory) return error_memory(error);
    s->room = (uint32_t)room;
    return HEED_OK;
}

/* Whether the next page is another rank's: a page lies within a span. */
static int is_elsewhere(const heed_sequence *s)
{
    return s->ranks && tree_rank(s->count * s->size.page_tokens / s->span, s->ranks) != s->rank;
}

int32_t sequence_append(heed_sequence *s, const void *content, heed_error *error)
{
    if (is_elsewhere(s)) {
        s->pages[s->count] = NULL;
        s->memory[s->count++] = NULL;
        return HEED_OK;
    }
    heed_error why;
    page *own = page_new(s->pool, s->size.page_bytes, content, error ? error : &why);
    if (!own) return error ? error->code : why.code;
    s->pages[s->count] = own;
    s->memory[s->count++] = own->memory;
    return HEED_OK;
}

/* Pages of as many bytes may be laid out otherwise, so the axes count too. */
int32_t sequence_check_sizes(const char *id, const int64_t *axis, const heed_state_size *size,
                             const int64_t *is_axis, const heed_state_size *is_size,
                             heed_error *error)
{
    for (int a = 0; a < HEED_AXES; a++) {
        if (strchr(SEQUENCE_FREE_AXES, 'A' + a) || axis[a] < 0 || is_axis[a] < 0 ||
            axis[a] == is_axis[a])
            continue;
        return error_set(
            error, HEED_E_ARGUMENT,
            "%s: the sequence was made for other sizes: axis %c is %lld, but in the sequence %lld",
            id, 'A' + a, (long long)is_axis[a], (long long)axis[a]);
    }
    if (is_size->page_bytes == size->page_bytes && is_size->page_tokens == size->page_tokens)
        return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "%s: the sequence was made for other sizes: its pages have %llu bytes for "
                     "%lld tokens, not %llu "
                     "for %lld",
                     id, (unsigned long long)size->page_bytes, (long long)size->page_tokens,
                     (unsigned long long)is_size->page_bytes, (long long)is_size->page_tokens);
}

/* A sequence belongs to one op of one engine, to its sizes, and to whoever looks back no
 * further. */
static int32_t check_same(const heed_sequence *s, const heed_instance *i, const int64_t *axis,
                          const heed_state_size *size, heed_error *error)
{
    const char *id = i->entry->op.id;
    if (s->entry != i->entry)
        return error_set(error, HEED_E_ARGUMENT, "%s: the sequence was made for %s%s", id,
                         s->entry->op.id, strcmp(id, s->entry->op.id) ? "" : " in another engine");
    int32_t failed = sequence_check_sizes(id, s->axis, &s->size, axis, size, error);
    if (failed || !s->size.recent) return failed;
    if (size->recent && size->recent <= s->size.recent && size->first <= s->size.first)
        return HEED_OK;
    return error_set(
        error, HEED_E_ARGUMENT,
        "%s: the sequence keeps the first %lld and last %lld tokens, less than this call looks at",
        id, (long long)s->size.first, (long long)s->size.recent);
}

int32_t sequence_prepare(heed_sequence *s, const heed_instance *i, const int64_t *axis, int64_t n,
                         heed_error *error)
{
    heed_state_size size;
    int32_t failed = sequence_measure(i, axis, &size, error);
    if (failed || (failed = check_same(s, i, axis, &size, error))) return failed;
    int64_t tokens = size.page_tokens, total;
    if (__builtin_add_overflow(s->view.length, n, &total)) return error_memory(error);
    uint64_t count = tokens ? sequence_pages(&size, total) : 1;
    if ((failed = sequence_make_room(s, count, error))) return failed;
    for (uint64_t p = tokens ? (uint64_t)(s->view.length / tokens) : 0; p < s->count && p < count;
         p++) {
        if (!s->pages[p] || atomic_load(&s->pages[p]->users) == 1) continue;
        heed_error why;
        page *own =
            page_new(s->pool, size.page_bytes, s->pages[p]->memory, error ? error : &why);
        if (!own) return error ? error->code : why.code;
        page_drop(s->pages[p]);
        s->pages[p] = own;
        s->memory[p] = own->memory;
    }
    while (s->count < count)
        if ((failed = sequence_append(s, NULL, error))) return failed;
    s->view.pages = s->count;
    s->view.page = s->memory;
    return HEED_OK;
}

const heed_state *sequence_view(const heed_sequence *s) { return &s->view; }

int64_t sequence_oldest(const heed_sequence *s, int64_t length)
{
    return s->size.page_tokens && s->size.recent && length > s->size.recent
               ? length - s->size.recent
               : 0;
}

int64_t sequence_floor(const heed_state_size *size, int64_t length)
{
    if (size->page_tokens) return 0;
    if (!size->recent) return length;
    const int64_t last = length / size->recent * size->recent;
    return last > size->recent ? last - size->recent : 0;
}

void sequence_advance(heed_sequence *s, int64_t n)
{
    const int64_t tokens = s->size.page_tokens;
    s->view.length += n;
    const int64_t floor = sequence_floor(&s->size, s->view.length);
    if (s->floor < floor) s->floor = floor;
    if (!tokens) return;
    /* a page to spare: for who goes back some tokens */
    const int64_t last = sequence_oldest(s, s->view.length) - tokens;
    if (last <= 0) return;
    const uint32_t to = (uint32_t)(last / tokens);
    const uint64_t first = ((uint64_t)s->size.first + (uint64_t)tokens - 1) / (uint64_t)tokens;
    if (s->gone_to <= s->gone) s->gone = s->gone_to = first < to ? (uint32_t)first : to;
    for (; s->gone_to < to; s->gone_to++) {
        page_drop(s->pages[s->gone_to]);
        s->pages[s->gone_to] = NULL;
        s->memory[s->gone_to] = NULL;
    }
}

/* Tiles that were not skipped may have written over the boundary before the last one. */
void sequence_undo(heed_sequence *s, int32_t failed)
{
    const int64_t recent = s->size.recent, last = recent ? s->view.length / recent * recent : 0;
    if (!s->size.page_tokens && failed == HEED_E_CANCELLED && s->floor < last) s->floor = last;
    heed_sequence_truncate(s, s->view.length, NULL);
}

heed_sequence *heed_sequence_fork(heed_sequence *s, heed_error *error)
{
    heed_sequence *twin = calloc(1, sizeof *twin);
    if (!twin) { error_memory(error); return NULL; }
    twin->entry = s->entry;
    twin->pool = s->pool;
    memcpy(twin->axis, s->axis, sizeof twin->axis);
    twin->size = s->size;
    twin->view = s->view;
    twin->gone = s->gone, twin->gone_to = s->gone_to, twin->floor = s->floor;
    twin->rank = s->rank, twin->ranks = s->ranks, twin->span = s->span;
    if (sequence_make_room(twin, s->count, error)) {
        heed_sequence_free(twin);
        return NULL;
    }
    for (; twin->count < s->count; twin->count++) {
        if (s->pages[twin->count]) atomic_fetch_add(&s->pages[twin->count]->users, 1);
        twin->pages[twin->count] = s->pages[twin->count];
        twin->memory[twin->count] = s->memory[twin->count];
    }
    twin->view.page = twin->memory;
    return twin;
}

int32_t heed_sequence_truncate(heed_sequence *s, int64_t length, heed_error *error)
{
    int64_t tokens = s->size.page_tokens;
    if (length < 0 || length > s->view.length)
        return error_set(error, HEED_E_ARGUMENT,
                         "a sequence of %lld tokens can not be truncated to %lld",
                         (long long)s->view.length, (long long)length);
    if (!tokens && length && length < s->floor && length != s->view.length)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s keeps a recurrent state, and one of %lld tokens can be truncated to "
                         "%lld or more, or to 0, "
                         "but not to %lld: fork the sequence at a place that is to be gone back to",
                         s->entry->op.id, (long long)s->view.length, (long long)s->floor,
                         (long long)length);
    if (tokens && s->gone < s->gone_to && length > s->gone * tokens &&
        sequence_oldest(s, length) < s->gone_to * tokens)
        return error_set(
            error, HEED_E_UNSUPPORTED,
            "%s keeps the last %lld tokens, so a sequence of %lld can not be truncated to %lld: "
            "fork the sequence at a place that is to be gone back to",
            s->entry->op.id, (long long)s->size.recent, (long long)s->view.length,
            (long long)length);
    uint32_t keep = (uint32_t)sequence_pages(&s->size, length);
    while (s->count > keep) page_drop(s->pages[--s->count]);
    if (s->gone_to > s->count) s->gone_to = s->count;
    s->view.pages = s->count;
    s->view.length = length;
    if (!length) s->floor = 0;
    return HEED_OK;
}

int64_t heed_sequence_length(const heed_sequence *s) { return s->view.length; }
uint64_t heed_sequence_bytes(const heed_sequence *s)
{
    uint64_t pages = 0;
    for (uint32_t p = 0; p < s->count; p++) pages += s->pages[p] != NULL;
    return pages * s->size.page_bytes;
}

void heed_sequence_free(heed_sequence *s)
{
    if (!s) return;
    while (s->count) page_drop(s->pages[--s->count]);
    free(s->pages);
    free(s->memory);
    free(s);
}
