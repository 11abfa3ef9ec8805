/* SPDX-License-Identifier: MIT
 *
 * completion.c: heed completion: the scripts for bash and zsh, and what they ask: which words may
 * come next. Those are read off the tables of options and the descriptors of ops, so that a new
 * option, command or plugin is completed as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"
#include "command/completion.h"
#include "command/options.h"
#include "command/probe.h"
#include "op/engine.h"

static const char usage[] =
    "usage: heed completion bash|zsh\n"
    "Prints a script that has the shell complete commands, options, ops and their settings:\n"
    "\n"
    "  source <(heed completion bash)     in ~/.bashrc\n"
    "  source <(heed completion zsh)      in ~/.zshrc, behind compinit\n"
    "\n"
    "make install puts both where the shells look. They ask this program:\n"
    "\n"
    "  --words         the words that may stand in the place of the last one of a command line,\n"
    "                  which follows behind -- and without heed itself; :files stands for the\n"
    "                  names of files\n";

static const char bash_script[] =
#include "completion_bash.h"
    ;
static const char zsh_script[] =
#include "completion_zsh.h"
    ;

/* A command line, as far as it is written. */
typedef struct line {
    const char **word;
    uint32_t n;
    int asked; /* --words */
    const completion_command *commands;
    const option *found; /* the row whose value the last word is */
} line;

static const char *last(const line *l) { return l->word[l->n - 1]; }

static void offer(const line *l, const char *word)
{
    if (!strncmp(word, last(l), strlen(last(l)))) puts(word);
}

/* ---- ops ---- */

/* The words before the place that is written: "attention/softmax(causal=true, " */
static void offer_behind(const char *text, size_t kept, const char *word, const char *end)
{
    const char *part = text + kept;
    if (!strncmp(word, part, strlen(part))) printf("%.*s%s%s\n", (int)kept, text, word, end);
}

static const heed_param *param_at(const heed_op *op, uint32_t i)
{
    return (const heed_param *)op->params.data + i;
}

/* "a|b|c" */
static void offer_choices(const char *text, size_t kept, const char *words)
{
    char word[128];
    for (; *words; words += strcspn(words, "|"), words += *words == '|') {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(words, "|"), words);
        offer_behind(text, kept, word, "");
    }
}

/* Ops of a kind: their names, for there the kind is known. */
static void offer_kind(const heed_engine *engine, const char *text, size_t kept, const char *kind)
{
    size_t n = strlen(kind);
    for (uint32_t i = 0; i < heed_op_count(engine); i++) {
        const char *id = heed_op_at(engine, i)->id;
        if (!strncmp(id, kind, n) && id[n] == '/') offer_behind(text, kept, id + n + 1, "");
    }
}

static void offer_value(const heed_engine *engine, const heed_op *op, const char *text, size_t at,
                        size_t value)
{
    size_t n = value - 1 - at;
    for (uint32_t i = 0; i < op->params.count; i++) {
        const heed_param *p = param_at(op, i);
        if (strlen(p->key) != n || memcmp(p->key, text + at, n)) continue;
        if (p->type == HEED_PARAM_BOOL) offer_choices(text, value, "false|true");
        if (p->type == HEED_PARAM_CHOICE) offer_choices(text, value, p->choices);
        if (p->type == HEED_PARAM_OP) offer_kind(engine, text, value, p->choices);
    }
    if (n == 6 && !memcmp(text + at, "causal", 6))
        offer_choices(text, value, "true|false|bottom_right");
}

static const heed_op *find_op(const heed_engine *engine, const char *id, size_t n)
{
    for (uint32_t i = 0; i < heed_op_count(engine); i++) {
        const heed_op *op = heed_op_at(engine, i);
        const char *name = strchr(op->id, '/') + 1;
        if ((strlen(op->id) == n && !memcmp(op->id, id, n)) ||
            (strlen(name) == n && !memcmp(name, id, n)))
            return op;
    }
    return NULL;
}

/* The settings of the op whose parenthesis is still open, or the value of one. */
static void offer_settings(const heed_engine *engine, const char *text, size_t open)
{
    static const struct {
        uint32_t kind;
        const char *key;
    } masks[] = {{HEED_MASK_CAUSAL, "causal"},
                 {HEED_MASK_WINDOW, "window"},
                 {HEED_MASK_PREFIX, "prefix"},
                 {HEED_MASK_SINKS, "sinks"},
                 {HEED_MASK_BLOCKS, "blocks"}};
    size_t id = open, at = open + 1;
    while (id && !strchr("(=, ", text[id - 1])) id--;
    for (size_t i = at; text[i]; i++)
        if (text[i] == ',') at = i + 1;
    while (text[at] == ' ') at++;
    const heed_op *op = find_op(engine, text + id, open - id);
    const char *equals = strchr(text + at, '=');
    if (!op) return;
    if (equals) {
        offer_value(engine, op, text, at, (size_t)(equals + 1 - text));
        return;
    }
    for (uint32_t i = 0; i < op->params.count; i++)
        offer_behind(text, at, param_at(op, i)->key, "=");
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        if (op->masks & masks[i].kind) offer_behind(text, at, masks[i].key, "=");
}

/* The last parenthesis of a text that is not closed, or its length. */
static size_t open_one(const char *text)
{
    size_t open[64], n = 0, at = 0;
    for (; text[at]; at++) {
        if (text[at] == '(' && n < 64) open[n++] = at;
        if (text[at] == ')' && n) n--;
    }
    return n ? open[n - 1] : at;
}

static void offer_ops(const line *l, const char *what)
{
    heed_options o = {.size = sizeof o, .threads = 1, .pinning = HEED_PIN_NONE};
    heed_engine *engine = engine_make(&o, probe_plugins(), NULL);
    const char *text = last(l);
    size_t open = open_one(text);
    for (uint32_t i = 0; engine && i < heed_op_count(engine); i++) {
        const char *id = heed_op_at(engine, i)->id;
        char kind[128];
        snprintf(kind, sizeof kind, "%.*s", (int)strcspn(id, "/"), id);
        if (strcmp(what, "KIND")) offer(l, id);
        else if (!i || strncmp(heed_op_at(engine, i - 1)->id, id, strlen(kind) + 1)) offer(l, kind);
    }
    if (engine && text[open] && !strcmp(what, "SPEC")) offer_settings(engine, text, open);
    heed_engine_free(engine);
}

/* ---- words ---- */

/* What a row of options says that its value is: words, and in capitals what is looked up. */
static void offer_values(const line *l, const char *values)
{
    char word[64];
    for (; *values; values += strcspn(values, " "), values += *values == ' ') {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(values, " "), values);
        if (!strcmp(word, "FILE")) puts(":files");
        else if (!strcmp(word, "OP") || !strcmp(word, "SPEC") || !strcmp(word, "KIND"))
            offer_ops(l, word);
        else offer(l, word);
    }
}

/* A row of the command's options: its name, or, where the word before names it, its values. */
static void see(void *to, const option *o)
{
    line *l = to;
    const char *before = l->n > 2 ? l->word[l->n - 2] : "";
    size_t n = strlen(o->name);
    char joined[64];
    if (*o->name && o->has_value && !strcmp(before, o->name)) l->found = o;
    else if (o->has_value && n > 2 && !strncmp(last(l), o->name, n) && last(l)[n] == '=')
        l->found = o;
    else if (!*o->name && *last(l) != '-' && !l->found) l->found = o;
    else if (*last(l) == '-' && *o->name) {
        snprintf(joined, sizeof joined, "%s", o->name);
        offer(l, joined);
    }
}

static void offer_words(line *l)
{
    const completion_command *c = l->commands;
    if (l->n < 2) {
        for (; c->name; c++) offer(l, c->name);
        return;
    }
    while (c->name && strcmp(c->name, l->word[0])) c++;
    if (!c->name) return;
    if (!c->run) {
        for (c = l->commands; c->name; c++) offer(l, c->name);
        return;
    }
    char *words[] = {(char *)c->name, NULL};
    options_watch(see, l);
    c->run(1, words);
    options_watch(NULL, NULL);
    if (*last(l) == '-' && !l->found) offer(l, "--help");
    if (!l->found || !l->found->values) return;
    const char *equals = *l->found->name ? strchr(last(l), '=') : NULL;
    if (!equals || strncmp(last(l), "--", 2)) {
        offer_values(l, l->found->values);
        return;
    }
    /* --option=value: the words are offered whole */
    char word[256];
    for (const char *v = l->found->values; *v; v += strcspn(v, " "), v += *v == ' ') {
        snprintf(word, sizeof word, "%s=%.*s", l->found->name, (int)strcspn(v, " "), v);
        if (!strncmp(v, "FILE", 4)) puts(":files");
        else offer(l, word);
    }
}

/* ---- the command ---- */

static int read_word(void *to, const char *value)
{
    line *l = to;
    l->word[l->n++] = value;
    return 0;
}

int completion_run(int argc, char **argv, const completion_command *commands)
{
    static const option options[] = {{"--words", 0, .at = offsetof(line, asked)},
                                     {"", 1, .read = read_word, .values = "bash zsh"},
                                     {0}};
    line l = {.word = calloc((size_t)argc + 1, sizeof *l.word), .commands = commands};
    if (!l.word) return command_fail(&(heed_error){HEED_E_MEMORY, "out of memory"});
    int status = options_parse(argc, argv, usage, options, &l, NULL);
    if (!status && l.asked) {
        if (l.n) offer_words(&l);
    } else if (!status) {
        const char *shell = l.n == 1 ? l.word[0] : "";
        if (!strcmp(shell, "bash")) fputs(bash_script, stdout);
        else if (!strcmp(shell, "zsh")) fputs(zsh_script, stdout);
        else status = options_usage("completion takes the name of a shell, bash or zsh");
    }
    free(l.word);
    return status;
}
