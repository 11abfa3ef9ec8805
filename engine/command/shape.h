/* SPDX-License-Identifier: MIT
 *
 * shape.h: the words of --shape, and the sizes that they leave open.
 */
#ifndef HEED_COMMAND_SHAPE_H
#define HEED_COMMAND_SHAPE_H

#include "op/resolve.h"

/* What --shape says; -1 or 0 = not given. */
typedef struct call_shape {
    int64_t axis[HEED_AXES];
    uint32_t guessed;               /* bits of the axes that had no size before shape_fill */
    int64_t leading[HEED_MAX_RANK]; /* behind "..." */
    int n_leading;
    int64_t key_lengths;            /* L: the input key_lengths holds it everywhere */
    int64_t documents;              /* the keys are this many documents of one length */
    int64_t decode;                 /* keys that the last query of a call sees */
    int64_t fresh;                  /* new: tokens that such a call brings; 0: one */
    int64_t forks;                  /* not 0: its sequences share what they remember */
    /* bytes from an input's row to the next, a row being all that one token has */
    int64_t pitch;
    int64_t shift;                  /* bytes that the address of a tensor is off 64 */
    const char *with;               /* optional ports, "bias+sum", up to a comma or the end */
    /* numbers of a weight, "span:0.1+0.5", in turn, up to a comma or the end */
    const char *values;
} call_shape;

/* Tokens that a decoding call brings, and what is remembered before. */
static inline int64_t shape_new(const call_shape *s) { return s->fresh ? s->fresh : 1; }
static inline int64_t shape_before(const call_shape *s) { return s->decode - shape_new(s); }

#define SHAPE_AXIS(shape, letter) ((shape)->axis[(letter) - 'A'])
#define SHAPE_TEXT 1024 /* of a shape */

struct operands;

/* Reads "B=1,H=8,T=2048,D=64"; the text is kept by pointer. 0, or 2 after the sentence was
 * printed. */
int shape_read(const char *text, call_shape *shape);
/* Sizes that params fix, where none is given, then those that follow from others. */
void shape_fill(call_shape *shape, const resolved *op);
/* Whether a filled shape only guesses the size of an axis of the op: its letter means something to
 * its plugin alone, and no param fixes it. */
int shape_guesses(const call_shape *shape, const entry *e, char axis);
/* Whether a port gets a tensor. */
int shape_takes(const call_shape *shape, const heed_port *port);
/* Refuses a shape that asks for a port that the op has not. */
int32_t shape_check(const call_shape *shape, const entry *e, heed_error *error);
/* The one number that differs between shapes as they were given, into key: "T", "decode". */
int32_t shape_varies(const call_shape *shapes, uint32_t n, char key[16], heed_error *error);
int64_t shape_number(const call_shape *shape, const char *key);
/* Whether the shape gives the numbers of that weight. */
int shape_gives(const call_shape *shape, const heed_port *port);
/* They, from the first or from where the last call stopped; NULL in *at starts. Behind the last
 * comes the first. */
double shape_value(const call_shape *shape, const char **at);
int64_t shape_values(const call_shape *shape); /* how many */
/* Refuses numbers for a weight that none of these calls has. */
int32_t shape_given(const call_shape *shape, struct operands *const *calls, uint32_t n,
                    heed_error *error);
/* Writes call->text: what matters to the op, in the words of --shape. */
void shape_print(struct operands *call);

#endif
