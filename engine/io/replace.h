/* SPDX-License-Identifier: MIT
 *
 * replace.h: a file that is written whole or not at all.
 */
#ifndef HEED_IO_REPLACE_H
#define HEED_IO_REPLACE_H

#include <stdio.h>

#include "base/local.h"

#include <sys/stat.h>

/* What `path` will hold: put(to, arg) writes it, and returns 0 with errno set if it can not. */
typedef struct replacement {
    const char *path;
    int (*put)(FILE *to, const void *arg);
    const void *arg;
    int direct; /* it is written in its place: a pipe, a device, or a file with several names */
    int exists;
    struct stat old;
    char *target, *name; /* where the links lead; of the new file, NULL = it has none yet */
    int fd;              /* of the new file, or -1 */
} replacement;

/* Writes the new file beside its place: all that can fail is tried. A link stays, and what it
 * points at is written, if need be made; "/dev/stdout" is standard output as it stands. Not yet
 * done for a pipe or a device. In any case replace_end must follow. `path`, `put` and `arg` are
 * set. */
HEED_LOCAL int32_t replace_begin(replacement *r, heed_error *error);
/* Puts the new file in its place; with `keep` what was there stays, and the new one goes. */
HEED_LOCAL int32_t replace_end(replacement *r, int keep, heed_error *error);
/* Both. If it fails, what was under the name is as it was. */
HEED_LOCAL int32_t replace_file(const char *path, int (*put)(FILE *to, const void *arg),
                                const void *arg, heed_error *error);

#endif
