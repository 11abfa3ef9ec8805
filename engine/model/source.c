/* SPDX-License-Identifier: MIT
 *
 * source.c: weights that are there as the source of a network; who has asked for which.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/weights.h"
#include "model/source.h"

/* Whether the op draws its optional weights itself, out of the number that its param `fixed` has. */
static int draws(const resolved *op)
{
    for (uint32_t i = 0; i < op->entry->op.params.count; i++)
        if (!strcmp(entry_param(op->entry, i)->key, "fixed")) return op->value[i].given != 0;
    return 0;
}

/* Whether the op takes statistics from the call in the place of this weight. */
static int measures(const resolved *op, const char *port)
{
    for (uint32_t i = 0; i < op->entry->op.params.count; i++)
        if (!strcmp(entry_param(op->entry, i)->key, "statistics"))
            return op->value[i].i == 1 && (!strcmp(port, "mean") || !strcmp(port, "variance"));
    return 0;
}

/* A network of chance has no optional weight whose first values would be all zeros or all ones: it
 * would change nothing. The weights of a norm are an exception: people count its gain among the
 * parameters of a network, and a mean and a variance that training keeps have to be there to be used.
 * A norm that takes both from each call needs none that were kept, so it has none. */
int source_makes(const resolved *op, uint32_t port)
{
    const heed_port *p = entry_port(op->entry, port);
    if (!(p->flags & HEED_PORT_OPTIONAL)) return 1;
    if (measures(op, p->name)) return 0;
    return (p->init == HEED_INIT_NORMAL && !draws(op)) || !strncmp(op->entry->op.id, "norm/", 5);
}

/* Weights keep their names sorted. */
static heed_tensor *find(source *from, const char *name)
{
    source_weights *s = (source_weights *)from;
    uint32_t low = 0, high = heed_weights_count(s->weights);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(heed_weights_name(s->weights, mid), name);
        if (!order) s->used[mid] = 1;
        if (!order) break;
        if (order < 0) low = mid + 1;
        else high = mid;
    }
    return heed_weights_find(s->weights, name);
}

/* So that a file which is packed as float32 is not in memory twice. */
static void opened(source *from) { weights_give_back(((source_weights *)from)->weights); }

int32_t source_open(source_weights *s, const heed_weights *weights, heed_error *error)
{
    *s = (source_weights){.source = {.find = find, .opened = opened}, .weights = weights};
    s->used = calloc((size_t)heed_weights_count(weights) + 1, 1);
    return s->used ? HEED_OK : error_memory(error);
}

void source_close(source_weights *s) { free(s->used); }

const char **source_unused(const source_weights *s, uint32_t *count)
{
    uint32_t all = heed_weights_count(s->weights);
    const char **names = malloc(sizeof *names * ((size_t)all + 1));
    *count = 0;
    for (uint32_t i = 0; names && i < all; i++)
        if (!s->used[i]) names[(*count)++] = heed_weights_name(s->weights, i);
    return names;
}
