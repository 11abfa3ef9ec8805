/* SPDX-License-Identifier: MIT
 *
 * group.h: a group of ranks from inside.
 */
#ifndef HEED_OP_GROUP_H
#define HEED_OP_GROUP_H

#include <heed/abi/partial.h>

#include "op/call.h"
#include "op/tree.h"
#include "run/exchange.h"

struct heed_group {
    heed_engine *engine;
    exchange x;
};

/* What an instance has to be shared by ranks: an exact path with heed.partial/1; else NULL, and why
 * not. */
HEED_LOCAL const heed_partial *group_partial(const heed_instance *i, heed_error *error);
/* How a rank stands before or after a call: `what` a hash of what all must have alike. */
HEED_LOCAL int32_t group_agree(heed_group *g, uint64_t what, int32_t failed, heed_error *error);
/* Adds bytes to such a hash, which begins as 0. */
HEED_LOCAL uint64_t group_hash(uint64_t hash, const void *bytes, size_t n);

/* Which of so many spans queries of a call may see: one byte each, 1 or 0. A call whose queries see
 * none sees the first: whoever finishes its rows needs some. */
HEED_LOCAL void group_seen(const prepared *c, const heed_instance *i, const heed_partial *p,
                           heed_partial_call *x, int64_t spans, unsigned char *span);
/* Whether any span of a node is among them. */
HEED_LOCAL int group_sees(const unsigned char *span, int64_t spans, tree_node node);

/* heed.partial/1 in the memory of a call. */
HEED_LOCAL int32_t group_compute(prepared *c, const heed_instance *i, const heed_partial *p,
                                 heed_partial_call *x, heed_error *error);
HEED_LOCAL int32_t group_finish(prepared *c, const heed_instance *i, const heed_partial *p,
                                heed_partial_call *x, int32_t *again, heed_error *error);

/* An attention over keys that the ranks' sequences share. Every rank has the inputs of all new
 * tokens, and gets the outputs of rows [first, first + count) of them; `at` [ranks + 1] has the
 * first row of each rank, or is NULL where each gets all rows. */
HEED_LOCAL int32_t group_attend(heed_group *g, const heed_instance *i, const heed_binding *in,
                                uint32_t n_in, const heed_binding *out, uint32_t n_out,
                                heed_sequence *const *sequences, const int64_t *at,
                                heed_error *error);

#endif
