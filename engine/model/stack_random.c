/* SPDX-License-Identifier: MIT
 *
 * stack_random.c: the weights of a network that has learned nothing: what its ops ask for, made as
 * their ports say.
 *
 * Invariant: a tensor follows from its name, its shape and the seed alone, and no function of the C
 * library takes part, so that it is the same on every machine, and in every network that has it.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "io/weights.h"
#include "model/source.h"
#include "model/stack_builder.h"
#include "op/bind.h"
#include "op/registry.h"
#include "op/spec.h"

static void fill(heed_tensor *t, uint32_t init, double gain, uint64_t state)
{
    const float deviation =
        (float)gain *
        sqrtf(1.0f / (float)(t->rank && t->dim[t->rank - 1] > 0 ? t->dim[t->rank - 1] : 1));
    for (int64_t i = 0; i < heed_tensor_elements(t); i++)
        ((float *)t->data)[i] = init == HEED_INIT_ZEROS  ? 0.0f
                                : init == HEED_INIT_ONES ? 1.0f
                                                         : random_normal(&state) * deviation;
}

/* ---- as a source ---- */

typedef struct source_random {
    source source;
    heed_weights *made;
    uint64_t seed;
    int sketch;               /* no numbers are made */
    const heed_weights *have; /* what need not be made, or NULL; and what of it does not count */
    int (*lacks)(const char *name);
} source_random;

static heed_tensor *find(source *from, const char *name)
{
    const source_random *s = (const source_random *)from;
    heed_tensor *made = heed_weights_find(s->made, name);
    return made || !s->have || s->lacks(name) ? made : heed_weights_find(s->have, name);
}

static int32_t make(source *from, const source_want *want, heed_tensor **made, heed_error *error)
{
    source_random *s = (source_random *)from;
    const entry *e = want->op->entry;
    const heed_port *port = entry_port(e, want->port);
    const port_axes *axes = &e->axes[want->port];
    int64_t dim[HEED_MAX_RANK];
    *made = NULL;
    if (!source_makes(want->op, want->port) && !want->needed) return HEED_OK;
    uint32_t unknown = bind_unknown_axes(e, want->port, want->axis);
    if (unknown) { /* of a needed one: stack_sizes_note has seen the others */
        char why[320];
        bind_unknown(e, unknown, "", NULL, why, sizeof why);
        return error_set(error, HEED_E_ARGUMENT, "%s has the weight %s (%s), and %s", e->op.id,
                         port->name, port->axes, why);
    }
    for (int i = 0; i < axes->count; i++) dim[i] = want->axis[axes->letter[i] - 'A'];
    *made =
        (s->sketch ? weights_add_shape : weights_add)(s->made, want->name, axes->count, dim, error);
    if (!*made) return error->code;
    if (s->sketch) return HEED_OK;
    uint64_t state = random_hash(s->seed, want->name, strlen(want->name));
    fill(*made, port->init, want->gain, random_next(&state));
    return HEED_OK;
}

static heed_weights *all_of(heed_engine *engine, const char *spec, source_random from,
                            heed_error *error)
{
    from.source = (source){find, make, NULL};
    from.made = weights_new(error);
    heed_stack *stack = from.made ? calloc(1, sizeof *stack) : NULL;
    stack_builder b = {.stack = stack, .engine = engine, .source = &from.source, .error = error};
    int32_t failed = stack ? stack_builder_read(&b, spec) : error_memory(error);
    stack_builder_free(&b);
    heed_stack_close(stack);
    if (!failed) return from.made;
    heed_weights_close(from.made);
    return NULL;
}

heed_weights *heed_weights_random(heed_engine *engine, const char *spec, uint64_t seed,
                                  heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    return all_of(engine, spec, (source_random){.seed = seed}, error);
}

heed_weights *source_sketch(heed_engine *engine, const char *spec, heed_error *error)
{
    *error = (heed_error){0};
    return all_of(engine, spec, (source_random){.sketch = 1}, error);
}

heed_weights *source_rest(heed_engine *engine, const char *spec, const heed_weights *have,
                          int (*lacks)(const char *name), uint64_t seed, heed_error *error)
{
    *error = (heed_error){0};
    return all_of(engine, spec, (source_random){.seed = seed, .have = have, .lacks = lacks}, error);
}
