/* SPDX-License-Identifier: MIT
 *
 * heed/abi/abi.h: the whole contract. ABI.md beside it says how it is used and how it may change.
 *
 *   base    versions, errors, growth        call    open and call
 *   tensor  a view of memory                op      ports, params, paths, the operator, the entry
 *   mask    who sees whom                   score   heed.score/1, one tile of scores
 *   state   memory of a sequence            cost    heed.cost/1, what a call costs
 *   host    services of the engine
 */
#ifndef HEED_ABI_H
#define HEED_ABI_H

#include "cost.h"
#include "op.h"
#include "score.h"

#endif
