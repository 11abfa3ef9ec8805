/* SPDX-License-Identifier: MIT
 *
 * cases.h: from an op's tables to calls.
 */
#ifndef HEED_CHECK_CASES_H
#define HEED_CHECK_CASES_H

#include "inspect.h"

/* One call, as text: "norm/rms(eps=0.01) x=2x3,M=17 ports=gain dtype=f16 size=4 seed=7". */
typedef struct check_case {
    char spec[256];
    char axes[128];
    char ports[160]; /* as call_case.without has them */
    uint32_t dtype;
    float size;
    uint64_t seed;
} check_case;

/* Case n of the sweep of an op: the first ones go through the sizes that hurt with the op as it is,
 * those that follow through its params, masks and optional ports too. 0: there is no way to call
 * this op. */
int case_make(const heed_engine *engine, const entry *e, uint32_t n, check_case *to);
/* A case that op refuses, changed as some ops need it: even widths, keys for every head, optional
 * weights, axes of its own as large as others. n counts the ways; 0: there are no more, -1: this
 * one changes nothing. */
int case_change(const entry *e, const check_case *c, uint32_t n, check_case *to);
void case_print(const check_case *c, char *text, size_t n);
int case_parse(const char *text, check_case *to); /* 0, or -1: it is malformed */

#endif
