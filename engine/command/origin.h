/* SPDX-License-Identifier: MIT
 *
 * origin.h: where ops came from, when that is not where one would think.
 */
#ifndef HEED_COMMAND_ORIGIN_H
#define HEED_COMMAND_ORIGIN_H

#include "base/local.h"

/* Of each op that was used and has taken the place of one in another plugin: one line on standard
 * error. `engine` may be NULL. */
void origin_tell(const heed_engine *engine);

#endif
