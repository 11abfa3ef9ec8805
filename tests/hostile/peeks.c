/* SPDX-License-Identifier: MIT
 *
 * A causal query sees one key too many.
 */
#define SEES(call, b, t, j)                                                                                           \
    ((j) <= last_seen(call, b, t) +                                                                                   \
                ((call)->mask->kinds & HEED_MASK_CAUSAL && last_seen(call, b, t) + 1 < valid(call, b)))
#include "mean.h"

HOSTILE_MEAN((void)0)
