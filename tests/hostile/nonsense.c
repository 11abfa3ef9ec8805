/* SPDX-License-Identifier: MIT
 *
 * Its entry returns a number that is no code, and points nowhere.
 */
#include "hostile.h"

HOSTILE(reply->name = (const char *)1; reply->ops.data = (void *)3; return 42)
