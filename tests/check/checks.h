/* SPDX-License-Identifier: MIT
 *
 * checks.h: the table of what is verified.
 */
#ifndef HEED_CHECK_CHECKS_H
#define HEED_CHECK_CHECKS_H

#include "check/subject.h"

typedef struct check {
    const char *name, *says;
    uint32_t every;                     /* of so many cases one is looked at */
    int (*applies)(const subject *s);   /* NULL: to all */
    void (*run)(subject *s);            /* harness_fail is a finding */
} check;

extern const check checks[]; /* [0] is the call itself */
extern const uint32_t check_count;

#endif
