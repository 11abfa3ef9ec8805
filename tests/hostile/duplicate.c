/* SPDX-License-Identifier: MIT
 *
 * Has two ops of one id.
 */
#include "hostile.h"

HOSTILE(ops[1].id = ops[0].id)
