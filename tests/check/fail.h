/* SPDX-License-Identifier: MIT
 *
 * fail.h: how a check fails: it comes back, with a sentence, to where it was watched.
 */
#ifndef HEED_CHECK_FAIL_H
#define HEED_CHECK_FAIL_H

#include <setjmp.h>

extern sigjmp_buf fail_place;
extern char fail_sentence[2048];

/* 0; and 1, for as long as the calling function runs, when a harness_fail comes back here. Its
 * sentence is in fail_sentence. */
#define FAIL_CAUGHT() sigsetjmp(fail_place, 1)

#endif
