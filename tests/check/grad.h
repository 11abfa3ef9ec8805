/* SPDX-License-Identifier: MIT
 *
 * grad.h: heed.grad/1.
 */
#ifndef HEED_CHECK_GRAD_H
#define HEED_CHECK_GRAD_H

#include "check/subject.h"

int has_backward(const subject *s);
void check_backward(subject *s);
int has_slope(const subject *s);
void check_slope(subject *s);

#endif
