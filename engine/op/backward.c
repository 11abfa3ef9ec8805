/* SPDX-License-Identifier: MIT
 *
 * backward.c: the gradients of a call that has been run, by the op's heed.grad/1; and weights whose
 * numbers have changed since. What an op tells of itself is checked here, when it is asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/call.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/registry.h"

/* ---- what an op tells ---- */

static const heed_port *port_of(const heed_op *op, uint32_t i)
{
    return (const heed_port *)op->ports.data + i;
}

/* A set of ports, each of which has one of these roles. */
static int is_set_of(const heed_op *op, uint32_t ports, uint32_t roles)
{
    for (uint32_t p = 0; p < PORT_MAX; p++) {
        if (!(ports >> p & 1)) continue;
        if (p >= op->ports.count || !(roles >> port_of(op, p)->role & 1)) return 0;
    }
    return 1;
}

/* All ports of a role. */
static uint32_t ports_of(const heed_op *op, uint32_t role)
{
    uint32_t ports = 0;
    for (uint32_t p = 0; p < op->ports.count && p < PORT_MAX; p++)
        if (port_of(op, p)->role == role) ports |= 1u << p;
    return ports;
}

const heed_grad *heed_op_grad(const heed_op *op, const heed_path *path)
{
    const heed_grad *g = path->get_extension ? path->get_extension(HEED_GRAD_ID) : NULL;
    const uint32_t in = HEED_BIT(HEED_INPUT) | HEED_BIT(HEED_WEIGHT), out = HEED_BIT(HEED_OUTPUT);
    if (!g || g->size < sizeof *g || !g->backward || !g->gives || !g->takes) return NULL;
    return is_set_of(op, g->gives, in) && is_set_of(op, g->takes | g->reads, out) ? g : NULL;
}

/* "norm/layer, norm/rms": the ops that have one, as many as go into the text. */
static void list_backwards(const heed_engine *engine, char *text, size_t size)
{
    const char *names[64];
    uint32_t n = 0;
    registry_all(&engine->registry, NULL);
    for (uint32_t k = 0; k < engine->registry.count && n < 64; k++)
        if (heed_op_grad(&engine->registry.entries[k]->op, engine->registry.entries[k]->path))
            names[n++] = engine->registry.entries[k]->op.id;
    text[0] = 0;
    error_list(text, size, "", names, n);
}

/* The names of a set of ports. */
static void list_ports(const entry *e, uint32_t ports, char *text, size_t size)
{
    const char *names[PORT_MAX];
    uint32_t n = 0;
    for (uint32_t p = 0; p < e->op.ports.count; p++)
        if (ports >> p & 1) names[n++] = entry_port(e, p)->name;
    text[0] = 0;
    error_list(text, size, "", names, n);
}

/* ---- the tensors ---- */

enum { INNER_MAX = 8 }; /* ops inside that a call may have gradients of */
typedef struct backward {
    const heed_grad *grad;
    heed_grad_call call;
    const heed_tensor *gradient[PORT_MAX];
    const heed_tensor *const *inner[PARAM_MAX];
    const heed_tensor *inner_gradient[INNER_MAX][PORT_MAX];
    uint32_t n_inner;
} backward;

static int32_t fail(const prepared *c, uint32_t port, heed_error *error, const char *why)
{
    const entry *e = c->set.entry;
    return error_set(error, HEED_E_SHAPE, "%s: the gradient of %s %s", e->op.id,
                     entry_port(e, port)->name, why);
}

/* Which port a gradient is of; inputs and weights that have one, and outputs that count. */
static int32_t find_port(const entry *e, const backward *b, const char *name, uint32_t *port,
                         heed_error *error)
{
    char gives[256], takes[256];
    const uint32_t known = b->grad->gives | b->grad->takes;
    for (uint32_t p = 0; name && p < e->op.ports.count; p++)
        if (known >> p & 1 && !strcmp(entry_port(e, p)->name, name)) {
            *port = p;
            return HEED_OK;
        }
    list_ports(e, b->grad->gives, gives, sizeof gives);
    list_ports(e, b->grad->takes, takes, sizeof takes);
    return error_set(error, HEED_E_ARGUMENT,
                     "%s has no gradient of \"%s\"; it gives those of %s from those of %s",
                     e->op.id, name ? name : "(NULL)", gives, takes);
}

/* The shape that the gradient of a port has: that of its tensor. */
static int32_t shape_of(const prepared *c, const heed_instance *i, uint32_t port,
                        heed_tensor *shape, heed_error *error)
{
    const uint32_t role = entry_port(i->entry, port)->role;
    if (role == HEED_OUTPUT) return bind_infer(&c->set, port, shape, error);
    const heed_tensor *t = role == HEED_WEIGHT ? i->weight[port] : c->set.tensor[port];
    if (!t) return fail(c, port, error, "is asked for, but the call is without it");
    *shape = *t;
    return HEED_OK;
}

static int32_t check_gradient(const prepared *c, const heed_instance *i, uint32_t port,
                              const heed_tensor *t, heed_error *error)
{
    heed_tensor shape;
    int32_t failed = shape_of(c, i, port, &shape, error);
    if (failed) return failed;
    if (t->dtype != HEED_F32)
        return error_set(error, HEED_E_SHAPE,
                         "%s: the gradient of %s has dtype %s; gradients are f32", i->entry->op.id,
                         entry_port(i->entry, port)->name, heed_dtype_name(t->dtype));
    if (t->rank != shape.rank)
        return error_set(error, HEED_E_SHAPE, "%s: the gradient of %s has %d axes, not %d",
                         i->entry->op.id, entry_port(i->entry, port)->name, t->rank, shape.rank);
    for (int a = 0; a < t->rank; a++)
        if (t->dim[a] != shape.dim[a])
            return error_set(error, HEED_E_SHAPE,
                             "%s: the gradient of %s is %lld along axis %d, not %lld",
                             i->entry->op.id, entry_port(i->entry, port)->name,
                             (long long)t->dim[a], a, (long long)shape.dim[a]);
    const heed_port *of = entry_port(i->entry, port);
    return bind_check_memory(&c->set, of, t, of->role != HEED_OUTPUT, error);
}

static int overlap(const heed_tensor *a, const heed_tensor *b)
{
    return a && b && heed_tensor_elements(a) && heed_tensor_elements(b) && call_share_memory(a, b);
}

/* What is written, the gradient of `name`, must not be what is read, nor another that is written
 * than that of the port `own`. */
static int32_t check_overlap(const prepared *c, const heed_instance *i, const backward *b,
                             const heed_tensor *to, uint32_t own, const char *name,
                             heed_error *error)
{
    const entry *e = i->entry;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const int tensor = overlap(to, c->set.tensor[p]) || overlap(to, i->weight[p]);
        if (tensor || (p != own && overlap(to, b->gradient[p])))
            return error_set(error, HEED_E_ARGUMENT,
                             "%s: the gradient of %s shares memory with %s%s", e->op.id, name,
                             tensor ? "" : "the gradient of ", entry_port(e, p)->name);
    }
    return HEED_OK;
}
static int32_t check_overlaps(const prepared *c, const heed_instance *i, const backward *b,
                              heed_error *error)
{
    const entry *e = i->entry;
    int32_t failed = HEED_OK;
    for (uint32_t p = 0; p < e->op.ports.count && !failed; p++)
        if (b->gradient[p] && entry_port(e, p)->role != HEED_OUTPUT)
            failed = check_overlap(c, i, b, b->gradient[p], p, entry_port(e, p)->name, error);
    for (uint32_t k = 0; k < e->op.params.count && !failed; k++)
        for (uint32_t p = 0; b->inner[k] && p < PORT_MAX && !failed; p++)
            if (b->inner[k][p])
                failed = check_overlap(c, i, b, b->inner[k][p], PORT_MAX,
                                       entry_port(i->children[k]->entry, p)->name, error);
    return failed;
}

/* A gradient must come, through one output at least. */
static int32_t check_some(const heed_instance *i, const backward *b, heed_error *error)
{
    char takes[256];
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++)
        if (b->gradient[p] && entry_port(i->entry, p)->role == HEED_OUTPUT) return HEED_OK;
    list_ports(i->entry, b->grad->takes, takes, sizeof takes);
    return error_set(error, HEED_E_ARGUMENT,
                     "%s: no gradient comes: that of one of its outputs must be there (%s)",
                     i->entry->op.id, takes);
}

/* ---- weights of ops inside ---- */

/* The param of an op inside that "key.port" is a weight of; -1: the op's own. */
static int owner(const heed_instance *i, const char *name)
{
    const size_t length = name ? strcspn(name, ".") : 0;
    for (uint32_t p = 0; name && name[length] && p < i->entry->op.params.count; p++) {
        const char *key = entry_param(i->entry, p)->key;
        if (i->children[p] && strlen(key) == length && !memcmp(key, name, length)) return (int)p;
    }
    return -1;
}

uint32_t instance_gives(const heed_instance *i, uint32_t param)
{
    const heed_instance *child = i->children[param];
    const heed_grad *own = heed_op_grad(&i->entry->op, i->path),
                    *g = child && child->path->get_extension
                             ? child->path->get_extension(HEED_GRAD_ID)
                             : NULL;
    if (!own || !(own->flags & HEED_GRAD_INNER) || !g || g->size < sizeof *g) return 0;
    if (child->path->get_extension(HEED_FILL_GRAD_ID) &&
        heed_op_grad(&child->entry->op, child->path))
        return g->gives & ports_of(&child->entry->op, HEED_WEIGHT);
    return g->flags & HEED_GRAD_ADDS && child->path->get_extension(HEED_SCORE_GRAD_ID) &&
                   is_set_of(&child->entry->op, g->gives, HEED_BIT(HEED_WEIGHT))
               ? g->gives
               : 0;
}

/* Where the call has the gradients of an op inside, [its ports]; NULL: it has too many such ops. */
static const heed_tensor **inner_of(backward *b, uint32_t param)
{
    if (b->inner[param]) return (const heed_tensor **)(uintptr_t)b->inner[param];
    if (b->n_inner == INNER_MAX) return NULL;
    b->inner[param] = b->inner_gradient[b->n_inner++];
    return (const heed_tensor **)(uintptr_t)b->inner[param];
}

/* The gradient of a weight of an op inside, "position.table". */
static int32_t bind_inner(const prepared *c, const heed_instance *i, backward *b, uint32_t param,
                          const heed_binding *g, heed_error *error)
{
    const heed_instance *child = i->children[param];
    const uint32_t gives = instance_gives(i, param);
    const char *name = g->port + strcspn(g->port, ".") + 1;
    const entry *e = child->entry;
    uint32_t p = 0;
    while (p < e->op.ports.count && strcmp(entry_port(e, p)->name, name)) p++;
    if (p == e->op.ports.count || !(gives >> p & 1))
        return error_set(error, HEED_E_ARGUMENT, "%s(%s=%s) has no gradient of \"%s\"",
                         i->entry->op.id, entry_param(i->entry, param)->key, e->op.id, g->port);
    const heed_tensor **to = inner_of(b, param), *t = g->tensor, *w = child->weight[p];
    if (!t) return HEED_OK; /* said to be absent */
    if (!to || to[p] || !w)
        return error_set(error, HEED_E_ARGUMENT, "%s: the gradient of %s is %s", i->entry->op.id,
                         g->port,
                         !w    ? "asked for, but the op is without it"
                         : !to ? "one of too many ops inside"
                               : "bound twice");
    int same = t->dtype == HEED_F32 && t->rank == w->rank;
    for (int a = 0; same && a < t->rank; a++) same = t->dim[a] == w->dim[a];
    if (!same)
        return error_set(error, HEED_E_SHAPE,
                         "%s: the gradient of %s has not the shape of the weight, in f32",
                         i->entry->op.id, g->port);
    to[p] = t;
    return bind_check_memory(&c->set, entry_port(e, p), t, 1, error);
}

/* Binds what is there of the outputs, and the gradients. */
static int32_t bind_gradients(prepared *c, const heed_instance *i, backward *b,
                              const heed_binding *out, uint32_t n_out, const heed_binding *g,
                              uint32_t n, heed_error *error)
{
    const entry *e = i->entry;
    int32_t failed = bind_some(&c->set, HEED_OUTPUT, out, n_out, 1, error);
    for (uint32_t p = 0; p < e->op.ports.count && !failed; p++)
        if (b->grad->reads >> p & 1 && !c->set.tensor[p])
            failed = error_set(error, HEED_E_ARGUMENT,
                               "%s: backward reads the output %s of the forward, which is missing",
                               e->op.id, entry_port(e, p)->name);
    if (!failed && n && !g)
        failed = error_set(error, HEED_E_ARGUMENT,
                           "%s: %u gradients are said to be bound, and the list of them is NULL",
                           e->op.id, n);
    for (uint32_t k = 0; k < n && !failed; k++) {
        uint32_t port = 0;
        const int inside = owner(i, g[k].port);
        if (inside >= 0) {
            failed = bind_inner(c, i, b, (uint32_t)inside, &g[k], error);
            continue;
        }
        failed = find_port(e, b, g[k].port, &port, error);
        if (failed || !g[k].tensor) continue; /* said to be absent */
        if (b->gradient[port]) failed = fail(c, port, error, "is bound twice");
        else failed = check_gradient(c, i, port, g[k].tensor, error);
        b->gradient[port] = g[k].tensor;
    }
    if (!failed) failed = check_some(i, b, error);
    return failed ? failed : check_overlaps(c, i, b, error);
}

/* ---- the work ---- */

static int32_t measure(void *arg, const heed_instance *i, const heed_call *call,
                       heed_call_size *size)
{
    const backward *b = arg;
    (void)call;
    return b->grad->measure ? b->grad->measure(i->memory, &b->call, size) : HEED_OK;
}

static int32_t run(void *arg, const heed_instance *i, const heed_call *call)
{
    const backward *b = arg;
    (void)call;
    return b->grad->backward(i->memory, &b->call);
}

int32_t heed_backward(const heed_instance *i, const heed_binding *in, uint32_t n_in,
                      const heed_binding *out, uint32_t n_out, const heed_binding *gradients,
                      uint32_t n_gradients, heed_error *error)
{
    prepared c;
    backward b = {.grad = heed_op_grad(&i->entry->op, i->path)};
    int32_t failed = call_prepare(&c, i, in, n_in, 1, error);
    if (failed) return failed;
    if (!b.grad) {
        char others[940];
        list_backwards(i->engine, others, sizeof others);
        return error_set(error, HEED_E_UNSUPPORTED, "%s has no backward; %s%s", i->entry->op.id,
                         others[0] ? "these have: " : "no op here has", others);
    }
    if ((failed = bind_gradients(&c, i, &b, out, n_out, gradients, n_gradients, error)))
        return failed;
    b.call = (heed_grad_call){.size = sizeof b.call,
                              .call = &c.call,
                              .child = i->child,
                              .weight = i->weight,
                              .gradient = b.gradient,
                              .inner = b.n_inner ? b.inner : NULL};
    return call_compute(&c, i, &(call_work){measure, run, &b}, error);
}

/* ---- weights with other numbers ---- */

/* The bindings of one owner, under the names that it knows. */
static uint32_t bindings_of(const heed_instance *i, int who, const heed_binding *from, uint32_t n,
                            heed_binding *to)
{
    uint32_t found = 0;
    for (uint32_t k = 0; k < n; k++) {
        if (owner(i, from[k].port) != who) continue;
        to[found++] = (heed_binding){
            who < 0 ? from[k].port : from[k].port + strcspn(from[k].port, ".") + 1, from[k].tensor};
    }
    return found;
}

/* Binds the weights to a set, the former tensors where none is given. */
static int32_t bind_weights(binding_set *set, const heed_instance *i, const heed_binding *given,
                            uint32_t n, heed_error *error)
{
    int32_t failed = HEED_OK;
    bind_start(set, i->entry, i->axis);
    failed = bind_some(set, HEED_WEIGHT, given, n, 1, error);
    for (uint32_t p = 0; p < i->entry->op.ports.count && !failed; p++) {
        if (!set->tensor[p]) set->tensor[p] = i->weight[p];
        const heed_tensor *now = set->tensor[p], *was = i->weight[p];
        if (entry_port(i->entry, p)->role != HEED_WEIGHT || now == was) continue;
        if (!was || now->dtype != was->dtype || now->rank != was->rank ||
            memcmp(now->dim, was->dim, sizeof *now->dim * (size_t)now->rank))
            failed = error_set(error, HEED_E_SHAPE,
                               "%s: the weight %s can be bound again only to a tensor of the shape "
                               "and dtype that it was opened with%s",
                               i->entry->op.id, entry_port(i->entry, p)->name,
                               was ? "" : ", and it was left out");
    }
    return failed;
}

/* Builds the op and those inside of it in new memory. */
static int32_t prepare_rebind(heed_instance *i, const heed_binding *weights, uint32_t n,
                              heed_error *error)
{
    binding_set set;
    heed_binding *part = calloc((size_t)n + 1, sizeof *part);
    int32_t failed = part ? HEED_OK : error_memory(error);
    for (uint32_t p = 0; p < i->entry->op.params.count && !failed; p++) {
        if (!i->children[p]) continue;
        failed =
            prepare_rebind(i->children[p], part, bindings_of(i, (int)p, weights, n, part), error);
        i->child[p].instance = i->children[p]->next;
    }
    if (!failed) failed = bind_weights(&set, i, part, bindings_of(i, -1, weights, n, part), error);
    free(part);
    if (failed) return failed;
    memcpy(i->weight, set.tensor, sizeof *i->weight * i->entry->op.ports.count);
    return instance_build(i, &i->next, error);
}

/* Changes over to the new memory, or, if that failed, drops it. */
static void settle_rebind(heed_instance *i, int32_t failed)
{
    const size_t bytes = sizeof *i->weight * i->entry->op.ports.count;
    for (uint32_t p = 0; p < i->entry->op.params.count; p++) {
        if (!i->children[p]) continue;
        settle_rebind(i->children[p], failed);
        i->child[p].instance = i->children[p]->memory;
    }
    if (failed) memcpy(i->weight, i->built, bytes);
    else memcpy(i->built, i->weight, bytes);
    void *gone = failed ? i->next : i->memory;
    if (!failed) i->memory = i->next;
    i->next = NULL;
    if (gone && i->entry->op.fini) i->entry->op.fini(gone);
    free(gone);
}

int32_t heed_instance_rebind(heed_instance *i, const heed_binding *weights, uint32_t n,
                             heed_error *error)
{
    if (error) *error = (heed_error){0};
    if (n && !weights)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s: %u weights are said to be bound, and the list of them is NULL",
                         i->entry->op.id, n);
    const int32_t failed = prepare_rebind(i, weights, n, error);
    settle_rebind(i, failed);
    return failed;
}
