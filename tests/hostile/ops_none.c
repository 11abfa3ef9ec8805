/* SPDX-License-Identifier: MIT
 *
 * Has no op.
 */
#include "hostile.h"

HOSTILE(reply->ops.count = 0)
