/* SPDX-License-Identifier: MIT
 *
 * twin.h: the parts of heed plan --train: shrunken twins of networks are trained on a text, and a
 * form that is fitted to them tells what the networks would reach. twin_spec.c makes twins,
 * twin_train.c trains one, twin_record.c keeps what was measured, twin.c decides which there are,
 * twin_predict.c fits, and twin_print.c tells.
 */
#ifndef HEED_COMMAND_TWIN_H
#define HEED_COMMAND_TWIN_H

#include <jansson.h>

#include "command/plan.h"
#include "command/train.h"
#include "model/penalty.h"

#define TWIN_SIZES 3
#define TWIN_TIMES 3 /* from one size to the next, in parameters */
#define TWIN_POINTS 12
#define TWIN_BATCH 16
#define TWIN_BOS 10  /* bytes: a line's end stands before a text */
#define TWIN_MOST 10 /* times that a prediction goes beyond what was trained */

/* A network with the shape of another one, and fewer parameters. */
typedef struct twin_shape {
    char *spec;
    int64_t layers, heads, width;
    double body; /* parameters outside of the tables */
} twin_shape;

typedef struct twin_point {
    int64_t step;
    double train, valid; /* bits a token */
} twin_point;

typedef struct twin_run {
    uint32_t network, size;
    double fraction; /* of the text that is learned */
    double rate;
    int64_t seed, steps;
    int search; /* it is made to choose a rate */
    int done;
    uint32_t points; /* fewer than wanted: its numbers became infinite */
    twin_point point[TWIN_POINTS];
} twin_run;

typedef struct twin_number {
    double value, low, high; /* 90 % of what chance would make of it */
} twin_number;

/* What a network would reach on the text. */
typedef struct twin_result {
    char why[320];                 /* why nothing is predicted; "": it is */
    twin_number best, turn, gap;   /* least bits a token, after so many epochs, and the gap there */
    twin_number last, last_gap;    /* after all epochs */
    double turns;                  /* how likely it turns before the end */
    double better[PENALTY_GROUPS]; /* how likely it gets below each of the others */
} twin_result;

typedef struct twin_study {
    /* what the command line says; 0: nothing */
    const plan_network *network;
    uint32_t count;
    const char *path, *record;
    double minutes, share, epochs;
    int64_t steps, context;
    heed_options options;
    /* what follows from it */
    heed_engine *engine;
    train_data data;
    int64_t vocab;
    twin_shape shape[PENALTY_GROUPS][TWIN_SIZES];
    twin_run *runs;
    uint32_t n_runs;
    twin_result result[PENALTY_GROUPS];
    penalty_form form; /* of the loss */
    double noise;      /* bits a token that seeds make */
    double spread;     /* share of the bits that the form leaves */
} twin_study;

/* Trains what the record lacks, and predicts. To be closed also after a failure. */
int32_t twin_run_all(twin_study *s, heed_error *error);
void twin_close(twin_study *s);

/* ---- the parts ---- */

/* A network with at least that share of the parameters outside of the tables, of the same ratio of layers
 * to heads, for tokens below `vocab`; 0: the spec's. */
int32_t twin_shrink(twin_shape *to, const plan_network *n, heed_engine *engine, double share,
                    int64_t vocab, heed_error *error);
/* Makes the run, and its points. HEED_E_CANCELLED: Ctrl-C was pressed. */
int32_t twin_train(twin_study *s, twin_run *r, heed_error *error);
/* Seconds of one of its steps. */
int32_t twin_time(twin_study *s, const twin_shape *shape, double *seconds, heed_error *error);
/* Tokens that a run learns; windows that a measurement reads of so many. */
int64_t twin_learned(const twin_study *s, double fraction);
int64_t twin_windows(const twin_study *s, int64_t tokens);
/* Steps and share of a record that is there, before the runs are listed; then the runs that it has. */
int32_t twin_record_open(twin_study *s, json_t **record, heed_error *error);
int32_t twin_record_runs(twin_study *s, const json_t *record, heed_error *error);
int32_t twin_record_save(const twin_study *s, heed_error *error);
/* All runs as JSON. */
json_t *twin_record_list(const twin_study *s);
int32_t twin_predict(twin_study *s, heed_error *error);
const char *twin_unit(const twin_study *s);
/* The run of that size on the whole text with the first seed; its least bits. */
const twin_run *twin_whole(const twin_study *s, uint32_t network, uint32_t size);
const twin_point *twin_lowest(const twin_run *r); /* NULL: it has none */

void twin_print(const sheet *p, const twin_study *s);
json_t *twin_json(const twin_study *s);
/* A panel for a picture, from that height on: what the twins reached, and what is predicted. */
#define TWIN_PANEL 300
void twin_draw(FILE *out, const twin_study *s, double top);
/* A sentence: which is better, how likely, and what that rests on; malloc'ed. */
char *twin_verdict(const twin_study *s);

#endif
