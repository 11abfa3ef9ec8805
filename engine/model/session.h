/* SPDX-License-Identifier: MIT
 *
 * session.h: a text that runs through a network, from inside; session_saved.c writes and reads one.
 */
#ifndef HEED_MODEL_SESSION_H
#define HEED_MODEL_SESSION_H

#include "model/stack.h"

/* Looks on while a text is fed: called behind each step but those of the tail, `done` of which have
 * run. The tensors of the session are then of the tokens that are being fed. */
typedef struct session_watch {
    int32_t (*seen)(void *self, heed_session *s, uint32_t done, heed_error *error);
    void *self;
} session_watch;

/* What halting has cost: the steps of so many tokens, and what was left of their weight for the last of
 * them. */
typedef struct session_ponder {
    int64_t tokens;
    double steps, rest;
} session_ponder;

struct heed_session {
    heed_stack *stack;
    heed_sequence **sequences; /* [memories] */
    void **buffer;             /* [stack->n_buffers] */
    int64_t room;              /* tokens that the buffers hold, but for those that stay */
    int64_t source,
        source_room; /* tokens of the encoded text, -1: none yet; and what stays has room for */
    heed_tensor *tensors;   /* [views] */
    heed_binding *bindings; /* [uses], prepared once: they point at the tensors */
    int64_t length;         /* tokens fed */
    int broken;
    heed_instance *sampler; /* for the settings that were asked for last */
    char *settings;
    session_watch watch; /* `seen` NULL: nobody looks on */
    int64_t chunk;       /* tokens that go through the layers at a time */
    /* with a group: whether each rank has a share of the rows of this feed, and the first row of each
     * [ranks + 1] */
    int spread;
    int64_t *at;
    const int32_t *tokens; /* of this feed, all ranks' */
    int64_t n;
    /* of the tokens that are fed: all, those that run in this layer, those that have halted in the last,
     * those whose keys are made, and those that go to this expert */
    int64_t all, running, halted, keyed, picked;
    session_ponder ponder[2]; /* of all that was fed, and encoded, since the session was made */
};

/* ---- session_ranks.c, for a stack with a group ---- */

/* Of a feed of n rows those that this rank computes, from *first on. */
HEED_LOCAL int64_t session_ranks_share(heed_session *s, int64_t n, int64_t *first);
/* How this rank stands, before it sends anything or when it gives up. */
HEED_LOCAL int32_t session_ranks_agree(heed_session *s, int32_t failed, heed_error *error);
/* Rows of so many bytes, of which each rank has its share: all get all. */
HEED_LOCAL int32_t session_ranks_gather(heed_session *s, void *rows, uint64_t bytes,
                                        heed_error *error);
/* A step that remembers, whose views are of all rows. */
HEED_LOCAL int32_t session_ranks_attend(heed_session *s, const stack_step *step,
                                        heed_error *error);

/* What session_many.c shares with session.c: buffers for so many tokens at least; the results of the
 * views' rows, to `to`; every layer back to `length` tokens, or the session is broken; what is wrong
 * with feeding n tokens more, and asking for `rows` results. */
HEED_LOCAL int32_t session_make_room(heed_session *s, int64_t tokens, heed_error *error);
HEED_LOCAL int32_t session_run_tail(heed_session *s, float *to, heed_error *error);
HEED_LOCAL void session_take_back(heed_session *s, int64_t length);
HEED_LOCAL int32_t session_check_feed(const heed_session *s, int64_t n, int64_t rows,
                                      heed_error *error);

/* Whether rows of several texts would meet in this network, or go elsewhere, so that its sessions are
 * fed one after the other. (session_many.c) */
HEED_LOCAL int session_many_one_by_one(const heed_stack *stack);

/* Writes the types of the next n tokens; NULL: all are of type 0. */
HEED_LOCAL void session_fill_types(heed_session *s, const int32_t *types, int64_t n);

/* What was encoded, from its saved rows: those of each buffer that stays, one behind the other. A failure
 * leaves the session as it was. */
HEED_LOCAL int32_t session_take_source(heed_session *s, int64_t tokens, const char *rows,
                                       heed_error *error);

/* Makes of `to` what `from` is: a second session of the same network with the same content, which
 * shares its pages until one of them writes. A text that was encoded is not taken along. */
HEED_LOCAL int32_t session_take(heed_session *to, heed_session *from, heed_error *error);

#endif
