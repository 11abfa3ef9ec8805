/* SPDX-License-Identifier: MIT
 *
 * local.h: the public header, and the mark of what is the library's own.
 */
#ifndef HEED_LOCAL_H
#define HEED_LOCAL_H

#include "heed.h"

/* Used between the engine's files, and not exported from libheed. */
#define HEED_LOCAL __attribute__((visibility("hidden")))

#endif
