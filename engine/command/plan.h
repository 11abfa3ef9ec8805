/* SPDX-License-Identifier: MIT
 *
 * plan.h: the parts of heed plan: what one network is, and the pages that show several.
 */
#ifndef HEED_COMMAND_PLAN_H
#define HEED_COMMAND_PLAN_H

#include <jansson.h>

#include "command/sheet.h"
#include "model/field.h"
#include "model/laws.h"

/* The state of a network whose caches are of another codec. */
#define PLAN_CODECS 8
typedef struct plan_coded {
    const char *id; /* "cache/int8", the registry's */
    double growing; /* bytes a token; 0: none of its attentions takes a codec */
} plan_coded;

/* Calls of one op, all alike: products and bytes of each, to read the text [0] and its last token [1]. */
typedef struct plan_part {
    const char *op; /* the registry's */
    double calls, flops[2], bytes[2];
} plan_part;
#define PLAN_PARTS 48

/* What a network costs; flops and bytes are of float32. */
typedef struct plan_cost {
    double prefill_flops, prefill_bytes; /* to read the text, with the logits of every token */
    double token_flops, token_bytes;     /* to read the last token of it, behind the others */
    double growing, bounded;             /* state: bytes a token; bytes of what stops growing */
    plan_coded coded[PLAN_CODECS];       /* the first with all codecs that are there */
    uint32_t n_coded;
    plan_part parts[PLAN_PARTS];
    uint32_t n_parts;
    int untold;    /* there is more than the parts */
    int decodes;   /* no token sees those behind it: they may come one by one */
    char why[320]; /* why none of this is known; "": it is */
} plan_cost;

/* Matrices that tokens are multiplied with, of one shape, each in a call; or, of a feed-forward, all
 * of a layer in one. */
typedef struct plan_product {
    const char *op;
    double calls, elements, ends; /* of a call; channels in and out */
} plan_product;
#define PLAN_PRODUCTS 32

/* A text that so many ranks read together, simulated: plan_ring.c. */
typedef struct plan_ring_time {
    int64_t ranks;
    double seconds, efficiency; /* as much faster than one, of as much as they are */
    double waits;               /* share of the time that ranks wait for messages */
    double hidden;              /* share of the messages' time in which they work */
} plan_ring_time;
#define PLAN_RANKS_MOST 1024
#define PLAN_RANKS_ROWS 12 /* 1, 2, 4, ... and the last */

typedef struct plan_network {
    char name[4];      /* "A" */
    const char *given; /* as on the command line */
    char *text;        /* with what was taken where that is silent */
    char taken[320];   /* which that was, "width=192, ..."; "": nothing */
    int guessed_width; /* channels a head that were taken; 0: the spec says a width */
    stack_plan plan;
    int64_t parameters, tables; /* all; of these, in tables of tokens and positions */
    double matrices;            /* parameters that each token is multiplied with */
    double moved;               /* channels that go in and out of those matrices, for each token */
    plan_product products[PLAN_PRODUCTS];
    uint32_t n_products;
    network_field field;
    plan_cost cost;
    double least_read, least_token, least_train; /* seconds; 0: not known */
    double read, token, train;                   /* predicted; 0: not known */
    plan_ring_time ranks[PLAN_RANKS_ROWS];
    uint32_t n_ranks; /* 0: not asked for, or not known */
} plan_network;

/* A case of a record: a call of an op, at least and as it was measured, in seconds. */
typedef struct plan_case {
    char op[64];
    int token; /* of one token */
    double least, took;
} plan_case;

/* What a machine can do at best, by a record of heed bench. */
typedef struct plan_machine {
    char cpu[128];       /* "": there is no record */
    char path[24];       /* the fastest that gives the same bits */
    double gflops, gbps; /* of products and sums; of memory that is read */
    double copy_gbps;
    double cache;        /* bytes of all last-level caches */
    int threads;         /* of the cases */
    plan_case *cases;    /* by their least times */
    uint32_t n_cases;
} plan_machine;
int32_t plan_machine_read(plan_machine *m, const char *path, heed_error *error);
/* The cases of a record, for a machine whose path is known. To be freed. */
int32_t plan_cases_read(plan_machine *m, const json_t *cases, heed_error *error);
void plan_predict_times(plan_network *n, const plan_machine *m);
/* The least seconds of a network whose costs are known. */
void plan_least_times(plan_network *n, const plan_machine *m);

/* What ranks are replayed with: seconds of one rank for a layer's attention over the text and for all
 * else of the network; bytes of a token's keys and values in a layer; bytes a second, and seconds, of
 * the network between them. */
typedef struct plan_ring {
    double attention, rest, layers, tokens, row_bytes, rate, latency;
    int causal;
} plan_ring;
int32_t plan_ring_replay(const plan_ring *r, int64_t ranks, plan_ring_time *t, heed_error *error);

/* How many ranks there are, of so many cores each, and what is between them. */
typedef struct plan_link {
    int64_t ranks; /* 0: nobody asked */
    double cores, rate, latency;
} plan_link;
/* The ranks of a network, by its least or predicted times; none where those are not known. */
int32_t plan_ranks(plan_network *n, const plan_machine *m, const plan_link *link, double tokens,
                   heed_error *error);
/* The number from which on twice as many are less than 1.5 times as fast; 0: it was not reached. */
int64_t plan_ranks_pay(const plan_network *n);
/* Seconds of all calls of a part, to read the text: predicted, or at least. */
double plan_part_seconds(const plan_part *p, const plan_machine *m, int predicted);

/* What the command line says besides. */
typedef struct plan_text {
    int64_t tokens; /* of a document */
    double unique;  /* tokens to train on; 0: nobody said */
    double epochs;
    const char *data; /* the file or folder that they were counted in, or NULL */
    const plan_machine *machine;
    int trained; /* what twins tell stands below */
} plan_text;

/* A network from a spec, into zeroed memory: plan, parameters, field and costs. `width_of_head` is
 * taken where the spec has no width. To be freed also after an error. */
int32_t plan_read(plan_network *n, heed_engine *engine, const char *spec, int width_of_head,
                  const plan_text *text, heed_error *error);
void plan_free(plan_network *n);
/* Whether a weight is a table of tokens or positions, or the output, and no part of the body. */
int plan_is_table(const char *name);

/* The costs, from the plan, the field and the counted parameters. */
int32_t plan_costs(plan_network *n, heed_engine *engine, heed_error *error);

/* Tokens of a file, or of all files in a folder and those inside, by their bytes. */
#define PLAN_BYTES_OF_TOKEN 4
int32_t plan_count(const char *path, double *tokens, heed_error *error);

/* Other shapes of about as many parameters outside of the tables, with heads as wide. */
typedef struct plan_shape {
    int64_t layers, heads, width;
    double body; /* about so many parameters outside of the tables */
} plan_shape;
#define PLAN_SHAPES 4
uint32_t plan_suggest(const plan_network *n, plan_shape shape[PLAN_SHAPES]);

/* Two sentences: what the networks' sizes decide, and what no size tells. malloc'ed; NULL: no
 * memory. */
char *plan_verdict(const plan_network *n, uint32_t count, const plan_text *text);
/* The law that the verdict goes by: the first under which all of them are, of those that know
 * repeats before the others; -1: none. */
int plan_law(const plan_network *n, uint32_t count, const plan_text *text);

/* What the networks would be with 32 and 128 channels a head, where they had to take 64: two for
 * each, NULL where the spec says a width. */
typedef struct plan_other {
    plan_network *at[2];
} plan_other;
#define PLAN_OTHER_WIDTHS                                                                          \
    {                                                                                              \
        32, 128                                                                                    \
    }

void plan_print(const sheet *p, const plan_network *n, uint32_t count, const plan_other *other,
                const plan_text *text, int suggest);
json_t *plan_json(const plan_network *n, uint32_t count, const plan_other *other,
                  const plan_text *text, int suggest);

/* The picture, to a page of HTML; and self-contained, to a file. */
struct twin_study; /* twin.h; NULL: none were trained */
void plan_draw(FILE *out, const plan_network *n, uint32_t count, const plan_text *text,
               const struct twin_study *twins);
int32_t plan_picture(const plan_network *n, uint32_t count, const plan_text *text,
                     const struct twin_study *twins, const char *path, heed_error *error);

#endif
