/* SPDX-License-Identifier: MIT
 *
 * load.h: from a file or a folder to ops in the registry.
 */
#ifndef HEED_OP_LOAD_H
#define HEED_OP_LOAD_H

#include "base/local.h"

/* Loads all ops of a plugin or none; a refusal is recorded too. `path` is absolute. */
HEED_LOCAL int32_t load_plugin(heed_engine *engine, const char *path, heed_error *error);
/* Every *.so of the folders (separated by ':') and of their subfolders, in order of names. NULL = the installed
 * ones, which may be absent. Refused plugins are no error; a folder that was asked for and cannot be read is one. */
HEED_LOCAL int32_t load_folders(heed_engine *engine, const char *folders, heed_error *error);

#endif
