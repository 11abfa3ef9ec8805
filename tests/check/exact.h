/* SPDX-License-Identifier: MIT
 *
 * exact.h: a call in memory that is exactly what was asked for.
 */
#ifndef HEED_CHECK_EXACT_H
#define HEED_CHECK_EXACT_H

#include "check/subject.h"

void check_exact(subject *s);
int has_stack(const subject *s);
void check_stack(subject *s);
void check_tiles(subject *s);

#endif
