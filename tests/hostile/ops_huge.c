/* SPDX-License-Identifier: MIT
 *
 * Has four thousand million ops.
 */
#include "hostile.h"

HOSTILE(reply->ops.count = UINT32_MAX)
