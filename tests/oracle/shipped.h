/* SPDX-License-Identifier: MIT
 *
 * shipped.h: the oracles of the ops that come with heed. They are linked into the command and into the tests.
 */
#ifndef HEED_SHIPPED_H
#define HEED_SHIPPED_H

#include <heed/abi/oracle.h>

/* NULL if there is none for that id. */
const heed_oracle *oracle_find(const char *id);

#endif
