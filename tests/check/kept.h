/* SPDX-License-Identifier: MIT
 *
 * kept.h: states as bytes, and behind calls that fail.
 */
#ifndef HEED_CHECK_KEPT_H
#define HEED_CHECK_KEPT_H

#include "check/subject.h"

void check_saved(subject *s);
void check_failure(subject *s);

#endif
