/* SPDX-License-Identifier: MIT
 *
 * ranks.c: what more ranks give: one call on rank 0 alone, while the others wait, and the same call
 * shared by all, in turn; the fastest of the rounds counts. The outputs of both are compared, byte by
 * byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/ranks.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/operands.h"
#include "command/ranks.h"
#include "command/run_ranks.h"
#include "command/table.h"
#include "inspect.h"

#define ALONE_SECONDS 600 /* that the others wait while one works alone */

typedef struct row {
    double alone, shared;  /* seconds, the fastest */
    double waited;         /* of the fastest shared one */
    double sent, received; /* bytes of rank 0 in one call */
    int differs;
} row;

typedef struct job {
    heed_engine *engine;
    heed_group *group;
    const ranks_choice *choice;
    table table;
} job;

static int32_t time_shared(job *j, const run_ranks *r, row *to, heed_error *error)
{
    uint64_t sent[2], received[2];
    double waited[2];
    heed_group_counted(j->group, &sent[0], &received[0], &waited[0]);
    TRY(heed_group_agree(j->group, NULL, 0, HEED_OK, error));
    const double begin = clock_seconds();
    TRY(run_ranks_call(r, error)); /* it ends when all have ended */
    const double seconds = clock_seconds() - begin;
    heed_group_counted(j->group, &sent[1], &received[1], &waited[1]);
    if (to->shared > 0 && to->shared <= seconds) return HEED_OK;
    to->shared = seconds, to->waited = waited[1] - waited[0];
    to->sent = (double)(sent[1] - sent[0]), to->received = (double)(received[1] - received[0]);
    return HEED_OK;
}

/* By rank 0; the others wait. */
static int32_t time_alone(job *j, const operands *call, const heed_instance *i, row *to,
                          heed_error *error)
{
    int32_t failed = HEED_OK;
    if (heed_group_rank(j->group) == 0) {
        const double begin = clock_seconds();
        failed = heed_run(i, call->in, call->n_in, call->out, call->n_out, NULL, error);
        const double seconds = clock_seconds() - begin;
        if (to->alone == 0 || seconds < to->alone) to->alone = seconds;
    }
    return heed_group_agree(j->group, NULL, 0, failed, error);
}

/* Whether the outputs of all are those of one; by rank 0. */
static int32_t compare(job *j, const operands *call, const run_ranks *r, row *to, heed_error *error)
{
    char *alone[PORT_MAX] = {NULL};
    int32_t failed = HEED_OK;
    for (uint32_t o = 0; o < call->n_out && !failed; o++) {
        const heed_tensor *t = call->out[o].tensor;
        if (!(alone[o] = malloc(t->bytes + 1))) failed = error_memory(error);
        else memcpy(alone[o], t->data, t->bytes), memset(t->data, 0, t->bytes);
    }
    failed = heed_group_agree(j->group, NULL, 0, failed, error);
    if (!failed) failed = run_ranks_collect(r, error);
    for (uint32_t o = 0; o < call->n_out; o++) {
        const heed_tensor *t = call->out[o].tensor;
        if (!failed && heed_group_rank(j->group) == 0)
            to->differs |= memcmp(alone[o], t->data, t->bytes) != 0;
        free(alone[o]);
    }
    return failed;
}

static void add_row(job *j, const char *spec, const operands *call, const row *r)
{
    const uint32_t ranks = heed_group_ranks(j->group);
    table *t = &j->table;
    table_cell(t, "%s", spec);
    table_cell(t, "%s", call->text);
    table_cell(t, "%.3f ms", 1e3 * r->alone);
    table_cell(t, "%.3f ms", 1e3 * r->shared);
    table_cell(t, "%.2f", r->alone / r->shared);
    table_cell(t, "%.0f %%", 100 * r->alone / r->shared / ranks);
    table_cell(t, "%.0f %%", 100 * r->waited / r->shared);
    table_cell(t, "%.2f MB", 1e-6 * r->sent);
    table_cell(t, "%s", r->differs ? "DIFFER" : "equal");
}

static int32_t measure(job *j, const resolved *op, const char *spec, const call_shape *shape,
                       heed_error *error)
{
    operands *call = calloc(1, sizeof *call);
    run_ranks r = {0};
    row to = {0};
    heed_instance *i = NULL;
    int32_t failed =
        call ? operands_make(call, op, shape, j->choice->dtype, 1, error) : error_memory(error);
    if (!failed && call->stateful)
        failed = error_set(error, HEED_E_UNSUPPORTED,
                           "among ranks bench measures calls without a state: T=N, not decode=N");
    if (!failed && !(i = operands_open(call, j->engine, op, j->choice->isa, error)))
        failed = error->code;
    if (!failed)
        failed =
            run_ranks_take(&r, j->group, i, call->in, call->n_in, call->out, call->n_out, error);
    failed = heed_group_agree(j->group, NULL, 0, failed, error);
    for (int64_t n = 0; n < j->choice->rounds && !failed; n++) {
        failed = time_alone(j, call, i, &to, error);
        if (!failed) failed = time_shared(j, &r, &to, error);
    }
    if (!failed) failed = compare(j, call, &r, &to, error);
    if (!failed) add_row(j, spec, call, &to);
    run_ranks_free(&r);
    heed_instance_close(i);
    if (call) operands_free(call);
    free(call);
    return failed;
}

static int32_t measure_all(job *j, heed_error *error)
{
    const ranks_choice *c = j->choice;
    int32_t failed = HEED_OK;
    for (uint32_t s = 0; s < c->n_specs && !failed; s++) {
        resolved *op = inspect_resolve(j->engine, c->specs[s], error);
        failed = heed_group_agree(j->group, NULL, 0, op ? HEED_OK : error->code, error);
        for (uint32_t k = 0; k < c->n_shapes && !failed; k++)
            failed = measure(j, op, c->specs[s], &c->shapes[k], error);
        resolve_free(op);
    }
    return failed;
}

int ranks_bench(const ranks_choice *choice)
{
    static const table_column columns[] = {
        {"spec", 0, 12, 0},     {"shape", 0, 8, 0},        {"one rank", 1, 0, 0},
        {"all ranks", 1, 0, 0}, {"faster", 1, 0, 0},       {"efficiency", 1, 0, 0},
        {"waits", 1, 0, 0},     {"rank 0 sends", 1, 0, 2}, {"bits", 0, 0, 1}};
    heed_error error = {0};
    job j = {.choice = choice, .table = {.column = columns, .n_columns = 9}};
    j.engine = heed_engine_new(choice->engine, &error);
    if (j.engine) j.group = ranks_join(j.engine, ALONE_SECONDS, &error);
    if (j.engine && heed_lanes(j.engine) > 1) inspect_pin_caller(j.engine);
    int32_t failed = j.group ? measure_all(&j, &error) : error.code;
    int status = failed ? command_fail(&error) : 0;
    if (!failed) {
        printf("%u ranks, of %u threads each\n\n", heed_group_ranks(j.group), heed_lanes(j.engine));
        if (table_print(&j.table))
            status = command_fail(&(heed_error){HEED_E_MEMORY, "out of memory"});
    }
    heed_group_free(j.group);
    heed_engine_free(j.engine);
    return status;
}
