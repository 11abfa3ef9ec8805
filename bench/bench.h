/* SPDX-License-Identifier: MIT
 *
 * bench.h: what the benchmark's files share.
 *
 *   peaks    what the machine can do: multiply-adds, reading, copying
 *   shape    the words of --shape, and the sizes that they leave open
 *   tensors  the tensors of an op for one shape
 *   case     one op on one path: opened, run, its cost
 *   network  a whole network as a case
 *   judge    a case against the scalar path
 *   open     the list of cases
 *   suite    the cases of --suite
 *   sizes    how large an op is: heed describe --shape
 *   rounds   cases timed, in turns; statistics
 *   count    executed instructions, where there is an emulator
 *   bench    the command
 *   machine  what it runs on
 *   report   the table and the JSON record
 *   growth   how the time grows with a size
 *   plot     that as a picture
 *   file     files, written whole or not at all
 *   explain  the table of what is predicted
 *   record   records read and checked
 *   compare  records side by side: heed compare
 *
 * docs/benchmark.md says what is measured and how to read it.
 */
#ifndef HEED_BENCH_H
#define HEED_BENCH_H

#include "cmd_common.h"

/* ---- peaks.c ---- */

#define PEAKS_PATHS 5

typedef struct peaks {
    double fma[PEAKS_PATHS]; /* GFLOP/s, float32 sums; 0: this machine has no such path */
    double read, copy;       /* GB/s; a copied byte counts twice, read and written */
} peaks;

typedef struct peaks_meter peaks_meter;

/* Measures on the engine's pool, with all its lanes. `cache_bytes` is what all last-level caches hold. */
peaks_meter *peaks_open(heed_engine *engine, uint64_t cache_bytes, heed_error *error);
void peaks_close(peaks_meter *m);
void peaks_measure(peaks_meter *m, peaks *out);
/* GB/s of reading or copying as many bytes as a case touches: what the caches that hold them can do. Sizes that
 * are nearly equal share one measurement, until peaks_measure begins the next round. */
double peaks_memory(peaks_meter *m, double bytes, int copies);
uint64_t peaks_buffer(const peaks_meter *m); /* bytes that `read` and `copy` go through */
const char *peaks_path(uint32_t index);      /* "scalar" */
uint32_t peaks_of(uint64_t needs);           /* the row of the best path that such features can run */

/* ---- shape.c ---- */

/* What --shape says; -1 or 0 = not given. */
typedef struct bench_shape {
    int64_t axis[HEED_AXES];
    uint32_t guessed;               /* bits of the axes that had no size before bench_shape_fill */
    int64_t leading[HEED_MAX_RANK]; /* behind "..." */
    int n_leading;
    int64_t key_lengths;            /* L: the input key_lengths holds it everywhere */
    int64_t documents;              /* the keys are this many documents of one length */
    int64_t decode;                 /* keys that the one query of a call sees */
    int64_t pitch;                  /* bytes from an input's row to the next, a row being all that one token has */
    int64_t shift;                  /* bytes that the address of a tensor is off 64 */
    const char *with;               /* optional ports, "bias+sum", up to a comma or the end */
    const char *values;             /* numbers of a weight, "span:0.1+0.5", in turn, up to a comma or the end */
} bench_shape;

#define BENCH_AXIS(shape, letter) ((shape)->axis[(letter) - 'A'])
#define BENCH_TEXT 1024 /* of a shape */

struct bench_call;

/* Reads "B=1,H=8,T=2048,D=64"; the text is kept by pointer. 0, or 2 after the sentence was printed. */
int bench_shape_read(const char *text, bench_shape *shape);
/* Sizes that params fix: hidden=1376 is axis F. `over` 1: whatever they are so far. */
void bench_shape_params(bench_shape *shape, const resolved *op, int over);
/* The same, then those that follow from others. */
void bench_shape_fill(bench_shape *shape, const resolved *op);
/* Whether a filled shape only guesses the size of an axis of the op: its letter means something to its plugin alone,
 * and no param fixes it. */
int bench_shape_guesses(const bench_shape *shape, const entry *e, char axis);
/* Whether a port gets a tensor. */
int bench_shape_takes(const bench_shape *shape, const heed_port *port);
/* Refuses a shape that asks for a port that the op has not. */
int32_t bench_shape_check(const bench_shape *shape, const entry *e, heed_error *error);
/* The one number that differs between shapes as they were given, into key: "T", "decode". */
int32_t bench_shape_varies(const bench_shape *shapes, uint32_t n, char key[16], heed_error *error);
int64_t bench_shape_number(const bench_shape *shape, const char *key);
/* Whether the shape gives the numbers of that weight. */
int bench_shape_gives(const bench_shape *shape, const heed_port *port);
/* They, from the first or from where the last call stopped; NULL in *at starts. Behind the last comes the first. */
double bench_shape_value(const bench_shape *shape, const char **at);
int64_t bench_shape_values(const bench_shape *shape); /* how many */
/* Refuses numbers for a weight that none of these calls has. */
int32_t bench_shape_given(const bench_shape *shape, struct bench_call *const *calls, uint32_t n, heed_error *error);
/* Writes call->text: what matters to the op, in the words of --shape. */
void bench_shape_print(struct bench_call *call);
int bench_has_axis(const entry *e, uint32_t port, char letter);

/* ---- tensors.c ---- */

/* The tensors of an op for one shape, filled with numbers that are the same everywhere. */
typedef struct bench_call {
    const entry *entry;
    bench_shape shape;            /* nothing left to defaults */
    uint32_t dtype;
    int stateful;                 /* decodes with a sequence */
    heed_tensor tensor[PORT_MAX]; /* rank -1 = absent */
    void *memory[PORT_MAX];       /* of the tensors */
    heed_tensor inner[PORT_MAX];  /* weights of the ops inside, "position.table" */
    char inner_name[PORT_MAX][64];
    uint32_t n_inner;
    heed_binding in[PORT_MAX], weights[2 * PORT_MAX], out[PORT_MAX];
    uint32_t n_in, n_weights, n_out;
    char text[BENCH_TEXT];        /* of the shape: reads back as the same one */
} bench_call;

/* Sizes that were left open follow from those given and from the op's params. With `whole` 0 only weights and indices
 * get memory: enough to open the op and to ask what a call costs. */
int32_t bench_call_make(bench_call *c, const resolved *op, const bench_shape *shape, uint32_t dtype, int whole,
                        heed_error *error);
void bench_call_free(bench_call *c);
/* The shapes of all tensors anew, without memory. */
void bench_call_shapes(bench_call *c);

#define BENCH_HASH_START 0xcbf29ce484222325u
uint64_t bench_hash(uint64_t hash, const void *bytes, uint64_t n); /* FNV-1a, 64 bits */
double bench_element(const heed_tensor *t, int64_t i);             /* of a dense tensor */

/* ---- case.c ---- */

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

/* ---- judge.c ---- */

uint64_t judge_hash(const bench_call *c); /* of the outputs */
/* Runs the scalar path on what `c` has just computed, or, where that takes long, both paths on a smaller shape. Nothing
 * has to run if `before`, a case of the same call on the scalar path, gave the same bits. NULL: there is none. */
int32_t judge(bench_case *c, heed_engine *engine, const resolved *op, const char *isa, const bench_case *before,
              heed_error *error);

/* ---- network.c ---- */

/* A network that reads `tokens` tokens at once, or one after the other (`steps`), on the path `isa`. It is run once.
 * bench_case_close also after a failure. */
int32_t network_open(bench_case *c, const heed_options *options, const char *isa, const char *file, int64_t tokens,
                     int steps, heed_error *error);
int32_t network_run(const bench_network *n, heed_error *error);
void network_close(bench_network *n);
const char *network_spec(const bench_network *n);
const char *network_shape(const bench_network *n);
const heed_path *network_path(const bench_network *n);
int network_steps(const bench_network *n);

/* ---- count.c ---- */

/* The file that bench/machines/qemu_count.c keeps. */
typedef struct bench_counter {
    char magic[16], target[40]; /* "heed.count/1", "aarch64" */
    volatile uint64_t instructions;
} bench_counter;

const char *count_emulator(void); /* "qemu-aarch64" if this process runs under it, else NULL */
/* Mapped for as long as the process lives; NULL and a sentence if it does not count this process. */
const bench_counter *count_open(const char *path, heed_error *error);
int32_t count_measure(bench_case *c, const bench_counter *counter, heed_error *error);

/* ---- the whole ---- */

typedef struct bench_overhead {
    double engine_ns, kernel_ns; /* one call through heed_run, and through the path's function pointer */
} bench_overhead;

/* How long a case is measured. */
typedef struct bench_pace {
    uint32_t rounds;
    int runs;                /* at least, in a round */
    double seconds, longest; /* and so long at least; but no new run after the longest */
    double all;              /* seconds that the cases share, each `seconds` to four times as long; 0: no more */
} bench_pace;

/* What the suite could not do. */
typedef struct bench_refusal {
    char *what, *why;
} bench_refusal;

/* All that was measured. */
typedef struct bench {
    heed_engine *engine;
    bench_pace pace;
    peaks *peaks;             /* [rounds], NULL = not measured */
    uint64_t buffer;
    bench_call **calls;       /* cases of several paths share one */
    bench_case *cases;
    uint32_t n_calls, n_cases;
    bench_overhead *overhead; /* NULL = not measured */
    char varies[16];          /* the size that differs between the shapes, "T"; "" = none, or more than one */
    const char *suite;        /* "tiny", "quick", "full"; NULL = the cases were named */
    const bench_counter *counter; /* NULL = time is taken */
    bench_refusal *refused;
    uint32_t n_refused;
} bench;

/* ---- open.c ---- */

enum { OPEN_PLAN, OPEN_RUN, OPEN_TIME }; /* only asked for its cost; run once; run once and timed later */

/* A spec as the engine resolves it; both to be freed. */
resolved *open_spec(heed_engine *engine, const char *text, spec **tree, heed_error *error);
/* Adds an op on one shape, on the path `isa`: "all" = each that it has here, NULL = the engine's choice. Those before
 * one that fails stay; *failed_path becomes the name of that one, if it is not NULL. */
int32_t open_shape(bench *b, const resolved *op, const bench_shape *shape, uint32_t dtype, const char *isa, int want,
                   const char **failed_path, heed_error *error);
/* Room for one more case, the last one; and back. */
bench_case *open_case(bench *b, heed_error *error);
void open_drop(bench *b);
/* Memory for what the rounds measure. */
int32_t open_rounds(const bench *b, bench_case *c, int timed, heed_error *error);
void open_free(bench *b); /* all calls and cases */

/* ---- suite.c ---- */

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

/* ---- rounds.c ---- */

/* Of n numbers; they are sorted. */
double bench_median(double *v, uint32_t n);
/* The first signal ends the work in order, a second one at once. */
void rounds_catch_signals(void);
int32_t rounds_interrupted(heed_error *error);
void rounds_progress(const char *doing, uint32_t at, uint32_t of); /* NULL: ends the line. of 0: not known */
int32_t rounds_measure(bench *b, peaks_meter *meter, heed_error *error);
int32_t rounds_overhead(const bench_case *c, bench_overhead *out, heed_error *error);

/* ---- machine.c ---- */

const char *machine_cpu(char *buffer, size_t n); /* the processor's name; returns buffer */
const char *machine_version(void);               /* of heed */
uint64_t machine_cache_bytes(void);              /* of all last-level caches */
json_t *machine_json(const bench *b);

/* ---- report.c ---- */

/* A case, summed up over the rounds. NAN = not known, or not measured. */
typedef struct report_row {
    const bench_case *c;
    double seconds, spread, gflops, gbps;
    double peak, fraction; /* what it is held against, in the same unit as its rate */
    double predicted;      /* seconds of one call, were it at the peak */
    const char *limit;     /* "fma", "read", "copy"; NULL: it is held against nothing */
    int noisy;
} report_row;

#define REPORT_NOISE 0.05 /* the spread from which on a case is noisy */

report_row report_sum_up(const bench *b, const bench_case *c);
const char *report_time(double seconds, char *text, size_t n); /* "13.2 ms" */
const char *report_count(double instructions, char *text, size_t n); /* "13.2 M" */
void report_head(const bench *b); /* the machine and its peaks */
void report_widths(const bench *b, int width[3]); /* of the columns spec, shape, path */
void report_table(const bench *b);
int32_t report_write(const bench *b, const char *path, heed_error *error); /* the record */

/* ---- growth.c ---- */

/* A line of a plot: the cases of one spec on one path. */
int growth_same(const bench_case *a, const bench_case *b);
int growth_first(const bench *b, uint32_t i);           /* whether case i is the first of a line */
double growth_size(const bench *b, const bench_case *c); /* the size that differs */
double growth_exponent(const bench *b, uint32_t first);
void growth_table(const bench *b, const int width[3]);

/* ---- plot.c ---- */

/* The picture as SVG, to be freed; `shape`: what was given, for the title. With b NULL it only looks whether there is a
 * gnuplot. */
int32_t plot_make(const bench *b, const char *shape, char **svg, size_t *n, heed_error *error);

/* ---- sizes.c ---- */

typedef struct bench_sizes {
    const char *op;                       /* its id */
    char shape[BENCH_TEXT];
    int64_t parameters;
    double state, state_fixed;            /* bytes a token; bytes of a state that does not grow */
    int64_t keeps;                        /* the state is of so many tokens; -1: of all */
    double flops, executed, bytes, reach; /* of one call, and keys of one query; -1 = not told */
} bench_sizes;

int32_t bench_sizes_of(heed_engine *engine, const char *text, const bench_shape *shape, bench_sizes *s,
                       heed_error *error);

/* ---- file.c ---- */

/* Refuses a file that could not be written later; then writes it whole, or not at all. "-" = standard output. */
int32_t file_check(const char *path, heed_error *error);
int32_t file_write(const char *path, const void *bytes, size_t n, heed_error *error);

/* ---- record.c ---- */

#define RECORD_FILES 26 /* they are called A to Z */

/* A line of the table. Texts belong to the records. NAN, NULL = not told. */
typedef struct record_row {
    uint32_t file, index;     /* index: in the order read */
    uint32_t group;           /* index of the first row with the same spec, shape and dtype */
    uint32_t owner;           /* of a peer: heed's row that it was measured beside; else its own index */
    const char *spec, *shape, *dtype, *path;
    int64_t threads;
    double seconds, spread, fraction, instructions;
    int noisy;
    const char *limit, *hash; /* hash NULL: there is none, or it need not agree */
} record_row;

/* Starts with nothing but `error`; whoever adds to paths and files calls record_free. */
typedef struct record_set {
    const char *paths[RECORD_FILES];
    json_t *records[RECORD_FILES];
    uint32_t files, n_rows, room;
    record_row *rows;
    heed_error *error;
} record_set;

/* Reads the file, and appends its rows. */
int32_t record_read(record_set *all, uint32_t file);
void record_free(record_set *all);

/* ---- explain.c ---- */

void explain_table(const bench *b);

#endif
