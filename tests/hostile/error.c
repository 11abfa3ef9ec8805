/* SPDX-License-Identifier: MIT
 *
 * Its entry fails.
 */
#include "hostile.h"

HOSTILE(return HEED_E_MEMORY)
