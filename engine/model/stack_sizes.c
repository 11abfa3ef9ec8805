/* SPDX-License-Identifier: MIT
 *
 * stack_sizes.c: sizes of a network's ops that nobody tells, each with what would give it.
 *
 * With weights from a file these tell what the spec leaves open. Where weights are made, everything
 * must follow from the spec: what does not is noted while the network is gone through for the first
 * time, and said at once. Once something is missing no more weights are made.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/stack.h"
#include "model/stack_plan.h"
#include "model/stack_sizes.h"
#include "op/bind.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

/* What gives an axis that no setting of the op fixes. */
static const char *otherwise(uint32_t axes)
{
    return axes == AXIS_BIT('C') ? "context=N of the network" : "only a file of weights";
}

/* Says of one op which sizes it misses: once, however often it stands in the network. */
static void note(stack_builder *b, const resolved *op, uint32_t axes, uint32_t port)
{
    const heed_port *p = entry_port(op->entry, port);
    char where[160] = ", which its tensors have", what[sizeof b->unknown - 100],
         one[sizeof b->unknown];
    if (!(axes & (axes - 1)))
        snprintf(where, sizeof where, ", which its %s %s (%s) has",
                 p->role == HEED_WEIGHT  ? "weight"
                 : p->role == HEED_INPUT ? "input"
                                         : "output",
                 p->name, p->axes);
    bind_unknown(op->entry, axes, where, otherwise(axes), what, sizeof what);
    snprintf(one, sizeof one, "%s: %s", op->entry->op.id, what);
    const char *const name[] = {one};
    if (strstr(b->unknown, one)) return;
    if (!*b->unknown) b->unknown_at = op->at;
    error_list(b->unknown, sizeof b->unknown, *b->unknown ? "; " : "", name, 1);
}

void stack_sizes_note(stack_builder *b, const resolved *op, int64_t *axis)
{
    const entry *e = op->entry;
    uint32_t all = 0, first = 0;
    if (!b->dry || !b->source->make) return;
    for (uint32_t p = e->op.ports.count; p--;) {
        int made = entry_port(e, p)->role == HEED_WEIGHT && source_makes(op, p);
        uint32_t axes = made ? bind_unknown_axes(e, p, axis) : 0;
        if (axes) all |= axes, first = p;
    }
    if (all) note(b, op, all, first);
    for (int a = 0; a < HEED_AXES; a++)
        if (all >> a & 1) axis[a] = 1;
}

int32_t stack_sizes_of(stack_builder *b, const resolved *op, uint32_t port, const int64_t *axis,
                       int64_t *dim, int64_t *product)
{
    const entry *e = op->entry;
    const port_axes *a = &e->axes[port];
    const heed_port *p = entry_port(e, port);
    uint32_t unknown = 0;
    char why[320] = "its sizes multiply to more than 2^63";
    for (int i = 2; i < a->count; i++)
        if (axis[a->letter[i] - 'A'] < 0) unknown |= AXIS_BIT(a->letter[i]);
    if (unknown) bind_unknown(e, unknown, "", otherwise(unknown), why, sizeof why);
    const int goes_on = unknown && b->dry && b->source->make;
    if (goes_on) note(b, op, unknown, port);
    *product = 1;
    for (int i = 2; i < a->count; i++) {
        const int64_t size = axis[a->letter[i] - 'A'];
        dim[i - 2] = goes_on && size < 0 ? 1 : size;
        if (dim[i - 2] >= 0 && !__builtin_mul_overflow(*product, dim[i - 2], product)) continue;
        return spec_error(b->plan.s, op->at, b->error, "%s has the %s %s (%s), and %s", e->op.id,
                          p->role == HEED_OUTPUT ? "output" : "input", p->name, p->axes, why);
    }
    return HEED_OK;
}

int32_t stack_sizes_told(const stack_builder *b)
{
    return *b->unknown ? spec_error(b->plan.s, b->unknown_at, b->error, "%s", b->unknown) : HEED_OK;
}
