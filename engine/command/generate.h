/* SPDX-License-Identifier: MIT
 *
 * generate.h: the parts of heed generate: the prompt as tokens (generate_prompt.c), what comes
 * behind it (generate_make.c), and what of that is printed (generate_print.c).
 *
 * Functions that can fail return HEED_OK or a code with its sentence in *error. All are called by
 * the thread that runs the command.
 */
#ifndef HEED_COMMAND_GENERATE_H
#define HEED_COMMAND_GENERATE_H
#include "command/model.h"
#include "command/stops.h"
#include "command/stored.h"
#include "command/tracing.h"

/* One of the texts that are made. */
typedef struct story {
    heed_session *session; /* the first has the model's */
    int32_t *text;         /* all tokens so far: bos, the prompt, what was made */
    int64_t n, start, fed; /* of them: how many; where the session begins; how far it has come */
    float *logits;         /* after the last one */
    unsigned char *seen;   /* of each token, whether it was there */
    uint64_t chance;
    int ended;
} story;

typedef struct generate_job {
    heed_options engine;
    const char *model_path, *prompt, *prompt_path, *ids_path, *spec, *system;
    int64_t tokens, seed;
    int random, ignore_eos, chat;
    double temperature, top_p, min_p, penalty;
    int64_t top_k;
    stops stops;
    tracing tracing;
    stored_change change;
    char *changed; /* the spec with it */

    model model;
    int64_t read;   /* tokens of the prompt */
    id_list source; /* what an encoder reads, if there is one */
    int64_t parallel;
    story *stories; /* [parallel] */
    /* what comes of tokens: their text, and what of it is to be printed next */
    bytes made, shown;
} generate_job;

/* Whether an encoder reads the prompt. */
int generate_has_encoder(const generate_job *j);

/* The prompt becomes tokens, with which all stories begin; j->model is open. The job owns them. */
int32_t generate_start(generate_job *j, const unsigned char *prompt, size_t length,
                       heed_error *error);

/* Feeds the sessions of the first `count` stories with what they have not read yet. */
int32_t generate_catch_up(generate_job *j, int64_t count, heed_error *error);

/* Draws, prints and feeds until enough is made, or the model ends the text. */
int32_t generate_make(generate_job *j, heed_error *error);

/* All stories at once: nothing is printed. */
int32_t generate_make_many(generate_job *j, heed_error *error);

/* Frees the stories, before their network is closed. */
void generate_close(generate_job *j);

/* Prints the prompt, as it was given; what a tokenizer makes of tokens goes on with its text. */
int32_t generate_put_prompt(generate_job *j, const unsigned char *prompt, size_t length,
                            heed_error *error);

/* Prints a token that was made; *ends becomes 1 if a text of --stop ends with it. */
int32_t generate_put_token(generate_job *j, int32_t token, int *ends, heed_error *error);

/* Prints what waits for the rest of a character, or of a text that would have ended it. */
int32_t generate_put_rest(generate_job *j, heed_error *error);

/* Prints story i of several, under a title with its seed. */
int32_t generate_put_story(generate_job *j, int64_t i, const unsigned char *prompt, size_t length,
                           heed_error *error);
#endif
