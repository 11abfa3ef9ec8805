/* SPDX-License-Identifier: MIT
 *
 * list.c: heed list: every op, where it comes from, the path that would run here; and the plugins
 * refused with why.
 *
 * It starts no thread and does not read the machine's topology, so that it ends within
 * milliseconds.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command/command.h"
#include "command/options.h"
#include "command/probe.h"
#include "command/table.h"
#include "op/engine.h"

static const char usage[] =
    "usage: heed list [KIND] [--isa PATH] [--json]\n"
    "\n"
    "  KIND        attention, norm or another: ops of this kind alone\n"
    "  --isa PATH  as if this machine had no more than scalar, avx2, avx512, avx512_bf16, neon or "
    "neon_bf16\n"
    "  --json      an array of {id, version, plugin, paths, inexact, chosen, summary, reference}\n"
    "\n"
    "A path in [ ] is the one that runs here. One with a ~ gives other bits than the rest, and "
    "runs only where --isa\n"
    "names it or the spec says accuracy=fast. Plugins are looked for in the folders of "
    "HEED_PLUGINS.\n";

static const heed_path *path_at(const heed_op *op, uint32_t i)
{
    return (const heed_path *)op->paths.data + i;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- what is asked for ---- */

typedef struct request {
    heed_options options;
    const char *kind; /* NULL: all */
    int json;
} request;

static int read_kind(void *to, const char *value)
{
    request *r = to;
    if (r->kind) return options_usage("list takes one kind, not also " QUOTE, QUOTED(value));
    r->kind = value;
    return 0;
}

/* Whether an op is of the kind, NULL for any. */
static int is_asked(const heed_engine *engine, uint32_t i, const char *kind)
{
    const char *id = heed_op_at(engine, i)->id;
    size_t n = strcspn(id, "/");
    return !kind || (strlen(kind) == n && !memcmp(kind, id, n));
}

/* A kind of which there is no op is an error, with those that there are. */
static int32_t check_kind(const heed_engine *engine, const char *kind, heed_error *error)
{
    enum { KINDS = 32 };
    char all[KINDS][32], list[320] = "", refused[REFUSED_TEXT];
    const char *names[KINDS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < heed_op_count(engine); i++) { /* sorted by id */
        const char *id = heed_op_at(engine, i)->id;
        if (is_asked(engine, i, kind)) return HEED_OK;
        if (n == KINDS || (n && is_asked(engine, i, all[n - 1]))) continue;
        snprintf(all[n], sizeof all[n], "%.*s", (int)strcspn(id, "/"), id);
        names[n] = all[n];
        n++;
    }
    const char *near = error_nearest(kind, names, n);
    error_list(list, sizeof list, "; there are ", names, n);
    registry_refused(&engine->registry, NULL, refused);
    return error_set(error, HEED_E_ARGUMENT, "no op is of kind " QUOTE "%s%s%s%s", QUOTED(kind),
                     near ? ", the nearest is " : "", near ? near : "", list, refused);
}

/* ---- as text ---- */

#define WIDE 120 /* columns, from which on there is room for all paths */

/* `narrow`: the one that would run, alone. */
static void paths_text(const heed_engine *engine, uint32_t index, int narrow, char *text, size_t n)
{
    const heed_op *op = heed_op_at(engine, index);
    const heed_path *chosen = heed_op_path(engine, index);
    *text = 0;
    for (uint32_t i = 0; i < op->paths.count; i++) {
        const heed_path *p = path_at(op, i);
        size_t at = strlen(text);
        if (narrow && p != chosen) continue;
        snprintf(text + at, n - at, p == chosen ? "%s[%s%s]" : "%s%s%s", at ? " " : "",
                 p->flags & HEED_PATH_INEXACT ? "~" : "", p->name);
    }
}

/* The plugin's file is mostly named after the op, so it goes first where there is no room. */
static void print_table(const heed_engine *engine, const char *kind)
{
    static const table_column columns[] = {
        {"OP", 0, 0, 0}, {"PLUGIN", 0, 0, 1}, {"PATHS", 0, 0, 2}, {"SUMMARY", 0, 16, 3}};
    table t = {.column = columns, .n_columns = 4, .headless = !heed_op_count(engine)};
    const int narrow = table_width(STDOUT_FILENO) < WIDE;
    for (uint32_t i = 0; i < heed_op_count(engine); i++) {
        if (!is_asked(engine, i, kind)) continue;
        char paths[512];
        paths_text(engine, i, narrow, paths, sizeof paths);
        table_cell(&t, "%s", heed_op_at(engine, i)->id);
        table_cell(&t, "%s", file_name(heed_op_plugin(engine, i)));
        table_cell(&t, "%s", paths);
        table_cell(&t, "%s", heed_op_at(engine, i)->summary);
    }
    table_print(&t);

    uint32_t refused = heed_refusal_count(engine);
    if (refused) printf("%srefused:\n", heed_op_count(engine) ? "\n" : "");
    for (uint32_t i = 0; i < refused; i++) {
        const char *path, *why = heed_refusal(engine, i, &path);
        printf("  %s: %s\n", path, why);
    }
}

/* ---- as JSON ---- */

static json_t *json_op(const heed_engine *engine, uint32_t index)
{
    const heed_op *op = heed_op_at(engine, index);
    const heed_path *chosen = heed_op_path(engine, index);
    json_t *paths = json_array(), *inexact = json_array();
    for (uint32_t i = 0; i < op->paths.count; i++) {
        const heed_path *p = path_at(op, i);
        json_array_append_new(paths, json_string(p->name));
        if (p->flags & HEED_PATH_INEXACT) json_array_append_new(inexact, json_string(p->name));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:s, s:s}", "id", op->id, "version",
                     op->version, "plugin", heed_op_plugin(engine, index), "paths", paths,
                     "inexact", inexact, "chosen", chosen ? chosen->name : NULL, "summary",
                     op->summary, "reference", op->reference);
}

static int print_json(const heed_engine *engine, const char *kind)
{
    int failed = 0;
    json_t *all = json_array();
    for (uint32_t i = 0; i < heed_op_count(engine); i++)
        if (is_asked(engine, i, kind)) failed |= json_array_append_new(all, json_op(engine, i));
    for (uint32_t i = 0; i < heed_refusal_count(engine); i++) {
        const char *path, *why = heed_refusal(engine, i, &path);
        fprintf(stderr, "heed: warning: %s is refused: %s\n", path, why);
    }
    return command_json(failed ? NULL : all);
}

/* ---- the command ---- */

int command_list(int argc, char **argv)
{
    static const option options[] = {
        {"", 1, .read = read_kind, .values = "KIND"},
        {"--json", 0, .at = offsetof(request, json)},
        {"--isa", 1, .at = offsetof(request, options.isa), .values = OPTIONS_PATHS},
        {0}};
    request r = {.options = {.size = sizeof r.options, .threads = 1, .pinning = HEED_PIN_NONE}};
    heed_error error = {0};
    int status = options_parse(argc, argv, usage, options, &r, NULL);
    if (status) return status;
    heed_engine *engine = engine_make(&r.options, probe_plugins(), &error);
    if (!engine) return command_fail(&error);
    if (!heed_op_count(engine) && !heed_refusal_count(engine))
        fprintf(stderr,
                "heed: warning: no plugin was found; HEED_PLUGINS names the folders to look in\n");
    if (r.kind && check_kind(engine, r.kind, &error)) status = command_fail(&error);
    else if (r.json) status = print_json(engine, r.kind);
    else print_table(engine, r.kind);
    heed_engine_free(engine);
    return status;
}
