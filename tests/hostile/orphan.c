/* SPDX-License-Identifier: MIT
 *
 * Has an output with an axis that comes from nowhere.
 */
#include "hostile.h"

HOSTILE(ports[1].axes = "... M N")
