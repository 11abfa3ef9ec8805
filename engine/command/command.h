/* SPDX-License-Identifier: MIT
 *
 * command.h: the commands, wherever they are written, and how they end. argv[0] is the command's
 * own name; what they return is the exit status: 0; 1 for bad input or a failure, 2 for wrong
 * usage, both after one sentence on standard error.
 */
#ifndef HEED_COMMAND_COMMAND_H
#define HEED_COMMAND_COMMAND_H

#include <jansson.h>

#include "base/local.h"

int command_list(int argc, char **argv);
int command_describe(int argc, char **argv);
int command_run(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_score(int argc, char **argv);
int command_classify(int argc, char **argv);
int command_embed(int argc, char **argv);
int command_train(int argc, char **argv);
int command_new(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_field(int argc, char **argv);
int command_topo(int argc, char **argv);
int command_bench(int argc, char **argv);   /* bench/bench.c */
int command_compare(int argc, char **argv); /* bench/report/compare.c */
int command_check(int argc, char **argv);   /* tests/check/check.c */
int command_matrix(int argc, char **argv);  /* tests/check/matrix.c */

/* Prints "heed: <text>" to standard error; returns 1, or the status of an interrupted command. */
int command_fail(const heed_error *error);
/* Prints and frees; NULL means that memory ran out. Returns the exit status. */
int command_json(json_t *json);

#endif
