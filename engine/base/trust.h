/* SPDX-License-Identifier: MIT
 *
 * trust.h: whether a file may be loaded as code.
 */
#ifndef HEED_BASE_TRUST_H
#define HEED_BASE_TRUST_H

#include "base/local.h"

/* HEED_OK if the open file and all folders above it can be written by root or the user alone. `path` is absolute and
 * free of links (realpath). */
HEED_LOCAL int32_t trust_check(int fd, const char *path, heed_error *error);

#endif
