/* SPDX-License-Identifier: MIT
 *
 * run_ranks.h: heed run, of several ranks.
 */
#ifndef HEED_COMMAND_RUN_RANKS_H
#define HEED_COMMAND_RUN_RANKS_H

#include "base/local.h"

/* The call of all ranks, each of which has the whole inputs; `out` of rank 0 gets the whole outputs.
 * `failed`: what came before has failed here, and perhaps not elsewhere. */
int32_t run_ranks(heed_group *g, const heed_instance *i, const heed_binding *in, uint32_t n_in,
                  const heed_binding *out, uint32_t n_out, int32_t failed, heed_error *error);

#endif
