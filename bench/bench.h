/* SPDX-License-Identifier: MIT
 *
 * bench.h: what the benchmark's files share.
 *
 *   peaks    what the machine can do: multiply-adds, reading, copying
 *   case     one op on one path, with its tensors: opened, judged against the scalar path, run
 *   bench    the command: rounds and their statistics
 *   report   the table and the JSON record
 *
 * docs/benchmark.md says what is measured and how to read it.
 */
#ifndef HEED_BENCH_H
#define HEED_BENCH_H

#include "cmd_common.h"

/* ---- peaks.c ---- */

#define PEAKS_PATHS 4

typedef struct peaks {
    double fma[PEAKS_PATHS]; /* GFLOP/s, float32; 0: this machine has no such path */
    double read, copy;       /* GB/s; a copied byte counts twice, read and written */
} peaks;

typedef struct peaks_meter peaks_meter;

/* Measures on the engine's pool, with all its lanes. `l2_bytes` is what all second-level caches hold. */
peaks_meter *peaks_open(heed_engine *engine, uint64_t l2_bytes, heed_error *error);
void peaks_close(peaks_meter *m);
void peaks_measure(peaks_meter *m, peaks *out);
/* GB/s of reading or copying as many bytes as a case touches: what the caches that hold them can do. */
double peaks_memory(peaks_meter *m, double bytes, int copies);
uint64_t peaks_buffer(const peaks_meter *m); /* bytes that `read` and `copy` go through */
const char *peaks_path(uint32_t index);      /* "scalar" */
uint32_t peaks_of(uint64_t needs);           /* the row of the best path that such features can run */

/* ---- case.c ---- */

/* Sizes as --shape gives them; -1 or 0 = not given. */
typedef struct bench_shape {
    int64_t axis[HEED_AXES];
    int64_t leading[HEED_MAX_RANK]; /* behind "..." */
    int n_leading;
    int64_t key_lengths;            /* L: the input key_lengths holds it everywhere */
    int64_t decode;                 /* keys that the one query of a call sees */
} bench_shape;

/* Reads "B=1,H=8,T=2048,D=64". 0, or 2 after the sentence was printed. */
int bench_shape_read(const char *text, bench_shape *shape);

/* The tensors of an op for one shape, filled with numbers that are the same everywhere. */
typedef struct bench_call {
    const entry *entry;
    bench_shape shape;            /* nothing left to defaults */
    uint32_t dtype;
    int stateful;                 /* decodes with a sequence */
    heed_tensor tensor[PORT_MAX]; /* rank -1 = absent */
    heed_binding in[PORT_MAX], weights[PORT_MAX], out[PORT_MAX];
    uint32_t n_in, n_weights, n_out;
    char text[256];               /* of the shape: reads back as the same one */
} bench_call;

/* One row of the result. */
typedef struct bench_case {
    const bench_call *call;
    heed_instance *instance;
    heed_sequence **sequences;    /* [B], filled; or NULL */
    int truncates;                /* and are put back after each call */
    double flops, bytes;          /* of one call; flops -1 = not known */
    int copies;                   /* writes much of them: memory is held against copying, not reading */
    uint64_t hash;                /* of the outputs */
    double max_error;             /* against the scalar path */
    char judged[256];             /* the shape on which it was compared */
    int64_t batch;                /* calls that are timed together */
    double *seconds, *memory;     /* [rounds] of one call; GB/s that memory can do for it */
} bench_case;

/* Sizes that were left open follow from those given and from the op's params. */
int32_t bench_call_make(bench_call *c, const resolved *op, const bench_shape *shape, uint32_t dtype, heed_error *error);
void bench_call_free(bench_call *c);
/* Opens on a path (NULL = the engine's choice), fills the sequences, runs once, judges. */
int32_t bench_case_open(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                        heed_error *error);
int32_t bench_case_run(const bench_case *c, heed_error *error);
void bench_case_close(bench_case *c);

/* What heed_run hands to a path, made by hand: for an op's cost, and to call a path without the engine. */
typedef struct bench_direct {
    binding_set set;
    heed_mask mask;
    heed_sink sink;
    heed_call call;
    const heed_state **states;
    void *memory;
    char text[256];
} bench_direct;

int32_t bench_direct_make(bench_direct *d, const bench_case *c, heed_error *error);
void bench_direct_free(bench_direct *d);

/* ---- bench.c ---- */

typedef struct bench_overhead {
    double engine_ns, kernel_ns; /* one call through heed_run, and through the path's function pointer */
} bench_overhead;

/* All that was measured. */
typedef struct bench {
    heed_engine *engine;
    uint32_t rounds, n_cases;
    peaks *peaks;             /* [rounds], NULL = not measured */
    uint64_t buffer;
    bench_case *cases;
    bench_overhead *overhead; /* NULL = not measured */
} bench;

/* Of n numbers; they are sorted. */
double bench_median(double *v, uint32_t n);

/* ---- report.c ---- */

uint64_t report_l2_bytes(void);
void report_table(const bench *b);
/* Refuses a file that could not be written later; then writes it whole, or not at all. "-" = standard output. */
int32_t report_check(const char *path, heed_error *error);
int32_t report_write(const bench *b, const char *path, heed_error *error);

#endif
