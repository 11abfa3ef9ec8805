/* SPDX-License-Identifier: MIT
 *
 * Has a table of ops with a count and no address.
 */
#include "hostile.h"

HOSTILE(reply->ops.data = 0)
