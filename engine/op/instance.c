/* SPDX-License-Identifier: MIT
 *
 * instance.c: an op with its params and weights fixed. Children are opened first, with the same
 * axes; memory is measured, then built, then never changed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cpu.h"
#include "base/error.h"
#include "op/bind.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/resolve.h"

static const heed_path *choose_path(const heed_engine *engine, const resolved *op, const char *isa,
                                    heed_error *error)
{
    uint64_t features = engine->features;
    if (!isa && !op->fast) return op->entry->path;
    if (cpu_mask(isa, &features, error)) return NULL;
    return registry_path(op->entry, features, isa ? isa : engine->isa, (int)op->fast);
}

heed_open instance_opening(const heed_instance *i, const heed_tensor *const *weight,
                           heed_sink *sink)
{
    return (heed_open){.size = sizeof(heed_open),
                       .value = i->value,
                       .child = i->child,
                       .weight = weight,
                       .axis = i->axis,
                       .host = i->engine->host,
                       .sink = sink};
}

void instance_own_axes(const heed_instance *i, int64_t *axis)
{
    if (!i->path->forward) return; /* a setting knows the axes of the op that it is inside */
    for (int a = 0; a < HEED_AXES; a++)
        if (!(i->letters & 1u << a)) axis[a] = -1;
}

/* The op inside that a weight is for, by its param: "position.table" is port "table" of the op that
 * is `position`. -1 = the op's own. */
static int owner(const resolved *op, const char *port)
{
    if (!port) return -1; /* bind_role says so */
    size_t length = strcspn(port, ".");
    for (uint32_t p = 0; port[length] && p < op->entry->op.params.count; p++) {
        const char *key = entry_param(op->entry, p)->key;
        if (op->child[p] && strlen(key) == length && !memcmp(key, port, length)) return (int)p;
    }
    return -1;
}

/* The bindings of one owner, under the names that it knows. */
static uint32_t weights_of(const resolved *op, int who, const heed_opening *opening,
                           heed_binding *to)
{
    uint32_t n = 0;
    for (uint32_t w = 0; opening && opening->weights && w < opening->n_weights; w++) {
        const char *port = opening->weights[w].port;
        if (owner(op, port) != who) continue;
        to[n++] = (heed_binding){who < 0 ? port : port + strcspn(port, ".") + 1,
                                 opening->weights[w].tensor};
    }
    return n;
}

/* Zeroed. Large ones are on large pages, if the system has them: their first touch costs less, and so does
 * each address later. Not their ends, which would take more memory than is asked for. */
static void *allocate(uint64_t bytes)
{
    const uint64_t page = (uint64_t)1 << 21;
    void *memory = aligned_alloc(bytes < 4 * page ? 64 : page, bytes);
    if (memory && bytes >= 4 * page) madvise(memory, bytes / page * page, MADV_HUGEPAGE);
    return memory ? memset(memory, 0, bytes) : NULL;
}

uint64_t instance_bytes(const heed_instance *i)
{
    char text[160] = "";
    heed_sink sink = {sizeof sink, sizeof text, text};
    const heed_open open = instance_opening(i, i->weight, &sink);
    uint64_t bytes = 0;
    return i->entry->op.measure(&open, &bytes) ? 0 : bytes;
}

int32_t instance_build(const heed_instance *i, void **memory, heed_error *error)
{
    const entry *e = i->entry;
    char text[sizeof error->text] = "";
    heed_sink sink = {sizeof sink, sizeof text, text};
    heed_open open = instance_opening(i, i->weight, &sink);
    uint64_t bytes = 0;
    int32_t failed = e->op.measure(&open, &bytes);
    if (failed)
        return error_set(error, failed, "%s: %s", e->op.id,
                         text[0] ? text : "can not be opened, and the plugin does not say why");
    if (bytes > (uint64_t)1 << 46)
        return error_set(error, HEED_E_MEMORY, "%s: the plugin asks for %llu bytes", e->op.id,
                         (unsigned long long)bytes);
    bytes = (bytes + 127) & ~(uint64_t)63;
    if (!(*memory = allocate(bytes))) return error_memory(error);
    /* an instance's numbers do not depend on the application's mode either */
    uint64_t mode = cpu_float_plain();
    failed = e->op.init(*memory, &open);
    cpu_float_restore(mode);
    if (!failed) return HEED_OK;
    free(*memory);
    *memory = NULL; /* nothing to fini */
    return error_set(error, failed, "%s: %s", e->op.id,
                     text[0] ? text : "can not be opened, and the plugin does not say why");
}

/* `weights` has room for all of the opening's. */
static int32_t build(heed_instance *i, const resolved *op, const heed_opening *opening,
                     heed_binding *weights, heed_error *error)
{
    const entry *e = op->entry;
    binding_set set;
    bind_start(&set, e, i->axis);
    int32_t failed =
        bind_role(&set, HEED_WEIGHT, weights, weights_of(op, -1, opening, weights), 1, error);
    if (failed) return failed;
    memcpy(i->axis, set.axis, sizeof i->axis);

    for (uint32_t p = 0; p < e->op.params.count; p++) {
        if (!op->child[p]) continue;
        heed_opening inner = {.size = sizeof inner, .weights = weights, .axes = i->axis};
        inner.n_weights = weights_of(op, (int)p, opening, weights);
        inner.isa = opening ? opening->isa : NULL;
        i->children[p] = instance_make(i->engine, op->child[p], &inner, error);
        if (!i->children[p]) { /* of two alike, which one: "a: attention/synthesizer_random: ..." */
            if (error && error->code != HEED_E_MEMORY)
                error_set(error, error->code, "%s: %s", entry_param(e, p)->key, error->text);
            return HEED_E_ARGUMENT;
        }
        if (i->children[p]->path->forward) i->letters |= i->children[p]->letters;
        i->child[p].instance = i->children[p]->memory;
        i->child[p].op = &i->children[p]->entry->op;
        i->child[p].path = i->children[p]->path;
        for (int a = 0; a < HEED_AXES; a++) /* what its weights tell holds here too */
            if (i->axis[a] < 0) i->axis[a] = i->children[p]->axis[a];
    }
    instance_own_axes(i, i->axis);

    memcpy(i->weight, set.tensor, sizeof *i->weight * e->op.ports.count);
    memcpy(i->built, set.tensor, sizeof *i->built * e->op.ports.count);
    return instance_build(i, &i->memory, error);
}

heed_instance *instance_make(heed_engine *engine, const resolved *op, const heed_opening *opening,
                             heed_error *error)
{
    const entry *e = op->entry;
    const heed_path *path = choose_path(engine, op, opening ? opening->isa : NULL, error);
    if (!path) return NULL;
    size_t params = e->op.params.count + 1; /* never 0 */
    heed_instance *i = calloc(1, sizeof *i);
    if (!i) { error_memory(error); return NULL; }
    *i = (heed_instance){.engine = engine,
                         .entry = e,
                         .path = path,
                         .mask = op->mask,
                         .letters = e->letters,
                         .weight = calloc(e->op.ports.count + 1, sizeof *i->weight),
                         .built = calloc(e->op.ports.count + 1, sizeof *i->built),
                         .value = calloc(params, sizeof *i->value),
                         .child = calloc(params, sizeof *i->child),
                         .children = calloc(params, sizeof *i->children),
                         .spec = resolve_print(op)};
    if (!i->weight || !i->built || !i->value || !i->child || !i->children || !i->spec) {
        error_memory(error);
        heed_instance_close(i);
        return NULL;
    }
    memcpy(i->value, op->value, sizeof *i->value * e->op.params.count);
    for (uint32_t p = 0; p < e->op.params.count; p++) i->child[p].size = sizeof *i->child;
    for (int a = 0; a < HEED_AXES; a++)
        i->axis[a] = opening && opening->axes ? opening->axes[a] : -1;
    resolve_axes(op, i->axis, 1);
    heed_binding *weights = calloc(opening ? (size_t)opening->n_weights + 1 : 1, sizeof *weights);
    int32_t failed = weights ? build(i, op, opening, weights, error) : error_memory(error);
    free(weights);
    if (failed) {
        heed_instance_close(i);
        return NULL;
    }
    return i;
}

heed_instance *heed_instance_open(heed_engine *engine, const char *text,
                                  const heed_opening *opening, heed_error *error)
{
    if (error) *error = (heed_error){0};
    if (!text) return error_set(error, HEED_E_ARGUMENT, "the spec of an op is NULL"), NULL;
    if (opening && opening->n_weights && !opening->weights)
        return error_set(error, HEED_E_ARGUMENT,
                         "%u weights are said to be bound, and the list of them is NULL",
                         opening->n_weights),
               NULL;
    resolved *op = resolve_text(&engine->registry, text, error);
    heed_instance *i = op ? instance_make(engine, op, opening, error) : NULL;
    resolve_free(op);
    return i;
}

void heed_instance_close(heed_instance *i)
{
    if (!i) return;
    if (i->memory && i->entry->op.fini) i->entry->op.fini(i->memory);
    free(i->memory);
    for (uint32_t p = 0; i->children && p < i->entry->op.params.count; p++)
        heed_instance_close(i->children[p]);
    free(i->children);
    free(i->child);
    free(i->value);
    free(i->weight);
    free(i->built);
    free(i->spec);
    free(i->part);
    free(i);
}

const heed_op *heed_instance_op(const heed_instance *i) { return &i->entry->op; }
const heed_path *heed_instance_path(const heed_instance *i) { return i->path; }
const char *heed_instance_spec(const heed_instance *i) { return i->spec; }
