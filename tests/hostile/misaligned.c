/* SPDX-License-Identifier: MIT
 *
 * Has a table of ops at an odd address.
 */
#include "hostile.h"

HOSTILE(reply->ops.data = (const char *)ops + 1; reply->ops.count = 1)
