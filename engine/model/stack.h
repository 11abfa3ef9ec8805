/* SPDX-License-Identifier: MIT
 *
 * stack.h: a network: a list of steps, each one op on views of buffers. The steps are the same for
 * every number of tokens: a view is [1, T, ...], and T is filled in when it runs. The steps from
 * `tail` on work on those of the last tokens whose results are wanted, and on no other. A network
 * with an encoder has a list more, for the text that is encoded, which ends with the keys and values
 * that the decoder's layers attend to.
 *
 * Where tokens halt, or go to experts of their own, a step works on some of the rows: these are copied
 * together before it and back behind it by steps that compute nothing (session_step.c runs them).
 */
#ifndef HEED_MODEL_STACK_H
#define HEED_MODEL_STACK_H

#include "base/local.h"

/* The numbers of a spec; -1 = it has none. Those of heads may be lists by layer (stack_plan_number),
 * and are here those of the first. */
enum {
    STACK_VOCAB,
    STACK_WIDTH,
    STACK_LAYERS,
    STACK_HEADS,
    STACK_KV_HEADS,
    STACK_HEAD_WIDTH,
    STACK_VALUE_WIDTH,
    STACK_QK_REPEAT,
    STACK_CONTEXT,
    STACK_BOS,
    STACK_ENCODER_LAYERS,
    STACK_ENCODER_VOCAB,
    STACK_CLASSES,
    STACK_AUXILIARY,
    STACK_SHARED_EXPERTS,
    STACK_TYPES_COUNT,
    STACK_NUMBERS
};

/* Inputs of an attention that are projections of the layer's input. */
enum { STACK_Q, STACK_K, STACK_V, STACK_BETA, STACK_GATE, STACK_PROJECTED };

/* Buffers. The caller owns the first two, the session the others. */
enum {
    STACK_TOKENS,    /* i32 */
    STACK_LOGITS,    /* f32, the results; tail only */
    STACK_POSITIONS, /* i64 */
    STACK_TYPES,     /* i32, each token's type, where the network has a table of them */
    STACK_X, /* what flows from layer to layer; changes places with H where an op is not in place */
    STACK_H, /* x, normalised */
    STACK_Y, /* what a layer adds to x */
    STACK_R, /* a second stream beside x, where the wiring has one */
    STACK_MIXED, /* what the attention gives, before its output projection */
    STACK_PROJECTIONS,
    STACK_ROTATED =
        STACK_PROJECTIONS + STACK_PROJECTED, /* q, k and v behind an op that is not in place */
    STACK_OUTPUT_GATE = STACK_ROTATED + STACK_V + 1, /* of what the attention gives */
    /* where tokens halt: what all tokens have, X and the like being of some of them */
    STACK_STATE,     /* what flows from step to step */
    STACK_MEAN,      /* the sum of each token's states by its shares so far */
    STACK_SPENT,     /* and the sum of these shares */
    STACK_MIXED_ALL, /* what the attention gives */
    STACK_KEPT,      /* queries, keys, values, ..., as they were computed last */
    /* and what the rows of a step have of them */
    STACK_AT = STACK_KEPT + STACK_PROJECTED, /* i64, positions */
    STACK_BEFORE,                            /* shares given before the step, and with it */
    STACK_AFTER,
    STACK_PONDERED, /* the logit of the probability to halt */
    STACK_SUM,
    /* where tokens go to experts: logits and shares [experts] of a token, and what one expert gets,
     * gives, adds to, and with which share */
    STACK_ROUTED,
    STACK_SHARES,
    STACK_EXPERT_IN,
    STACK_EXPERT_OUT,
    STACK_EXPERT_SUM,
    STACK_EXPERT_SHARE,
    /* indices of rows, i32, of which no op has a view: session_step.c */
    STACK_INDEX,
    STACK_SPARE,
    STACK_PICKS,
    STACK_BUFFERS
    /* then two of each layer that attends to an encoded text, its keys and values: these stay */
};

/* Of which tokens a view has a row. */
enum {
    STACK_ROWS,    /* those of this feed */
    STACK_TAIL,    /* the last of them, whose results are wanted */
    STACK_SOURCE,  /* those of the text that is encoded */
    STACK_ONE,     /* one row for all: [1, ...] */
    STACK_RUNNING, /* of this feed or text, those that have not halted */
    STACK_KEYED,   /* these, and behind them those that have, but whose keys are to be made */
    STACK_PICKED   /* of the rows at this place, those that go to an expert */
};

/* What a step does. All but the first two compute nothing. */
enum {
    STEP_RUN,
    STEP_ATTEND, /* the same, of all tokens, though only the results of running ones count */
    STEP_BEGIN,  /* of a layer: finds the rows that run, and takes them together */
    STEP_TAKE,   /* copies rows of a set together, from where all are */
    STEP_PUT,    /* and back to their places */
    STEP_END,    /* of a layer: puts its rows back, and finds who has halted */
    STEP_PICK,   /* finds the rows of an expert, and takes them and their shares together */
    STEP_CLEAR,  /* zeros */
    STEP_SPREAD  /* each head once more, or several times: [..., G, D] to [..., H, D] */
};
enum {
    STEP_LAST = 1, /* BEGIN: who runs still halts in this layer */
    STEP_KEYS_ALL =
        2, /* BEGIN: keys of all who have halted are to be made, not of the last ones only */
    STEP_LATE = 4, /* ATTEND: the op may be called with the last of the new tokens' queries alone */
    STEP_ALL_ROWS = 8 /* it is ATTEND */
};
enum { STACK_MOVED = 8 }; /* views of a step that moves rows, at most */

typedef struct stack_view {
    uint32_t buffer;
    uint32_t rows; /* of which tokens */
    int32_t rank;
    uint32_t dtype;
    int64_t dim[HEED_MAX_RANK]; /* of one token: dim[0] is 1, and dim[1] but of STACK_ONE */
} stack_view;

typedef struct stack_use {
    const char *port; /* belongs to the op */
    uint32_t view;
} stack_use;

typedef struct stack_step {
    const heed_instance *instance; /* NULL: it computes nothing */
    uint32_t what;                 /* STEP_* */
    uint32_t flags;                /* STEP_LAST and so on */
    /* of uses: the inputs, then one output. Of one that moves rows: from, to; from, to; ..., and of
     * PICK in front of these the shares of all rows and where those of its own go */
    uint32_t first, n_in;
    int32_t memory; /* which of the sequences; -1 = none */
    int32_t layer;  /* -1 = in none */
    int32_t expert; /* of PICK */
    float part; /* of the rows that it is expected to get: 1, or what a router sends to an expert */
} stack_step;

/* What flows from layer to layer: a view, and how many of the steps have run when it is there. */
typedef struct stack_flow {
    uint32_t view, steps;
} stack_flow;

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
    stack_step *steps, *encode; /* `encode`: for a text that is encoded */
    uint32_t n_steps, tail, n_encode;
    stack_flow *flows; /* [layers + 1] of the decoder: into its first layer, and out of each */
    uint32_t n_flows;
    uint32_t n_buffers;             /* STACK_BUFFERS and those that stay */
    uint32_t result;                /* the view that a feed's results are in */
    int64_t outputs;                /* floats of a row of them */
    const heed_instance **memories; /* those that remember, in the order of the layers */
    uint32_t n_memories;
    const char *
        forgets; /* the id of an attention that remembers nothing: a sequence is then fed at once */
    const char
        *ahead;     /* the spec of an attention whose tokens see those that come after, or NULL */
    int64_t prefix; /* so many tokens see one another, and must be fed at once */
    const char *pools; /* the spec of an op that makes one row of a whole text, or NULL */
    int whole;         /* a feed may not be cut: an attention forgets, or sees what comes after */
    int halts, encoder_halts; /* its tokens halt */
    int typed;                /* its tokens have types */
    const heed_weights *weights;
    const heed_tensor
        *copied; /* a large table in a file, which the output has laid out anew; or NULL */
    _Atomic uint64_t checksum; /* of the weights; 0: not taken yet */
    heed_group *group; /* of ranks that share each text; NULL: there is one */
};

#endif
