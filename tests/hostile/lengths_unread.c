/* SPDX-License-Identifier: MIT
 *
 * Sees keys behind the valid ones.
 */
#define SEES(call, b, t, j) ((call)->mask->kinds & HEED_MASK_CAUSAL ? (j) <= last_seen(call, b, t) : 1)
#include "mean.h"

HOSTILE_MEAN((void)0)
