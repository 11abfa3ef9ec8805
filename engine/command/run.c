/* SPDX-License-Identifier: MIT
 *
 * run.c: heed run: one call of one op, tensors from and to .npy files.
 *
 * Invariant: outputs are written when all else has succeeded, each file is replaced whole, and if
 * one can not be written the others are as before. No element is touched here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "command/command.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/ranks.h"
#include "command/run_ranks.h"
#include "command/tracing.h"
#include "io/npy.h"
#include "op/bind.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/resolve.h"

static const char usage[] =
    "usage: heed run SPEC -i PORT=FILE.npy ... -o PORT=FILE.npy ... [OPTION ...]\n"
    "\n"
    "  SPEC              an op with its settings, such as 'attention/softmax(causal=true)'\n"
    "  -i PORT=FILE.npy  an input or a weight\n"
    "  -w PORT=FILE.npy  a weight; of an op inside, position.table=FILE.npy\n"
    "  -o PORT=FILE.npy  where an output goes\n"
    "  --axis LETTER=N   the size of an axis that no file tells, such as --axis H=8\n"
    "  --dtype TYPE      of outputs that may have several: f32, f16 or bf16; if not given, that of "
    "the input\n" TRACING_USAGE OPTIONS_ENGINE "\n"
    "heed describe OP tells an op's ports and settings.\n";

/* A tensor and its file. */
typedef struct file {
    char *port;
    const char *path;
    uint32_t role;       /* as asked for, HEED_INPUT also where a weight is meant */
    heed_tensor tensor;
    replacement replacement; /* of an output */
} file;

typedef struct job {
    heed_options options;
    const char *spec;
    int64_t axis[HEED_AXES]; /* as given; -1: not */
    uint32_t dtype;          /* as given; HEED_DTYPES: not */
    tracing tracing;
    file *files;          /* outputs are those of role HEED_OUTPUT */
    uint32_t n_files;
    heed_binding *in, *weights, *out;
    uint32_t n_in, n_weights, n_out, asked; /* of n_out, outputs that files are given for */
    heed_group *group; /* of ranks, or NULL */
    uint32_t n_own;              /* of the weights, in front: those of the op itself */
    heed_tensor spare[PORT_MAX]; /* outputs that are computed, but nobody asked for */
} job;

/* ---- ports ---- */

/* Of an op `inside` another only the weights are its caller's. */
static int fits(const file *f, const heed_port *p, int inside)
{
    if (p->role == HEED_WEIGHT) return f->role != HEED_OUTPUT;
    return !inside && f->role == p->role;
}

/* "gain", or "position.table" of an op inside, from `name` on; NULL: there is none. */
static const heed_port *find_port(const resolved *op, const file *f, const char *name)
{
    const entry *e = op->entry;
    const size_t length = strcspn(name, ".");
    for (uint32_t i = 0; !name[length] && i < e->op.ports.count; i++)
        if (!strcmp(entry_port(e, i)->name, name) && fits(f, entry_port(e, i), name != f->port))
            return entry_port(e, i);
    for (uint32_t i = 0; name[length] && i < e->op.params.count; i++) {
        const char *key = entry_param(e, i)->key;
        if (op->child[i] && strlen(key) == length && !memcmp(key, name, length))
            return find_port(op->child[i], f, name + length + 1);
    }
    return NULL;
}

#define NAME_MOST 64 /* bytes of a name that is listed */

/* The names that find_port knows, of an op and of those inside, each with `prefix` in front. */
static uint32_t names_of(const resolved *op, const file *f, const char *prefix,
                         char names[PORT_MAX][NAME_MOST], uint32_t n)
{
    const entry *e = op->entry;
    for (uint32_t i = 0; i < e->op.ports.count && n < PORT_MAX; i++)
        if (fits(f, entry_port(e, i), *prefix != 0))
            snprintf(names[n++], NAME_MOST, "%s%s", prefix, entry_port(e, i)->name);
    for (uint32_t i = 0; i < e->op.params.count; i++) {
        char inside[NAME_MOST];
        if (!op->child[i]) continue;
        snprintf(inside, sizeof inside, "%s%s.", prefix, entry_param(e, i)->key);
        n = names_of(op->child[i], f, inside, names, n);
    }
    return n;
}

static int32_t no_port(const resolved *op, const file *f, heed_error *error)
{
    char all[PORT_MAX][NAME_MOST], list[480] = "";
    const char *names[PORT_MAX];
    uint32_t n = names_of(op, f, "", all, 0);
    for (uint32_t i = 0; i < n; i++) names[i] = all[i];
    error_list(list, sizeof list, "", names, n);
    static const char *const what[] = {"input or weight", "weight", "output"};
    const char *near = error_nearest(f->port, names, n);
    return error_set(error, HEED_E_ARGUMENT, "%s has no %s named " QUOTE "; it has %s%s%s",
                     op->entry->op.id, what[f->role], QUOTED(f->port), n ? list : "none",
                     near ? ", and the nearest is " : "", near ? near : "");
}

/* Sorts the files into bindings by their ports' roles. */
static int32_t sort_files(job *j, const resolved *op, heed_error *error)
{
    for (uint32_t i = 0; i < j->n_files; i++) {
        file *f = &j->files[i];
        const heed_port *p = find_port(op, f, f->port);
        if (!p) return no_port(op, f, error);
        heed_binding b = {f->port, &f->tensor};
        if (p->role == HEED_INPUT) j->in[j->n_in++] = b;
        else if (p->role == HEED_WEIGHT) {
            heed_binding *to = &j->weights[j->n_weights++];
            if (!strchr(f->port, '.')) *to = j->weights[j->n_own], to = &j->weights[j->n_own++];
            *to = b;
        } else {
            for (uint32_t o = 0; o < j->n_out; o++)
                if (!strcmp(j->out[o].port, p->name))
                    return error_set(error, HEED_E_ARGUMENT, "the output %s is asked for twice",
                                     p->name);
            j->out[j->n_out++] = b;
        }
    }
    return HEED_OK;
}

/* ---- reading ---- */

static int32_t read_files(job *j, const resolved *op, heed_error *error)
{
    for (uint32_t i = 0; i < j->n_files; i++) {
        file *f = &j->files[i];
        if (f->role == HEED_OUTPUT) continue;
        int32_t failed = heed_npy_read(f->path, &f->tensor, error);
        if (failed) return failed;
        uint32_t taken = find_port(op, f, f->port)->dtypes;
        if (f->tensor.dtype == HEED_F64 && !(taken & HEED_BIT(HEED_F64)) &&
            taken & HEED_BIT(HEED_F32))
            return error_set(error, HEED_E_SHAPE,
                             "%s holds float64, which port %s does not take; in NumPy, "
                             "a.astype('float32') converts it",
                             f->path, f->port);
    }
    return HEED_OK;
}

/* ---- writing ---- */

/* Refuses before the work what would be refused after it. */
static int32_t check_output(const file *f, heed_error *error)
{
    struct stat s;
    const char *slash = strrchr(f->path, '/');
    char *folder = slash ? strndup(f->path, (size_t)(slash - f->path) + 1) : strdup(".");
    if (!folder) return error_memory(error);
    int exists = !stat(f->path, &s), failed = 0;
    if (exists && S_ISDIR(s.st_mode)) failed = EISDIR;
    else if (access(exists ? f->path : folder, W_OK)) failed = errno;
    free(folder);
    return failed ? error_set(error, HEED_E_SYSTEM, "%s: cannot be written: %s", f->path,
                              strerror(failed))
                  : HEED_OK;
}

static int32_t check_outputs(const job *j, heed_error *error)
{
    for (uint32_t i = 0; i < j->n_files; i++) {
        const file *f = &j->files[i];
        if (f->role != HEED_OUTPUT) continue;
        for (uint32_t before = 0; before < i; before++)
            if (j->files[before].role == HEED_OUTPUT && !strcmp(j->files[before].path, f->path))
                return error_set(error, HEED_E_ARGUMENT,
                                 "the outputs %s and %s go to the same file, %s",
                                 j->files[before].port, f->port, f->path);
        int32_t failed = check_output(f, error);
        if (failed) return failed;
    }
    return HEED_OK;
}

/* All are written beside their places; then those go to theirs for which there is no way back,
 * pipes and devices; then the others, which are only renamed. */
static int32_t write_files(job *j, heed_error *error)
{
    int32_t failed = HEED_OK;
    uint32_t begun = 0;
    for (; begun < j->n_files && !failed; begun++) {
        file *f = &j->files[begun];
        if (f->role == HEED_OUTPUT) failed = npy_begin(&f->replacement, f->path, &f->tensor, error);
    }
    for (int direct = 1; direct >= 0; direct--)
        for (uint32_t i = 0; i < begun; i++) {
            file *f = &j->files[i];
            if (f->role != HEED_OUTPUT || f->replacement.direct != direct) continue;
            int32_t code = replace_end(&f->replacement, failed != 0, failed ? NULL : error);
            if (!failed) failed = code;
        }
    return failed;
}

/* ---- the run ---- */

/* ---- sizes and types that are asked for ---- */

static uint32_t axes_of(const resolved *op)
{
    uint32_t set = 0;
    for (uint32_t p = 0; p < op->entry->op.ports.count; p++)
        for (int i = 0; i < op->entry->axes[p].count; i++)
            set |= AXIS_BIT(op->entry->axes[p].letter[i]);
    for (uint32_t p = 0; p < op->entry->op.params.count; p++)
        if (op->child[p]) set |= axes_of(op->child[p]);
    return set;
}

/* That the op has the axes that were given, and that its settings do not say otherwise. */
static int32_t check_axes(const job *j, const resolved *op, heed_error *error)
{
    int64_t fixed[HEED_AXES];
    char letters[2 * HEED_AXES + 1] = "";
    const uint32_t has = axes_of(op);
    for (int a = 0; a < HEED_AXES; a++) {
        fixed[a] = -1;
        if (has >> a & 1) snprintf(letters + strlen(letters), 3, " %c", 'A' + a);
    }
    resolve_axes(op, fixed, 1);
    for (int a = 0; a < HEED_AXES; a++) {
        if (j->axis[a] < 0) continue;
        if (!(has >> a & 1))
            return error_set(error, HEED_E_ARGUMENT, "--axis %c=%lld: %s has no axis %c; it has%s",
                             'A' + a, (long long)j->axis[a], op->entry->op.id, 'A' + a, letters);
        if (fixed[a] >= 0 && fixed[a] != j->axis[a])
            return error_set(error, HEED_E_ARGUMENT, "--axis %c=%lld: the spec says %lld", 'A' + a,
                             (long long)j->axis[a], (long long)fixed[a]);
    }
    return HEED_OK;
}

/* The type of outputs that may have several: as asked for, or that of the first input that must be
 * there and is of floating point, or of such a weight. HEED_DTYPES: the op's own. */
static uint32_t output_dtype(const job *j, const entry *e)
{
    const uint32_t floats = HEED_BIT(HEED_F32) | HEED_BIT(HEED_F16) | HEED_BIT(HEED_BF16);
    const heed_binding *const bound[] = {j->in, j->weights};
    const uint32_t n[] = {j->n_in, j->n_own};
    if (j->dtype < HEED_DTYPES) return j->dtype;
    for (uint32_t role = HEED_INPUT; role <= HEED_WEIGHT; role++)
        for (uint32_t p = 0; p < e->op.ports.count; p++) {
            const heed_port *port = entry_port(e, p);
            if (port->role != role || port->flags & HEED_PORT_OPTIONAL) continue;
            for (uint32_t i = 0; i < n[role]; i++) {
                const uint32_t dtype = bound[role][i].tensor->dtype;
                if (!strcmp(bound[role][i].port, port->name) && floats & HEED_BIT(dtype))
                    return dtype;
            }
        }
    return HEED_DTYPES;
}

/* That at least one output that was asked for can have the type. */
static int32_t check_dtype(const job *j, const entry *e, heed_error *error)
{
    if (j->dtype == HEED_DTYPES) return HEED_OK;
    for (uint32_t p = 0; p < e->op.ports.count; p++)
        for (uint32_t o = 0; o < j->n_out; o++)
            if (entry_port(e, p)->role == HEED_OUTPUT &&
                !strcmp(j->out[o].port, entry_port(e, p)->name) &&
                entry_port(e, p)->dtypes & HEED_BIT(j->dtype))
                return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "--dtype %s: no output of %s that is asked for can have this type",
                     heed_dtype_name(j->dtype), e->op.id);
}

/* Memory for the outputs: those asked for, and those that the op computes in any case. */
static int32_t make_outputs(job *j, const heed_instance *instance, heed_error *error)
{
    const entry *e = instance->entry;
    const uint32_t dtype = output_dtype(j, e);
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const heed_port *port = entry_port(e, p);
        if (port->role != HEED_OUTPUT) continue;
        uint32_t o = 0;
        while (o < j->n_out && strcmp(j->out[o].port, port->name)) o++;
        if (o == j->n_out) {
            if (port->flags & HEED_PORT_OPTIONAL) continue;
            j->out[j->n_out++] = (heed_binding){port->name, &j->spare[p]};
        }
        heed_tensor *t = j->out[o].tensor;
        int32_t failed = heed_infer(instance, j->in, j->n_in, port->name, t, error);
        if (!failed && dtype < HEED_DTYPES && port->dtypes & HEED_BIT(dtype))
            *t = heed_tensor_of(NULL, dtype, t->rank, t->dim);
        if (!failed) failed = heed_tensor_alloc(t, error);
        if (failed) return failed;
    }
    return HEED_OK;
}

/* The instance, opened with all sizes that the files tell, and those that were given:
 * position/alibi must know H, which no weight of its has. */
static heed_instance *open_instance(job *j, heed_engine *engine, const resolved *op,
                                    heed_error *error)
{
    binding_set set;
    bind_start(&set, op->entry, j->axis);
    if (bind_role(&set, HEED_INPUT, j->in, j->n_in, 1, error)) return NULL;
    if (bind_role(&set, HEED_WEIGHT, j->weights, j->n_own, 1, error)) return NULL;
    /* ranks have parts of these */
    if (j->group) HEED_AXIS(set.axis, 'T') = HEED_AXIS(set.axis, 'S') = -1;
    heed_opening opening = {
        .size = sizeof opening, .n_weights = j->n_weights, .weights = j->weights, .axes = set.axis};
    return instance_make(engine, op, &opening, error);
}

/* All that comes before the call; *made, also after a failure: the instance. */
static int32_t prepare(job *j, heed_engine *engine, const resolved *op, heed_instance **made,
                       heed_error *error)
{
    const entry *e = op->entry;
    if (!e->path->forward)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s does nothing by itself; it is a setting of other ops", e->op.id);
    int32_t failed = sort_files(j, op, error);
    if (!failed) failed = check_axes(j, op, error);
    if (!failed) failed = check_dtype(j, e, error);
    if (!failed) failed = check_outputs(j, error);
    if (!failed) failed = read_files(j, op, error);
    if (failed) return failed;
    if (!(*made = open_instance(j, engine, op, error))) return error->code;
    j->asked = j->n_out;
    return make_outputs(j, *made, error);
}

/* Ranks that share the call all prepare it; rank 0 gets the outputs. */
static int32_t run_op(job *j, heed_engine *engine, const resolved *op, heed_error *error)
{
    heed_instance *instance = NULL;
    int32_t failed = prepare(j, engine, op, &instance, error);
    if (j->group)
        failed =
            run_ranks_whole(j->group, instance, j->in, j->n_in, j->out, j->n_out, failed, error);
    else if (!failed)
        failed = heed_run(instance, j->in, j->n_in, j->out, j->n_out, NULL, error);
    heed_instance_close(instance);
    j->n_out = j->asked;
    if (!failed && (!j->group || heed_group_rank(j->group) == 0)) failed = write_files(j, error);
    return failed;
}

static int32_t run_spec(job *j, heed_engine *engine, heed_error *error)
{
    if (ranks_are_several() && !(j->group = ranks_join(engine, RANKS_SECONDS, error)))
        return error->code;
    resolved *op = resolve_text(&engine->registry, j->spec, error);
    int32_t failed = op ? run_op(j, engine, op, error) : error->code;
    resolve_free(op);
    return j->group ? heed_group_agree(j->group, NULL, 0, failed, error) : failed;
}

/* ---- the command ---- */

static int read_file(job *j, uint32_t role, const char *word)
{
    static const char *const names[] = {"-i", "-w", "-o"};
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || !equals[1])
        return options_usage("%s takes PORT=FILE.npy, not " QUOTE, names[role], QUOTED(word));
    file *f = &j->files[j->n_files++];
    *f = (file){.port = strndup(word, (size_t)(equals - word)), .path = equals + 1, .role = role};
    return f->port ? 0 : command_fail(&(heed_error){HEED_E_MEMORY, "out of memory"});
}

static int read_input(void *to, const char *value) { return read_file(to, HEED_INPUT, value); }
static int read_weight(void *to, const char *value) { return read_file(to, HEED_WEIGHT, value); }
static int read_output(void *to, const char *value) { return read_file(to, HEED_OUTPUT, value); }

/* "H=8", or several, "H=8,C=64". */
static int read_axis(void *to, const char *value)
{
    job *j = to;
    for (const char *at = value;; at++) {
        const int letter = at[0] >= 'A' && at[0] <= 'Z' && at[1] == '=' ? at[0] - 'A' : -1;
        char number[24], what[32];
        size_t length = letter < 0 ? 0 : strcspn(at + 2, ",");
        if (!length || length >= sizeof number)
            return options_usage("--axis takes a letter and a size, such as H=8, not " QUOTE,
                                 QUOTED(value));
        snprintf(what, sizeof what, "--axis %c=", at[0]);
        snprintf(number, sizeof number, "%.*s", (int)length, at + 2);
        if (j->axis[letter] >= 0) return options_usage("--axis has %c twice", at[0]);
        int failed = options_int(what, number, 1, (int64_t)1 << 40, &j->axis[letter]);
        if (failed) return failed;
        at += 2 + length;
        if (!*at) return 0;
    }
}

static int read_dtype(void *to, const char *value)
{
    return options_dtype(value, &((job *)to)->dtype);
}

static int read_spec(void *to, const char *value)
{
    job *j = to;
    if (j->spec) return options_usage("run takes one spec, not '%s' and '%s'", j->spec, value);
    j->spec = value;
    return 0;
}

static int run(job *j, int argc, char **argv)
{
    static const option options[] = {
        {"-i", 1, .read = read_input, .values = "FILE"},
        {"-w", 1, .read = read_weight, .values = "FILE"},
        {"-o", 1, .read = read_output, .values = "FILE"},
        {"--axis", 1, .read = read_axis},
        {"--dtype", 1, .read = read_dtype, .values = "f32 f16 bf16"},
        {"--trace", 1, .at = offsetof(job, tracing.path), .values = "FILE"},
        {"", 1, .read = read_spec, .values = "SPEC"},
        {0},
    };
    heed_error error = {0};
    ranks_begin();
    int status = options_parse(argc, argv, usage, options, j, &j->options);
    if (status) return status;
    if (ranks_is_silent()) j->tracing.path = NULL; /* one of them writes it */
    if (!j->spec) return options_usage("run needs the spec of an op");
    uint32_t outputs = 0;
    for (uint32_t i = 0; i < j->n_files; i++) outputs += j->files[i].role == HEED_OUTPUT;
    if (!outputs) return options_usage("run needs an output: -o PORT=FILE.npy");
    heed_engine *engine = heed_engine_new(&j->options, &error);
    int failed =
        !engine || tracing_begin(&j->tracing, engine, &error) || run_spec(j, engine, &error);
    failed = tracing_end(&j->tracing, failed, &error);
    origin_tell(engine);
    if (failed) status = command_fail(&error);
    heed_group_free(j->group);
    heed_engine_free(engine);
    return status;
}

int command_run(int argc, char **argv)
{
    size_t most = (size_t)argc; /* files, and bindings of one role */
    job *j = calloc(1, sizeof *j);
    heed_binding *bindings = calloc(3 * (most + PORT_MAX), sizeof *bindings);
    file *files = calloc(most, sizeof *files);
    int status = 1;
    if (j && bindings && files) {
        *j = (job){.options.size = sizeof j->options,
                   .files = files,
                   .in = bindings,
                   .weights = bindings + most + PORT_MAX,
                   .out = bindings + 2 * (most + PORT_MAX),
                   .dtype = HEED_DTYPES};
        for (int a = 0; a < HEED_AXES; a++) j->axis[a] = -1;
        status = run(j, argc, argv);
        for (uint32_t p = 0; p < PORT_MAX; p++) free(j->spare[p].data);
        for (uint32_t i = 0; i < j->n_files; i++) {
            free(files[i].port);
            free(files[i].tensor.data);
        }
    } else {
        fputs("heed: out of memory\n", stderr);
    }
    free(files);
    free(bindings);
    free(j);
    return status;
}
