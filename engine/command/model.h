/* SPDX-License-Identifier: MIT
 *
 * model.h: a network and its file, opened for a command.
 */
#ifndef HEED_COMMAND_MODEL_H
#define HEED_COMMAND_MODEL_H

#include "command/shape.h"
#include "text/tokenizer.h"

typedef struct model {
    heed_engine *engine;
    heed_weights *weights;
    heed_stack *stack;
    heed_session *session;
    heed_group *group; /* of ranks, or NULL */
    tokenizer *tokenizer; /* of a checkpoint whose text is asked for, or NULL: tokens are bytes */
} model;

/* Whether a word of the command line is a network, and not an op: a stack's spec, "vocab=256; ...",
 * or the name of a file of weights or of a checkpoint's folder. */
int model_is(const char *word);
int model_is_file(const char *word);
/* What a shape says of a network: T tokens at once, or the N-th alone (`decode`); 0 = not said. */
int32_t model_shape(const call_shape *shape, int64_t *tokens, int *decode, heed_error *error);
/* Refuses one with an encoder, of which nobody has said how long its text is. */
int32_t model_check_measured(const heed_stack *stack, heed_error *error);
/* Engine, weights, stack and a session; spec NULL = the file's own; path NULL = weights of chance,
 * from the seed. The calling thread is pinned as the plan says, for it is the command's own.
 * model_close also after a failure. */
int32_t model_open(model *m, const heed_options *options, const char *path, const char *spec,
                   uint64_t seed, heed_error *error);
/* The same for a command that ranks may share: those that are there join, and all fail if one does, or
 * has `failed` before. */
int32_t model_open_shared(model *m, const heed_options *options, const char *path,
                          const char *spec, uint64_t seed, int32_t failed, heed_error *error);
/* The end of a line on standard error: who did it, "NAME, PATH, N threads". */
void model_tell(const model *m, const char *name);
/* To standard error: how many ranks there were, and what was sent. Nothing where there is one. */
void model_tell_ranks(const model *m);
/* At the end of such a command: whether any rank has failed. */
int32_t model_agree(const model *m, int32_t failed, heed_error *error);
/* The same of one that may have an encoder: it is the caller who encodes a text. */
int32_t model_open_both(model *m, const heed_options *options, const char *path, const char *spec,
                        uint64_t seed, heed_error *error);
/* The same of a network that may give something else than logits. */
int32_t model_open_any(model *m, const heed_options *options, const char *path, const char *spec,
                       uint64_t seed, heed_error *error);
/* Before texts are read: opens the tokenizer of one whose tokens are no bytes. */
int32_t model_open_text(model *m, const char *path, heed_error *error);
/* tokenizer_encode, and tokens that the network has not are refused. */
int32_t model_encode(const model *m, const char *name, const char *text, size_t n, int special,
                     size_t most, id_list *to, heed_error *error);
/* Its first token of "heed.begin", "heed.end" or "heed.start" of a checkpoint, or -1; whether one
 * ends a text. */
int64_t model_token(const model *m, const char *which);
int model_ends(const model *m, int64_t token);
/* Tokens of a .npy file, of any shape; free(*ids) also after a failure. */
int32_t model_read_ids(const model *m, const char *path, int32_t **ids, int64_t *n,
                       heed_error *error);
/* What halting has cost a token that was read, on the average; 0: no token halts. */
int model_ponder(const model *m, double *steps, double *cost);
void model_close(model *m);

#endif
