/* SPDX-License-Identifier: MIT
 *
 * Names no licence.
 */
#include "hostile.h"

HOSTILE(reply->licence = 0)
