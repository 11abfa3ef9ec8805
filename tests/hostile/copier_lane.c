/* SPDX-License-Identifier: MIT
 *
 * Its result depends on the lane that a row runs on.
 */
#define SIN(c)                                                                                                        \
    if ((c)->n && (c)->lane % 2) (c)->y[0] += 1
#include "copier.h"
