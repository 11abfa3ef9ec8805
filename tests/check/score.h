/* SPDX-License-Identifier: MIT
 *
 * score.h: tiles of scores.
 */
#ifndef HEED_CHECK_SCORE_H
#define HEED_CHECK_SCORE_H

#include "check/subject.h"

int has_score(const subject *s);
void check_score(subject *s);

#endif
