/* SPDX-License-Identifier: MIT
 *
 * field.h: the parts of heed field: what is measured of a network on a text, and the pages that
 * show it. Every number that is measured belongs to one place of the text; quartiles are over
 * places.
 */
#ifndef HEED_COMMAND_FIELD_H
#define HEED_COMMAND_FIELD_H

#include <stdio.h>

#include "command/model.h"
#include "model/field.h"

#define FIELD_NETWORKS 8

enum {
    FIELD_PERTURBATION, /* another token at a distance: the loss, and each layer's output */
    FIELD_GRADIENT,     /* of the loss, to what flows into the first layer at a distance */
    FIELD_TRUNCATION,   /* the loss with the last tokens alone */
    FIELD_POSITION,     /* the loss at each position of a text of FIELD_BEYOND contexts */
    FIELD_ATTENTION,    /* how far back each head's weights are, on average */
    FIELD_SIMILARITY,   /* what flows into a layer and out of it */
    FIELD_MEASURES
};
extern const char *const field_measures[FIELD_MEASURES];

#define FIELD_BEYOND 4  /* contexts of a text whose positions are measured */
#define FIELD_BLOCKS 16 /* of positions: four a context */

/* What is the same for all networks: the windows of the text that they read. A window has `context`
 * tokens; the loss is that of the token behind them. */
typedef struct field_text {
    const char *path;
    int64_t context;
    int64_t *place; /* [places] where the windows begin */
    int64_t places;
    int64_t *distance; /* [distances] of a token that is changed, from the last one: 0, 1, 2, ... */
    int64_t distances;
    int64_t *length; /* [lengths] tokens that are seen: the last is the context */
    int64_t lengths, step;
    int64_t beyond; /* tokens of a text that is longer than a context */
    uint64_t seed;
} field_text;

typedef struct field_network {
    const char *file, *spec; /* of the weights; NULL: what the file says itself */
    const char *path;        /* its name: the file, or that and how its spec differs */
    char *name;              /* path, where it is not the file */
    model model;
    heed_session *twin; /* reads what was changed */
    stack_plan plan;
    network_field theory;
    int64_t layers, heads, width, vocab, longest;
    int logits; /* it predicts: there is a loss */
    int32_t *token;
    int64_t tokens;
    int64_t done[FIELD_MEASURES];  /* places */
    char why[FIELD_MEASURES][320]; /* why it is not measured; "": it is, or nobody asked */
    char unweighed[320];           /* why a layer has no distance of attention; "": all have */
    /* each [places] for every ... */
    float *loss_change;  /* distance: |change of the loss|, nats */
    float *layer_change; /* distance and layer + 1: change of what flows out, relative */
    float *slope;        /* distance: the norm of the gradient of the loss, nats */
    float *loss;         /* length, nats */
    float *loss_at;      /* block of positions, nats */
    float *reach;        /* layer and head: the mean distance, tokens; NaN: none */
    float *similarity;   /* layer */
    float *size;         /* layer + 1 */
} field_network;

/* Measures one thing of a network, place by place until all are done or Ctrl-C is pressed. */
int32_t field_perturb(field_network *n, const field_text *t, heed_error *error);
int32_t field_differentiate(field_network *n, const field_text *t, heed_error *error);
int32_t field_truncate(field_network *n, const field_text *t, heed_error *error);
int32_t field_go_beyond(field_network *n, const field_text *t, heed_error *error);
int32_t field_attend(field_network *n, const field_text *t, heed_error *error);
int32_t field_compare(field_network *n, const field_text *t, heed_error *error);
/* The losses of rows of logits, [rows, n->vocab], in nats; `loss` is a loss/cross_entropy. Row i
 * predicts target[i * step]: a step of 0 is one target for all. */
int32_t field_score(const field_network *n, heed_instance *loss, float *logits, int64_t rows,
                    const int32_t *target, int64_t step, float *nll, heed_error *error);
/* Behind which position a block ends. */
int64_t field_block_end(const field_text *t, int64_t block);
/* Whether a measure has something to show. */
int field_has(const field_network *n, int measure);
/* What stands in one place: a row of numbers for the places that are done. */
const float *field_row(const float *of, const field_text *t, int64_t row);

/* ---- statistics ---- */

typedef struct quartiles {
    double low, median, high, mean;
} quartiles;
quartiles field_quartiles(const float *x, int64_t n);

/* Of a curve over the distances of a text, from the medians: how far back the nearest tokens reach
 * that half, 90 and 99 % of all change comes from; and floor + scale (r + 1)^-power, fitted to the
 * distances from 1 on, with the share of the variance of its logarithm that this explains. */
typedef struct decay {
    int64_t half, most, nearly_all;        /* -1: nothing changes anything */
    double floor, scale, power, explained; /* NaN: fewer than 4 distances change anything */
} decay;
/* `layer` -1: of the loss; 0: of what flows into the first layer; l: out of layer l - 1;
 * FIELD_SLOPE: the gradient. */
#define FIELD_SLOPE (-2)
decay field_decay(const field_network *n, const field_text *t, int64_t layer);
quartiles field_change(const field_network *n, const field_text *t, int64_t layer,
                       int64_t distance);

/* By how much the loss with so many tokens is above that with all. */
quartiles field_excess(const field_network *n, const field_text *t, int64_t length);
/* Of a block of positions, over the places. */
quartiles field_at(const field_network *n, const field_text *t, int64_t block);
/* The index of the least length that, like all longer ones, costs less than 0.01 nats. */
#define FIELD_NATS 0.01
int64_t field_enough(const field_network *n, const field_text *t);
/* Relative effective context length in a group of networks, on the share `hard` of the places that
 * the best of them predicts worst: arXiv 1901.02860, section 4.3 and appendix C. */
int32_t field_recl(const field_network *group, uint32_t count, uint32_t which, const field_text *t,
                   double hard, int64_t *tokens, heed_error *error);

/* ---- what is shown ---- */

void field_print(const field_network *n, uint32_t count, const field_text *t);
struct json_t *field_json(const field_network *n, uint32_t count, const field_text *t);
int32_t field_csv(const field_network *n, uint32_t count, const field_text *t, const char *path,
                  heed_error *error);
int32_t field_picture(const field_network *n, uint32_t count, const field_text *t, const char *path,
                      heed_error *error);

#endif
