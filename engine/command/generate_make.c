/* SPDX-License-Identifier: MIT
 *
 * generate_make.c: how heed generate goes on with a text: each token drawn, and fed to the sessions of
 * all texts that have not ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "command/generate.h"
#include "inspect.h"
#include "model/stack.h"

/* Where a full context begins anew: the session forgets all and reads its last half. */
static int32_t make_place(const generate_job *j, story *s, heed_error *error)
{
    int64_t context = heed_stack_number(j->model.stack, "context");
    int afresh = j->model.stack->forgets && s->fed > s->start;
    if (context >= 0 && s->n - s->start > context) {
        s->start = s->n - (context > 1 ? context / 2 : 1);
        afresh = 1;
    }
    if (!afresh) return HEED_OK;
    TRY(heed_session_reset(s->session, error));
    s->fed = s->start;
    return HEED_OK;
}

/* Brings the sessions of all texts that go on to their ends. */
int32_t generate_catch_up(generate_job *j, int64_t count, heed_error *error)
{
    heed_session *sessions[count];
    const int32_t *tokens[count];
    int64_t n[count];
    float *logits[count];
    uint32_t going = 0;
    for (int64_t i = 0; i < count; i++) {
        story *s = &j->stories[i];
        if (s->ended) continue;
        TRY(make_place(j, s, error));
        sessions[going] = s->session, tokens[going] = s->text + s->fed, n[going] = s->n - s->fed;
        logits[going++] = s->logits;
        s->fed = s->n;
    }
    if (going == 0) return HEED_OK;
    if (going == 1) return heed_session_feed(sessions[0], tokens[0], n[0], logits[0], 1, error);
    return heed_session_feed_many(sessions, going, tokens, n, logits, error);
}

/* A session for a story, that has read what the first one has. Without a state that can be forked, it
 * reads that anew when it is fed. */
static int32_t fork_story(generate_job *j, const story *first, story *s, heed_error *error)
{
    const int again = j->source.n || j->model.stack->forgets;
    s->session =
        again ? heed_session_new(j->model.stack, error) : heed_session_fork(first->session, error);
    if (!s->session) return error->code;
    s->start = first->start, s->fed = again ? first->start : first->fed;
    memcpy(s->logits, first->logits,
           (size_t)heed_stack_number(j->model.stack, "vocab") * sizeof *first->logits);
    if (!j->source.n) return HEED_OK;
    return heed_session_encode(s->session, j->source.at, (int64_t)j->source.n, error);
}

static int32_t fork_stories(generate_job *j, heed_error *error)
{
    for (int64_t i = 1; i < j->parallel; i++)
        TRY(fork_story(j, &j->stories[0], &j->stories[i], error));
    return HEED_OK;
}

/* Less likely are tokens that were there already (CTRL, arXiv 1909.05858, section 4.1). */
static void punish(const generate_job *j, story *s)
{
    const int64_t vocab = heed_stack_number(j->model.stack, "vocab");
    const float penalty = (float)j->penalty;
    for (int64_t i = 0; penalty != 1 && i < vocab; i++)
        if (s->seen[i])
            s->logits[i] = s->logits[i] > 0 ? s->logits[i] / penalty : s->logits[i] * penalty;
}

static int32_t draw_token(const generate_job *j, story *s, int32_t *token, heed_error *error)
{
    char settings[160];
    snprintf(settings, sizeof settings, "temperature=%.17g, top_k=%lld, top_p=%.17g, min_p=%.17g",
             j->temperature, (long long)j->top_k, j->top_p, j->min_p);
    punish(j, s);
    TRY(heed_session_draw(s->session, s->logits, settings, random_unit(&s->chance), token, error));
    s->seen[*token] = 1;
    return HEED_OK;
}

/* Whether a token ends its text: one of eos_token_id, or bos where that is no byte. */
static int ends_text(const generate_job *j, int32_t token)
{
    const int64_t bos = heed_stack_number(j->model.stack, "bos");
    if (!j->ids_path && !j->model.tokenizer && token > UINT8_MAX && token == bos) return 1;
    return !j->ignore_eos && model_ends(&j->model, token);
}

/* Draws the next token of a story; *shown: it is a part of the text. */
static int32_t add_token(const generate_job *j, story *s, int32_t *token, int *shown,
                         heed_error *error)
{
    TRY(draw_token(j, s, token, error));
    s->ended = ends_text(j, *token);
    *shown = !s->ended || (j->ids_path && model_ends(&j->model, *token));
    if (*shown) s->text[s->n++] = *token;
    return HEED_OK;
}

/* Draws, prints and feeds until enough is made, or the model ends the text. */
int32_t generate_make(generate_job *j, heed_error *error)
{
    story *s = &j->stories[0];
    for (int64_t i = 0; i < j->tokens && !s->ended; i++) {
        int32_t token;
        int shown, ends = 0;
        TRY(add_token(j, s, &token, &shown, error));
        if (shown) TRY(generate_put_token(j, token, &ends, error));
        s->ended |= ends;
        if (i + 1 < j->tokens && !s->ended) TRY(generate_catch_up(j, 1, error));
    }
    return generate_put_rest(j, error);
}

/* All texts at once: nothing is printed before the last one is done. */
int32_t generate_make_many(generate_job *j, heed_error *error)
{
    int64_t going = j->parallel;
    TRY(fork_stories(j, error));
    for (int64_t n = 0; n < j->tokens && going; n++) {
        going = 0;
        for (int64_t i = 0; i < j->parallel; i++) {
            int32_t token;
            int shown;
            if (j->stories[i].ended) continue;
            TRY(add_token(j, &j->stories[i], &token, &shown, error));
            going += !j->stories[i].ended;
        }
        if (n + 1 < j->tokens && going) TRY(generate_catch_up(j, j->parallel, error));
    }
    return HEED_OK;
}

/* The sessions are closed before their network is. */
void generate_close(generate_job *j)
{
    for (int64_t i = 0; j->stories && i < j->parallel; i++) {
        story *s = &j->stories[i];
        if (i) heed_session_free(s->session);
        free(s->text);
        free(s->logits);
        free(s->seen);
    }
    free(j->stories);
}
