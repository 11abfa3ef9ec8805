/* SPDX-License-Identifier: MIT
 *
 * Has a table of ops with the stride 0.
 */
#include "hostile.h"

HOSTILE(reply->ops.stride = 0)
