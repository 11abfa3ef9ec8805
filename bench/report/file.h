/* SPDX-License-Identifier: MIT
 *
 * file.h: files, written whole or not at all.
 */
#ifndef HEED_BENCH_FILE_H
#define HEED_BENCH_FILE_H

#include "base/local.h"

/* Refuses a file that could not be written later; then writes it whole, or not at all. "-" = standard output. */
int32_t file_check(const char *path, heed_error *error);
int32_t file_write(const char *path, const void *bytes, size_t n, heed_error *error);

#endif
