/* SPDX-License-Identifier: MIT
 *
 * trainer_batch.c: batches of a trainer, which are this rank's alone or shared by those of a group:
 * each then runs its part, and whoever fails tells the others.
 */
#include "base/error.h"
#include "train/trainer.h"

static int32_t learn_shared(heed_trainer *t, const heed_batch *batch, double share, double *nats,
                            heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    heed_batch part;
    int32_t failed = trainer_check_batch(t, batch, told);
    if (!failed && batch->texts < heed_group_ranks(t->group))
        failed = error_set(told, HEED_E_ARGUMENT,
                           "a batch of %lld texts is learned by %u ranks; each needs one at least",
                           (long long)batch->texts, heed_group_ranks(t->group));
    if (!failed) {
        trainer_ranks_part(t, batch, &part);
        failed = tape_spread(t->tape, t->group, t->first, told);
    }
    if (!failed) failed = trainer_learn(t, &part, share, nats, told);
    if (t->first) tape_spread(t->tape, t->group, NULL, NULL);
    return failed ? group_agree(t->group, 0, failed, told) : HEED_OK; /* the others wait */
}

static int32_t loss_shared(heed_trainer *t, const heed_batch *batch, float *nll, float *results,
                           heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    heed_batch part;
    trainer_ranks_part(t, batch, &part);
    const int64_t rows = t->stack->pools ? 1 : batch->length,
                  first = rows * t->first[heed_group_rank(t->group)];
    const uint64_t outputs = (uint64_t)heed_stack_outputs(t->stack);
    int32_t failed = trainer_loss(t, &part, nll + first,
                                  results ? results + (uint64_t)first * outputs : NULL, told);
    failed = group_agree(t->group, (uint64_t)rows, failed, told);
    if (!failed) failed = trainer_ranks_gather(t, nll, (uint64_t)rows * sizeof *nll, told);
    if (!failed && results)
        failed = trainer_ranks_gather(t, results, (uint64_t)rows * outputs * sizeof *results, told);
    return failed;
}

/* Ranks share it if there are enough texts, and no tokens that halt or tell how far they look, of
 * which tape_ponder and tape_reach tell. */
int32_t heed_trainer_loss_batch(heed_trainer *t, const heed_batch *batch, float *nll,
                                float *results, heed_error *error)
{
    if (error) *error = (heed_error){0};
    TRY(trainer_check_batch(t, batch, error));
    const int shared = t->group && batch->texts >= heed_group_ranks(t->group) &&
                       !tape_halts(t->tape) && tape_reach(t->tape, 0, NULL) < 0;
    return (shared ? loss_shared : trainer_loss)(t, batch, nll, results, error);
}

/* The batch of a language model. */
static heed_batch plain_batch(const int32_t *tokens, const int32_t *targets, int64_t batch,
                              int64_t length)
{
    return (heed_batch){.size = sizeof(heed_batch),
                        .texts = batch,
                        .length = length,
                        .tokens = tokens,
                        .targets = targets};
}

int32_t heed_trainer_loss(heed_trainer *t, const int32_t *tokens, const int32_t *targets,
                          int64_t batch, int64_t length, float *nll, heed_error *error)
{
    const heed_batch all = plain_batch(tokens, targets, batch, length);
    return heed_trainer_loss_batch(t, &all, nll, NULL, error);
}

int32_t heed_trainer_learn_batch(heed_trainer *t, const heed_batch *batch, double share,
                                 double *nats, heed_error *error)
{
    if (error) *error = (heed_error){0};
    if (t->group) return learn_shared(t, batch, share, nats, error);
    TRY(trainer_check_batch(t, batch, error));
    return trainer_learn(t, batch, share, nats, error);
}

int32_t heed_trainer_learn(heed_trainer *t, const int32_t *tokens, const int32_t *targets,
                           int64_t batch, int64_t length, double share, double *nats,
                           heed_error *error)
{
    const heed_batch all = plain_batch(tokens, targets, batch, length);
    return heed_trainer_learn_batch(t, &all, share, nats, error);
}
