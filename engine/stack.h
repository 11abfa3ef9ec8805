/* SPDX-License-Identifier: MIT
 *
 * stack.h: a network as stack.c builds it and session.c runs it: a list of steps, each one op on views of buffers; and
 * what only the files that build it share:
 *
 *   stack_plan       the spec: keys to numbers and ops, and back   stack_position   where the position op goes
 *   stack_weights    tensors of the file to ports                  stack            layers, and the public functions
 *   stack_step       steps, and the views that they work on
 *   stack_random     weights of a network that has learned nothing
 *
 * The steps are the same for every number of tokens: a view is [1, T, ...], and T is filled in when it runs. The steps
 * from `tail` on work on those of the last tokens whose logits are wanted, and on no other.
 */
#ifndef HEED_STACK_H
#define HEED_STACK_H

#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* The numbers of a spec; -1 = it has none. */
enum {
    STACK_VOCAB, STACK_WIDTH, STACK_LAYERS, STACK_HEADS, STACK_KV_HEADS, STACK_HEAD_WIDTH, STACK_CONTEXT, STACK_BOS,
    STACK_NUMBERS
};

/* Inputs of an attention that are projections of the layer's input. */
enum { STACK_Q, STACK_K, STACK_V, STACK_BETA, STACK_GATE, STACK_PROJECTED };

/* Buffers. The caller owns the first two, the session the others. */
enum {
    STACK_TOKENS,    /* i32 */
    STACK_LOGITS,    /* f32, tail only */
    STACK_POSITIONS, /* i64 */
    STACK_X,         /* what flows from layer to layer; changes places with H where an op is not in place */
    STACK_H,         /* x, normalised */
    STACK_Y,         /* what a layer adds to x */
    STACK_MIXED,     /* what the attention gives, before its output projection */
    STACK_PROJECTIONS,
    STACK_ROTATED = STACK_PROJECTIONS + STACK_PROJECTED, /* q and k behind a position op that is not in place */
    STACK_BUFFERS = STACK_ROTATED + 2
};

typedef struct stack_view {
    uint32_t buffer;
    uint32_t tail;
    int32_t rank;
    uint32_t dtype;
    int64_t dim[HEED_MAX_RANK]; /* of one token: dim[0] and dim[1] are 1 */
} stack_view;

typedef struct stack_use {
    const char *port; /* belongs to the op */
    uint32_t view;
} stack_use;

typedef struct stack_step {
    const heed_instance *instance;
    uint32_t first, n_in; /* of uses: the inputs, then one output */
    int32_t memory;       /* which of the sequences; -1 = none */
    uint32_t reserved;
} stack_step;

struct heed_stack {
    heed_engine *engine;
    int64_t number[STACK_NUMBERS];
    char *spec;
    heed_instance **instances; /* all of them, to be closed; steps share some */
    uint32_t n_instances;
    stack_view *views;
    uint32_t n_views;
    stack_use *uses;
    uint32_t n_uses;
    stack_step *steps;
    uint32_t n_steps, tail;
    const heed_instance **memories; /* those that remember, in the order of the layers */
    uint32_t n_memories;
    const char *forgets; /* the id of an attention that remembers nothing: a sequence is then fed at once */
    int whole;           /* a feed may not be cut: an attention forgets, or sees what comes after */
    const heed_weights *weights;
    _Atomic uint64_t checksum; /* of the weights; 0: not taken yet */
};

/* ---- session.c; session_saved.c writes and reads one ---- */

struct heed_session {
    const heed_stack *stack;
    heed_sequence **sequences; /* [memories] */
    void *buffer[STACK_BUFFERS];
    int64_t room;              /* tokens that the buffers hold */
    heed_tensor *tensors;      /* [views] */
    heed_binding *bindings;    /* [uses], prepared once: they point at the tensors */
    int64_t length;            /* tokens fed */
    int broken;
    heed_instance *sampler;    /* for the temperature that was asked for last */
    double temperature;
};

/* ---- stack_plan.c: a spec, read ---- */

enum { STACK_RESIDUAL, STACK_TIED, STACK_CHOICES }; /* 0 is the default: pre, false */
enum { STACK_PART_NORM, STACK_PART_ATTENTION, STACK_PART_POSITION, STACK_PART_FEEDFORWARD, STACK_PARTS };

/* The op or ops of one key. */
typedef struct stack_part {
    resolved **op;          /* [count], each item of a list once */
    char **text;            /* [count], canonical */
    const spec_node **node; /* [count], of the spec */
    uint32_t count;         /* 0: none */
    uint32_t *of_layer;     /* [layers], NULL where the key takes no list */
} stack_part;

typedef struct stack_plan {
    spec *s;
    int64_t number[STACK_NUMBERS];
    int choice[STACK_CHOICES];
    stack_part parts[STACK_PARTS];
} stack_plan;

/* Into a zeroed plan, which must be freed even after an error: a sentence with a caret under the place. */
HEED_LOCAL int32_t stack_plan_read(stack_plan *p, const registry *r, const char *text, heed_error *error);
HEED_LOCAL void stack_plan_free(stack_plan *p);
/* Canonical: keys in table order, without those that have the default or follow from others. malloc'ed, NULL if there
 * is no memory. */
HEED_LOCAL char *stack_plan_print(const stack_plan *p);
/* Which of the numbers a key is; -1 = none. */
HEED_LOCAL int32_t stack_plan_slot(const char *key);

/* ---- a stack while it is built ---- */

enum { STACK_OP_EMBED, STACK_OP_PROJECTION, STACK_OP_ADD, STACK_OPS }; /* what every stack uses */

typedef struct stack_builder {
    heed_stack *stack;
    heed_engine *engine;
    const heed_weights *weights;
    heed_weights *make;            /* they themselves, where what is asked for is made; the round is dry */
    uint64_t seed;
    heed_error *error;
    stack_plan plan;
    resolved *fixed[STACK_OPS];
    heed_instance *add, *position; /* shared by all layers */
    uint32_t acts;                 /* where the position op does; HEED_ACTS_NOWHERE: there is none */
    int dry;
    uint8_t *used;                 /* [tensors of the weights] */
    char **absent;                 /* names that were asked for and are not there */
    uint32_t n_absent;
    char *missing;                 /* the first of them that is needed, and the sentence about it */
    heed_error why;
} stack_builder;

#define TRY(call) do { int32_t code_ = (call); if (code_) return code_; } while (0)

/* Room for one more element, zeroed; capacities are powers of two. NULL if there is none. */
static inline void *stack_append(void *array, uint32_t *count, size_t size)
{
    void **a = array;
    if (!(*count & (*count - 1))) {
        void *larger = reallocarray(*a, *count ? 2 * (size_t)*count : 1, size);
        if (!larger) return NULL;
        *a = larger;
    }
    return memset((char *)*a + size * (*count)++, 0, size);
}

/* ---- stack.c ---- */

/* Reads the spec and goes through the dry round. The builder has engine, weights, stack and error; to be ended by
 * stack_builder_free also after a failure. */
HEED_LOCAL int32_t stack_builder_read(stack_builder *b, const char *text);
HEED_LOCAL void stack_builder_free(stack_builder *b);

/* ---- stack_weights.c ---- */

HEED_LOCAL int stack_weights_has(const stack_builder *b, const char *name);
/* Opens an op with its weights, whose names start with `prefix`. `axis` is what is known, and becomes what is known
 * then. In the dry round *out is NULL. */
HEED_LOCAL int32_t stack_weights_open(stack_builder *b, const resolved *op, const char *prefix, int64_t *axis,
                                      heed_instance **out);
/* After the dry round: an error if a tensor is missing, or if nothing uses one. */
HEED_LOCAL int32_t stack_weights_check(const stack_builder *b);
/* "[128, F]": the sizes that are known, the letters of the others. */
HEED_LOCAL void stack_weights_shape(char *out, size_t size, const port_axes *axes, const int64_t *axis);

/* ---- stack_random.c ---- */

/* Makes the tensor of a weight port whose sizes are known, as the port says. */
HEED_LOCAL heed_tensor *stack_random_make(stack_builder *b, const char *name, const entry *e, uint32_t p,
                                          const int64_t *axis);

/* ---- stack_step.c ---- */

/* The index of the view [1, T, dim...] of a buffer; equal ones are shared. */
HEED_LOCAL int32_t stack_step_view(stack_builder *b, uint32_t buffer, uint32_t tail, int32_t rank, const int64_t *dim,
                                   uint32_t *out);
HEED_LOCAL int32_t stack_step_rows(stack_builder *b, uint32_t buffer, uint32_t tail, int64_t width, uint32_t *out);
/* One op on n views, its output "out" to the view `to`. Nothing in the dry round. */
HEED_LOCAL int32_t stack_step_add(stack_builder *b, const heed_instance *i, const stack_use *in, uint32_t n,
                                  uint32_t to, int32_t memory);
/* An op from rows of one width to rows of the same width: x -> out. */
HEED_LOCAL int32_t stack_step_map(stack_builder *b, const resolved *op, const char *prefix, uint32_t tail,
                                  uint32_t from, uint32_t to);
/* linear/projection from rows of one width to rows of another. */
HEED_LOCAL int32_t stack_step_project(stack_builder *b, const char *prefix, uint32_t tail, uint32_t from,
                                      int64_t inputs, uint32_t to, int64_t outputs);
/* x = x + y */
HEED_LOCAL int32_t stack_step_sum(stack_builder *b, uint32_t x, uint32_t y);
/* Sets all sizes to unknown. */
HEED_LOCAL void stack_step_axes(int64_t *axis);
/* An op's port of that name and role, or NULL. */
HEED_LOCAL const heed_port *stack_step_port(const entry *e, const char *name, uint32_t role);

/* ---- stack_position.c ---- */

/* What the position op acts on, and whether the attentions have it. */
HEED_LOCAL int32_t stack_position_place(stack_builder *b);
/* One instance of a position op that has a step of its own. */
HEED_LOCAL int32_t stack_position_open(stack_builder *b);
/* Applies it to a buffer; *from becomes `elsewhere` if the op does not work in place. */
HEED_LOCAL int32_t stack_position_add(stack_builder *b, uint32_t *from, uint32_t elsewhere, int32_t rank,
                                      const int64_t *dim);

#endif
