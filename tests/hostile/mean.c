/* SPDX-License-Identifier: MIT
 *
 * No sin: that the other attentions are found for theirs alone.
 */
#include "mean.h"

HOSTILE_MEAN((void)0)
