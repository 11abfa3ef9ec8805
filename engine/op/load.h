/* SPDX-License-Identifier: MIT
 *
 * load.h: from a file or a folder to ops in the registry.
 */
#ifndef HEED_OP_LOAD_H
#define HEED_OP_LOAD_H

#include <sys/types.h>

#include "base/local.h"

/* A file in which ops may be. */
typedef struct load_candidate {
    char *path;
    uint32_t folder; /* the number of the entry of the list that it was found by */
    int asked, tried; /* by its name; to load it */
    dev_t device;
    ino_t inode;
} load_candidate;

typedef struct load_files {
    load_candidate *file;
    uint32_t count, folders;
} load_files;

/* For a command that loads what may crash: it is told what is about to be loaded (NULL = that has
 * ended), and some are refused unseen. */
typedef struct load_care {
    void (*about)(void *arg, const char *path);
    void *arg;
    const struct refusal *refused;
    uint32_t n_refused;
} load_care;

/* Loads all ops of a plugin or none; a refusal is recorded too. `path` is absolute. */
HEED_LOCAL int32_t load_plugin(heed_engine *engine, const char *path, heed_error *error);
/* Finds every *.so of the folders (separated by ':') and of their subfolders, in order of names.
 * NULL = the installed ones, which may be absent. They are loaded when registry_find looks for an
 * op that may be in them; one that is an entry by itself is loaded at once. Refused plugins are no
 * error; a folder that was asked for and cannot be read is one. */
HEED_LOCAL int32_t load_find(heed_engine *engine, const char *folders, heed_error *error);
/* Finds and loads all of them. */
HEED_LOCAL int32_t load_folders(heed_engine *engine, const char *folders, heed_error *error);

/* Joins the other ranks by transport_NAME.so of the same folders. */
HEED_LOCAL int32_t load_transport(heed_engine *engine, const char *name, heed_transport *to,
                                  heed_error *error);

#endif
