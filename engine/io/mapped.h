/* SPDX-License-Identifier: MIT
 *
 * mapped.h: a file of weights in memory: mapped, read-only and private. Who cuts it short while it is
 * mapped gets SIGBUS, as with any mapped file.
 */
#ifndef HEED_IO_MAPPED_H
#define HEED_IO_MAPPED_H

#include <stddef.h>

#include "base/local.h"

/* `kind` is what the file should be, "safetensors", for sentences. munmap(*map, *size) is the caller's. */
HEED_LOCAL int32_t mapped_open(const char *path, const char *kind, unsigned char **map,
                               size_t *size, heed_error *error);

#endif
