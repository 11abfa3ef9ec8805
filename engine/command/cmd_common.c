/* SPDX-License-Identifier: MIT
 *
 * cmd_common.c: what the commands share. It prints; the library never does.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/error.h"
#include "command/cmd_common.h"
#include "op/engine.h"
#include "op/spec.h"
#include "run/pool.h"

/* ---- how a command ends ---- */

int cmd_fail(const heed_error *error)
{
    fflush(stdout);
    fprintf(stderr, "heed: %s\n", error->text[0] ? error->text : "failed, and it is not known why");
    return 1;
}

static const char *running = "help"; /* the command, for cmd_usage */

int cmd_usage(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("heed: ", stderr);
    vfprintf(stderr, format, list);
    fprintf(stderr, "; heed %s -h shows the usage\n", running);
    va_end(list);
    return 2;
}

int cmd_json(json_t *json)
{
    heed_error error;
    if (!json) {
        error_memory(&error);
        return cmd_fail(&error);
    }
    int failed = json_dumpf(json, stdout, JSON_INDENT(2));
    json_decref(json);
    if (failed || putchar('\n') == EOF) {
        error_set(&error, HEED_E_SYSTEM, "standard output: %s", strerror(errno));
        return cmd_fail(&error);
    }
    return 0;
}

/* ---- the command line ---- */

static int read_isa(void *engine, const char *value)
{
    ((heed_options *)engine)->isa = value;
    return 0;
}

static int read_threads(void *engine, const char *value)
{
    int64_t n = 0;
    int failed = cmd_int("--threads", value, 0, POOL_LANES_MAX, &n);
    if (!failed) ((heed_options *)engine)->threads = (uint32_t)n;
    return failed;
}

static int read_pin(void *engine, const char *value)
{
    static const char *const how[] = {
        [HEED_PIN_COMPACT] = "compact", [HEED_PIN_SCATTER] = "scatter", [HEED_PIN_NONE] = "none"};
    for (uint32_t i = 0; i <= HEED_PIN_NONE; i++) {
        if (strcmp(value, how[i])) continue;
        ((heed_options *)engine)->pinning = i;
        return 0;
    }
    return cmd_usage("--pin takes compact, scatter or none, not " SPEC_QUOTE, SPEC_QUOTED(value));
}

static const cmd_option engine_options[] = {
    {"--isa", 1, read_isa}, {"--threads", 1, read_threads}, {"--pin", 1, read_pin}, {0}};

/* The row whose name is the first `length` bytes of the word. */
static const cmd_option *find(const cmd_option *options, const char *word, size_t length)
{
    for (; options->name; options++)
        if (strlen(options->name) == length && !memcmp(options->name, word, length)) return options;
    return NULL;
}

static int unknown(const cmd_option *own, const cmd_option *shared, const char *word)
{
    const char *names[64];
    char given[64];
    uint32_t n = 0;
    for (const cmd_option *o = own; o->name && n < 64; o++)
        if (*o->name) names[n++] = o->name;
    for (const cmd_option *o = shared; o && o->name && n < 64; o++) names[n++] = o->name;
    snprintf(given, sizeof given, "%.*s", (int)strcspn(word, "="), word);
    const char *near = error_nearest(given, names, n);
    return cmd_usage("unknown option " SPEC_QUOTE "%s%s", SPEC_QUOTED(given), near ? ", the nearest is " : "",
                     near ? near : "");
}

int cmd_parse(int argc, char **argv, const char *usage, const cmd_option *options, void *command, heed_options *engine)
{
    const cmd_option *shared = engine ? engine_options : NULL, *plain = find(options, "", 0);
    int only_words = 0, failed = 0;
    running = argv[0];
    for (int i = 1; i < argc && !failed; i++) {
        const char *word = argv[i];
        if (only_words || word[0] != '-' || !word[1]) { /* "-" alone is a word */
            if (plain) failed = plain->read(command, word);
            else failed = cmd_usage(SPEC_QUOTE " is one word too many", SPEC_QUOTED(word));
            continue;
        }
        if (!strcmp(word, "--")) {
            only_words = 1;
            continue;
        }
        if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
            fputs(usage, stdout);
            exit(0);
        }
        size_t length = !strncmp(word, "--", 2) ? strcspn(word, "=") : strlen(word);
        const cmd_option *o = find(options, word, length), *s = !o && shared ? find(shared, word, length) : NULL;
        const char *value = word[length] ? word + length + 1 : NULL;
        if (s) o = s;
        if (!o) failed = unknown(options, shared, word);
        else if (!o->has_value && value) failed = cmd_usage("%s takes no value", o->name);
        else if (o->has_value && !value && i + 1 == argc) failed = cmd_usage("%s needs a value", o->name);
        else failed = o->read(s ? (void *)engine : command, o->has_value && !value ? argv[++i] : value);
    }
    return failed;
}

int cmd_int(const char *option, const char *value, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    size_t sign = *value == '-' || *value == '+';
    if (value[sign] < '0' || value[sign] > '9' || *end || errno || n < min || n > max) {
        if (max == INT64_MAX)
            return cmd_usage("%s takes a whole number from %lld on, not " SPEC_QUOTE, option, (long long)min,
                             SPEC_QUOTED(value));
        return cmd_usage("%s takes a whole number from %lld to %lld, not " SPEC_QUOTE, option, (long long)min,
                         (long long)max, SPEC_QUOTED(value));
    }
    *out = n;
    return 0;
}

int cmd_float(const char *option, const char *value, double min, double max, double *out)
{
    char *end; /* the commands never call setlocale: the point is the decimal sign */
    size_t sign = *value == '-' || *value == '+';
    double f = strtod(value, &end);
    if (!strchr(".0123456789", value[sign]) || !value[sign] || *end || !isfinite(f) || f < min || f > max)
        return cmd_usage("%s takes a number from %g to %g, not " SPEC_QUOTE, option, min, max, SPEC_QUOTED(value));
    *out = f;
    return 0;
}

/* ---- the engine ---- */

heed_engine *cmd_engine(const heed_options *options, heed_error *error)
{
    return heed_engine_new(options, error);
}

const char *cmd_path(const heed_engine *engine)
{
    const char *best = "scalar", *name;
    const int named = !strcmp(engine->isa, "avx512_bf16") || !strcmp(engine->isa, "neon_bf16");
    const uint64_t features = engine->features & ~(named ? 0 : CPU_INEXACT); /* other bits are for who asks for them */
    for (uint32_t i = 0; (name = cpu_path(features, i)); i++) best = name;
    return best;
}

int32_t cmd_model_open(cmd_model *m, const heed_options *options, const char *path, const char *spec, uint64_t seed,
                       heed_error *error)
{
    *m = (cmd_model){.weights = path ? heed_weights_open(path, error) : NULL}; /* first: a wrong name fails at once */
    if (m->weights || !path) m->engine = cmd_engine(options, error);
    if (m->engine && !path) m->weights = heed_weights_random(m->engine, spec, seed, error);
    if (!m->weights) return error->code;
    if (m->engine && heed_lanes(m->engine) > 1) pool_pin_caller(m->engine->pool);
    if (m->engine) m->stack = heed_stack_open(m->engine, spec, m->weights, error);
    if (m->stack) m->session = heed_session_new(m->stack, error);
    return m->session ? HEED_OK : error->code;
}

void cmd_model_close(cmd_model *m)
{
    heed_session_free(m->session);
    heed_stack_close(m->stack);
    heed_weights_close(m->weights);
    heed_engine_free(m->engine);
}

/* ---- files, time, chance ---- */

int32_t cmd_read_file(const char *path, unsigned char **bytes, size_t *n, heed_error *error)
{
    int32_t failed = HEED_OK;
    unsigned char *all = NULL;
    size_t room = 0, length = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    do {
        if (length == room) { /* its size is not asked for: a pipe has none */
            unsigned char *larger = room <= SIZE_MAX / 4 ? realloc(all, room = room ? 2 * room : 1 << 16) : NULL;
            if (!larger) {
                failed = error_memory(error);
                break;
            }
            all = larger;
        }
        length += fread(all + length, 1, room - length, file);
        if (ferror(file)) failed = error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    } while (!failed && !feof(file));
    fclose(file);
    if (failed) {
        free(all);
        return failed;
    }
    *bytes = all;
    *n = length;
    return HEED_OK;
}

double cmd_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double cmd_draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-24;
}
