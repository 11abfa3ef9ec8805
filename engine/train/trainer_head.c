/* SPDX-License-Identifier: MIT
 *
 * trainer_head.c: the weights of a network that has learned one task and gets the output of another
 * (arXiv 1801.06146, section 3.3): those that it has, and new ones for its output alone.
 */
#include <string.h>

#include "base/error.h"
#include "model/source.h"
#include "train/trainer.h"

/* Whether a weight is of what stands behind the hidden states, or of classifiers beside them. */
static int is_of_output(const char *name)
{
    return !strncmp(name, "output.", 7) || !strncmp(name, "pooler.", 7) ||
           strstr(name, ".auxiliary.") != NULL;
}

/* A view of each tensor of `from`, but of its output. */
static int32_t view_body(heed_weights *to, const heed_weights *from, heed_error *error)
{
    for (uint32_t i = 0; i < from->count; i++) {
        const heed_tensor *t = &from->items[i].tensor;
        if (is_of_output(from->items[i].name)) continue;
        heed_tensor *view = weights_add_shape(to, from->items[i].name, t->rank, t->dim, error);
        if (!view) return HEED_E_MEMORY;
        *view = *t;
    }
    return HEED_OK;
}

static int32_t copy_output(heed_weights *to, const heed_weights *made, heed_error *error)
{
    for (uint32_t i = 0; i < made->count; i++) {
        const heed_tensor *t = &made->items[i].tensor;
        if (!is_of_output(made->items[i].name)) continue;
        const heed_tensor *copy = weights_add(to, made->items[i].name, t->rank, t->dim, error);
        if (!copy) return HEED_E_MEMORY;
        memcpy(copy->data, t->data, t->bytes);
    }
    return HEED_OK;
}

heed_weights *trainer_with_head(heed_engine *engine, const char *spec, const heed_weights *from,
                                uint64_t seed, heed_error *error)
{
    heed_weights *made = source_rest(engine, spec, from, is_of_output, seed, error),
                 *all = made ? weights_new(error) : NULL;
    int32_t failed = all ? view_body(all, from, error) : error->code;
    if (!failed) failed = copy_output(all, made, error);
    heed_weights_close(made);
    if (!failed) return all;
    heed_weights_close(all);
    return NULL;
}
