/* SPDX-License-Identifier: MIT
 *
 * shape.h: the words of --shape, and the sizes that they leave open.
 */
#ifndef HEED_BENCH_SHAPE_H
#define HEED_BENCH_SHAPE_H

#include "op/resolve.h"

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

#endif
