/* SPDX-License-Identifier: MIT
 *
 * trust.h: whether a file may be loaded as code, and an environment variable be believed.
 */
#ifndef HEED_BASE_TRUST_H
#define HEED_BASE_TRUST_H

#include "base/local.h"

/* HEED_OK if the open file and all folders above it can be written by root or the user alone; in
 * the folders that belong to the engine, by its owner too. `path` is absolute and free of links
 * (realpath). */
HEED_LOCAL int32_t trust_check(int fd, const char *path, heed_error *error);
/* An environment variable, or NULL where the environment is not to be believed (setuid, setgid,
 * capabilities). Every variable that the engine reads goes through here. */
HEED_LOCAL const char *trust_environment(const char *name);

#endif
