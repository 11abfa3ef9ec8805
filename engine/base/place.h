/* SPDX-License-Identifier: MIT
 *
 * place.h: where this library or program is now, which need not be where it was installed.
 */
#ifndef HEED_BASE_PLACE_H
#define HEED_BASE_PLACE_H

#include "base/local.h"

/* A folder of the installation, as the build named it: where it is now. The installation may have
 * been moved as a whole: then the folder stands to this library or program as it did. NULL: there
 * is no memory; else free it. */
HEED_LOCAL char *place_of(const char *folder);

/* The same with the file of this library or program, and the folders that the build put libraries
 * and programs into. For tests. */
HEED_LOCAL char *place_beside(const char *file, const char *const homes[2], const char *folder);

#endif
