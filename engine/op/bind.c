/* SPDX-License-Identifier: MIT
 *
 * bind.c: tensors to ports, axes to sizes. Whatever passes here is safe for an op to touch: right
 * dtype and rank, sizes that agree over all ports, strides that stay inside the valid bytes.
 *
 * A port that repeats (HEED_PORT_REPEATS) is the exception to "the same letter is the same size":
 * an axis of size 1 fixes nothing, and once all inputs are bound the op gets a view of the tensor
 * with the call's size and stride 0 there.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/tensor.h"
#include "op/bind.h"
#include "op/registry.h"

static const char *const role_names[] = {"input", "weight", "output"};

void bind_start(binding_set *set, const entry *e, const int64_t *known)
{
    memset(set, 0, sizeof *set);
    set->entry = e;
    set->n_leading = -1;
    for (int i = 0; i < HEED_AXES; i++) set->axis[i] = known ? known[i] : -1;
}

static int32_t fail(const binding_set *set, heed_error *error, const heed_port *port,
                    const char *sentence)
{
    return error_set(error, HEED_E_SHAPE, "%s: port %s: %s", set->entry->op.id, port->name,
                     sentence);
}

static int32_t fail_axis(const binding_set *set, heed_error *error, const heed_port *port,
                         char letter, int64_t size)
{
    const char *from = set->axis_port[letter - 'A'];
    return error_set(error, HEED_E_SHAPE, "%s: port %s: axis %c is %lld, but %s%s %lld%s",
                     set->entry->op.id, port->name, letter, (long long)size,
                     from ? "in port " : "it is known to be", from ? from : "",
                     (long long)set->axis[letter - 'A'],
                     port->flags & HEED_PORT_REPEATS ? "; 1 fits any size" : "");
}

/* Sizes non-negative, strides non-negative, the last element inside the valid bytes. */
static int32_t check_memory(const binding_set *set, const heed_port *port, const heed_tensor *t,
                            int with_data, heed_error *error)
{
    const int64_t most =
        /* elements, each 0 taken as 1: then no size that an op forms of axes overflows */
        (int64_t)1 << 48;
    int64_t last = 0, empty = 0, span = 1;
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] < 0) return fail(set, error, port, "a size is negative");
        if (t->stride[i] < 0)
            return fail(set, error, port, "a stride is negative; strides are 0 or more");
        if (port->role == HEED_OUTPUT && t->stride[i] == 0 && t->dim[i] > 1)
            return fail(set, error, port, "an output can not repeat (stride 0)");
        empty |= t->dim[i] == 0;
        if (__builtin_mul_overflow(span, t->dim[i] ? t->dim[i] : 1, &span) || span > most)
            return fail(set, error, port,
                        "is too large: its sizes, 0 taken as 1, multiply to more than 2^48");
    }
    for (int i = 0; i < t->rank && !empty; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return fail(set, error, port, "sizes times strides overflow");
    }
    if (!with_data || empty) return HEED_OK;
    if (!t->data) return fail(set, error, port, "the tensor has no data");
    const uint64_t block = tensor_block_bytes(t->dtype);
    uint64_t width = heed_dtype_bytes(t->dtype), need;
    for (int i = 0; block && i < t->rank; i++)
        if (i + 1 < t->rank ? t->stride[i] % HEED_BLOCK
                            : t->stride[i] != 1 || t->dim[i] % HEED_BLOCK)
            return fail(set, error, port,
                        "its rows are no whole blocks of 32 elements side by side");
    if (block) need = ((uint64_t)last + 1) / HEED_BLOCK * block, width = 2;
    else if (__builtin_mul_overflow((uint64_t)last + 1, width, &need))
        return fail(set, error, port, "sizes times strides overflow");
    if (need > t->bytes)
        return error_set(error, HEED_E_SHAPE,
                         "%s: port %s: its sizes and strides reach %llu bytes, but %llu are valid",
                         set->entry->op.id, port->name, (unsigned long long)need,
                         (unsigned long long)t->bytes);
    if ((uintptr_t)t->data % width)
        return fail(set, error, port, "its address is no multiple of its element's size");
    return HEED_OK;
}

static int32_t bind_axes(binding_set *set, uint32_t index, const heed_tensor *t, heed_error *error)
{
    const heed_port *port = entry_port(set->entry, index);
    const port_axes *a = &set->entry->axes[index];
    int leading = t->rank - a->count;
    if (t->rank < 0 || t->rank > HEED_MAX_RANK || leading < 0 || (leading > 0 && !a->leading))
        return error_set(
            error, HEED_E_SHAPE, "%s: port %s: the tensor has %d axes, but the port has %s",
            set->entry->op.id, port->name, t->rank, port->axes[0] ? port->axes : "none");
    if (a->leading) {
        if (set->n_leading < 0) {
            set->n_leading = leading;
            memcpy(set->leading, t->dim, sizeof *t->dim * (size_t)leading);
        } else if (set->n_leading != leading ||
                   memcmp(set->leading, t->dim, sizeof *t->dim * (size_t)leading)) {
            return fail(set, error, port,
                        "its leading axes (...) differ from those of another port");
        }
    }
    for (int i = 0; i < a->count; i++) {
        int64_t *size = &set->axis[a->letter[i] - 'A'], dim = t->dim[leading + i];
        if (dim == 1 && port->flags & HEED_PORT_REPEATS) continue; /* it is as long as others say */
        if (*size < 0) {
            *size = dim;
            set->axis_port[a->letter[i] - 'A'] = port->name;
        } else if (*size != dim) {
            return fail_axis(set, error, port, a->letter[i], dim);
        }
    }
    return HEED_OK;
}

/* Inputs that repeat, seen by the op as long as the call's axes are: vet.c has made sure that
 * inputs without which there is no call know them all. An axis that is not known yet (weights are
 * bound later, by a command) stays 1. */
static int32_t bind_repeats(binding_set *set, int with_data, heed_error *error)
{
    for (uint32_t p = 0, n = 0; p < set->entry->op.ports.count; p++) {
        const heed_port *port = entry_port(set->entry, p);
        const port_axes *a = &set->entry->axes[p];
        if (!(port->flags & HEED_PORT_REPEATS) || !set->tensor[p]) continue;
        heed_tensor *view = &set->repeated[n++];
        *view = *set->tensor[p];
        for (int i = 0; i < a->count; i++) {
            int64_t size = set->axis[a->letter[i] - 'A'];
            if (view->dim[i] == 1 && size >= 0) view->dim[i] = size, view->stride[i] = 0;
        }
        int32_t failed = check_memory(set, port, view, with_data, error);
        if (failed) return failed;
        set->tensor[p] = view;
    }
    return HEED_OK;
}

static int32_t unknown_port(const entry *e, uint32_t role, const char *name, heed_error *error)
{
    const char *names[PORT_MAX];
    uint32_t count = 0;
    char list[512] = "";
    for (uint32_t i = 0; i < e->op.ports.count; i++)
        if (entry_port(e, i)->role == role) {
            names[count++] = entry_port(e, i)->name;
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
                     entry_port(e, i)->name);
        }
    const char *near = error_nearest(name, names, count);
    return error_set(error, HEED_E_ARGUMENT, "%s has no %s named \"%s\"; it has %s%s%s%s", e->op.id,
                     role_names[role], name, list[0] ? list : "none", near ? " (nearest: " : "",
                     near ? near : "", near ? ")" : "");
}

int32_t bind_check_memory(const binding_set *set, const heed_port *port, const heed_tensor *t,
                          int written, heed_error *error)
{
    heed_port as = *port;
    as.role = written ? HEED_OUTPUT : HEED_INPUT;
    return check_memory(set, &as, t, 1, error);
}

int32_t bind_some(binding_set *set, uint32_t role, const heed_binding *b, uint32_t n, int with_data,
                  heed_error *error)
{
    const entry *e = set->entry;
    if (n && !b)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s: %u tensors are said to be bound, and the list of them is NULL",
                         e->op.id, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = 0;
        if (!b[i].port)
            return error_set(error, HEED_E_ARGUMENT, "%s: the name of %s %u is NULL", e->op.id,
                             role_names[role], i);
        while (p < e->op.ports.count &&
               (entry_port(e, p)->role != role || strcmp(entry_port(e, p)->name, b[i].port)))
            p++;
        if (p == e->op.ports.count) return unknown_port(e, role, b[i].port, error);
        const heed_port *port = entry_port(e, p);
        const heed_tensor *t = b[i].tensor;
        if (!t) continue; /* said to be absent */
        if (set->tensor[p]) return fail(set, error, port, "is bound twice");
        if (t->dtype >= 32 || !(port->dtypes & HEED_BIT(t->dtype))) {
            char list[64] = "";
            for (uint32_t d = 0; d < HEED_DTYPES; d++)
                if (port->dtypes & HEED_BIT(d))
                    snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                             list[0] ? ", " : "", heed_dtype_name(d));
            return error_set(error, HEED_E_SHAPE,
                             "%s: port %s: dtype %s is not taken here; it takes %s", e->op.id,
                             port->name, heed_dtype_name(t->dtype), list);
        }
        int32_t failed = bind_axes(set, p, t, error);
        if (!failed && !(port->flags & HEED_PORT_REPEATS))
            failed = check_memory(set, port, t, with_data, error);
        if (failed) return failed;
        set->tensor[p] = t;
    }
    return HEED_OK;
}

int32_t bind_role(binding_set *set, uint32_t role, const heed_binding *b, uint32_t n, int with_data,
                  heed_error *error)
{
    const entry *e = set->entry;
    int32_t failed = bind_some(set, role, b, n, with_data, error);
    for (uint32_t p = 0; p < e->op.ports.count && !failed; p++) {
        const heed_port *port = entry_port(e, p);
        if (port->role == role && !set->tensor[p] && !(port->flags & HEED_PORT_OPTIONAL))
            return error_set(error, HEED_E_ARGUMENT, "%s: the %s %s (%s: %s) is missing", e->op.id,
                             role_names[role], port->name, port->axes, port->doc);
    }
    return !failed && role == HEED_INPUT ? bind_repeats(set, with_data, error) : failed;
}

uint32_t bind_unknown_axes(const entry *e, uint32_t port, const int64_t *axis)
{
    uint32_t set = 0;
    for (int i = 0; i < e->axes[port].count; i++) {
        int a = e->axes[port].letter[i] - 'A';
        if (axis[a] < 0) set |= 1u << a;
    }
    return set;
}

/* "J", "J and K", "J, K and L" */
static void list_axes(char text[4 * HEED_AXES], uint32_t axes)
{
    size_t n = 0;
    for (int a = 0; a < HEED_AXES; a++) {
        uint32_t later = a + 1 < HEED_AXES ? axes >> (a + 1) : 0, more = later & (later - 1);
        if (!(axes >> a & 1)) continue;
        n += (size_t)sprintf(text + n, "%c%s", 'A' + a, !later ? "" : more ? ", " : " and ");
    }
}

static const char *param_of_axis(const entry *e, int axis)
{
    for (uint32_t p = 0; p < e->op.params.count; p++)
        if (entry_param(e, p)->axis == (uint32_t)('A' + axis)) return entry_param(e, p)->key;
    return NULL;
}

void bind_unknown(const entry *e, uint32_t axes, const char *where, const char *otherwise,
                  char *text, size_t size)
{
    char letters[4 * HEED_AXES] = "", key[96];
    int several = (axes & (axes - 1)) != 0;
    uint32_t others = 0;
    list_axes(letters, axes);
    snprintf(text, size, "the size%s of %s %s not known%s", several ? "s" : "", letters,
             several ? "are" : "is", where);
    for (int a = 0; a < HEED_AXES; a++) {
        const char *param = axes >> a & 1 ? param_of_axis(e, a) : NULL;
        if (axes >> a & 1 && !param) others |= 1u << a;
        if (!param) continue;
        const char gives[] = {(char)('A' + a), 0}, *const name[] = {gives};
        snprintf(key, sizeof key, "; %s=N gives ", param);
        error_list(text, size, key, name, 1);
    }
    if (!others || !otherwise) return;
    list_axes(letters, others);
    const char *const name[] = {letters};
    snprintf(key, sizeof key, "; %s gives ", otherwise);
    error_list(text, size, key, name, 1);
}

int32_t bind_infer(const binding_set *set, uint32_t index, heed_tensor *tensor, heed_error *error)
{
    const heed_port *port = entry_port(set->entry, index);
    const port_axes *a = &set->entry->axes[index];
    int leading = a->leading && set->n_leading > 0 ? set->n_leading : 0, rank = 0;
    int64_t dim[HEED_MAX_RANK];
    if (leading + a->count > HEED_MAX_RANK)
        return fail(set, error, port, "would have too many axes");
    for (int i = 0; i < leading; i++) dim[rank++] = set->leading[i];
    uint32_t unknown = bind_unknown_axes(set->entry, index, set->axis);
    if (unknown) {
        char why[320];
        bind_unknown(set->entry, unknown, "", "a tensor with that axis, or heed_opening.axes", why,
                     sizeof why);
        return error_set(error, HEED_E_SHAPE, "%s: port %s: %s", set->entry->op.id, port->name,
                         why);
    }
    for (int i = 0; i < a->count; i++) dim[rank++] = set->axis[a->letter[i] - 'A'];
    *tensor = heed_tensor_of(NULL, (uint32_t)__builtin_ctz(port->dtypes), rank, dim);
    return HEED_OK;
}
