/* SPDX-License-Identifier: MIT
 *
 * file.h: whole files, read and written.
 */
#ifndef HEED_COMMAND_FILE_H
#define HEED_COMMAND_FILE_H

#include <stddef.h>

#include "base/local.h"

/* All of it, from a pipe too; "-" is standard input. free(*bytes). */
int32_t file_read(const char *path, unsigned char **bytes, size_t *n, heed_error *error);
/* Refuses a file that could not be written later; then writes it whole, or not at all. "-" is
 * standard output. */
int32_t file_check(const char *path, heed_error *error);
int32_t file_write(const char *path, const void *bytes, size_t n, heed_error *error);

#endif
