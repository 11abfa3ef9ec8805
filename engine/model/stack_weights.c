/* SPDX-License-Identifier: MIT
 *
 * stack_weights.c: tensors of the weights file to the ports of a stack's ops, by name: port "gain" of the op whose
 * prefix is "final_norm." is the tensor "final_norm.gain".
 *
 * It does not check shapes: opening an instance does (bind.c). Invariant: an op asks for the same names in both rounds,
 * so what the dry one found missing or unused is so. The names in the file are hostile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_random.h"
#include "model/stack_weights.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/resolve.h"

#define SHOWN 96 /* bytes of a tensor's name in a sentence */

/* The tensor of that name, which is used from now on; weights.c keeps the names sorted. */
static heed_tensor *find_tensor(stack_builder *b, const char *name)
{
    uint32_t low = 0, high = heed_weights_count(b->weights);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(heed_weights_name(b->weights, mid), name);
        if (order < 0) low = mid + 1;
        else if (order > 0) high = mid;
        else {
            if (!b->make) b->used[mid] = 1;
            break;
        }
    }
    return heed_weights_find(b->weights, name);
}

int stack_weights_has(const stack_builder *b, const char *name) { return heed_weights_find(b->weights, name) != NULL; }

void stack_weights_shape(char *out, size_t size, const port_axes *axes, const int64_t *axis)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < axes->count; i++) {
        int64_t known = axis[axes->letter[i] - 'A'];
        n += (size_t)(known >= 0 ? snprintf(out + n, size - n, "%s%lld", i ? ", " : "", (long long)known)
                                 : snprintf(out + n, size - n, "%s%c", i ? ", " : "", axes->letter[i]));
    }
    snprintf(out + n, size - n, "]");
}

/* Remembers a name that is not in the file: for the sentence about a missing tensor, or about one that nothing uses. */
static int32_t note_absent(stack_builder *b, const char *name, const entry *e, uint32_t p, const int64_t *axis)
{
    if (!b->dry) return HEED_OK;
    char **slot = stack_append(&b->absent, &b->n_absent, sizeof *slot), shape[24 * HEED_MAX_RANK + 8];
    if (!slot || !(*slot = strdup(name))) return error_memory(b->error);
    if (entry_port(e, p)->flags & HEED_PORT_OPTIONAL || b->missing) return HEED_OK;
    stack_weights_shape(shape, sizeof shape, &e->axes[p], axis);
    b->missing = *slot;
    error_set(&b->why, HEED_E_DATA, "the weights have no tensor \"%.*s\" of the shape %s, %s of %s", SHOWN, name, shape,
              entry_port(e, p)->name, e->op.id);
    return HEED_OK;
}

/* The name that is nearest to `name`, or NULL. What both begin with, up to a dot, does not count: else any two tensors
 * of a layer would be near. */
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

int32_t stack_weights_check(const stack_builder *b)
{
    uint32_t count = heed_weights_count(b->weights), unused = 0;
    const char **names = malloc(sizeof *names * ((size_t)count + 1)), *near = NULL;
    if (!names) return error_memory(b->error);
    for (uint32_t i = 0; i < count; i++)
        if (!b->used[i]) names[unused++] = heed_weights_name(b->weights, i);
    int32_t failed = HEED_OK;
    if (b->missing) {
        near = nearest_name(b->missing, names, unused);
        failed = error_set(b->error, b->why.code, "%s%s%.*s%s", b->why.text,
                           near ? "; nearest of those that nothing uses is \"" : "", SHOWN, near ? near : "",
                           near ? "\"" : "");
    } else if (unused) {
        near = nearest_name(names[0], (const char *const *)b->absent, b->n_absent);
        failed = error_set(b->error, HEED_E_DATA,
                           "the weights have a tensor \"%.*s\" that nothing in this network uses%s%.*s%s", SHOWN,
                           names[0], near ? "; nearest of those that it could use is \"" : "", SHOWN,
                           near ? near : "", near ? "\"" : "");
    }
    free(names);
    return failed;
}

/* The sizes that an op's params fix. */
static void add_params(const resolved *op, int64_t *axis)
{
    for (uint32_t p = 0; p < op->entry->op.params.count; p++) {
        const heed_param *param = entry_param(op->entry, p);
        if (param->axis && (op->value[p].given || !(param->flags & HEED_PARAM_AUTO)))
            axis[param->axis - 'A'] = op->value[p].i;
    }
}

typedef struct weight_list {
    heed_binding *at;
    uint32_t count, names;
    char **name; /* of the ports; at[i].port is name[i] */
} weight_list;

/* The tensor of a port: "<prefix><port>", or "stack.<port>" where layers share it and this one has none of its own.
 * NULL: no memory. */
static char *tensor_name(const stack_builder *b, const char *prefix, const heed_port *w)
{
    char *own, *shared;
    if (asprintf(&own, "%s%s", prefix, w->name) < 0) return NULL;
    if (w->scope != HEED_SCOPE_STACK || strncmp(prefix, "layers.", 7) || stack_weights_has(b, own)) return own;
    free(own);
    return asprintf(&shared, "stack.%s", w->name) < 0 ? NULL : shared;
}

/* Every weight port of an op and of the ops inside: port "gain" is tensor "<prefix>gain", port "table" of the op inside
 * that is called "position" is "<prefix>position.table", but "position.table" if the stack put it there. Sizes that the
 * op's own weights tell are added to `axis`. */
static int32_t collect(stack_builder *b, const resolved *op, const char *prefix, const char *inside, int64_t *axis,
                       weight_list *list)
{
    const entry *e = op->entry;
    char *name = NULL, *inner = NULL, **port;
    int32_t failed = HEED_OK;
    for (uint32_t p = 0; p < e->op.ports.count && !failed; p++) {
        const heed_port *w = entry_port(e, p);
        if (w->role != HEED_WEIGHT) continue;
        if (!(name = tensor_name(b, prefix, w))) return error_memory(b->error);
        const char *which = b->plan.choice[STACK_TIED] && !strcmp(name, "output.weight") ? "embed.table" : name;
        heed_tensor *t = find_tensor(b, which);
        if (!t && b->make && !(w->flags & HEED_PORT_OPTIONAL && w->init != HEED_INIT_NORMAL) &&
            !(t = stack_random_make(b, which, e, p, axis))) {
            free(name);
            return b->error->code;
        }
        heed_binding *bound = t ? stack_append(&list->at, &list->count, sizeof *bound) : NULL;
        if (!t) failed = note_absent(b, which, e, p, axis);
        else if (!bound || !(port = stack_append(&list->name, &list->names, sizeof *port)))
            failed = error_memory(b->error);
        else if (asprintf(port, "%s%s", inside, w->name) < 0) *port = NULL, failed = error_memory(b->error);
        else *bound = (heed_binding){*port, t};
        const port_axes *a = &e->axes[p];
        for (int i = 0; t && !*inside && t->rank == a->count && i < a->count; i++) /* or binding refuses it */
            if (axis[a->letter[i] - 'A'] < 0) axis[a->letter[i] - 'A'] = t->dim[i];
        free(name);
    }
    for (uint32_t p = 0; p < e->op.params.count && !failed; p++) {
        const heed_param *param = entry_param(e, p);
        if (!op->child[p]) continue;
        int ours = b->acts == HEED_ACTS_SCORES && !*inside && !strcmp(param->choices, "position");
        name = inner = NULL;
        if (asprintf(&inner, "%s%s.", inside, param->key) < 0) inner = NULL;
        if (asprintf(&name, "%s%s.", ours ? "" : prefix, ours ? "position" : param->key) < 0) name = NULL;
        int64_t known[HEED_AXES];
        memcpy(known, axis, sizeof known);
        add_params(op->child[p], known);
        failed = name && inner ? collect(b, op->child[p], name, inner, known, list) : error_memory(b->error);
        free(name);
        free(inner);
    }
    return failed;
}

int32_t stack_weights_open(stack_builder *b, const resolved *op, const char *prefix, int64_t *axis, heed_instance **out)
{
    weight_list list = {0};
    *out = NULL;
    add_params(op, axis);
    int32_t failed = collect(b, op, prefix, "", axis, &list);
    if (!failed && !b->dry) {
        heed_opening opening = {.size = sizeof opening, .n_weights = list.count, .weights = list.at, .axes = axis};
        heed_instance **slot = stack_append(&b->stack->instances, &b->stack->n_instances, sizeof *slot);
        if (!slot) failed = error_memory(b->error);
        else if (!(*slot = instance_make(b->engine, op, &opening, b->error)))
            failed = error_set(b->error, b->error->code, "%.*s: %s", (int)strlen(prefix) - 1, prefix, b->error->text);
        else memcpy(axis, (*slot)->axis, sizeof (*slot)->axis);
        if (!failed) *out = *slot;
    }
    for (uint32_t i = 0; i < list.names; i++) free(list.name[i]);
    free(list.name);
    free(list.at);
    return failed;
}
