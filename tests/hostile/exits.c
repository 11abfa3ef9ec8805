/* SPDX-License-Identifier: MIT
 *
 * Calls exit, with the status of success.
 */
#include "hostile.h"

#include <stdlib.h>

ROW_SIN(if (M == 17) exit(0))
HOSTILE_RUN((void)0)
