/* SPDX-License-Identifier: MIT
 *
 * trainer_ranks.c: heed_group_train, a trainer whose batches the ranks of a group share. Each has all
 * weights and moments, makes the same steps, and runs some texts of every batch; tape_ranks.c has the
 * sums of their gradients. What is known of each text, its losses, is gathered.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/entry.h"
#include "op/instance.h"
#include "train/trainer.h"

/* A norm by the statistics of a batch needs the texts of all. */
static int32_t check(const heed_trainer *t, heed_error *error)
{
    int64_t have, start;
    if (tape_recalled(t->tape, &have, &start))
        return error_set(error, HEED_E_UNSUPPORTED,
                         "texts that follow one another in segments are not shared by ranks; they "
                         "are learned on one");
    if (t->recipe.span > 0 && tape_reach(t->tape, 0, NULL) >= 0)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "a penalty on spans that follow from each token (dynamic_span) is not "
                         "shared by ranks; it is learned on one");
    for (uint32_t i = 0; i < t->stack->n_instances; i++) {
        const heed_instance *one = t->stack->instances[i];
        for (uint32_t p = 0; p < one->entry->op.params.count; p++) {
            const heed_param *param = entry_param(one->entry, p);
            if (!(param->flags & HEED_PARAM_COUPLES) || (double)one->value[p].i == param->standard)
                continue;
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s can not be trained by ranks: with this %s its rows depend on one "
                             "another; it is trained on one",
                             one->spec, param->key);
        }
        if (one->path->flags & HEED_PATH_INEXACT)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s: the path %s gives other bits than the rest, and ranks share what "
                             "is exact alone",
                             one->spec, one->path->name);
    }
    return HEED_OK;
}

int32_t heed_group_train(heed_group *group, heed_trainer *t, heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    *told = (heed_error){0};
    int32_t failed = check(t, told);
    const uint64_t weights = failed ? 0 : weights_checksum(t->weights);
    const char *spec = heed_stack_spec(t->stack);
    uint64_t what = group_hash(group_hash(0, spec, strlen(spec)), &weights, sizeof weights);
    what = group_hash(what, &t->recipe, sizeof t->recipe);
    if (!failed && !t->first) {
        t->first = calloc(heed_group_ranks(group) + (size_t)1, sizeof *t->first);
        if (!t->first) failed = error_memory(told);
    }
    failed = group_agree(group, what, failed, told);
    if (!failed) t->group = heed_group_ranks(group) > 1 ? group : NULL;
    return failed;
}

void trainer_ranks_part(heed_trainer *t, const heed_batch *all, heed_batch *part)
{
    const int64_t ranks = heed_group_ranks(t->group), rank = heed_group_rank(t->group);
    for (int64_t r = 0; r <= ranks; r++) t->first[r] = all->texts * r / ranks;
    const int64_t first = t->first[rank];
    *part = *all;
    part->texts = t->first[rank + 1] - first;
    part->tokens += first * all->length;
    part->targets += t->stack->pools ? first : first * all->length;
    if (all->lengths) part->lengths += first;
    if (all->source) part->source += first * all->source_length;
    if (all->source_lengths) part->source_lengths += first;
}

int32_t trainer_ranks_gather(heed_trainer *t, void *texts, uint64_t bytes, heed_error *error)
{
    const uint32_t ranks = heed_group_ranks(t->group);
    uint64_t *at = calloc(ranks + (size_t)1, sizeof *at);
    int32_t failed = at ? HEED_OK : error_memory(error);
    for (uint32_t r = 0; r <= ranks && !failed; r++) at[r] = (uint64_t)t->first[r] * bytes;
    failed = group_agree(t->group, (uint64_t)t->steps, failed, error);
    if (!failed) failed = exchange_gather(&t->group->x, texts, at, error);
    free(at);
    return failed;
}
