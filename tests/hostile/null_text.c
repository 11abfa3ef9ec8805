/* SPDX-License-Identifier: MIT
 *
 * Has a port without a name.
 */
#include "hostile.h"

HOSTILE(ports[1].name = 0)
