/* SPDX-License-Identifier: MIT
 *
 * stack_weights.c: tensors of the source to the ports of a stack's ops, by name: port "gain" of the
 * op whose prefix is "final_norm." is the tensor "final_norm.gain".
 *
 * It does not check shapes: opening an instance does (bind.c). Invariant: an op asks for the same
 * names in both rounds, so what the dry one found missing or unused is so. The names in the file
 * are hostile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_sizes.h"
#include "model/stack_weights.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/resolve.h"

#define SHOWN 96 /* bytes of a tensor's name in a sentence */

void stack_weights_shape(char *out, size_t size, const port_axes *axes, const int64_t *axis)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < axes->count; i++) {
        int64_t known = axis[axes->letter[i] - 'A'];
        n += (size_t)(known >= 0
                          ? snprintf(out + n, size - n, "%s%lld", i ? ", " : "", (long long)known)
                          : snprintf(out + n, size - n, "%s%c", i ? ", " : "", axes->letter[i]));
    }
    snprintf(out + n, size - n, "]");
}

/* Remembers a name that is not there: for the sentence about a missing tensor, or about one that
 * nothing uses. */
static int32_t note_absent(stack_builder *b, const source_want *want)
{
    char **slot, shape[24 * HEED_MAX_RANK + 8];
    if (!b->dry) return HEED_OK;
    slot = grow_append(&b->absent, &b->n_absent, sizeof *slot);
    if (!slot || !(*slot = strdup(want->name))) return error_memory(b->error);
    const entry *e = want->op->entry;
    const heed_port *port = entry_port(e, want->port);
    if ((port->flags & HEED_PORT_OPTIONAL && !want->needed) || b->missing) return HEED_OK;
    stack_weights_shape(shape, sizeof shape, &e->axes[want->port], want->axis);
    b->missing = *slot;
    error_set(&b->why, HEED_E_DATA, "the weights have no tensor \"%.*s\" of the shape %s, %s of %s",
              SHOWN, want->name, shape, port->name, e->op.id);
    return HEED_OK;
}

/* The name that is nearest to `name`, or NULL. What both begin with, up to a dot, does not count:
 * else any two tensors of a layer would be near. */
static const char *nearest_name(const char *name, const char *const *names, uint32_t count)
{
    const char *few[16];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count && kept < 16; i++) {
        size_t same = 0;
        for (size_t k = 0; name[k] && name[k] == names[i][k]; k++)
            if (name[k] == '.') same = k + 1;
        const char *rest = names[i] + same;
        if (error_nearest(name + same, &rest, 1)) few[kept++] = names[i];
    }
    return error_nearest(name, few, kept);
}

int32_t stack_weights_check(const stack_builder *b, const char *const *unused, uint32_t count)
{
    const char *near = NULL;
    if (b->missing) {
        near = nearest_name(b->missing, unused, count);
        return error_set(b->error, b->why.code, "%s%s%.*s%s", b->why.text,
                         near ? "; nearest of those that nothing uses is \"" : "", SHOWN,
                         near ? near : "", near ? "\"" : "");
    }
    if (!count) return HEED_OK;
    near = nearest_name(unused[0], (const char *const *)b->absent, b->n_absent);
    return error_set(b->error, HEED_E_DATA,
                     "the weights have a tensor \"%.*s\" that nothing in this network uses%s%.*s%s",
                     SHOWN, unused[0], near ? "; nearest of those that it could use is \"" : "",
                     SHOWN, near ? near : "", near ? "\"" : "");
}

/* ---- the weights of one op ---- */

typedef struct weight_list {
    heed_binding *at;
    uint32_t count, names;
    char **name; /* of the ports; at[i].port is name[i] */
} weight_list;

/* Where an op is: port "gain" is the tensor "<prefix>gain", and for the op that is opened the port
 * "<inside>gain". */
typedef struct location {
    const char *prefix, *inside;
    int64_t *axis; /* sizes that are known */
} location;

/* Whether a prefix is that of the projection that all layers of a side have: who halts. */
static int is_halting(const char *prefix)
{
    const size_t n = strlen(prefix), length = strlen("halting.");
    return n >= length && !strcmp(prefix + n - length, "halting.");
}

/* Whether a port is asked for though it is optional: the bias of who halts, and by biases=true those of
 * the layers' projections and feed-forwards, and of a classifier. */
static int asks_for(const stack_builder *b, const entry *e, const char *prefix, const char *port)
{
    const size_t length = strlen(port);
    if (is_halting(prefix) && !strcmp(port, "bias")) return 1;
    const int classifies = !strcmp(prefix, "pooler.") ||
                           (!strcmp(prefix, "output.") && b->plan.number[STACK_CLASSES] >= 0);
    return b->plan.choice[STACK_BIASES] && (strstr(prefix, "layers.") || classifies) &&
           length >= 4 && !strcmp(port + length - 4, "bias") &&
           (!strncmp(e->op.id, "linear/", 7) || !strncmp(e->op.id, "feedforward/", 12));
}

/* The tensor of a port: "<prefix><port>", or "stack.<port>" where layers share it and this one has
 * none of its own. NULL: no memory. */
static char *tensor_name(const stack_builder *b, const char *prefix, const heed_port *w)
{
    const char *side = stack_plan_prefix(b->side);
    char *own, *shared;
    if (asprintf(&own, "%s%s", prefix, w->name) < 0) return NULL;
    const size_t length = strlen(side);
    const int in_layer = !strncmp(prefix, side, length) && !strncmp(prefix + length, "layers.", 7);
    if (w->scope != HEED_SCOPE_STACK || !in_layer || b->source->find(b->source, own)) return own;
    free(own);
    return asprintf(&shared, "%sstack.%s", side, w->name) < 0 ? NULL : shared;
}

static int32_t bind(stack_builder *b, const location *where, const heed_port *w, heed_tensor *t,
                    weight_list *list)
{
    heed_binding *bound = grow_append(&list->at, &list->count, sizeof *bound);
    char **port = bound ? grow_append(&list->name, &list->names, sizeof *port) : NULL;
    if (!port) return error_memory(b->error);
    if (asprintf(port, "%s%s", where->inside, w->name) < 0)
        return *port = NULL, error_memory(b->error);
    *bound = (heed_binding){*port, t};
    return HEED_OK;
}

/* Of one that has another rank binding says so. */
static void learn_sizes(const location *where, const port_axes *a, const heed_tensor *t)
{
    for (int i = 0; t->rank == a->count && i < a->count; i++) {
        int64_t *size = &where->axis[a->letter[i] - 'A'];
        if (*size < 0) *size = t->dim[i];
    }
}

/* Found, or made; noted if it is neither. Sizes that an op's own weights tell are known from now
 * on. */
static int32_t collect_port(stack_builder *b, const resolved *op, uint32_t p, const location *where,
                            weight_list *list)
{
    const entry *e = op->entry;
    const heed_port *w = entry_port(e, p);
    const port_axes *a = &e->axes[p];
    char *name = tensor_name(b, where->prefix, w);
    if (!name) return error_memory(b->error);
    int tied = b->plan.choice[STACK_TIED] && !strcmp(name, "output.weight");
    source_want want = {tied ? "embed.table" : name,           op, p, where->axis, b->gain,
                        asks_for(b, e, where->prefix, w->name)};
    heed_tensor *t = b->source->find(b->source, want.name);
    int32_t failed = HEED_OK;
    if (!t && b->source->make && !*b->unknown)
        failed = b->source->make(b->source, &want, &t, b->error);
    if (!failed) failed = t ? bind(b, where, w, t, list) : note_absent(b, &want);
    free(name);
    /* binding refuses it */
    if (failed || !t || *where->inside || t->rank != a->count) return failed;
    for (int i = 0; i < a->count; i++) {
        int64_t *size = &where->axis[a->letter[i] - 'A'];
        if (*size < 0) *size = t->dim[i];
    }
    return HEED_OK;
}

static int32_t collect(stack_builder *b, const resolved *op, const location *where,
                       weight_list *list);

/* Of the op that is a param: port "table" of the op "position" is tensor "<prefix>position.table",
 * but "position.table" or "layers.3.position.table" if the stack put it there. */
static int32_t collect_child(stack_builder *b, const resolved *op, uint32_t p,
                             const location *where, weight_list *list)
{
    const heed_param *param = entry_param(op->entry, p);
    int ours =
        b->acts == HEED_ACTS_SCORES && !*where->inside && !strcmp(param->choices, "position");
    char *name = NULL, *inner = NULL;
    int64_t known[HEED_AXES];
    if (asprintf(&inner, "%s%s.", where->inside, param->key) < 0) inner = NULL;
    if (asprintf(&name, "%s%s%s", ours ? "" : where->prefix, ours ? b->position_prefix : param->key,
                 ours ? "" : ".") < 0)
        name = NULL;
    memcpy(known, where->axis, sizeof known);
    resolve_axes(op->child[p], known, 1);
    location there = {name, inner, known};
    int32_t failed =
        name && inner ? collect(b, op->child[p], &there, list) : error_memory(b->error);
    free(name);
    free(inner);
    return failed;
}

/* Sizes of an op that tensors tell which need not be made. */
static int32_t know_sizes(const stack_builder *b, const resolved *op, const location *where)
{
    for (uint32_t p = 0; p < op->entry->op.ports.count; p++) {
        const heed_port *w = entry_port(op->entry, p);
        const port_axes *a = &op->entry->axes[p];
        if (w->role != HEED_WEIGHT) continue;
        char *name = tensor_name(b, where->prefix, w);
        if (!name) return error_memory(b->error);
        const heed_tensor *t = b->source->find(b->source, name);
        if (t) learn_sizes(where, a, t);
        free(name);
    }
    return HEED_OK;
}

/* Every weight port of an op and of the ops inside. */
static int32_t collect(stack_builder *b, const resolved *op, const location *where,
                       weight_list *list)
{
    if (b->source->make) TRY(know_sizes(b, op, where));
    stack_sizes_note(b, op, where->axis);
    for (uint32_t p = 0; p < op->entry->op.ports.count; p++)
        if (entry_port(op->entry, p)->role == HEED_WEIGHT) TRY(collect_port(b, op, p, where, list));
    for (uint32_t p = 0; p < op->entry->op.params.count; p++)
        if (op->child[p]) TRY(collect_child(b, op, p, where, list));
    return HEED_OK;
}

/* The instance that an earlier layer has opened with the same weights, where layers share them, or the
 * output's, which is opened first; NULL: none. One with a position op inside that each layer has of its own is not the same. */
static heed_instance *opened(const stack_builder *b, const resolved *op, const char *prefix)
{
    const stack_part *position = stack_plan_part(&b->plan, b->side, STACK_PART_POSITION);
    const size_t length = strlen(prefix) - 1;
    const int apart = !b->plan.choice[STACK_SHARED] || !strstr(prefix, "layers.") ||
                      (b->acts == HEED_ACTS_SCORES && position->listed);
    if (apart && !is_halting(prefix) && strcmp(prefix, "output.")) return NULL;
    for (uint32_t i = 0; i < b->stack->n_instances; i++) {
        heed_instance *at = b->stack->instances[i];
        if (at && at->part && at->entry == op->entry && strlen(at->part) == length &&
            !strncmp(at->part, prefix, length))
            return at;
    }
    return NULL;
}

int32_t stack_weights_open(stack_builder *b, const resolved *op, const char *prefix, int64_t *axis,
                           heed_instance **out)
{
    weight_list list = {0};
    resolve_axes(op, axis, 1);
    if (!b->dry && (*out = opened(b, op, prefix)))
        return memcpy(axis, (*out)->axis, sizeof(*out)->axis), HEED_OK;
    *out = NULL;
    int32_t failed = collect(b, op, &(location){prefix, "", axis}, &list);
    if (!failed && !b->dry) {
        heed_opening opening = {
            .size = sizeof opening, .n_weights = list.count, .weights = list.at, .axes = axis};
        heed_instance **slot =
            grow_append(&b->stack->instances, &b->stack->n_instances, sizeof *slot);
        if (!slot) failed = error_memory(b->error);
        else if (!(*slot = instance_make(b->engine, op, &opening, b->error)))
            failed = error_set(b->error, b->error->code, "%.*s: %s", (int)strlen(prefix) - 1,
                               prefix, b->error->text);
        else if (!((*slot)->part = strndup(prefix, strlen(prefix) - 1)))
            failed = error_memory(b->error);
        else memcpy(axis, (*slot)->axis, sizeof(*slot)->axis);
        if (b->source->opened) b->source->opened(b->source);
        if (!failed) *out = *slot;
    }
    for (uint32_t i = 0; i < list.names; i++) free(list.name[i]);
    free(list.name);
    free(list.at);
    return failed;
}
