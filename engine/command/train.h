/* SPDX-License-Identifier: MIT
 *
 * train.h: heed train, of which train.c reads the command line and train_run.c makes the steps;
 * train_data.c has what is learned, and measures on it, train_text.c reads many documents, and
 * train_log.c tells of it all.
 */
#ifndef HEED_COMMAND_TRAIN_H
#define HEED_COMMAND_TRAIN_H

#include <jansson.h>

#include "train/schedule.h"
#include "train/trainer.h"

/* ---- what is learned ---- */

typedef struct train_data {
    const char *path;
    unsigned char *bytes; /* or ids, of a .npy file or of documents */
    int32_t *ids;
    int numbers;        /* tokens that are no bytes */
    int64_t *documents; /* [n_documents] where each begins; NULL: it is one text */
    int64_t n_documents;
    int64_t n, cut; /* tokens, and how many of them are learned; the others are held out */
    uint64_t hash;  /* of all of them */
} train_data;

/* A file's bytes, the numbers of tokens of a .npy file, or the documents of a folder or a JSONL file;
 * all below `vocab`. train_data_close also after a failure. */
int32_t train_data_open(train_data *d, const char *path, int64_t vocab, int64_t bos,
                        heed_error *error);
/* Of a folder or a JSONL file the documents, train_text.c; of others nothing. */
int32_t train_text_read(train_data *d, int64_t bos, heed_error *error);
void train_data_close(train_data *d);
/* Holds out the last `share` of it, whole documents if there are several; refuses what is shorter than a context. */
int32_t train_data_split(train_data *d, double share, int64_t context, heed_error *error);
/* The place that is nearest to one and cuts no document. */
int64_t train_data_nearest(const train_data *d, int64_t place);
/* Windows of micro-batch `number` of a step, [batch, context] each, from places of chance. */
void train_data_windows(const train_data *d, uint64_t seed, int64_t step, int64_t number,
                        int64_t batch, int64_t context, int32_t *tokens, int32_t *targets);

typedef struct train_measure {
    heed_trainer *trainer;
    const train_data *data;
    int64_t batch, context, bos; /* bos -1: the token before stands there */
    int32_t *tokens, *targets;   /* [batch, context] */
    float *nll;
} train_measure;

/* Bits a token of the tokens [from, to), without dropout: of `windows` contexts of them at equal
 * distances; 0: of all, by windows that begin half a context after one another, as heed score
 * counts. */
int32_t train_measure_bits(train_measure *m, int64_t from, int64_t to, int64_t windows,
                           double *bits, heed_error *error);

/* ---- what is told ---- */

typedef struct train_report {
    int64_t step;
    double train, valid; /* bits a token; valid NAN: nothing is held out */
} train_report;

typedef struct train_log {
    int json;
    const char *unit; /* "byte" or "token" */
    int64_t steps;
    train_report *reports;
    uint32_t count;
} train_log;

int32_t train_log_add(train_log *l, train_report r, heed_error *error);
/* Of the last report: a line of text, or of JSON, with what holds for now alone. */
typedef struct train_now {
    double rate, loss, norm; /* of the last step; loss: the mean of those since the last report */
    double seconds, tokens_per_second, left;
} train_now;
void train_log_print(const train_log *l, const train_now *now);
/* The reports as JSON, [[step, train, valid]], and from it. */
json_t *train_log_save(const train_log *l);
int32_t train_log_load(train_log *l, const json_t *from, const char *path, heed_error *error);
int32_t train_log_picture(const train_log *l, const char *title, const char *path,
                          heed_error *error);
/* How far the heads of each layer look, in tokens, where that was learned. */
void train_log_spans(const heed_trainer *t);
/* Where the time of the steps went, of so many seconds in all. */
int32_t train_log_profile(const heed_trainer *t, double seconds, heed_error *error);

/* ---- the run ---- */

#define TRAIN_MOST (1 << 30) /* of a number of things */

/* A run: what its command line says, and what it works on. */
typedef struct train_job {
    heed_options engine_options;
    const char *network, *data_path, *out, *svg;
    int64_t steps, batch, accumulate, context, every, seed;
    double minutes, valid, layer_decay, unfreeze;
    heed_recipe recipe;
    schedule schedule;
    int resume, json, profile;
    uint32_t dtype;

    heed_engine *engine;
    heed_trainer *trainer;
    train_data data;
    train_measure measure;
    train_log log;
    char *checkpoint; /* MODEL.training */
    double began, loss, norm;
    int64_t learning;     /* groups of weights that learn now; 0: it was not said yet */
    int64_t first, since; /* the step that this run began with, and that of the last report */
} train_job;

/* Opens network and data, as far as a run that is gone on with; makes the steps; and what is told at
 * the end, of one that was interrupted how to go on. */
int32_t train_prepare(train_job *j, heed_error *error);
int32_t train_run(train_job *j, heed_error *error);
int32_t train_finish(train_job *j, heed_error *error);
int train_interrupted(const train_job *j);

#endif
