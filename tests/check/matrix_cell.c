/* SPDX-License-Identifier: MIT
 *
 * matrix_cell.c: one small network, from a choice of each factor to a result. What an op must be
 * told so that random weights have their sizes, its descriptor says; the few that its descriptor
 * does not say are a table.
 *
 * Invariant: the network is opened and run in a child alone, so that what an op does there is a
 * result and not the end of the matrix.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "check/child.h"
#include "check/matrix_cell.h"
#include "lib/call.h"

enum { VOCAB = 24, TOKENS = 40, PART = 7 };
#define NETWORK "vocab=24; width=34; layers=2; heads=4; head_width=8; context=48"
enum { IN_DECODER, IN_ENCODER, IN_CROSS }; /* the places of an attention */
#define NEAR 1e-4f /* of the largest logit: more than that is another result */

/* What descriptors do not say: settings without which an op can not be in a small network. */
static const struct {
    const char *id, *settings;
} told[] = {
    {"attention/gated_delta", "gate=softplus"}, /* heed.network/1 allows no other */
    {"attention/synthesizer_mixture", "a=synthesizer_dense, b=softmax"},
    {"position/longrope", "listed=4"}, /* half of a head */
    {"position/rope_scaled", "factor=4, original=16"},
    {"router/top_k", "experts=3, k=2"},
};

/* ---- factors ---- */

/* "attention/shaw" becomes "attention/shaw(distances=9", to be closed. */
static void add_setting(char *spec, const char *setting)
{
    const size_t at = strlen(spec);
    snprintf(spec + at, CHOICE_TEXT - at, "%s%s", strchr(spec, '(') ? ", " : "(", setting);
}

static void add_number(char *spec, const heed_param *p, double x)
{
    char text[96];
    x = x < p->min ? p->min : x > p->max ? p->max : x;
    snprintf(text, sizeof text, "%s=%.9g", p->key, x);
    add_setting(spec, text);
}

static void end_settings(char *spec)
{
    if (strchr(spec, '(') && strlen(spec) + 1 < CHOICE_TEXT) strcat(spec, ")");
}

/* "attention/shaw(distances=9, causal=true)", and without the mask. */
static void write_choice(const entry *e, char *spec, char *unmasked)
{
    const char *settings = NULL;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (!strcmp(told[i].id, e->op.id)) settings = told[i].settings;
    snprintf(spec, CHOICE_TEXT, "%s", e->op.id);
    if (settings) add_setting(spec, settings);
    for (uint32_t i = 0; !settings && i < e->op.params.count; i++) {
        const heed_param *p = entry_param(e, i);
        const int number = p->type == HEED_PARAM_INT || p->type == HEED_PARAM_FLOAT;
        /* an axis whose size the network does not know; odd, as tables of both sides must be */
        if (p->flags & HEED_PARAM_AUTO && p->axis && !strchr("BTSHGDEMVCW", (int)p->axis))
            add_number(spec, p, p->axis == 'F' ? 48 : 9);
        else if (p->flags & HEED_PARAM_REQUIRED && number) add_number(spec, p, 4);
    }
    memcpy(unmasked, spec, CHOICE_TEXT);
    end_settings(unmasked);
    if (e->op.masks & HEED_MASK_CAUSAL && !strncmp(e->op.id, "attention/", 10))
        add_setting(spec, "causal=true");
    end_settings(spec);
}

static void add_ops(const heed_engine *engine, factor *f, const char *usual)
{
    const size_t kind = strlen(f->kind);
    const entry *e;
    for (uint32_t i = 0; f->n < CHOICES && (e = inspect_op(engine, i)); i++) {
        if (strncmp(e->op.id, f->kind, kind) || e->op.id[kind] != '/') continue;
        if (!strcmp(e->op.id + kind + 1, usual)) f->usual = f->n;
        f->id[f->n] = e->op.id;
        write_choice(e, f->spec[f->n], f->unmasked[f->n]);
        f->n++;
    }
}

static void add_word(factor *f, const char *word)
{
    f->id[f->n] = word;
    snprintf(f->spec[f->n++], CHOICE_TEXT, "%s", word);
}

/* How a token goes through the layers: all of them whole, by experts, or until it halts. */
static void add_routes(const heed_engine *engine, factor *f)
{
    static const struct {
        const char *kind, *before; /* what is said before the op */
    } routes[] = {{"router", "router="}, {"halting", "shared=true; halting="}};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        factor ops = {.kind = routes[i].kind};
        add_ops(engine, &ops, "");
        for (uint32_t k = 0; k < ops.n && f->n < CHOICES; k++) {
            f->id[f->n] = ops.id[k];
            snprintf(f->spec[f->n++], CHOICE_TEXT, "%s%.100s", routes[i].before, ops.spec[k]);
        }
    }
}

void matrix_factors(const heed_engine *engine, factor f[FACTORS])
{
    static const struct {
        const char *key, *kind, *usual;
    } rows[FACTORS] = {[BY_ATTENTION] = {"attention", "attention", "softmax"},
                       [BY_POSITION] = {"position", "position", ""},
                       [BY_NORM] = {"norm", "norm", "rms"},
                       [BY_WIRING] = {"residual", NULL, NULL},
                       [BY_FEEDFORWARD] = {"feedforward", "feedforward", "gelu"},
                       [BY_PLACE] = {"place", NULL, NULL},
                       [BY_ROUTE] = {"route", NULL, NULL}};
    memset(f, 0, FACTORS * sizeof *f);
    for (uint32_t k = 0; k < FACTORS; k++) {
        f[k].key = rows[k].key, f[k].kind = rows[k].kind;
        if (k == BY_POSITION) add_word(&f[k], "none");
        if (f[k].kind) add_ops(engine, &f[k], rows[k].usual);
    }
    const char *word;
    for (uint32_t i = 0; f[BY_WIRING].n < CHOICES && (word = inspect_wiring(i)); i++)
        add_word(&f[BY_WIRING], word);
    add_word(&f[BY_PLACE], "decoder");
    add_word(&f[BY_PLACE], "encoder");
    add_word(&f[BY_PLACE], "cross_attention");
    add_word(&f[BY_ROUTE], "all");
    add_routes(engine, &f[BY_ROUTE]);
}

const char *matrix_name(const factor *f, uint32_t choice)
{
    const char *slash = strchr(f->id[choice], '/');
    return slash ? slash + 1 : f->id[choice];
}

/* The attention of a cell stands in one place, and the usual one in the others. */
static size_t write_attentions(const factor *f, uint32_t choice, uint32_t place, char *text,
                               size_t n)
{
    const char *usual = f->spec[f->usual], *open = f->unmasked[f->usual],
               *mine = f->unmasked[choice];
    if (place == IN_DECODER) return (size_t)snprintf(text, n, "; attention=%s", f->spec[choice]);
    return (size_t)snprintf(
        text, n, "; attention=%s; cross_attention=%s; encoder_layers=2; encoder_attention=%s",
        usual, place == IN_CROSS ? mine : open, place == IN_ENCODER ? mine : open);
}

void matrix_spec(const factor f[FACTORS], const cell *c, char *text, size_t n)
{
    size_t at = (size_t)snprintf(text, n, "%s", NETWORK);
    for (uint32_t k = 0; k < BY_PLACE && at < n; k++)
        at +=
            k == BY_ATTENTION
                ? write_attentions(&f[k], c->choice[k], c->choice[BY_PLACE], text + at, n - at)
                : (size_t)snprintf(text + at, n - at, "; %s=%s", f[k].key, f[k].spec[c->choice[k]]);
    const uint32_t route = c->choice[BY_ROUTE];
    if (route && at < n) snprintf(text + at, n - at, "; %s", f[BY_ROUTE].spec[route]);
}

/* ---- in the child ---- */

typedef struct job {
    heed_engine *engine;
    char spec[1024];
} job;

/* A sentence without the place in the spec and the caret. */
static void tell(board *b, uint32_t result, const char *sentence)
{
    const char *at = strncmp(sentence, "spec, line", 10) ? NULL : strstr(sentence, ": ");
    if (at) sentence = at + 2;
    b->at = result;
    snprintf(b->refusal, sizeof b->refusal, "%.*s", (int)strcspn(sentence, "\n"), sentence);
}

/* Tokens of a text; an emulator takes its time. */
static int32_t length(void) { return harness_quick() ? 12 : TOKENS; }

static int32_t feed(heed_stack *s, int32_t part, float *logits, heed_error *e)
{
    int32_t tokens[TOKENS], failed = HEED_OK;
    const int32_t count = length();
    heed_session *session = heed_session_new(s, e);
    if (!session) return e->code;
    for (int32_t t = 0; t < TOKENS; t++) tokens[t] = t * t * 7 % VOCAB;
    if (heed_stack_number(s, "encoder_layers") > 0)
        failed = heed_session_encode(session, tokens + 1, count - 3, e);
    for (int32_t t = 0, n; t < count && !failed; t += n) {
        n = count - t < part ? count - t : part;
        failed = heed_session_feed(session, tokens + t, n, logits + t * VOCAB, n, e);
    }
    heed_session_free(session);
    return failed;
}

/* Whether logits of parts are those of the whole: works, near or fails. */
static void compare(board *b, const float *whole, const float *parts, int32_t part)
{
    float largest = 0, apart = 0;
    char text[160];
    if (!memcmp(whole, parts, sizeof *whole * (size_t)length() * VOCAB)) return;
    for (int i = 0; i < length() * VOCAB; i++) {
        largest = fmaxf(largest, fabsf(whole[i]));
        apart = isfinite(parts[i]) ? fmaxf(apart, fabsf(whole[i] - parts[i])) : INFINITY;
    }
    snprintf(
        text, sizeof text,
        "fed in parts of %d, logits differ from those of the whole text, by %.2g of the largest",
        (int)part, (double)(apart / largest));
    tell(b, apart > NEAR * largest ? CELL_FAILS : CELL_NEAR, text);
}

static void run_phases(board *b, heed_stack *s)
{
    static float whole[TOKENS * VOCAB], parts[TOKENS * VOCAB];
    static const int32_t part[] = {PART, 1};
    heed_error e;
    child_doing(b, CELL_WORKS, 0, "");
    if (feed(s, length(), whole, &e)) return tell(b, CELL_FAILS, e.text);
    for (int i = 0; i < length() * VOCAB; i++)
        if (!isfinite(whole[i])) return tell(b, CELL_FAILS, "its logits are not all finite");
    for (int k = 0; k < 2 && b->at <= CELL_NEAR; k++) {
        const int32_t failed = feed(s, part[k], parts, &e);
        if (failed) tell(b, failed == HEED_E_UNSUPPORTED ? CELL_WHOLE : CELL_FAILS, e.text);
        else compare(b, whole, parts, part[k]);
    }
}

static void work(board *b, void *arg)
{
    const job *j = arg;
    heed_error e = {0};
    child_doing(b, CELL_WORKS, 0, "");
    heed_weights *weights = heed_weights_random(j->engine, j->spec, 7, &e);
    heed_stack *s = weights ? heed_stack_open(j->engine, j->spec, weights, &e) : NULL;
    if (s) run_phases(b, s);
    else tell(b, CELL_REFUSED, e.text);
}

/* ---- the parent ---- */

int matrix_run(heed_engine *engine, const factor f[FACTORS], cell *c)
{
    static board *b;
    job j = {.engine = engine};
    if (!b && !(b = board_make())) return c->result = CELL_FAILS, c->reason = NULL, 0;
    matrix_spec(f, c, j.spec, sizeof j.spec);
    b->findings = 0, b->at = CELL_WORKS, b->refusal[0] = 0;
    const int how = child_run(b, work, &j, harness_quick() ? 60 : 10);
    if (how == 3) return 1;
    c->result = how || b->findings ? CELL_FAILS : b->at;
    const char *reason = b->findings ? b->finding[0].sentence : b->refusal;
    c->reason = *reason ? strdup(reason) : NULL;
    return 0;
}
