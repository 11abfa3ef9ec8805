/* SPDX-License-Identifier: MIT
 *
 * stack_random.c: the weights of a network that has learned nothing: what its ops ask for, made as their ports say.
 *
 * Invariant: a tensor follows from its name, its shape and the seed alone, and no function of the C library takes part,
 * so that it is the same on every machine, and in every network that has it.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "io/weights.h"
#include "model/stack_builder.h"
#include "model/stack_random.h"
#include "op/registry.h"
#include "op/spec.h"

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Mean 0, variance 1, nearly normal: the sum of twelve uniform numbers of 16 bits, which is exact. */
static float normal(uint64_t *state)
{
    int64_t sum = -6 * 0xffff;
    for (int i = 0; i < 3; i++) {
        uint64_t z = next(state);
        sum += (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
    }
    return (float)sum * 0x1p-16f;
}

static void fill(heed_tensor *t, uint32_t init, uint64_t state)
{
    const float deviation = sqrtf(1.0f / (float)(t->rank && t->dim[t->rank - 1] > 0 ? t->dim[t->rank - 1] : 1));
    for (int64_t i = 0; i < heed_tensor_elements(t); i++)
        ((float *)t->data)[i] = init == HEED_INIT_ZEROS  ? 0.0f
                                : init == HEED_INIT_ONES ? 1.0f
                                                         : normal(&state) * deviation;
}

heed_tensor *stack_random_make(stack_builder *b, const char *name, const entry *e, uint32_t p, const int64_t *axis)
{
    const port_axes *axes = &e->axes[p];
    int64_t dim[HEED_MAX_RANK];
    uint64_t state = b->seed;
    for (int i = 0; i < axes->count; i++)
        if ((dim[i] = axis[axes->letter[i] - 'A']) < 0) {
            error_set(b->error, HEED_E_ARGUMENT,
                      "%s: the size of %c is not known, which its weight %s (%s) has; give the setting that says it",
                      e->op.id, axes->letter[i], entry_port(e, p)->name, entry_port(e, p)->axes);
            return NULL;
        }
    heed_tensor *t = weights_add(b->make, name, axes->count, dim, b->error);
    for (const char *c = name; *c; c++) state = (state ^ (unsigned char)*c) * 0x100000001b3u;
    if (t) fill(t, entry_port(e, p)->init, next(&state));
    return t;
}

heed_weights *heed_weights_random(heed_engine *engine, const char *spec, uint64_t seed, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    heed_weights *made = weights_new(error);
    heed_stack *stack = made ? calloc(1, sizeof *stack) : NULL;
    stack_builder b = {.stack = stack, .engine = engine, .weights = made, .make = made, .seed = seed, .error = error};
    int32_t failed = stack ? stack_builder_read(&b, spec) : error_memory(error);
    stack_builder_free(&b);
    heed_stack_close(stack);
    if (!failed) return made;
    heed_weights_close(made);
    return NULL;
}
