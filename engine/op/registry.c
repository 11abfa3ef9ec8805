/* SPDX-License-Identifier: MIT
 *
 * registry.c: all ops that the engine knows, sorted by id, the plugins that were refused, and the
 * memory of the copies. It judges nothing: vet.c does.
 *
 * Not all need be there: a source may bring more when an op is looked for (load.c). Entries stay
 * where they are; the array of them moves.
 *
 * Invariants: ids are unique; every pointer of an entry but its functions leads into `blocks`.
 */
#include "base/error.h"
#include "base/grow.h"
#include "op/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where `id` is, or would be. */
static uint32_t position(const registry *r, const char *id, int *found)
{
    uint32_t low = 0, high = r->count;
    *found = 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(r->entries[mid]->op.id, id);
        if (!order) *found = 1;
        if (order < 0) low = mid + 1; else high = mid;
    }
    return low;
}

/* With room for one more. */
static void put(registry *r, entry *e)
{
    int found;
    uint32_t at = position(r, e->op.id, &found);
    entry *other = found ? r->entries[at] : NULL;
    if (other && other->rank <= e->rank) return;
    if (!other)
        memmove(r->entries + at + 1, r->entries + at, (r->count++ - at) * sizeof *r->entries);
    r->entries[at] = e;
}

int32_t registry_add_all(registry *r, entry *const *e, uint32_t n, heed_error *error)
{
    int found;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = position(r, e[i]->op.id, &found), twin = 0;
        const char *other = found ? r->entries[at]->plugin : "";
        while (twin < i && strcmp(e[twin]->op.id, e[i]->op.id)) twin++;
        if (twin < i || !strcmp(other, e[i]->plugin))
            return error_set(error, HEED_E_DATA, "%s is already there, from %s", e[i]->op.id,
                             e[i]->plugin);
    }
    for (uint32_t i = 0; i < n; i++)
        if (!grow_room(&r->entries, r->count + i, sizeof *r->entries)) return error_memory(error);
    for (uint32_t i = 0; i < n; i++) put(r, e[i]);
    return HEED_OK;
}

int32_t registry_add(registry *r, entry *e, heed_error *error)
{
    return registry_add_all(r, &e, 1, error);
}

uint64_t registry_rank(const registry *r, const char *id)
{
    int found;
    uint32_t at = position(r, id, &found);
    return found ? r->entries[at]->rank : UINT64_MAX;
}

void registry_note(registry *r, const char *id, const char *plugin)
{
    int found;
    uint32_t at = position(r, id, &found);
    if (found && !r->entries[at]->over) r->entries[at]->over = plugin;
}

int32_t registry_all(const registry *r, heed_error *error)
{
    return r->pending ? r->bring(r->source, NULL, error) : HEED_OK;
}

const entry *registry_seek(const registry *r, const char *id, heed_error *error)
{
    int found;
    /* a child of fork must not wait for it */
    pthread_mutex_t *lock = r->pending ? (pthread_mutex_t *)&r->lock : NULL;
    if (lock && r->bring(r->source, id, error)) return NULL;
    if (lock) pthread_mutex_lock(lock);
    uint32_t at = position(r, id, &found);
    const entry *e = found ? r->entries[at] : NULL;
    if (lock) pthread_mutex_unlock(lock);
    return e;
}

const entry *registry_find(const registry *r, const char *id) { return registry_seek(r, id, NULL); }

const heed_path *registry_path(const entry *e, uint64_t features, const char *isa, int fast)
{
    const heed_path *best = NULL;
    for (uint32_t i = 0; i < e->op.paths.count; i++) {
        const heed_path *p = entry_path(e, i);
        int other_bits = (p->flags & HEED_PATH_INEXACT) != 0,
            asked_for = fast || (isa && !strcmp(isa, p->name));
        if (!(p->needs & ~features) && (!other_bits || asked_for)) best = p;
    }
    return best;
}

int32_t registry_refuse(registry *r, const char *path, const char *reason)
{
    if (!grow_room(&r->refusals, r->refusal_count, sizeof *r->refusals)) return HEED_E_MEMORY;
    refusal new = {strdup(path), strdup(reason)};
    if (!new.path || !new.reason) {
        free(new.path);
        free(new.reason);
        return HEED_E_MEMORY;
    }
    r->refusals[r->refusal_count++] = new;
    return HEED_OK;
}

/* Whether ".../attention_softmax.so" is named after "attention/softmax", or "softmax". */
static int is_named_after(const char *path, const char *id)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (!strchr(id, '/')) name += strcspn(name, "_") + (strchr(name, '_') != NULL);
    for (; *id && *name == (*id == '/' ? '_' : *id); id++) name++;
    return !*id && !strcmp(name, ".so");
}

void registry_refused(const registry *r, const char *id, char text[REFUSED_TEXT])
{
    enum { PATH_MOST = 160, REASON_MOST = 200 };
    const refusal *first = r->refusals;
    *text = 0;
    if (!r->refusal_count) return;
    for (uint32_t i = r->refusal_count; id && i--;)
        if (is_named_after(r->refusals[i].path, id)) first = &r->refusals[i];
    const size_t length = strlen(first->path), cut = length > PATH_MOST ? length - PATH_MOST : 0;
    const char *reason = first->reason;
    int named = !strncmp(reason, first->path, length) && reason[length] == ' '; /* trust.c does */
    char many[48] = "a plugin was refused";
    if (r->refusal_count > 1)
        snprintf(many, sizeof many, "%u plugins were refused, one of them", r->refusal_count);
    snprintf(text, REFUSED_TEXT, "; %s: %s%s%s %.*s", many, cut ? "..." : "", first->path + cut,
             named ? "" : ":", REASON_MOST, named ? reason + length + 1 : reason);
}

void *registry_alloc(registry *r, size_t bytes)
{
    if (!grow_room(&r->blocks, r->block_count, sizeof *r->blocks)) return NULL;
    void *block = calloc(1, bytes ? bytes : 1);
    if (block) r->blocks[r->block_count++] = block;
    return block;
}

void registry_forget(registry *r, const char *plugin, uint32_t block_count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->entries[i]->plugin != plugin) r->entries[kept++] = r->entries[i];
    r->count = kept;
    while (r->block_count > block_count) free(r->blocks[--r->block_count]);
}

void registry_free(registry *r)
{
    while (r->block_count) free(r->blocks[--r->block_count]);
    while (r->refusal_count) {
        free(r->refusals[--r->refusal_count].path);
        free(r->refusals[r->refusal_count].reason);
    }
    free(r->blocks);
    free(r->refusals);
    free(r->entries);
    if (r->drop) r->drop(r->source);
    memset(r, 0, sizeof *r);
}
