/* SPDX-License-Identifier: MIT
 *
 * options.c: the command line, read by a table of options.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/options.h"
#include "command/ranks.h"
#include "command/table.h"
#include "run/pool.h"

static const char *running = "help"; /* the command that is running */
static void (*watching)(void *to, const option *row);
static void *watching_to;

void options_watch(void (*see)(void *to, const option *row), void *to)
{
    watching = see, watching_to = to;
}

int options_usage(const char *format, ...)
{
    va_list list;
    if (ranks_is_silent()) return 2;
    va_start(list, format);
    fputs("heed: ", stderr);
    vfprintf(stderr, format, list);
    fprintf(stderr, "; heed %s -h shows the usage\n", running);
    va_end(list);
    return 2;
}

int options_threads(void *engine, const char *value)
{
    int64_t n = 0;
    int failed = options_int("--threads", value, 0, POOL_LANES_MAX, &n);
    if (!failed) ((heed_options *)engine)->threads = (uint32_t)n;
    return failed;
}

int options_pin(void *engine, const char *value)
{
    static const char *const how[] = {
        [HEED_PIN_COMPACT] = "compact", [HEED_PIN_SCATTER] = "scatter", [HEED_PIN_NONE] = "none"};
    for (uint32_t i = 0; i <= HEED_PIN_NONE; i++) {
        if (strcmp(value, how[i])) continue;
        ((heed_options *)engine)->pinning = i;
        return 0;
    }
    return options_usage("--pin takes compact, scatter or none, not " QUOTE, QUOTED(value));
}

static const option engine_options[] = {
    {"--isa", 1, .at = offsetof(heed_options, isa), .values = OPTIONS_PATHS},
    {"--threads", 1, .read = options_threads},
    {"--pin", 1, .read = options_pin, .values = "compact scatter none"},
    {0}};

/* The row whose name is the first `length` bytes of the word. */
static const option *find(const option *options, const char *word, size_t length)
{
    for (; options->name; options++)
        if (strlen(options->name) == length && !memcmp(options->name, word, length)) return options;
    return NULL;
}

static int unknown(const option *own, const option *shared, const char *word)
{
    const char *names[64];
    char given[64];
    uint32_t n = 0;
    for (const option *o = own; o->name && n < 64; o++)
        if (*o->name) names[n++] = o->name;
    for (const option *o = shared; o && o->name && n < 64; o++) names[n++] = o->name;
    snprintf(given, sizeof given, "%.*s", (int)strcspn(word, "="), word);
    const char *near = error_nearest(given, names, n);
    char list[400] = "";
    if (!near) error_list(list, sizeof list, "; there are ", names, n);
    return options_usage("unknown option " QUOTE "%s%s%s", QUOTED(given),
                         near ? ", the nearest is " : "", near ? near : "", list);
}

/* Hands the value to the row's function, or leaves it where the row says. */
static int take(const option *o, void *command, const char *value)
{
    char *at = (char *)command + o->at;
    if (o->read) return o->read(command, value);
    if (o->has_value) *(const char **)(void *)at = value;
    else *(int *)(void *)at = 1;
    return 0;
}

int options_parse(int argc, char **argv, const char *usage, const option *options, void *command,
                  heed_options *engine)
{
    const option *shared = engine ? engine_options : NULL, *plain = find(options, "", 0);
    int only_words = 0, failed = 0;
    for (const option *o = options; watching && o->name; o++) watching(watching_to, o);
    for (const option *o = shared; watching && o && o->name; o++)
        if (!find(options, o->name, strlen(o->name))) watching(watching_to, o);
    if (watching) return -1;
    running = argv[0];
    for (int i = 1; i < argc && !failed; i++) {
        const char *word = argv[i];
        if (only_words || word[0] != '-' || !word[1]) { /* "-" alone is a word */
            if (plain) failed = take(plain, command, word);
            else failed = options_usage(QUOTE " is one word too many", QUOTED(word));
            continue;
        }
        if (!strcmp(word, "--")) {
            only_words = 1;
            continue;
        }
        if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
            table_usage(usage);
            exit(0);
        }
        size_t length = !strncmp(word, "--", 2) ? strcspn(word, "=") : strlen(word);
        const option *o = find(options, word, length),
                     *s = !o && shared ? find(shared, word, length) : NULL;
        const char *value = word[length] ? word + length + 1 : NULL;
        if (s) o = s;
        if (!o) failed = unknown(options, shared, word);
        else if (!o->has_value && value) failed = options_usage("%s takes no value", o->name);
        else if (o->has_value && !value && i + 1 == argc)
            failed = options_usage("%s needs a value", o->name);
        else
            failed =
                take(o, s ? (void *)engine : command, o->has_value && !value ? argv[++i] : value);
    }
    return failed;
}

int options_int(const char *option, const char *value, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    size_t sign = *value == '-' || *value == '+';
    if (value[sign] < '0' || value[sign] > '9' || *end || errno || n < min || n > max) {
        if (max == INT64_MAX)
            return options_usage("%s takes a whole number from %lld on, not " QUOTE, option,
                                 (long long)min, QUOTED(value));
        return options_usage("%s takes a whole number from %lld to %lld, not " QUOTE, option,
                             (long long)min, (long long)max, QUOTED(value));
    }
    *out = n;
    return 0;
}

int options_float(const char *option, const char *value, double min, double max, double *out)
{
    char *end; /* the commands never call setlocale: the point is the decimal sign */
    size_t sign = *value == '-' || *value == '+';
    double f = strtod(value, &end);
    if (!strchr(".0123456789", value[sign]) || !value[sign] || *end || !isfinite(f) || f < min ||
        f > max)
        return options_usage("%s takes a number from %g to %g, not " QUOTE, option, min, max,
                             QUOTED(value));
    *out = f;
    return 0;
}

int options_dtype(const char *value, uint32_t *dtype)
{
    static const uint32_t known[] = {HEED_F32, HEED_F16, HEED_BF16};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(value, heed_dtype_name(known[i]))) return *dtype = known[i], 0;
    return options_usage("--dtype takes f32, f16 or bf16, not " QUOTE, QUOTED(value));
}
