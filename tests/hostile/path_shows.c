/* SPDX-License-Identifier: MIT
 *
 * Gives other bits on one path.
 */
#include "hostile.h"

ROW_SIN(*at(out, row * M) *= 1.0000001f)
HOSTILE_RUN(paths[0].forward = forward)
