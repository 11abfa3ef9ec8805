/* SPDX-License-Identifier: MIT
 *
 * Has a table of ops with a stride that leads out of the file.
 */
#include "hostile.h"

HOSTILE(reply->ops.stride = 0x7ffffff8)
