/* SPDX-License-Identifier: MIT
 *
 * exact.h: a call in memory that is exactly what was asked for.
 */
#ifndef HEED_CHECK_EXACT_H
#define HEED_CHECK_EXACT_H

#include "check/subject.h"

void check_exact(subject *s);
void check_tiles(subject *s);

#endif
