/* SPDX-License-Identifier: MIT
 *
 * plan.c: heed plan: what can be told of networks before anything is trained: how far they see, what
 * they cost, and what laws of others' networks say of their sizes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/command.h"
#include "command/file.h"
#include "command/model.h"
#include "command/options.h"
#include "command/twin.h"
#include "op/engine.h"

#define SPECS PENALTY_GROUPS /* side by side */
#define USUAL_WIDTH 64 /* of a head */
#define TOKENS_MOST ((int64_t)1 << 24)

static const char usage[] =
    "usage: heed plan SPEC [SPEC ...] --tokens N [OPTION ...]\n"
    "Tells of networks, side by side and without weights, how far they see, what they cost, and\n"
    "what scaling laws say of their sizes. Docs: docs/plan.md.\n"
    "\n"
    "  SPEC              a network, such as 'layers=15; heads=3' or preset=gpt2; up to 8\n"
    "  --tokens N        tokens of a document\n"
    "  --data-tokens N   tokens to train on, each counted once; then the laws are printed\n"
    "  --data PATH       the same from a file, or all files in a folder: 4 bytes are a token\n"
    "  --epochs N        how often each is read; 1 if not given, with --train as often as 2000 "
    "steps do\n"
    "  --machine FILE    a record of heed bench --json: the least times that this machine allows, "
    "and,\n"
    "                    of one with --suite, those that are predicted\n"
    "  --ranks N         of --machine: simulates that up to N ranks read the text together, "
    "docs/ranks.md\n"
    "  --network B,US    between them: gigabytes a second and microseconds of a message, as "
    "1.25,30\n"
    "  --cores N         a rank is so many times as fast as the record, of one thread for "
    "instance; 1\n"
    "  --suggest         other shapes of about as many parameters\n"
    "  --json            the same as an object\n"
    "  --svg FILE        a picture of the fields and the laws, \"-\" for standard output\n"
    "  --html FILE       tables and picture as one page, which needs no other file; \"-\" "
    "likewise\n"
    "\n"
    "  --train DATA      trains small twins of the networks on a file, a folder of texts, a "
    ".jsonl\n"
    "                    or a .npy file, and predicts from them what the networks reach on it\n"
    "  --minutes M       that this takes here: they become sizes of twins and a number of steps\n"
    "  --steps N         of each run, in their place\n"
    "  --share X         parameters of the largest twin, of the network's; 0.11 if --steps is "
    "given\n"
    "  --record FILE     keeps the runs: the same command goes on with them, wherever it is "
    "called\n"
    "  --context N       tokens that twins see; those of a document, up to 256\n" OPTIONS_ENGINE;

typedef struct request {
    const char *spec[SPECS];
    uint32_t count;
    int64_t tokens;
    double unique, epochs;
    const char *data, *svg, *machine;
    int json, suggest;
    const char *train, *record, *html;
    double minutes, share;
    int64_t steps, context;
    plan_link link;
    heed_options engine;
} request;

static int read_spec(void *to, const char *value)
{
    request *r = to;
    if (model_is_file(value))
        return options_usage(
            "plan takes specs, not files; heed describe %.60s shows the spec that it "
            "has",
            value);
    if (r->count == SPECS) return options_usage("plan takes up to %d specs", SPECS);
    r->spec[r->count++] = value;
    return 0;
}

static int read_tokens(void *to, const char *value)
{
    return options_int("--tokens", value, 1, TOKENS_MOST, &((request *)to)->tokens);
}

static int read_unique(void *to, const char *value)
{
    return options_float("--data-tokens", value, 1, 1e18, &((request *)to)->unique);
}

static int read_epochs(void *to, const char *value)
{
    return options_float("--epochs", value, 1, 1e6, &((request *)to)->epochs);
}

static int read_ranks(void *to, const char *value)
{
    return options_int("--ranks", value, 2, PLAN_RANKS_MOST, &((request *)to)->link.ranks);
}

static int read_cores(void *to, const char *value)
{
    return options_float("--cores", value, 1, 4096, &((request *)to)->link.cores);
}

static int read_network(void *to, const char *value)
{
    plan_link *l = &((request *)to)->link;
    char rest;
    if (sscanf(value, "%lf,%lf%c", &l->rate, &l->latency, &rest) == 2 && l->rate > 0 &&
        l->rate <= 1e6 && l->latency >= 0 && l->latency <= 1e9) {
        l->rate *= 1e9, l->latency *= 1e-6;
        return 0;
    }
    return options_usage("--network takes gigabytes a second and microseconds, as 1.25,30, not "
                         "\"%.40s\"",
                         value);
}

static int read_minutes(void *to, const char *value)
{
    return options_float("--minutes", value, 1e-3, 1e6, &((request *)to)->minutes);
}

static int read_share(void *to, const char *value)
{
    return options_float("--share", value, 1e-3, 1, &((request *)to)->share);
}

static int read_steps(void *to, const char *value)
{
    return options_int("--steps", value, 1, TRAIN_MOST, &((request *)to)->steps);
}

static int read_context(void *to, const char *value)
{
    return options_int("--context", value, 2, TOKENS_MOST, &((request *)to)->context);
}

/* ---- the work ---- */

typedef struct work {
    heed_engine *engine;
    plan_network network[SPECS], another[2 * SPECS];
    plan_other other[SPECS];
    plan_text text;
    plan_machine machine;
    twin_study study;
} work;

static int32_t read_text(work *w, const request *r, heed_error *error)
{
    w->text = (plan_text){.tokens = r->tokens,
                          .unique = r->unique,
                          .epochs = r->epochs > 0 ? r->epochs : 1,
                          .machine = &w->machine,
                          .trained = r->train != NULL};
    if (r->machine) TRY(plan_machine_read(&w->machine, r->machine, error));
    if (!r->data) return HEED_OK;
    w->text.data = r->data;
    TRY(plan_count(r->data, &w->text.unique, error));
    if (w->text.unique < (double)r->tokens)
        return error_set(error, HEED_E_DATA,
                         "%.200s: about %.0f tokens, at %d bytes each, which is less than one "
                         "document of --tokens %lld",
                         r->data, w->text.unique, PLAN_BYTES_OF_TOKEN, (long long)r->tokens);
    return HEED_OK;
}

static int32_t read_networks(work *w, const request *r, heed_error *error)
{
    static const int widths[] = PLAN_OTHER_WIDTHS;
    const heed_options options = {.size = sizeof options, .threads = 1, .pinning = HEED_PIN_NONE};
    if (!(w->engine = heed_engine_new(&options, error))) return error->code;
    for (uint32_t i = 0; i < r->count; i++) {
        plan_network *n = &w->network[i];
        snprintf(n->name, sizeof n->name, "%c", (char)('A' + (int)i));
        TRY(plan_read(n, w->engine, r->spec[i], USUAL_WIDTH, &w->text, error));
        plan_least_times(n, &w->machine);
        plan_predict_times(n, &w->machine);
        if (r->link.ranks) TRY(plan_ranks(n, &w->machine, &r->link, (double)r->tokens, error));
        for (int k = 0; k < 2 && n->guessed_width; k++) {
            w->other[i].at[k] = &w->another[2 * i + (uint32_t)k];
            TRY(plan_read(w->other[i].at[k], w->engine, r->spec[i], widths[k], &w->text, error));
        }
    }
    return HEED_OK;
}

static int32_t train_twins(work *w, const request *r, heed_error *error)
{
    twin_study *s = &w->study;
    s->network = w->network, s->count = r->count;
    s->path = r->train, s->record = r->record;
    s->minutes = r->minutes, s->steps = r->steps, s->share = r->share, s->epochs = r->epochs;
    s->context = r->context, s->options = r->engine;
    return twin_run_all(s, error);
}

static int is_standard(const char *path) { return path && !strcmp(path, "-"); }

static void tell(const work *w, const request *r, const sheet *p)
{
    plan_print(p, w->network, r->count, w->other, &w->text, r->suggest);
    if (r->train) twin_print(p, &w->study);
}

/* The same with the picture, as one page of HTML. */
static int32_t write_page(const work *w, const request *r, heed_error *error)
{
    char *text = NULL;
    size_t length;
    sheet p = {open_memstream(&text, &length)};
    if (!p.html) return error_memory(error);
    sheet_begin(&p, "heed plan");
    tell(w, r, &p);
    sheet_head(&p, "picture");
    plan_draw(p.html, w->network, r->count, &w->text, r->train ? &w->study : NULL);
    sheet_end(&p);
    int32_t failed = ferror(p.html) ? error_memory(error) : HEED_OK;
    if (fclose(p.html)) failed = error_memory(error);
    if (!failed) failed = file_write(r->html, text, length, error);
    free(text);
    return failed;
}

static int print_json(work *w, const request *r)
{
    json_t *all = plan_json(w->network, r->count, w->other, &w->text, r->suggest);
    if (all && r->train) json_object_set_new(all, "twins", twin_json(&w->study));
    return command_json(all);
}

static int run(work *w, const request *r)
{
    heed_error error = {0};
    int32_t failed = r->svg ? file_check(r->svg, &error) : HEED_OK;
    if (!failed && r->html) failed = file_check(r->html, &error);
    if (!failed) failed = read_text(w, r, &error);
    if (!failed) failed = read_networks(w, r, &error);
    if (!failed && r->train) failed = train_twins(w, r, &error);
    if (!failed && r->svg)
        failed = plan_picture(w->network, r->count, &w->text, r->train ? &w->study : NULL, r->svg,
                              &error);
    if (!failed && r->html) failed = write_page(w, r, &error);
    if (failed) return command_fail(&error);
    if (r->json) return print_json(w, r);
    if (!is_standard(r->svg) && !is_standard(r->html)) tell(w, r, &(sheet){NULL});
    return 0;
}

/* What does not go together, or is missing. */
static int check_request(const request *r)
{
    if (!r->count) return options_usage("plan needs a spec, such as 'layers=15; heads=3'");
    if (!r->tokens) return options_usage("plan needs --tokens N, the tokens of a document");
    if (r->data && r->unique > 0)
        return options_usage("--data and --data-tokens say the same; give one");
    if (r->epochs > 1 && !r->data && !(r->unique > 0) && !r->train)
        return options_usage("--epochs needs to know of what: --data or --data-tokens");
    if ((r->json != 0) + is_standard(r->svg) + is_standard(r->html) > 1)
        return options_usage(
            "of --json, --svg - and --html - only one can write to standard output");
    if (r->link.ranks && (!r->machine || !(r->link.rate > 0)))
        return options_usage("--ranks needs --machine FILE and --network GBPS,US");
    if (!r->link.ranks && r->link.rate > 0) return options_usage("--network is of --ranks");
    if (r->steps && r->minutes > 0)
        return options_usage("--steps and --minutes exclude each other");
    if (r->share > 0 && r->minutes > 0)
        return options_usage("--share follows from --minutes; with --steps it can be given");
    if (r->train && !r->steps && !(r->minutes > 0))
        return options_usage("--train needs --minutes M, or --steps N");
    if (!r->train && (r->steps || r->minutes > 0 || r->share > 0 || r->record || r->context))
        return options_usage("--minutes, --steps, --share, --record and --context are of --train");
    return 0;
}

int command_plan(int argc, char **argv)
{
    static const option options[] = {
        {"--tokens", 1, .read = read_tokens},
        {"--data-tokens", 1, .read = read_unique},
        {"--data", 1, .at = offsetof(request, data), .values = "FILE"},
        {"--epochs", 1, .read = read_epochs},
        {"--machine", 1, .at = offsetof(request, machine), .values = "FILE"},
        {"--ranks", 1, .read = read_ranks},
        {"--network", 1, .read = read_network},
        {"--cores", 1, .read = read_cores},
        {"--suggest", 0, .at = offsetof(request, suggest)},
        {"--json", 0, .at = offsetof(request, json)},
        {"--svg", 1, .at = offsetof(request, svg), .values = "FILE"},
        {"--html", 1, .at = offsetof(request, html), .values = "FILE"},
        {"--train", 1, .at = offsetof(request, train), .values = "FILE"},
        {"--minutes", 1, .read = read_minutes},
        {"--steps", 1, .read = read_steps},
        {"--share", 1, .read = read_share},
        {"--record", 1, .at = offsetof(request, record), .values = "FILE"},
        {"--context", 1, .read = read_context},
        {"", 1, .read = read_spec},
        {0}};
    request r = {.engine.size = sizeof r.engine, .link.cores = 1};
    int status = options_parse(argc, argv, usage, options, &r, &r.engine);
    if (!status) status = check_request(&r);
    if (status) return status;
    work *w = calloc(1, sizeof *w);
    if (!w) return command_fail(&(heed_error){.code = HEED_E_MEMORY, .text = "out of memory"});
    status = run(w, &r);
    twin_close(&w->study);
    free(w->machine.cases);
    for (uint32_t i = 0; i < SPECS; i++) plan_free(&w->network[i]);
    for (uint32_t i = 0; i < 2 * SPECS; i++) plan_free(&w->another[i]);
    heed_engine_free(w->engine);
    free(w);
    return status;
}
