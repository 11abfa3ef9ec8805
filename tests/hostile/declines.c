/* SPDX-License-Identifier: MIT
 *
 * Speaks no version that was offered.
 */
#include "hostile.h"

HOSTILE(return HEED_E_ABI)
