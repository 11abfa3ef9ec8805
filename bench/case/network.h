/* SPDX-License-Identifier: MIT
 *
 * network.h: a whole network as a case.
 */
#ifndef HEED_BENCH_NETWORK_H
#define HEED_BENCH_NETWORK_H

#include "bench/case/case.h"

/* How it reads: all tokens at once; one after the other; or the last one alone, behind the others. */
enum { NETWORK_WHOLE, NETWORK_STEPS, NETWORK_NEXT };

/* What a case is about. */
typedef struct network_choice {
    const char *file, *spec; /* file NULL: weights of chance; spec NULL: the file's own */
    const char *isa;         /* the path, or NULL */
    int64_t tokens;          /* 0: 2048, or the context if that is less */
    int how;                 /* NETWORK_* */
} network_choice;

/* Opens it and runs it once. bench_case_close also after a failure. */
int32_t network_open(bench_case *c, const heed_options *options, const network_choice *choice,
                     heed_error *error);
int32_t network_run(const bench_network *n, heed_error *error);
void network_close(bench_network *n);
const char *network_spec(const bench_network *n);
const char *network_shape(const bench_network *n);
const heed_path *network_path(const bench_network *n);
int network_decodes(const bench_network *n); /* it reads one token at a time */
int64_t network_tokens(const bench_network *n);
double network_steps(
    const bench_network *n); /* layers that a token ran through, where tokens halt; else NAN */
/* The largest difference between what two cases of one network computed on one text. */
double network_difference(const bench_network *a, const bench_network *b);
/* How its time is spread over its ops: runs it for so many seconds, with a trace, and keeps the fastest run. */
int32_t network_by_op(bench_case *c, double seconds, heed_error *error);

#endif
