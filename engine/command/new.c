/* SPDX-License-Identifier: MIT
 *
 * new.c: heed new, the folder of a new plugin: an op that works, its oracle, a Makefile, a README.
 * What they say is in plugins/kit/templates/, where @NAME@ and a few words more stand for what
 * differs.
 *
 * Invariant: the folder appears whole, by one rename, or not at all; nothing that was there before
 * is touched.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/place.h"
#include "command/command.h"
#include "command/file.h"
#include "command/options.h"
#include "op/engine.h"

#ifndef HEED_DATADIR /* set by the build: where the templates and heed-plugin.pc are installed */
#define HEED_DATADIR "/usr/local/share/heed"
#define HEED_PKGCONFIGDIR "/usr/local/lib/pkgconfig"
#endif

static const char usage[] =
    "usage: heed new KIND NAME [--on flash|linear|plain]\n"
    "Makes the folder NAME, with a plugin that works: the op KIND/NAME in C, its formula in "
    "float64 to hold it\n"
    "against, a Makefile and a README. Then: make -C NAME check; make -C NAME bench.\n"
    "\n"
    "  KIND        attention, cache (a codec of keys and values), norm or position\n"
    "  NAME        a letter, then letters, digits and _, all small\n"
    "  --on flash  an attention on the kit's tiled core, which brings masks, a cache and its speed "
    "(the default)\n"
    "  --on linear an attention in linear time on the kit's chunked core, with a state of constant "
    "size\n"
    "  --on plain  plain loops over the kit's vectors\n";

/* What there is to begin with: the first row of a kind is its default. */
static const struct template {
    const char *kind, *on, *file, *oracle; /* files in the templates' folder; NULL: it has none */
    const char *bench;                     /* what `make bench` measures */
}
templates[] = {
    {"attention", "flash", "attention_flash.c", "attention_oracle.c",
     "'attention/$(name)(causal=true)' 'attention/softmax(causal=true)' --shape T=1024,H=4,D=64 "
     "--isa all --rounds 3"},
    {"attention", "linear", "attention_linear.c", "attention_linear_oracle.c",
     "'attention/$(name)(causal=true)' 'attention/softmax(causal=true)' --shape T=1024,H=4,D=64 "
     "--isa all --rounds 3"},
    {"attention", "plain", "attention_plain.c", "attention_oracle.c",
     "'attention/$(name)(causal=true)' --shape T=256,H=4,D=64 --isa all --rounds 3"},
    {"cache", "plain", "cache.c", NULL,
     "'attention/softmax(causal=true,cache=$(name))' 'attention/softmax(causal=true)' --shape "
     "H=8,G=2,D=64,decode=2000 --rounds 3"},
    {"norm", "plain", "norm.c", "norm_oracle.c",
     "norm/$(name) norm/rms --shape x=1024,M=1024 --isa all --rounds 3"},
    {"position", "plain", "position.c", "position_oracle.c",
     "position/$(name) --shape T=1024,M=1024,P=1024 --isa all --rounds 3"},
};
#define TEMPLATES (sizeof templates / sizeof *templates)

typedef struct words {
    const char *kind, *name, *on;
} words;

/* What takes the place of @...@ in a template. */
typedef struct replacement {
    const char *word, *text;
} replacement;

/* ---- what is asked for ---- */

static int read_word(void *to, const char *value)
{
    words *w = to;
    if (!w->kind) w->kind = value;
    else if (!w->name) w->name = value;
    else return options_usage(QUOTE " is one word too many", QUOTED(value));
    return 0;
}

static int read_on(void *to, const char *value)
{
    if (strcmp(value, "flash") && strcmp(value, "linear") && strcmp(value, "plain"))
        return options_usage("--on takes flash, linear or plain, not " QUOTE, QUOTED(value));
    ((words *)to)->on = value;
    return 0;
}

static const struct template *choose(const words *w, heed_error *error)
{
    const char *kinds[TEMPLATES];
    int known = 0;
    for (size_t i = 0; i < TEMPLATES; i++) {
        kinds[i] = templates[i].kind;
        if (strcmp(w->kind, templates[i].kind)) continue;
        if (!w->on || !strcmp(w->on, templates[i].on)) return &templates[i];
        known = 1;
    }
    const char *near = error_nearest(w->kind, kinds, TEMPLATES);
    if (known)
        error_set(error, HEED_E_ARGUMENT, "there is no template of %s on %s", w->kind, w->on);
    else
        error_set(error, HEED_E_ARGUMENT,
                  "there is no template of the kind " QUOTE
                  "%s%s; there are attention, cache, norm and position",
                  QUOTED(w->kind), near ? ", the nearest is " : "", near ? near : "");
    return NULL;
}

static int32_t check_name(const char *name, heed_error *error)
{
    const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (*name < 'a' || *name > 'z' || name[n])
        return error_set(error, HEED_E_ARGUMENT,
                         "the name " QUOTE
                         " is not a small letter, then small letters, digits and _",
                         QUOTED(name));
    if (n > 40)
        return error_set(error, HEED_E_ARGUMENT, "the name has %zu letters; up to 40 are taken", n);
    return HEED_OK;
}

/* Two plugins with one id would not load side by side. */
static int32_t check_id(const words *w, heed_error *error)
{
    heed_engine *engine = heed_engine_new(NULL, error);
    if (!engine) return error->code;
    char id[128];
    int32_t code = HEED_OK;
    snprintf(id, sizeof id, "%s/%s", w->kind, w->name);
    const entry *e = registry_find(&engine->registry, id);
    if (e)
        code = error_set(error, HEED_E_ARGUMENT,
                         "there is an op %s already, in %s; give another name", id, e->plugin);
    heed_engine_free(engine);
    return code;
}

/* ---- where this command is ---- */

/* The folder above the one that the command is in: a build tree, or where heed is installed. free()
 * it. */
static char *top_folder(const char *command)
{
    char *top = strdup(command);
    for (int i = 0; top && i < 2; i++) {
        char *cut = strrchr(top, '/');
        if (cut) *cut = 0;
    }
    return top;
}

/* A formatted text; free() it. NULL: no memory. */
static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *format, ...)
{
    char *text;
    va_list list;
    va_start(list, format);
    const int n = vasprintf(&text, format, list);
    va_end(list);
    return n < 0 ? NULL : text;
}

/* Whether the shell finds this command by its name alone. */
static int is_in_path(const char *command)
{
    const char *name = strrchr(command, '/'), *at = getenv("PATH");
    for (size_t n; at; at = at[n] ? at + n + 1 : NULL) {
        n = strcspn(at, ":");
        char *path = text_of("%.*s%s", (int)n, at, name),
             *real = path && n && !access(path, X_OK) ? realpath(path, NULL) : NULL;
        const int is = real && !strcmp(real, command), other = real && !is;
        free(path), free(real);
        if (is || other) return is; /* the first one counts */
    }
    return 0;
}

/* A path as one word of a shell command in a Makefile; free() it. NULL: no memory. */
static char *word_of(const char *path)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-";
    if (!path || !path[strspn(path, plain)]) return path ? strdup(path) : NULL;
    char *word = malloc(4 * strlen(path) + 3), *to = word;
    if (!word) return NULL;
    *to++ = '\'';
    for (; *path; path++) {
        const char one[] = {*path, 0};
        const char *as = *path == '\'' ? "'\\''" : *path == '$' ? "$$" : *path == '#' ? "\\#" : one;
        to = stpcpy(to, as);
    }
    strcpy(to, "'");
    return word;
}

static int exists(const char *folder, const char *name)
{
    char *path = text_of("%s/%s", folder, name);
    const int there = path && access(path, R_OK) == 0;
    free(path);
    return there;
}

static int is_build_tree(const char *top)
{
    return exists(top, "plugins/heed-plugin-uninstalled.pc");
}

/* ---- the files ---- */

/* The text of a template, with its words replaced. free(*text). */
static int32_t fill(const char *folder, const char *file, const replacement *with, char **text,
                    heed_error *error)
{
    char *path = text_of("%s/%s", folder, file);
    unsigned char *bytes;
    size_t n, made;
    const int32_t failed = path ? file_read(path, &bytes, &n, error) : error_memory(error);
    free(path);
    if (failed) return failed;
    FILE *to = open_memstream(text, &made);
    if (!to) {
        free(bytes);
        return error_memory(error);
    }
    for (size_t i = 0; i < n;) {
        const replacement *r = with;
        while (r->word && (n - i < strlen(r->word) || memcmp(bytes + i, r->word, strlen(r->word))))
            r++;
        if (r->word) fputs(r->text, to), i += strlen(r->word);
        else fputc(bytes[i++], to);
    }
    free(bytes);
    return fclose(to) ? error_memory(error) : HEED_OK;
}

static int32_t write_file(const char *path, const char *text, heed_error *error)
{
    FILE *to = fopen(path, "wx");
    if (!to) return error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    int failed = fputs(text, to) < 0;
    if (fclose(to) || failed)
        return error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    return HEED_OK;
}

/* All files into a folder of another name, which then gets its own. */
static int32_t make_folder(const char *from, const char *name, const char *const files[4],
                           const replacement *with, heed_error *error)
{
    static const char *const called[4] = {"%s/%s.c", "%s/%s_oracle.c", "%s/Makefile",
                                          "%s/README.md"};
    char draft[64], path[4][128];
    struct stat s;
    int made = 0;
    int32_t code = HEED_OK;
    if (lstat(name, &s) == 0)
        return error_set(error, HEED_E_ARGUMENT, "%s is there already; nothing was changed", name);
    snprintf(draft, sizeof draft, ".%s.XXXXXX", name);
    if (!mkdtemp(draft))
        return error_set(error, HEED_E_SYSTEM, "the folder %s cannot be made here: %s", name,
                         strerror(errno));
    for (; made < 4 && !code; made++) {
        char *text = NULL;
        path[made][0] = 0;
        if (!files[made]) continue;
        snprintf(path[made], sizeof path[made], called[made], draft, name);
        code = fill(from, files[made], with, &text, error);
        if (!code) code = write_file(path[made], text, error);
        free(text);
    }
    const mode_t mask = umask(0);
    umask(mask);
    if (!code && (chmod(draft, 0777 & ~mask) || rename(draft, name)))
        code = error_set(error, HEED_E_SYSTEM, "the folder %s cannot be made here: %s", name,
                         strerror(errno));
    if (!code) return HEED_OK;
    while (made-- > 0) unlink(path[made]);
    rmdir(draft);
    return code;
}

/* How the Makefile calls heed and pkg-config; free() both. The names alone do where both are found
 * by them: heed is in PATH, and its files are where the build put them. 0: no memory. */
static int find_tools(const char *command, const char *top, char **heed, char **pkg_config)
{
    char *folder = place_of(HEED_PKGCONFIGDIR);
    const int build = is_build_tree(top), known = !build && is_in_path(command),
              moved = !build && folder && strcmp(folder, HEED_PKGCONFIGDIR);
    char *own = text_of("%s/heed", top), *beside = text_of("%s/plugins", top);
    char *where = word_of(build ? beside : folder), *prefix = word_of(top);
    *heed = known ? strdup("heed") : word_of(build ? own : command);
    *pkg_config = !folder || !where || !prefix ? NULL
                  : moved ? text_of("PKG_CONFIG_PATH=%s pkg-config --define-variable=prefix=%s",
                                    where, prefix)
                  : known ? strdup("pkg-config")
                          : text_of("PKG_CONFIG_PATH=%s pkg-config", where);
    free(folder), free(own), free(beside), free(where), free(prefix);
    return *heed && *pkg_config;
}

static int32_t make_plugin(const words *w, const struct template *t, const char *command,
                           heed_error *error)
{
    char *top = top_folder(command), *from = NULL, *heed = NULL, *pkg_config = NULL;
    if (top)
        from = text_of("%s/%s", top,
                       is_build_tree(top) ? "include/heed/kit/templates" : "share/heed/templates");
    if (from && !exists(from, t->file)) free(from), from = text_of("%s/templates", HEED_DATADIR);
    const int found = from && find_tools(command, top, &heed, &pkg_config);
    const char *held = t->oracle ? "its formula in float64" : "the contract";
    const replacement with[] = {{"@BENCH@", t->bench}, {"@KIND@", w->kind},
                                {"@NAME@", w->name},   {"@HEED@", heed},
                                {"@HELD@", held},      {"@PKG_CONFIG@", pkg_config},
                                {0}};
    const char *const files[4] = {t->file, t->oracle, "Makefile", "README.md"};
    const int32_t failed =
        found ? make_folder(from, w->name, files, with, error) : error_memory(error);
    free(top), free(from), free(heed), free(pkg_config);
    return failed;
}

int command_new(int argc, char **argv)
{
    static const option options[] = {{"", 1, .read = read_word, .values = "KIND"},
                                     {"--on", 1, .read = read_on, .values = "flash plain"},
                                     {0}};
    words w = {0};
    heed_error error = {0};
    int failed = options_parse(argc, argv, usage, options, &w, NULL);
    if (failed) return failed;
    if (!w.name)
        return options_usage("new takes a kind and a name, such as: heed new attention mine");
    const struct template *t = choose(&w, &error);
    if (!t || check_name(w.name, &error) || check_id(&w, &error)) return command_fail(&error);
    char *command = realpath("/proc/self/exe", NULL);
    if (!command) error_memory(&error);
    else if (strchr(command, '\n'))
        error_set(&error, HEED_E_ARGUMENT,
                  "the path of heed has a line feed, which no Makefile can have");
    failed = error.code || make_plugin(&w, t, command, &error);
    free(command);
    if (failed) return command_fail(&error);
    printf("%s/\n  %s.c         the op %s/%s\n", w.name, w.name, w.kind, w.name);
    if (t->oracle) printf("  %s_oracle.c  its formula in float64\n", w.name);
    printf("  Makefile, README.md\nnext: make -C %s check; make -C %s bench\n", w.name, w.name);
    return 0;
}
