/* SPDX-License-Identifier: MIT
 *
 * case.h: one op on one path: opened, run, its cost.
 */
#ifndef HEED_BENCH_CASE_H
#define HEED_BENCH_CASE_H

#include "op/bind.h"
#include "op/instance.h"
#include "bench/case/tensors.h"

#define BENCH_CHUNK 512 /* keys that fill a sequence at a time */

typedef struct bench_network bench_network;

/* One row of the result: an op, or a network. */
typedef struct bench_case {
    const bench_call *call;       /* NULL in a network */
    heed_instance *instance;
    bench_network *network;       /* NULL in an op */
    heed_sequence **sequences;    /* [B], filled; or NULL */
    int truncates;                /* and are put back after each call */
    double flops, bytes;          /* of one call; flops -1 = not known */
    double footprint;             /* bytes, if a call goes through the same ones several times; 0 = all of `bytes` */
    double executed;              /* flops that the algorithm does, tiles rounded up; 0 = not known */
    double reach;                 /* keys that one query can reach; -1 = not known */
    const char *algorithm;        /* or NULL */
    int copies;                   /* writes much of them: memory is held against copying, not reading */
    uint64_t hash;                /* of the outputs */
    double max_error;             /* against the scalar path */
    char judged[BENCH_TEXT];      /* the shape on which it was compared */
    int64_t batch;                /* calls that are timed together */
    int ran;                      /* hash and max_error are known */
    double *seconds, *memory;     /* [rounds] of one call; GB/s that memory can do for it. NULL = neither */
    double *crowded;              /* [rounds] 1: other processes had the processor while that call was timed */
    double instructions;          /* of one call; 0 = not counted */
} bench_case;

/* What it is called; all of it lives as long as the case. */
const char *bench_case_spec(const bench_case *c);
const char *bench_case_shape(const bench_case *c);
const char *bench_case_dtype(const bench_case *c);
const heed_path *bench_case_path(const bench_case *c);
int bench_case_decodes(const bench_case *c);

/* Opens on a path (NULL = the engine's choice), fills the sequences, runs once, judges: by `plain`, if it is not NULL,
 * an open case of the same call on the scalar path. */
int32_t bench_case_open(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                        const bench_case *plain, heed_error *error);
/* Opens and asks for the cost; nothing is run. The call may be one that is not whole. */
int32_t bench_case_plan(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                        heed_error *error);
/* Opened and ready to run, and no more. */
int32_t bench_case_start(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call,
                         const char *isa, heed_error *error);
int32_t bench_case_run(const bench_case *c, heed_error *error);
int32_t bench_case_cost(bench_case *c, heed_error *error); /* fills flops, bytes, executed, algorithm, copies */
void bench_case_close(bench_case *c);

/* What heed_run hands to a path, made by hand: for an op's cost, and to call a path without the engine. */
typedef struct bench_direct {
    binding_set set;
    heed_mask mask;
    heed_sink sink;
    heed_call call;
    const heed_state **states;
    heed_state planned;           /* a state of the asked length without pages, where there are no sequences */
    void *memory;
    char text[256];
} bench_direct;

int32_t bench_direct_make(bench_direct *d, const bench_case *c, heed_error *error);
void bench_direct_free(bench_direct *d);

#endif
