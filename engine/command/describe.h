/* SPDX-License-Identifier: MIT
 *
 * describe.h: the two halves of heed describe.
 */
#ifndef HEED_COMMAND_DESCRIBE_H
#define HEED_COMMAND_DESCRIBE_H

#include "base/local.h"

/* The parts of a network: of a file, of a spec (path NULL), or of both. The exit status. */
int describe_network(const heed_options *options, const char *path, const char *spec, int json);

#endif
