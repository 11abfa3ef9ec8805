/* SPDX-License-Identifier: MIT
 *
 * session_ranks.c: heed_group_spread, a network whose texts the ranks of a group share. Each rank has
 * all weights, its part of every layer's keys (op/group_attend.c), and its share of the rows of a
 * feed; where rows meet, in an attention and before the results, they are gathered. The few rows of
 * a decode step everybody computes: that takes no longer, and nothing is sent for it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/weights.h"
#include "model/session.h"
#include "op/engine.h"
#include "op/group.h"
#include "op/instance.h"

#define ROWS_LEAST 32 /* of a rank; fewer are computed by all */

static int32_t check_stack(const heed_stack *stack, heed_error *error)
{
    const char *why = stack->n_encode  ? "a network with an encoder"
                      : stack->forgets ? stack->forgets
                                       : stack->pools;
    if (why)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s can not be shared by ranks: %s; it runs on one", why,
                         stack->n_encode  ? "a command and a session give it one text"
                         : stack->forgets ? "it remembers nothing between calls"
                                          : "it makes one row of a whole text");
    for (uint32_t v = 0; v < stack->n_views; v++)
        if (stack->views[v].rows > STACK_ONE)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "a network whose tokens halt, or go to experts, can not be shared by "
                             "ranks: each of its layers is of other rows; it runs on one");
    for (uint32_t i = 0; i < stack->n_memories; i++) TRY(group_check(stack->memories[i], error));
    for (uint32_t i = 0; i < stack->n_instances; i++) {
        const heed_instance *one = stack->instances[i];
        for (uint32_t p = 0; p < one->entry->op.params.count; p++) {
            const heed_param *param = entry_param(one->entry, p);
            if (!(param->flags & HEED_PARAM_COUPLES) || (double)one->value[p].i == param->standard)
                continue;
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s can not be shared by ranks: with this %s its rows depend on one "
                             "another; it runs on one",
                             one->spec, param->key);
        }
    }
    return HEED_OK;
}

int32_t heed_group_spread(heed_group *group, heed_stack *stack, heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    *told = (heed_error){0};
    int32_t failed = check_stack(stack, told);
    const uint64_t weights = failed ? 0 : weights_checksum(stack->weights);
    const uint64_t what =
        group_hash(group_hash(0, stack->spec, strlen(stack->spec)), &weights, sizeof weights);
    failed = group_agree(group, what, failed, told);
    if (!failed) stack->group = group;
    return failed;
}

int64_t session_ranks_share(heed_session *s, int64_t n, int64_t *first)
{
    const heed_group *g = s->stack->group;
    *first = 0;
    if (!g) return n;
    const int64_t ranks = heed_group_ranks(g), rank = heed_group_rank(g);
    s->spread = ranks > 1 && n >= ROWS_LEAST * ranks;
    for (int64_t r = 0; r <= ranks; r++) s->at[r] = n * r / ranks;
    if (!s->spread) return n;
    *first = s->at[rank];
    return s->at[rank + 1] - *first;
}

int32_t session_ranks_agree(heed_session *s, int32_t failed, heed_error *error)
{
    const int64_t at[] = {s->length, s->n};
    if (!s->stack->group) return failed;
    return group_agree(s->stack->group, group_hash(0, at, sizeof at), failed, error);
}

int32_t session_ranks_gather(heed_session *s, void *rows, uint64_t bytes, heed_error *error)
{
    heed_group *g = s->stack->group;
    const uint32_t ranks = heed_group_ranks(g);
    if (!s->spread) return HEED_OK;
    uint64_t *at = calloc(ranks + (size_t)1, sizeof *at);
    if (!at) return error_memory(error);
    for (uint32_t r = 0; r <= ranks; r++) at[r] = (uint64_t)s->at[r] * bytes;
    const int32_t failed = exchange_gather(&g->x, rows, at, error);
    free(at);
    return failed;
}

int32_t session_ranks_attend(heed_session *s, const stack_step *step, heed_error *error)
{
    const heed_binding *in = s->bindings + step->first;
    return group_attend(s->stack->group, step->instance, in, step->n_in, in + step->n_in, 1,
                        s->sequences + step->memory, s->spread ? s->at : NULL, error);
}
