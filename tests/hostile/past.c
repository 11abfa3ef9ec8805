/* SPDX-License-Identifier: MIT
 *
 * No sin: a recurrent state, kept as it should be.
 */
#include "past.h"

HOSTILE_PAST((void)0)
