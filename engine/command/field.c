/* SPDX-License-Identifier: MIT
 *
 * field.c: heed field: how far networks look on a text, measured. heed plan tells how far they can.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/command.h"
#include "command/field.h"
#include "command/file.h"
#include "command/interrupt.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/progress.h"
#include "inspect.h"
#include "io/weights.h"
#include "model/session.h"
#include "op/engine.h"

#define USUAL_CONTEXT 1024 /* of a network that has none */
#define USUAL_PLACES 100
#define STEPS 16 /* lengths that are multiples of one */
#define EVERY (-1)
#define DISTANCES_MOST 128 /* up to 2^24 tokens there are fewer */
#define LENGTHS_MORE 66    /* powers of two, and the context */

static const char usage[] =
    "usage: heed field MODEL [MODEL ...] FILE [OPTION ...]\n"
    "Tells how far a network looks on a text: what another token at some distance changes, and "
    "how\n"
    "much context is enough. How far it can look tells heed plan. Docs: docs/field.md.\n"
    "\n"
    "  MODEL             a safetensors file with a byte model, or a checkpoint's folder; up to 8,\n"
    "                    of which each is then compared with the best\n"
    "  FILE              the text; - is standard input\n"
    "  --ids FILE.npy    in its place: numbers of tokens\n"
    "  --spec SPEC       one network more: the first model's weights by another spec, such as one "
    "with\n"
    "                    another position; can be repeated\n"
    "  --measure WHAT    perturbation, gradient, truncation, position, attention or similarity "
    "alone;\n"
    "                    all if not given\n"
    "  --context N       tokens that are seen at a time; what the network was made for if not "
    "given,\n"
    "                    1024 if it says nothing\n"
    "  --places N        places of the text where it is measured; 100 if not given\n"
    "  --step N          truncation: lengths are its multiples; a 16th of the context if not "
    "given\n"
    "  --seed N          other tokens in the place of those that are changed; 1 if not given\n"
    "  --json            the same as an object\n"
    "  --csv FILE        all quartiles, a row each; - is standard output\n"
    "  --svg FILE        a picture of the curves, beside how far the network can look; - "
    "likewise\n" OPTIONS_ENGINE;

typedef struct job {
    heed_options engine;
    const char *word[FIELD_NETWORKS + 1], *spec[FIELD_NETWORKS], *ids, *svg, *csv;
    uint32_t words, specs, count;
    int64_t context, places, step, seed;
    int measure, json;
    field_network network[FIELD_NETWORKS];
    field_text text;
} job;

/* ---- options ---- */

static int read_word(void *to, const char *value)
{
    job *j = to;
    if (j->words == FIELD_NETWORKS + 1)
        return options_usage("field takes up to %d models and one text", FIELD_NETWORKS);
    j->word[j->words++] = value;
    return 0;
}

static int read_spec(void *to, const char *value)
{
    job *j = to;
    if (j->specs == FIELD_NETWORKS - 1)
        return options_usage("field takes up to %d networks", FIELD_NETWORKS);
    j->spec[j->specs++] = value;
    return 0;
}

static int read_measure(void *to, const char *value)
{
    job *j = to;
    for (j->measure = 0; j->measure < FIELD_MEASURES; j->measure++)
        if (!strcmp(value, field_measures[j->measure])) return 0;
    return options_usage("--measure is perturbation, gradient, truncation, position, attention or "
                         "similarity, not " QUOTE,
                         QUOTED(value));
}

static int read_context(void *to, const char *value)
{
    return options_int("--context", value, 2, (int64_t)1 << 24, &((job *)to)->context);
}
static int read_places(void *to, const char *value)
{
    return options_int("--places", value, 1, 1000000, &((job *)to)->places);
}
static int read_step(void *to, const char *value)
{
    return options_int("--step", value, 1, (int64_t)1 << 24, &((job *)to)->step);
}
static int read_seed(void *to, const char *value)
{
    return options_int("--seed", value, 0, INT64_MAX, &((job *)to)->seed);
}

static const option options[] = {
    {"", 1, .read = read_word, .values = "FILE"},
    {"--ids", 1, .at = offsetof(job, ids), .values = "FILE"},
    {"--measure", 1, .read = read_measure,
     .values = "perturbation gradient truncation position attention similarity"},
    {"--spec", 1, .read = read_spec},
    {"--context", 1, .read = read_context},
    {"--places", 1, .read = read_places},
    {"--step", 1, .read = read_step},
    {"--seed", 1, .read = read_seed},
    {"--json", 0, .at = offsetof(job, json)},
    {"--csv", 1, .at = offsetof(job, csv), .values = "FILE"},
    {"--svg", 1, .at = offsetof(job, svg), .values = "FILE"},
    {0},
};

static int check_words(job *j)
{
    const int standard = (j->csv && !strcmp(j->csv, "-")) + (j->svg && !strcmp(j->svg, "-"));
    const uint32_t models = j->ids || !j->words ? j->words : j->words - 1;
    if (!models) return options_usage("field needs a model and a text");
    j->count = models + j->specs;
    if (j->count > FIELD_NETWORKS)
        return options_usage("field takes up to %d networks", FIELD_NETWORKS);
    for (uint32_t i = 0; i < j->count; i++) {
        j->network[i].file = j->network[i].path = j->word[i < models ? i : 0];
        j->network[i].spec = i < models ? NULL : j->spec[i - models];
    }
    if (standard + (j->json != 0) > 1)
        return options_usage("of --json, --csv - and --svg - only one can write to standard "
                             "output");
    return 0;
}

/* ---- networks and the text ---- */

/* The text as its tokens: bytes, or what the tokenizer of a checkpoint makes of them. */
static int32_t encode(job *j, field_network *n, const unsigned char *bytes, size_t length,
                      heed_error *error)
{
    TRY(model_open_text(&n->model, n->file, error));
    if (n->model.tokenizer) {
        id_list list = {0};
        const int32_t failed =
            model_encode(&n->model, j->text.path, (const char *)bytes, length, 0, 0, &list, error);
        n->token = list.at, n->tokens = (int64_t)list.n;
        return failed ? failed : list.failed ? error_memory(error) : HEED_OK;
    }
    if (!(n->token = calloc(length + 1, sizeof *n->token))) return error_memory(error);
    for (size_t i = 0; i < length; i++) n->token[i] = bytes[i];
    n->tokens = (int64_t)length;
    return HEED_OK;
}

/* Tokens of the file that was read, or of --ids. */
static int32_t read_tokens(job *j, field_network *n, const unsigned char *bytes, size_t length,
                           heed_error *error)
{
    if (j->ids) return model_read_ids(&n->model, j->ids, &n->token, &n->tokens, error);
    TRY(encode(j, n, bytes, length, error));
    for (int64_t i = 0; i < n->tokens; i++)
        if (n->token[i] >= n->vocab)
            return error_set(
                error, HEED_E_DATA, "%s: its token %lld is %d, but %s has those from 0 to %lld",
                j->text.path, (long long)i, n->token[i], n->path, (long long)n->vocab - 1);
    return HEED_OK;
}

/* Whether a spec has this key with this value. */
static int has_setting(const char *spec, const char *setting, size_t length)
{
    for (; *spec; spec += strspn(spec, "; ")) {
        const size_t n = strcspn(spec, ";");
        if (n == length && !strncmp(spec, setting, n)) return 1;
        spec += n;
    }
    return 0;
}

/* What stands in a spec and not in another: "position=..., cache=..."; malloc'ed. */
static char *difference(const char *spec, const char *from)
{
    char *text = calloc(2 * strlen(spec) + 1, 1);
    for (; text && *spec; spec += strspn(spec, "; ")) {
        const size_t n = strcspn(spec, ";");
        if (!has_setting(from, spec, n)) strncat(strcat(text, *text ? ", " : ""), spec, n);
        spec += n;
    }
    return text;
}

/* The name of a network that has another spec than its file's. */
static int32_t name_network(const job *j, field_network *n, heed_error *error)
{
    if (!n->spec) return HEED_OK;
    const char *own = heed_stack_spec(j->network[0].model.stack),
               *spec = heed_stack_spec(n->model.stack);
    char *with = difference(spec, own), *without = difference(own, spec);
    const int made = !with || !without ? -1
                     : *with           ? asprintf(&n->name, "%s, %s", n->file, with)
                     : *without        ? asprintf(&n->name, "%s, without %s", n->file, without)
                                       : asprintf(&n->name, "%s, the same spec", n->file);
    free(with);
    free(without);
    if (made < 0) return n->name = NULL, error_memory(error);
    n->path = n->name;
    return HEED_OK;
}

static int32_t open_network(job *j, field_network *n, heed_error *error)
{
    const heed_stack *stack;
    TRY(model_open_any(&n->model, &j->engine, n->file, n->spec, 0, error));
    TRY(name_network(j, n, error));
    stack = n->model.stack;
    n->layers = heed_stack_number(stack, "layers"), n->heads = heed_stack_number(stack, "heads");
    n->width = heed_stack_number(stack, "width"), n->vocab = heed_stack_number(stack, "vocab");
    n->logits = !strstr(heed_stack_spec(stack), "; output=") && !stack->ahead;
    TRY(stack_plan_read(&n->plan, &n->model.engine->registry, heed_stack_spec(stack), error));
    TRY(field_longest(&n->plan, &n->longest, error));
    n->twin = heed_session_new(n->model.stack, error);
    return n->twin ? HEED_OK : error->code;
}

/* Tokens at a time: what the networks can have. */
static int32_t find_context(job *j, heed_error *error)
{
    field_text *t = &j->text;
    int64_t least = j->context ? j->context : USUAL_CONTEXT;
    for (uint32_t i = 0; i < j->count; i++) {
        const int64_t own = heed_stack_number(j->network[i].model.stack, "context");
        if (own < 0) continue;
        if (j->context > own)
            return error_set(error, HEED_E_ARGUMENT, "--context is %lld, but %s was made for %lld",
                             (long long)j->context, j->network[i].path, (long long)own);
        if (!j->context && (own < least || !t->context)) least = own, t->context = own;
    }
    t->context = least;
    t->beyond = FIELD_BEYOND * least > FIELD_BLOCKS ? FIELD_BEYOND * least : FIELD_BLOCKS;
    for (uint32_t i = 0; i < j->count; i++)
        if (j->network[i].tokens <= least)
            return error_set(error, HEED_E_DATA,
                             "%s: it has %lld tokens, but a context of %lld and the token behind "
                             "it are needed; --context N takes fewer",
                             t->path, (long long)j->network[i].tokens, (long long)least);
    return HEED_OK;
}

/* Places at equal distances, all windows inside of the text. */
static int32_t choose_places(job *j, heed_error *error)
{
    field_text *t = &j->text;
    const int64_t last = j->network[0].tokens - t->context - 1;
    t->places = j->places <= last ? j->places : last + 1;
    if (!(t->place = calloc((size_t)t->places, sizeof *t->place))) return error_memory(error);
    for (int64_t i = 1; i < t->places; i++)
        t->place[i] = (int64_t)((double)last * (double)i / (double)(t->places - 1));
    return HEED_OK;
}

/* Distances 0 to 8 and then each a quarter longer, up to the first token; lengths that are
 * powers of two below a step, and then its multiples. */
static int32_t choose_distances(job *j, heed_error *error)
{
    field_text *t = &j->text;
    const int64_t context = t->context;
    t->step = j->step ? j->step : context / STEPS > 0 ? context / STEPS : 1;
    t->distance = calloc(DISTANCES_MOST, sizeof *t->distance);
    t->length = calloc((size_t)(context / t->step) + LENGTHS_MORE, sizeof *t->length);
    if (!t->distance || !t->length) return error_memory(error);
    for (int64_t r = 0; r < context - 1; r += r < 8 ? 1 : r / 4) t->distance[t->distances++] = r;
    t->distance[t->distances++] = context - 1;
    for (int64_t c = 1; c < t->step && c < context; c *= 2) t->length[t->lengths++] = c;
    for (int64_t c = t->step; c < context; c += t->step) t->length[t->lengths++] = c;
    t->length[t->lengths++] = context;
    return HEED_OK;
}

static int32_t read_all(job *j, heed_error *error)
{
    unsigned char *bytes = NULL;
    size_t length = 0;
    int32_t failed = HEED_OK;
    j->text.path = j->ids ? j->ids : j->word[j->words - 1];
    if (!j->ids) failed = file_read(j->text.path, &bytes, &length, error);
    if (!strcmp(j->text.path, "-")) j->text.path = "standard input";
    for (uint32_t i = 0; i < j->count && !failed; i++) {
        failed = open_network(j, &j->network[i], error);
        if (!failed) failed = read_tokens(j, &j->network[i], bytes, length, error);
    }
    free(bytes);
    if (failed) return failed;
    TRY(find_context(j, error));
    TRY(choose_places(j, error));
    TRY(choose_distances(j, error));
    for (uint32_t i = 0; i < j->count; i++)
        TRY(field_of_network(&j->network[i].theory, &j->network[i].plan, j->text.context, error));
    return HEED_OK;
}

/* ---- the work ---- */

/* Why a network can not be measured so, into `why`. */
static void find_why(field_network *n, int measure, const field_text *t)
{
    const int64_t context = t->context;
    const heed_stack *s = n->model.stack;
    char *why = n->why[measure];
    const size_t room = sizeof n->why[measure];
    const int of_loss =
        measure == FIELD_TRUNCATION || measure == FIELD_GRADIENT || measure == FIELD_POSITION;
    if (measure == FIELD_POSITION && n->tokens <= t->beyond)
        snprintf(why, room,
                 "the text has %lld tokens, and %d contexts and the token behind them are %lld",
                 (long long)n->tokens, FIELD_BEYOND, (long long)t->beyond + 1);
    if (of_loss && !n->logits) snprintf(why, room, "it predicts no next token, so it has no loss");
    if (measure == FIELD_GRADIENT && n->longest && n->longest < context)
        snprintf(why, room,
                 "it reads a text in calls of %lld tokens, and what goes back from one call to "
                 "the one before is not there any more",
                 (long long)n->longest);
    if (measure == FIELD_ATTENTION && s->ahead)
        snprintf(why, room,
                 "tokens of %.200s see those behind them, and a mean of distances to both "
                 "sides says nothing",
                 s->ahead);
    if (measure == FIELD_ATTENTION && n->longest)
        snprintf(why, room,
                 "it reads a text in calls of %lld tokens, whose keys are not all of one "
                 "call",
                 (long long)n->longest);
}

/* What a network can not do, and others can: an op has no backward, or positions have an end. */
static int is_lacking(int measure, int32_t failed)
{
    return measure == FIELD_GRADIENT   ? failed == HEED_E_UNSUPPORTED
           : measure == FIELD_POSITION ? failed && failed != HEED_E_MEMORY
                                       : 0;
}

/* One measure of one network. What it can not have is said in its `why`; an error if that is all
 * that was asked for. */
static int32_t measure_one(job *j, field_network *n, int m, heed_error *error)
{
    static int32_t (*const run[FIELD_MEASURES])(field_network *, const field_text *,
                                                heed_error *) = {
        [FIELD_PERTURBATION] = field_perturb, [FIELD_GRADIENT] = field_differentiate,
        [FIELD_TRUNCATION] = field_truncate,  [FIELD_POSITION] = field_go_beyond,
        [FIELD_ATTENTION] = field_attend,     [FIELD_SIMILARITY] = field_compare,
    };
    const int alone = j->measure == m && j->count == 1;
    find_why(n, m, &j->text);
    if (*n->why[m] && j->measure == m)
        return error_set(error, HEED_E_UNSUPPORTED, "%s has no %s: %s", n->path, field_measures[m],
                         n->why[m]);
    if (*n->why[m]) return HEED_OK;
    const int32_t failed = run[m](n, &j->text, error);
    progress_end();
    if (!is_lacking(m, failed) || alone) return failed;
    snprintf(n->why[m], sizeof n->why[m], "%.310s", error->text);
    return HEED_OK;
}

static int32_t measure_all(job *j, heed_error *error)
{
    int done = 0;
    const char *why = NULL;
    for (uint32_t i = 0; i < j->count; i++)
        for (int m = 0; m < FIELD_MEASURES && !interrupt_seen; m++) {
            field_network *n = &j->network[i];
            if (j->measure != EVERY && j->measure != m) continue;
            TRY(measure_one(j, n, m, error));
            done |= field_has(n, m);
            if (*n->why[m]) why = n->why[m];
        }
    if (done) return HEED_OK;
    return why && !interrupt_seen
               ? error_set(error, HEED_E_UNSUPPORTED, "no network can be measured so: %s", why)
               : error_set(error, HEED_E_CANCELLED, "interrupted before there was a result");
}

static int show(job *j)
{
    heed_error error = {0};
    const field_network *n = j->network;
    int32_t failed = j->csv ? field_csv(n, j->count, &j->text, j->csv, &error) : HEED_OK;
    if (!failed && j->svg) failed = field_picture(n, j->count, &j->text, j->svg, &error);
    if (failed) return command_fail(&error);
    if (j->json) return command_json(field_json(n, j->count, &j->text));
    if ((!j->csv || strcmp(j->csv, "-")) && (!j->svg || strcmp(j->svg, "-")))
        field_print(n, j->count, &j->text);
    return 0;
}

static void close_all(job *j)
{
    for (uint32_t i = 0; i < j->count; i++) {
        field_network *n = &j->network[i];
        heed_session_free(n->twin);
        field_free(&n->theory);
        stack_plan_free(&n->plan);
        model_close(&n->model);
        free(n->token);
        free(n->loss_change);
        free(n->layer_change);
        free(n->slope);
        free(n->loss);
        free(n->loss_at);
        free(n->name);
        free(n->reach);
        free(n->similarity);
        free(n->size);
    }
    free(j->text.place);
    free(j->text.distance);
    free(j->text.length);
    free(j);
}

static int run(job *j)
{
    heed_error error = {0};
    int32_t failed = HEED_OK;
    j->text.seed = (uint64_t)j->seed;
    if (j->csv) failed = file_check(j->csv, &error);
    if (!failed && j->svg) failed = file_check(j->svg, &error);
    if (!failed) failed = read_all(j, &error);
    interrupt_catch();
    if (!failed) failed = measure_all(j, &error);
    progress_end();
    if (j->network[0].model.engine) origin_tell(j->network[0].model.engine);
    if (failed) return command_fail(&error);
    const int status = show(j);
    if (status || !interrupt_seen) return status;
    fprintf(stderr, "heed: interrupted: that is of the places that were read by then\n");
    return interrupt_status();
}

int command_field(int argc, char **argv)
{
    job *j = calloc(1, sizeof *j);
    if (!j) return command_fail(&(heed_error){.code = HEED_E_MEMORY, .text = "out of memory"});
    *j =
        (job){.engine.size = sizeof j->engine, .places = USUAL_PLACES, .seed = 1, .measure = EVERY};
    int status = options_parse(argc, argv, usage, options, j, &j->engine);
    if (!status) status = check_words(j);
    if (!status) status = run(j);
    close_all(j);
    return status;
}
