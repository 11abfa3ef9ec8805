/* SPDX-License-Identifier: MIT
 *
 * ranks.c: a command among ranks. What a launcher leaves in the environment is taken as a hint that
 * there are several, and as who may print before they have met; who they are MPI tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/trust.h"
#include "command/ranks.h"
#include "op/group.h"

static int shared, silent;
static const heed_group *group;
static int spoken = -1; /* standard error, of a rank that uses it no more */

/* The names that launchers give to a process's rank, and to the number of all, if they tell it: Open
 * MPI's mpirun, MPICH's and Slurm's PMI 1 and 2, PMIx. */
static const struct {
    const char *rank, *ranks;
} launchers[] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                 {"PMI_RANK", "PMI_SIZE"},
                 {"PMIX_RANK", "SLURM_NTASKS"}};

void ranks_begin(void)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers && !shared; i++) {
        const char *rank = trust_environment(launchers[i].rank),
                   *ranks = trust_environment(launchers[i].ranks);
        if (!rank || !ranks || atol(ranks) < 2) continue;
        shared = 1, silent = atol(rank) > 0;
    }
    /* mpirun gives a terminal, as wide as none, that nobody has asked for */
    if (shared) setenv("COLUMNS", "1000", 0);
    if (silent && !freopen("/dev/null", "w", stdout)) _Exit(1);
}

int ranks_is_silent(void) { return silent; }
int ranks_are_several(void) { return shared; }

int32_t ranks_check_file(const char *path, heed_error *error)
{
    if (!shared || !path || strcmp(path, "-")) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED,
                     "standard input reaches rank 0 alone, and all read the text: give a file");
}

/* HEED_RANK_SECONDS; below 0: it is wrong. */
static double seconds_to_wait(double standard, heed_error *error)
{
    const char *given = trust_environment("HEED_RANK_SECONDS");
    char *end = NULL;
    const double seconds = given ? strtod(given, &end) : standard;
    if (!given || (end > given && !*end && seconds > 0 && seconds <= 1e6)) return seconds;
    error_set(error, HEED_E_ARGUMENT,
              "HEED_RANK_SECONDS is " QUOTE "; a number of seconds up to 1e6 is right",
              QUOTED(given));
    return -1;
}

heed_group *ranks_join(heed_engine *engine, double seconds, heed_error *error)
{
    seconds = seconds_to_wait(seconds, error);
    heed_group *g = seconds > 0 ? heed_group_join(engine, "mpi", seconds, error) : NULL;
    if (!g || heed_group_rank(g) == 0) return g;
    spoken = dup(STDERR_FILENO);
    if (!freopen("/dev/null", "w", stderr)) _Exit(1);
    group = g;
    return g;
}

int32_t ranks_any(heed_group *g, int *flag, int32_t failed, heed_error *error)
{
    exchange_stand stand = {.failed = failed, .flag = *flag != 0};
    if (!g) return failed;
    TRY(exchange_agree(&g->x, &stand, error));
    if (stand.flag && !*flag) *flag = stand.flag;
    return HEED_OK;
}

int32_t ranks_number(heed_group *g, double *number, heed_error *error)
{
    if (!g) return HEED_OK;
    const uint32_t ranks = heed_group_ranks(g);
    uint64_t *at = calloc(ranks + (size_t)1, sizeof *at);
    double *all = calloc(ranks, sizeof *all);
    int32_t failed = at && all ? HEED_OK : error_memory(error);
    for (uint32_t r = 0; r <= ranks && !failed; r++) at[r] = r * sizeof *all;
    if (!failed) all[heed_group_rank(g)] = *number;
    int none = 0;
    failed = ranks_any(g, &none, failed, error);
    if (!failed) failed = exchange_gather(&g->x, all, at, error);
    if (!failed) *number = all[0];
    free(at), free(all);
    return failed;
}

void ranks_fail(const heed_error *error)
{
    if (group && group->x.lost && spoken >= 0)
        dprintf(spoken, "heed: rank %u: %s\n", heed_group_rank(group), error->text);
}
