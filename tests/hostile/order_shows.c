/* SPDX-License-Identifier: MIT
 *
 * A tile uses what the one before has left in the workspace.
 */
#include "hostile.h"

ROW_SIN(float *last = call->workspace; if (row == 0) *last = 0; *at(out, row * M) += *last; *last = (float)row)
HOSTILE_RUN((void)0)
