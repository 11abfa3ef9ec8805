/* SPDX-License-Identifier: MIT
 *
 * suite.h: the cases of --suite.
 */
#ifndef HEED_BENCH_SUITE_H
#define HEED_BENCH_SUITE_H

#include "bench/bench.h"

typedef struct suite_choice {
    uint32_t set;            /* SUITE_TINY: only the small shapes, and no time */
    const char *const *ops;  /* NULL = all */
    uint32_t n_ops;
    const char *isa, *model; /* model NULL = models/plays.safetensors, if it is there */
    const heed_options *engine;
} suite_choice;

enum { SUITE_TINY, SUITE_QUICK, SUITE_FULL, SUITE_SETS };

const char *suite_name(uint32_t set);
bench_pace suite_pace(uint32_t set);
/* Fills b with cases. What can not be opened is no failure, but noted in b->refused. */
int32_t suite_open(bench *b, const suite_choice *choice, heed_error *error);
void suite_free(bench *b); /* the notes */

#endif
