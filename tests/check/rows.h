/* SPDX-License-Identifier: MIT
 *
 * rows.h: who sees whom: NaNs, causality, a row alone.
 */
#ifndef HEED_CHECK_ROWS_H
#define HEED_CHECK_ROWS_H

#include "check/subject.h"

int has_row_alone(const subject *s);
int has_causality(const subject *s);
int has_mask(const subject *s);
void check_alone(subject *s);
void check_nan(subject *s);
void check_causal(subject *s);
void check_masked(subject *s);
/* Whether element o of output `out` may depend on element i of `in`, as far as the contract says; 1
 * where it says nothing. */
int rows_may_reach(const subject *s, uint32_t in, int64_t i, uint32_t out, int64_t o);

#endif
