/* SPDX-License-Identifier: MIT
 *
 * case.h: one op on one path: opened, run, its cost.
 */
#ifndef HEED_BENCH_CASE_H
#define HEED_BENCH_CASE_H

#include "command/cost.h"
#include "command/operands.h"
#include "command/parts.h"

#define BENCH_CHUNK 512 /* keys that fill a sequence at a time */

typedef struct bench_network bench_network;
typedef struct bench_backward bench_backward;

/* One row of the result: an op, or a network. */
typedef struct bench_case {
    const operands *call;       /* NULL in a network */
    heed_instance *instance;
    bench_network *network;       /* NULL in an op */
    bench_backward *backward;     /* which is run then; NULL: forward is */
    heed_sequence **sequences;    /* [B], filled; or NULL */
    int truncates;                /* and are put back after each call */
    call_cost cost;
    /* bytes, if a call goes through the same ones several times; 0 = all of cost.bytes */
    double footprint;
    uint64_t hash;                /* of the outputs */
    double max_error;             /* against the scalar path */
    char judged[SHAPE_TEXT];      /* the shape on which it was compared */
    int64_t batch;                /* calls that are timed together */
    int ran;                      /* hash and max_error are known */
    /* [rounds] of one call; GB/s that memory can do for it. NULL = neither */
    double *seconds, *memory;
    /* [rounds] 1: other processes had the processor while that call was timed */
    double *crowded;
    double instructions;          /* of one call; 0 = not counted */
    part_costs by_op;             /* of a network that was timed: its fastest run with a trace */
    double traced;                /* seconds of that run */
} bench_case;

/* What it is called; all of it lives as long as the case. */
const char *bench_case_spec(const bench_case *c);
const char *bench_case_shape(const bench_case *c);
const char *bench_case_dtype(const bench_case *c);
const heed_path *bench_case_path(const bench_case *c);
int bench_case_decodes(const bench_case *c);

/* Opens and asks for the cost; nothing is run. The call may be one that is not whole. */
int32_t bench_case_plan(bench_case *c, heed_engine *engine, const resolved *op,
                        const operands *call, const char *isa, heed_error *error);
/* Opened and ready to run, and no more. */
int32_t bench_case_start(bench_case *c, heed_engine *engine, const resolved *op,
                         const operands *call, const char *isa, heed_error *error);
int32_t bench_case_run(const bench_case *c, heed_error *error);
void bench_case_close(bench_case *c);

#endif
