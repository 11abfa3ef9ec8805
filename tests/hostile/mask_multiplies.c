/* SPDX-License-Identifier: MIT
 *
 * Multiplies what is masked by 0, which a NaN survives.
 */
#define WEIGH(sum, sees, value) sum += (float)(sees) * (value)
#include "mean.h"

HOSTILE_MEAN((void)0)
