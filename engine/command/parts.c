/* SPDX-License-Identifier: MIT
 *
 * parts.c: a network by what its ops cost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "command/parts.h"
#include "inspect.h"

/* "layers.3.q" is "q", and "embed" is itself. */
static const char *without_layer(const char *part)
{
    if (!part) return "";
    if (strncmp(part, "layers.", 7)) return part;
    const char *dot = strchr(part + 7, '.');
    return dot ? dot + 1 : part;
}

int32_t parts_add(part_costs *all, const part_cost *more, heed_error *error)
{
    const char *part = without_layer(more->part);
    uint32_t at = 0;
    while (at < all->count &&
           (strcmp(all->row[at].part, part) || strcmp(all->row[at].op, more->op)))
        at++;
    if (at == all->count) {
        part_cost *slot = grow_append(&all->row, &all->count, sizeof *slot);
        if (!slot) return error_memory(error);
        *slot = (part_cost){.part = part, .op = more->op, .told = 1};
    }
    part_cost *to = &all->row[at];
    to->calls += more->calls;
    to->seconds += more->seconds;
    to->flops += more->flops;
    to->executed += more->executed;
    to->bytes += more->bytes;
    to->told &= more->told;
    return HEED_OK;
}

int32_t parts_of_stack(part_costs *all, const heed_stack *stack, int64_t tokens, int64_t before,
                       heed_error *error)
{
    inspect_step step;
    int32_t failed = HEED_OK;
    for (uint32_t s = 0; !failed && inspect_stack_step(stack, s, tokens, before, &step); s++)
        if (*step.op)
            failed = parts_add(all,
                               &(part_cost){.part = step.part,
                                            .op = step.op,
                                            .calls = 1,
                                            .flops = step.cost.flops,
                                            .executed = step.cost.executed,
                                            .bytes = step.cost.bytes,
                                            .told = step.told},
                               error);
    return failed;
}

void parts_free(part_costs *all)
{
    free(all->row);
    *all = (part_costs){NULL, 0};
}

const char *parts_amount(double x, char *text, size_t n)
{
    static const char prefix[] = " kMGTPE";
    int p = 0;
    if (!(x > 0)) return "-";
    for (; x >= 999.5 && prefix[p + 1]; p++) x /= 1000;
    snprintf(text, n, "%.*f %c", !p || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2, x, prefix[p]);
    return text;
}
