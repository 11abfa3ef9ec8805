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

#include "command/command.h"
#include "command/options.h"
#include "command/probe.h"
#include "op/engine.h"

static const char usage[] =
    "usage: heed list [--isa PATH] [--json]\n"
    "\n"
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

/* ---- as text ---- */

enum { OP, PLUGIN, PATHS, SUMMARY, COLUMNS };

/* One line; `width` NULL: nothing is printed. Returns how wide the column of paths is. */
static int print_row(const heed_engine *engine, uint32_t index, const int *width)
{
    const heed_op *op = heed_op_at(engine, index);
    const heed_path *chosen = heed_op_path(engine, index);
    int n = 0;
    if (width)
        printf("%-*s  %-*s  ", width[OP], op->id, width[PLUGIN],
               file_name(heed_op_plugin(engine, index)));
    for (uint32_t i = 0; i < op->paths.count; i++) {
        const heed_path *p = path_at(op, i);
        const char *form = p == chosen ? "%s[%s%s]" : "%s%s%s", *blank = i ? " " : "";
        const char *tilde = p->flags & HEED_PATH_INEXACT ? "~" : "";
        n += width ? printf(form, blank, tilde, p->name)
                   : snprintf(NULL, 0, form, blank, tilde, p->name);
    }
    if (width) printf("%*s  %s\n", n < width[PATHS] ? width[PATHS] - n : 0, "", op->summary);
    return n;
}

static int wider(int a, size_t b) { return a > (int)b ? a : (int)b; }

static void print_table(const heed_engine *engine)
{
    static const char *const head[COLUMNS] = {"OP", "PLUGIN", "PATHS", "SUMMARY"};
    int width[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) width[c] = (int)strlen(head[c]);
    for (uint32_t i = 0; i < heed_op_count(engine); i++) {
        width[OP] = wider(width[OP], strlen(heed_op_at(engine, i)->id));
        width[PLUGIN] = wider(width[PLUGIN], strlen(file_name(heed_op_plugin(engine, i))));
        width[PATHS] = wider(width[PATHS], (size_t)print_row(engine, i, NULL));
    }
    if (heed_op_count(engine))
        printf("%-*s  %-*s  %-*s  %s\n", width[OP], head[OP], width[PLUGIN], head[PLUGIN],
               width[PATHS], head[PATHS], head[SUMMARY]);
    for (uint32_t i = 0; i < heed_op_count(engine); i++) print_row(engine, i, width);

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

static int print_json(const heed_engine *engine)
{
    int failed = 0;
    json_t *all = json_array();
    for (uint32_t i = 0; i < heed_op_count(engine); i++)
        failed |= json_array_append_new(all, json_op(engine, i));
    for (uint32_t i = 0; i < heed_refusal_count(engine); i++) {
        const char *path, *why = heed_refusal(engine, i, &path);
        fprintf(stderr, "heed: warning: %s is refused: %s\n", path, why);
    }
    return command_json(failed ? NULL : all);
}

/* ---- the command ---- */

typedef struct request {
    heed_options options;
    int json;
} request;

int command_list(int argc, char **argv)
{
    static const option options[] = {{"--json", 0, .at = offsetof(request, json)},
                                     {"--isa", 1, .at = offsetof(request, options.isa)}, {0}};
    request r = {.options = {.size = sizeof r.options, .threads = 1, .pinning = HEED_PIN_NONE}};
    heed_error error = {0};
    int status = options_parse(argc, argv, usage, options, &r, NULL);
    if (status) return status;
    heed_engine *engine = engine_make(&r.options, probe_plugins(), &error);
    if (!engine) return command_fail(&error);
    if (!heed_op_count(engine) && !heed_refusal_count(engine))
        fprintf(stderr,
                "heed: warning: no plugin was found; HEED_PLUGINS names the folders to look in\n");
    if (r.json) status = print_json(engine);
    else print_table(engine);
    heed_engine_free(engine);
    return status;
}
