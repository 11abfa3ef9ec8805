/* SPDX-License-Identifier: MIT
 *
 * check.c: heed check: loads a plugin in a child process, sweeps its ops, and tells what was
 * verified and what was found.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/trust.h"
#include "check/cases.h"
#include "check/checks.h"
#include "check/child.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/interrupt.h"
#include "command/options.h"
#include "command/progress.h"
#include "check/fail.h"
#include "command/probe.h"
#include "inspect.h"


#define FINDINGS_EACH 3  /* of one check of one op; then it is left */
#define CASES 240        /* of one op */
#define CHANGES 80       /* tried on a case that an op refuses */

/* For one check of one case; an emulator takes its time. */
static unsigned seconds_each(void) { return harness_quick() ? 60 : 10; }

/* ---- in the child ---- */

typedef struct check_options {
    const char *plugin, *oracle, *only;
    uint32_t cases;
    int json;
} check_options;

typedef struct job {
    const check_options *o;
    uint32_t op;              /* its index on the board */
    uint32_t from, check;     /* where to go on */
} job;

/* Loads an oracle as a plugin is loaded: trusted, whole, of this ABI. */
static int32_t load_oracle(const char *path, heed_table *to, heed_error *error)
{
    char *real = realpath(path, NULL);
    int fd = real ? open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return free(real), error_set(error, HEED_E_SYSTEM, "oracle %s: %s", path, strerror(errno));
    heed_error why = {0};
    int32_t code = trust_check(fd, real, &why);
    close(fd);
    void *module = code ? NULL : dlopen(real, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    free(real);
    if (code) return error_set(error, code, "oracle %s is refused: %s", path, why.text);
    if (!module)
        return error_set(error, HEED_E_DATA, "oracle %s: the dynamic linker says: %s", path,
                         dlerror());
    heed_oracle_fn *entry = (heed_oracle_fn *)dlsym(module, HEED_ORACLE_ENTRY_NAME);
    if (!entry)
        return error_set(error, HEED_E_DATA, "oracle %s has no symbol %s", path,
                         HEED_ORACLE_ENTRY_NAME);
    heed_offer offer = {
        .size = sizeof offer, .abi_min = HEED_ABI_VERSION, .abi_max = HEED_ABI_VERSION};
    heed_oracle_reply reply = {.size = sizeof reply};
    if (entry(&offer, &reply) || reply.abi != HEED_ABI_VERSION)
        return error_set(error, HEED_E_ABI, "oracle %s does not speak the ABI version %d.%d", path,
                         HEED_ABI_MAJOR, HEED_ABI_MINOR);
    if (!reply.oracles.data || !reply.oracles.count || reply.oracles.count > 4096 ||
        reply.oracles.stride < sizeof(heed_oracle) || reply.oracles.stride % 8)
        return error_set(error, HEED_E_DATA, "oracle %s: its table of oracles is malformed", path);
    for (uint32_t i = 0; i < reply.oracles.count; i++) {
        const heed_oracle *o =
            (const void *)((const char *)reply.oracles.data + (size_t)i * reply.oracles.stride);
        if (o->size < sizeof *o || !o->id || !o->f64 || !o->f32)
            return error_set(error, HEED_E_DATA, "oracle %s: row %u of its table is malformed",
                             path, i);
    }
    *to = reply.oracles;
    return HEED_OK;
}

static int load_all(const check_options *o)
{
    static heed_table oracles;
    heed_error e;
    harness_plugin = o->plugin;
    harness_engine(1);
    if (o->oracle && load_oracle(o->oracle, &oracles, &e)) harness_fail("%s", e.text);
    if (o->oracle) harness_oracles = &oracles;
    return 0;
}

/* The plugin's ops, onto the board. */
static void work_load(board *b, void *arg)
{
    const job *j = arg;
    if (FAIL_CAUGHT()) {
        board_find(b, 0, "", fail_sentence);
        return;
    }
    load_all(j->o);
    char *real = realpath(j->o->plugin, NULL);
    const entry *e;
    for (uint32_t i = 0; b->ops < OPS_MAX && (e = inspect_op(harness_engine(1), i)); i++)
        if (real && !strcmp(e->plugin, real))
            snprintf(b->op[b->ops++], sizeof *b->op, "%s", e->op.id);
    free(real);
}

/* The end of a process that has loaded it, whose destructors run then: heed list ends so. */
static void work_end(board *b, void *arg)
{
    const job *j = arg;
    if (FAIL_CAUGHT()) {
        board_find(b, 0, "", fail_sentence);
        return;
    }
    load_all(j->o);
    b->ended = 1;
    exit(0);
}

static uint32_t findings_of(const board *b, uint32_t check)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->findings; i++) n += b->finding[i].check == check;
    return n;
}

/* One check of one case; a finding leaves what it had taken. */
static void one_check(board *b, subject *s, uint32_t at, uint32_t k)
{
    child_doing(b, at, k, b->line);
    if (FAIL_CAUGHT()) {
        board_find(b, k, b->line, fail_sentence);
        child_unwatch_all();
        return;
    }
    if (checks[k].applies && !checks[k].applies(s)) return;
    b->runs[k]++;
    checks[k].run(s);
}

/* The case, or one near it that the op takes; what helped last is tried first. If none is, the
 * sentence is of the case itself. */
static int make_changed(board *b, subject *s, check_case *how, heed_error *refusal)
{
    static uint32_t usual = UINT32_MAX, helped, in_vain;
    const check_case asked = *how;
    heed_error other;
    if (subject_make(s, how, refusal)) return 1;
    const entry *e = s->entry;
    if (!helped && in_vain >= 10) return 0; /* it wants something else */
    for (uint32_t n = usual, tried = 0; tried < CHANGES; n = tried++) {
        int changed = n == UINT32_MAX ? -1 : case_change(e, &asked, n, how);
        if (!changed) break;
        if (changed < 0) continue;
        case_print(how, b->line, sizeof b->line);
        if (!subject_make(s, how, &other)) continue;
        usual = n, helped++;
        return 1;
    }
    in_vain++;
    return 0;
}

/* One case, from a check on. `only`: that check alone, and whatever the case's turn is. */
static void one_case(board *b, check_case *how, uint32_t at, uint32_t from, int only)
{
    static subject s;
    heed_error refusal;
    case_print(how, b->line, sizeof b->line);
    child_doing(b, at, 0, b->line);
    if (FAIL_CAUGHT()) {
        board_find(b, 0, b->line, fail_sentence);
        return;
    }
    int runs = only ? subject_make(&s, how, &refusal) : make_changed(b, &s, how, &refusal);
    if (!from) b->cases++;
    if (!runs) {
        if (!from) b->refused++;
        snprintf(b->refusal, sizeof b->refusal, "%.*s", (int)strcspn(refusal.text, "\n"),
                 refusal.text);
        return;
    }
    for (uint32_t k = from; k < check_count; k++) {
        const int turn =
            at % checks[k].every == k % checks[k].every && findings_of(b, k) < FINDINGS_EACH;
        if (only ? k != from : !turn) continue;
        one_check(b, &s, at, k);
    }
    subject_free(&s);
}

static const entry *find_op(const char *id)
{
    const entry *e = inspect_find(harness_engine(1), id);
    if (!e) harness_fail("there is no op %s", id);
    return e;
}

static void work_sweep(board *b, void *arg)
{
    const job *j = arg;
    if (FAIL_CAUGHT()) {
        board_find(b, 0, "", fail_sentence);
        return;
    }
    load_all(j->o);
    const entry *e = find_op(b->op[j->op]);
    for (uint32_t n = j->from; n < j->o->cases; n++) {
        check_case how;
        if (!case_make(harness_engine(1), e, n, &how)) {
            snprintf(b->note, sizeof b->note,
                     "it works with other ops only, and none of those is here; HEED_PLUGINS names "
                     "their folders");
            return;
        }
        one_case(b, &how, n, n == j->from ? j->check : 0, 0);
    }
}

static void work_only(board *b, void *arg)
{
    const job *j = arg;
    check_case how;
    const char *text = j->o->only + strlen(checks[j->check].name) + 1;
    if (FAIL_CAUGHT()) {
        board_find(b, 0, "", fail_sentence);
        return;
    }
    load_all(j->o);
    if (case_parse(text, &how)) harness_fail("the case is malformed: %s", text);
    one_case(b, &how, 0, j->check, 1);
}

/* ---- the report ---- */

typedef struct report {
    const check_options *o;
    json_t *json, *ops;
    uint32_t findings;
} report;

/* A path as one word for the shell. */
static void put_word(FILE *to, const char *path)
{
    int plain = !path[strcspn(path, " \t\n'\"\\$`&|;<>()*?[]#~!{}")] && *path;
    if (!plain) fputc('\'', to);
    for (; *path; path++)
        if (*path == '\'') fputs("'\\''", to);
        else fputc(*path, to);
    if (!plain) fputc('\'', to);
}

/* The line that repeats a finding; it is cut where paths are endless. */
static void repeat_line(const report *r, const finding *f, char *text, size_t n)
{
    FILE *to = fmemopen(text, n, "w");
    *text = 0;
    if (!to) return;
    fputs("heed check ", to);
    put_word(to, r->o->plugin);
    if (r->o->oracle) fputs(" --oracle ", to), put_word(to, r->o->oracle);
    fprintf(to, " --only '%s %s'", checks[f->check].name, f->line);
    fclose(to);
    text[n - 1] = 0;
}

static void tell_finding(report *r, const char *op, const finding *f, json_t *list)
{
    char line[1400];
    repeat_line(r, f, line, sizeof line);
    r->findings++;
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "check",
                                              checks[f->check].name, "finding", f->sentence, "case",
                                              f->line, "repeat", *f->line ? line : ""));
    else if (*f->line)
        printf("not ok - %s %s: %s: %s\n", op, checks[f->check].name, f->sentence, line);
    else printf("not ok - %s %s: %s\n", op, checks[f->check].name, f->sentence);
}

static void tell_op(report *r, const char *op, const board *b, double seconds)
{
    json_t *list = r->json ? json_array() : NULL, *looked = r->json ? json_object() : NULL;
    for (uint32_t k = 0; k < check_count; k++) {
        const int bad = findings_of(b, k) > 0;
        const uint32_t runs = k ? b->runs[k] : b->cases - b->refused;
        for (uint32_t i = 0; i < b->findings; i++)
            if (b->finding[i].check == k) tell_finding(r, op, &b->finding[i], list);
        if (looked) json_object_set_new(looked, checks[k].name, json_integer(runs));
        else if (!bad && runs)
            printf("ok - %s %s: %s (%u)\n", op, checks[k].name, checks[k].says, runs);
    }
    if (r->json) {
        json_array_append_new(r->ops,
                              json_pack("{s:s, s:i, s:i, s:f, s:o, s:o}", "id", op, "cases",
                                        (int)b->cases, "refused", (int)b->refused, "seconds",
                                        seconds, "looked", looked, "findings", list));
        return;
    }
    if (*b->note) printf("# %s: %s\n", op, b->note);
    if (b->refused)
        printf("# %s: it refused %u of %u cases, the last with: %s\n", op, b->refused, b->cases,
               b->refusal);
    if (!b->runs[1] && b->cases > b->refused)
        printf("# %s: no oracle, so nothing is said of its error\n", op);
    printf("# %s: %u cases in %.1f s\n", op, b->cases, seconds);
    fflush(stdout);
}

/* ---- the parent ---- */

static const report *sweeping; /* for the line of progress */
static uint32_t sweeping_op;

static void show_progress(const board *b)
{
    const uint32_t all = sweeping->o->cases, at = b->at < all ? b->at : all;
    if (!b->ops) return;
    progress_show((sweeping_op + (double)at / all) / b->ops, "%s, case %u of %u, %s",
                  b->op[sweeping_op], at + 1, all, checks[b->check].name);
}

static void sweep_op(report *r, const board *loaded, uint32_t op)
{
    board *b = board_make();
    job j = {.o = r->o, .op = op};
    double start = clock_seconds();
    memcpy(b->op, loaded->op, sizeof b->op);
    b->ops = loaded->ops;
    sweeping = r, sweeping_op = op, child_waiting = show_progress;
    for (int crashes = 0; crashes < 12; crashes++) {
        int how = child_run(b, work_sweep, &j, seconds_each());
        if (how == 2) snprintf(b->note, sizeof b->note, "the sweep stops where it did not end");
        if (how != 1) break;
        j.from = b->at;
        j.check = b->check + 1;
        if (j.check >= check_count || b->check == 0) j.from++, j.check = 0;
    }
    progress_end();
    if (interrupt_seen)
        snprintf(b->note, sizeof b->note, "interrupted: this is of %u cases alone", b->cases);
    else if (b->cases && b->cases == b->refused) {
        char text[400];
        snprintf(text, sizeof text, "refuses every case, the last with: %s", b->refusal);
        board_find(b, 0, "", text);
    }
    tell_op(r, b->op[op], b, clock_seconds() - start);
}

/* Whether `only` names a check. */
static int only_check(const char *only, uint32_t *check)
{
    for (*check = 0; only && *check < check_count; ++*check) {
        size_t n = strlen(checks[*check].name);
        if (!strncmp(only, checks[*check].name, n) && only[n] == ' ') return 1;
    }
    return 0;
}

static void run_only(report *r)
{
    board *b = board_make();
    job j = {.o = r->o};
    only_check(r->o->only, &j.check);
    double start = clock_seconds();
    child_run(b, work_only, &j, seconds_each());
    const char *text = r->o->only + strlen(checks[j.check].name) + 1;
    char op[128];
    snprintf(op, sizeof op, "%.*s", (int)strcspn(text, "( "), text);
    tell_op(r, op, b, clock_seconds() - start);
}

static const heed_error interrupted = {HEED_E_CANCELLED,
                                       "interrupted; what is not told of was not checked"};

/* Checks one plugin and reports to standard output. 0; 1: there are findings, or it is no
 * plugin. */
static int check_plugin(const check_options *o)
{
    report r = {
        .o = o, .json = o->json ? json_object() : NULL, .ops = o->json ? json_array() : NULL};
    board *loaded = board_make();
    job j = {.o = o};
    if (!loaded) return command_fail(&(heed_error){HEED_E_MEMORY, "out of memory"});
    harness_care = probe_plugins(); /* all others are loaded beside it */
    interrupt_catch();
    int loads = !child_run(loaded, work_load, &j, seconds_each()) && !loaded->findings;
    if (interrupt_seen) return command_fail(&interrupted);
    if (!loads || child_run(loaded, work_end, &j, seconds_each()) || loaded->findings) {
        heed_error e = {HEED_E_DATA, ""};
        snprintf(e.text, sizeof e.text, "%s%s",
                 loads              ? "a process that has loaded it does not end well: "
                 : loaded->findings ? ""
                                    : "loading it crashes",
                 loaded->finding[0].sentence);
        return command_fail(&e);
    }
    if (o->only) run_only(&r);
    else
        for (uint32_t i = 0; i < loaded->ops && !interrupt_seen; i++) sweep_op(&r, loaded, i);
    if (r.json) {
        json_object_set_new(r.json, "plugin", json_string(o->plugin));
        json_object_set_new(r.json, "findings", json_integer(r.findings));
        json_object_set_new(r.json, "ops", r.ops);
        json_object_set_new(r.json, "interrupted", json_boolean(interrupt_seen != 0));
        int status = command_json(r.json);
        if (status) return status;
    } else if (!r.findings && !o->only && !interrupt_seen) printf("# %s: no findings\n", o->plugin);
    if (interrupt_seen) return command_fail(&interrupted);
    return r.findings > 0;
}

/* ---- the command ---- */

static int read_plugin(void *command, const char *value)
{
    check_options *o = command;
    if (o->plugin) return options_usage("check takes one plugin, not %s too", value);
    o->plugin = value;
    return 0;
}
static int read_cases(void *command, const char *value)
{
    int64_t n;
    int status = options_int("--cases", value, 1, 1000000, &n);
    if (!status) ((check_options *)command)->cases = (uint32_t)n;
    return status;
}
static int read_only(void *command, const char *value)
{
    uint32_t check;
    ((check_options *)command)->only = value;
    if (only_check(value, &check)) return 0;
    return options_usage("--only takes a line that heed check printed, \"CHECK SPEC AXES ...\"");
}

int command_check(int argc, char **argv)
{
    static const option options[] = {
        {"", 1, .read = read_plugin, .values = "FILE"},
        {"--oracle", 1, .at = offsetof(check_options, oracle), .values = "FILE"},
        {"--only", 1, .read = read_only},
        {"--cases", 1, .read = read_cases},
        {"--json", 0, .at = offsetof(check_options, json)},
        {0}};
    check_options o = {.cases = CASES};
    char usage[6000];
    int used = snprintf(
        usage, sizeof usage,
        "usage: heed check PLUGIN.so [--oracle ORACLE.so] [--cases N] [--only LINE] [--json]\n"
        "Whether a plugin keeps its contract, from its own tables: each op is called with many\n"
        "shapes, masks, params and dtypes, in child processes, so that a crash is a finding too.\n"
        "A finding is one line, with the command that repeats it; the exit status is then 1.\n\n"
        "  --oracle FILE     formulas of its ops (heed/oracle.h); those of the shipped ops are "
        "known\n"
        "  --cases N         calls of each op; %d if not given\n"
        "  --only LINE       one check of one case, as a finding has it\n"
        "  --json            the report as JSON\n\n"
        "Ctrl-C tells what was found so far.\n\nWhat is verified, of each op that",
        CASES);
    for (uint32_t k = 0; k < check_count; k++)
        used += snprintf(usage + used, sizeof usage - (size_t)used, "\n  %-10s %s", checks[k].name,
                         checks[k].says);
    snprintf(usage + used, sizeof usage - (size_t)used, "\n");
    int status = options_parse(argc, argv, usage, options, &o, NULL);
    if (status) return status;
    if (!o.plugin) return options_usage("check needs a plugin's file");
    char *real = realpath(o.plugin, NULL);
    if (!real) return command_fail(&(heed_error){HEED_E_SYSTEM, "there is no such plugin file"});
    check_options with = o;
    with.plugin = real;
    status = check_plugin(&with);
    free(real);
    return status;
}
