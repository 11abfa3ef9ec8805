/* SPDX-License-Identifier: MIT
 *
 * train.h: heed train, of which train.c reads the command line, train_network.c opens the network
 * and train_run.c makes the steps. What is learned is a text, of which train_data.c has windows and
 * train_text.c reads many documents, or examples, of which train_examples.c makes batches and
 * train_examples_read.c reads them; train_log.c tells of it all.
 */
#ifndef HEED_COMMAND_TRAIN_H
#define HEED_COMMAND_TRAIN_H

#include <jansson.h>

#include "io/checkpoint.h"
#include "text/tokenizer.h"
#include "train/schedule.h"
#include "train/trainer.h"

/* ---- what is learned ---- */

/* A language model predicts a text; a classifier tells texts apart; and a network with an encoder reads
 * one text and says another. */
enum { TRAIN_LM, TRAIN_CLASSIFY, TRAIN_PAIRS, TRAIN_TASKS };
const char *train_task_name(uint32_t task); /* NULL behind the last */

/* Some of the bytes of all examples. */
typedef struct train_bytes {
    int64_t from, n;
} train_bytes;

typedef struct train_example {
    train_bytes text, target; /* target: of a pair */
    int64_t label;            /* which of the classes */
} train_example;

/* Tokens that are no bytes: how texts become them, and what the result says of them. */
enum { TRAIN_TOKENS, TRAIN_BEGIN, TRAIN_END, TRAIN_START, TRAIN_TOKENIZER, TRAIN_NOTES };
typedef struct train_tokens {
    const char *path;        /* where the tokenizer is; NULL: there is none */
    tokenizer *tokenizer;    /* NULL: tokens are bytes, or DATA has their numbers */
    char *note[TRAIN_NOTES]; /* NULL: it says nothing; the last is the tokenizer.json */
} train_tokens;

/* Of a folder or file `given`, else of the network's own weights (NULL: there are none), if it has one;
 * texts: it will be asked to encode. train_tokens_close also after a failure. */
int32_t train_tokens_open(train_tokens *t, const char *given, const char *network,
                          const heed_weights *weights, int texts, heed_error *error);
void train_tokens_close(train_tokens *t);
/* Texts begin with the token `bos` of the spec, unless it is -1 or the network came with another. */
int32_t train_tokens_begin(train_tokens *t, int64_t bos, heed_error *error);
/* The first token of a list, TRAIN_BEGIN to TRAIN_START; -1: there is none. */
int64_t train_tokens_number(const train_tokens *t, uint32_t which);
/* What a file says of them, no more than TRAIN_NOTES; how many these are. */
uint32_t train_tokens_notes(const train_tokens *t, weights_note *notes);
/* Appends the tokens of a text, all below `vocab`; most > 0: no more than so many. */
int32_t train_tokens_encode(const train_tokens *t, const char *name, const void *text, size_t n,
                            int special, int64_t vocab, int64_t most, id_list *to,
                            heed_error *error);
/* Its files to a folder. */
int32_t train_tokens_write(const train_tokens *t, const char *folder, heed_error *error);

/* What a set of examples has. Those that are learned stand in front. */
typedef struct train_examples {
    unsigned char *bytes;
    int32_t *ids; /* of train_examples_encode, which texts are places of then; NULL: bytes are */
    int64_t n_bytes, bytes_room;
    train_example *items;
    int64_t n, room, learned;
    char **classes;
    uint32_t n_classes;
    int fixed;             /* classes are those of the network, and no others */
    int64_t *order, epoch; /* [learned] in which they are learned, once each an epoch */
    int64_t shortened;     /* texts that are longer than a context */
} train_examples;

typedef struct train_data {
    const char *path;
    const train_tokens *tokens; /* by which texts become ids; NULL: they are bytes */
    int64_t vocab;
    unsigned char *bytes; /* or ids, of a .npy file or of documents */
    int32_t *ids;
    int numbers;        /* tokens that are no bytes */
    int64_t *documents; /* [n_documents] where each begins; NULL: it is one text */
    int64_t n_documents;
    int64_t n, cut; /* tokens, and how many of them are learned; the others are held out */
    int64_t test;   /* where what is measured at the end alone begins; n: there is none */
    uint64_t hash;  /* of all of them */
    train_examples examples; /* of the other tasks, which have nothing of the above but the hash */
} train_data;

/* A file's bytes, the numbers of tokens of a .npy file, or the documents of a folder or a JSONL file;
 * all below `vocab`. Texts become tokens by a tokenizer (tokens NULL: there is none). train_data_close also after a
 * failure. */
int32_t train_data_open(train_data *d, const char *path, const train_tokens *tokens, int64_t vocab,
                        int64_t bos, heed_error *error);
int train_data_is_npy(const char *path);
/* Of a folder or a JSONL file the documents, train_text.c; of others nothing. */
int32_t train_text_read(train_data *d, int64_t bos, heed_error *error);
void train_data_close(train_data *d);
/* Holds out the last `share` of it, whole documents if there are several, the last `test` of it being
 * the test; refuses what is shorter than a context. */
int32_t train_data_split(train_data *d, double share, double test, int64_t context,
                         heed_error *error);
/* The place that is nearest to one and cuts no document. */
int64_t train_data_nearest(const train_data *d, int64_t place);
/* Windows of micro-batch `number` of a step, [batch, context] each, from places of chance. */
void train_data_windows(const train_data *d, uint64_t seed, int64_t step, int64_t number,
                        int64_t batch, int64_t context, int32_t *tokens, int32_t *targets);

/* Examples of a JSONL file, of a file of tab-separated pairs, or of a folder with one a class. */
int32_t train_examples_read(train_data *d, uint32_t task, heed_error *error);
void train_examples_free(train_examples *x);
/* The classes as JSON, and from it: then no other one may be in the examples that are read. */
char *train_examples_classes(const train_examples *x);
int32_t train_examples_know(train_examples *x, const char *classes, const char *path,
                            heed_error *error);
/* Texts become tokens, of which no text has more than `most`; those of TRAIN_CLASSIFY and sources with
 * what a tokenizer puts around them. */
int32_t train_examples_encode(train_data *d, uint32_t task, const train_tokens *tokens,
                              int64_t vocab, int64_t source_vocab, int64_t most, heed_error *error);
/* Holds out the last `share` of each class. */
int32_t train_examples_split(train_data *d, uint32_t task, double share, heed_error *error);

/* Where batches of examples are put together: [batch, context] each, and [batch]. */
typedef struct train_rows {
    uint32_t task;
    int64_t batch, context;
    int64_t bos, begin, end; /* in front of a text, and of a target, and behind it; -1: nothing */
    int32_t *tokens, *targets, *source;
    int32_t *lengths, *source_lengths;
} train_rows;

int32_t train_rows_new(train_rows *r, heed_error *error);
void train_rows_free(train_rows *r);
/* Which examples a micro-batch of a step has: [batch] of them. */
int32_t train_examples_draw(train_examples *x, uint64_t seed, int64_t first, int64_t batch,
                            int64_t *which, heed_error *error);
/* These examples as a batch; how many targets they have. */
int64_t train_examples_batch(const train_examples *x, train_rows *r, const int64_t *which,
                             int64_t n, heed_batch *batch);

/* How well examples are told apart or answered: bits a target, and the share of the texts whose class
 * is the likeliest one, NAN of pairs. */
typedef struct train_score {
    double bits, right;
} train_score;
/* Of `most` of the examples [from, to) at equal distances; 0: of all. */
int32_t train_examples_measure(heed_trainer *t, const train_examples *x, train_rows *r,
                               int64_t from, int64_t to, int64_t most, train_score *score,
                               heed_error *error);

/* The same from one place of the text on: the step's segment of each of `batch` parts of it, one behind
 * the other. 1: each goes on where that of the step before ended. */
int train_data_segments(const train_data *d, int64_t step, int64_t batch, int64_t context,
                        int32_t *tokens, int32_t *targets);

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
    double train_right, valid_right; /* shares of texts that are told apart; NAN: of another task */
    double ponder;                   /* layers that a token runs through; NAN: all do */
} train_report;

typedef struct train_log {
    int json;
    const char *unit; /* "byte", "token" or "text" */
    int64_t steps;
    int examples; /* it counts these, and no tokens */
    train_report *reports;
    uint32_t count;
} train_log;

int32_t train_log_add(train_log *l, train_report r, heed_error *error);
/* Of the last report: a line of text, or of JSON, with what holds for now alone. */
typedef struct train_now {
    double rate, loss, norm; /* of the last step; loss: the mean of those since the last report */
    double seconds, tokens_per_second, left;
    const double
        *spans; /* [n_spans] mean spans of the heads of each layer, in tokens, if learned */
    uint32_t n_spans;
} train_now;
void train_log_print(const train_log *l, const train_now *now);
/* The reports as JSON, [[step, train, valid]], and from it. */
json_t *train_log_save(const train_log *l);
int32_t train_log_load(train_log *l, const json_t *from, const char *path, heed_error *error);
int32_t train_log_picture(const train_log *l, const char *title, const char *path,
                          heed_error *error);
/* How far the heads of each layer look, in tokens, where that was learned; and the means of it,
 * [t->n_spans]. */
void train_log_spans(const heed_trainer *t);
void train_log_span_means(const heed_trainer *t, double *means);
/* The mean layers of a token in what was measured last, where tokens halt; else NAN. */
double train_log_ponder(const heed_trainer *t);
/* Where the time of the steps went, of so many seconds in all. */
int32_t train_log_profile(const heed_trainer *t, double seconds, heed_error *error);

/* ---- the run ---- */

#define TRAIN_MOST (1 << 30) /* of a number of things */

/* A run: what its command line says, and what it works on. */
typedef struct train_job {
    heed_options engine_options;
    const char *network, *data_path, *out, *svg, *pooling, *tokenizer;
    uint32_t task;
    int64_t steps, batch, accumulate, context, every, seed, segments;
    double minutes, valid, test, layer_decay, unfreeze;
    double beta1, beta2, momentum; /* -1: not said */
    heed_recipe recipe;
    schedule schedule;
    int resume, json, profile;
    int folder; /* the result is one, for transformers */
    uint32_t dtype;

    heed_engine *engine;
    heed_group *group; /* of ranks, of which 0 writes; NULL: there is one */
    int stopped;       /* one of them was interrupted */
    heed_trainer *trainer;
    train_tokens tokens;
    train_data data;
    train_measure measure;
    train_rows rows; /* of the other tasks */
    int64_t *which;  /* [accumulate, batch] examples of a step */
    train_log log;
    char *checkpoint; /* MODEL.training */
    double began, loss, norm;
    int64_t learning;     /* groups of weights that learn now; 0: it was not said yet */
    int64_t first, since; /* the step that this run began with, and that of the last report */
} train_job;

/* The network, with an output for the task; of classify behind the examples, whose classes it has. */
int32_t train_network_open(train_job *j, heed_error *error);

/* The network as a model of transformers: its config.json, and its weights there. What there is to
 * free is so also after a failure. */
typedef struct train_form {
    json_t *config;
    heed_weights *tensors;
} train_form;
int32_t train_form_find(const train_job *j, train_form *f, heed_error *error);
void train_form_free(train_form *f);
/* Whether the result is to be a folder that transformers opens; that the network has such a form, and
 * that there is a folder; and its files. */
int train_folder_is(const char *path);
int32_t train_folder_check(const train_job *j, heed_error *error);
int32_t train_folder_write(const train_job *j, heed_error *error);

/* Opens network and data, as far as a run that is gone on with; makes the steps; and what is told at
 * the end, of one that was interrupted how to go on. */
int32_t train_prepare(train_job *j, heed_error *error);
int32_t train_run(train_job *j, heed_error *error);
int32_t train_finish(train_job *j, heed_error *error);
int train_interrupted(const train_job *j);

#endif
