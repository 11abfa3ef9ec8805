/* SPDX-License-Identifier: MIT
 *
 * ranks.h: a command that mpirun, or Slurm, has started several times. All work on one thing; what
 * goes to standard output and standard error is rank 0's.
 */
#ifndef HEED_COMMAND_RANKS_H
#define HEED_COMMAND_RANKS_H

#include "base/local.h"

/* To be called first, by a command that ranks can share: whoever is not rank 0 prints nothing. */
void ranks_begin(void);
/* Whether what is wrong with the command line is told by another rank. */
int ranks_is_silent(void);
int ranks_are_several(void);
/* A file that every rank must be able to read: "-" is refused where there are several. */
int32_t ranks_check_file(const char *path, heed_error *error);
/* The group of all ranks, where there are several; they wait `seconds` for one another, if
 * HEED_RANK_SECONDS says nothing else. Whoever is not rank 0 prints no error any more
 * either, but by ranks_fail: one that the others perhaps do not know. */
#define RANKS_SECONDS 30
heed_group *ranks_join(heed_engine *engine, double seconds, heed_error *error);
/* How all stand: whether any has the flag, to all; and a number of rank 0's, which follows a clock.
 * NULL: there is one. */
int32_t ranks_any(heed_group *group, int *flag, int32_t failed, heed_error *error);
int32_t ranks_number(heed_group *group, double *number, heed_error *error);
void ranks_fail(const heed_error *error);

#endif
