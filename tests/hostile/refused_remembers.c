/* SPDX-License-Identifier: MIT
 *
 * Writes to its pages before it looks at the sizes.
 */
#define REFUSE(call) for (int64_t b = 0; (call)->state && b < HEED_AXIS((call)->axis, 'B'); b++) SUMS(call, b)[0] += 1
#include "past.h"

HOSTILE_PAST((void)0)
