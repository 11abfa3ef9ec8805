/* SPDX-License-Identifier: MIT
 *
 * describe.c: heed describe: all that an op's descriptor says, and with --shape how large it is.
 * Nothing is run.
 *
 * Everything is printed from the plugin's tables, so a plugin that nobody here has seen is
 * described as well as ours. A network is described by describe_network.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heed/abi/axes.h>

#include "base/error.h"
#include "command/command.h"
#include "command/describe.h"
#include "command/model.h"
#include "command/options.h"
#include "command/probe.h"
#include "command/shape.h"
#include "command/sizes.h"
#include "command/table.h"
#include "op/engine.h"
#include "op/spec.h"

static const char usage[] =
    "usage: heed describe OP [--isa PATH] [--json]\n"
    "       heed describe SPEC --shape AXIS=N,... [--isa PATH] [--json]\n"
    "       heed describe MODEL [--spec SPEC] [--shape T=N] [--isa PATH] [--json]\n"
    "       heed describe --spec SPEC [--shape T=N] [--save FILE] [--seed N] [--isa PATH] "
    "[--json]\n"
    "       heed describe --probe SPEC|MODEL ... [--shape T=N] [--svg FILE] [--seed N] [--json]\n"
    "\n"
    "  OP             an op's id, attention/softmax, or its name alone if only one kind has it\n"
    "  SPEC --shape   an op with its settings, and sizes of axes as bench has them: besides, its "
    "parameters, the\n"
    "                 bytes that it remembers of a token, how many keys a query reaches, and what "
    "a call costs\n"
    "  MODEL          a file of safetensors: the parts of the network, with their parameters and "
    "what they remember\n"
    "  --spec SPEC    the network, if not what the model itself says; without a model, one that "
    "has learned nothing\n"
    "  --shape T=N    of a network: besides, what it costs to read N tokens at once, by its ops; "
    "decode=N: the N-th\n"
    "                 alone, behind the others\n"
    "  --save FILE    writes that network with weights of chance, as safetensors; --seed N: other "
    "ones, 1 if not given\n"
    "  --probe        runs up to 7 networks on tokens of chance, 256 if --shape does not say, and "
    "tells how large\n"
    "                 what flows between their layers is, and how alike to the layer before; --svg "
    "FILE: a picture\n"
    "  --isa PATH     as if this machine had no more than scalar, avx2, avx512, avx512_bf16, neon "
    "or neon_bf16\n"
    "  --json         an object\n";

/* ---- what the numbers of a descriptor are called ---- */

static const char *const acts[] = {
    [HEED_ACTS_NOWHERE] = NULL,
    [HEED_ACTS_INPUT] = "on the input, before the first layer",
    [HEED_ACTS_QK] = "on queries and keys of every layer",
    [HEED_ACTS_SCORES] = "on the scores of an attention op",
};
static const char *const acts_words[] = {"nowhere", "input", "qk", "scores"};
static const char *const roles[] = {"input", "weight", "output"};
static const char *const inits[] = {"normal", "zeros", "ones"};
static const char *const types[] = {"int", "float", "bool", "choice", "op"};

static const struct {
    uint32_t kind;
    const char *name, *how;
} masks[] = {
    {HEED_MASK_CAUSAL, "causal", "causal=true|bottom_right|offset:N"},
    {HEED_MASK_KEY_LENGTHS, "key_lengths", "the input key_lengths"},
    {HEED_MASK_WINDOW, "window", "window=LEFT or LEFT:RIGHT"},
    {HEED_MASK_PREFIX, "prefix", "prefix=N"},
    {HEED_MASK_SINKS, "sinks", "sinks=N"},
    {HEED_MASK_DOCUMENTS, "documents", "the input documents"},
    {HEED_MASK_BLOCKS, "blocks", "blocks=N or QUERIES:KEYS, and the input key_blocks"},
};
#define MASKS (sizeof masks / sizeof *masks)

#define NAME(letter, name, factor, axes, parts) [letter - 'A'] = name,
static const char *const axis_names[HEED_AXES] = {HEED_AXES_TABLE(NAME)};

static const heed_port *port_at(const heed_op *op, uint32_t i)
{
    return (const heed_port *)op->ports.data + i;
}
static const heed_param *param_at(const heed_op *op, uint32_t i)
{
    return (const heed_param *)op->params.data + i;
}
static const heed_path *path_at(const heed_op *op, uint32_t i)
{
    return (const heed_path *)op->paths.data + i;
}

static int has_default(const heed_param *p)
{
    return !(p->flags & (HEED_PARAM_AUTO | HEED_PARAM_REQUIRED));
}
static int is_number(const heed_param *p)
{
    return p->type == HEED_PARAM_INT || p->type == HEED_PARAM_FLOAT;
}

/* The index-th word of "a|b|c", with its length. */
static const char *choice(const char *words, int64_t index, int *length)
{
    for (; index > 0; index--) words = strchr(words, '|') + 1;
    *length = (int)strcspn(words, "|");
    return words;
}

/* The names of a set of ports, ", " between them. */
static void names_text(const heed_op *op, uint32_t ports, char *text, size_t n)
{
    text[0] = 0;
    for (uint32_t i = 0; i < op->ports.count; i++)
        if (ports >> i & 1)
            snprintf(text + strlen(text), n - strlen(text), "%s%s", *text ? ", " : "",
                     port_at(op, i)->name);
}

/* ---- as text ---- */

/* "a number from 0 to 1, default 1e-06" */
static void type_text(const heed_param *p, char *text, size_t n)
{
    char low[32], high[32], standard[32];
    int length;
    size_t at = 0;
    spec_number(low, p->min);
    spec_number(high, p->max);
    spec_number(standard, p->standard);
#define ADD(...)                                                                                   \
    (at += (size_t)snprintf(text + at, at < n ? n - at : 0, __VA_ARGS__), at = at < n ? at : n)
    if (is_number(p))
        ADD("%s from %s to %s", p->type == HEED_PARAM_INT ? "integer" : "number", low, high);
    else if (p->type == HEED_PARAM_BOOL) ADD("true|false");
    else if (p->type == HEED_PARAM_CHOICE) ADD("%s", p->choices);
    else ADD("an op of kind %s", p->choices);
    if (p->flags & HEED_PARAM_REQUIRED) ADD(", required");
    else if (!has_default(p))
        ADD(p->type == HEED_PARAM_OP ? ", none if not given" : ", automatic if not given");
    else if (is_number(p)) ADD(", default %s", standard);
    else if (p->type == HEED_PARAM_BOOL) ADD(", default %s", p->standard != 0 ? "true" : "false");
    else {
        const char *word = choice(p->choices, (int64_t)p->standard, &length);
        ADD(", default %.*s", length, word);
    }
    if (p->axis) ADD(", sets axis %c", (int)p->axis);
    if (p->flags & HEED_PARAM_RUNTIME) ADD(", may change per call");
    if (p->flags & HEED_PARAM_COUPLES)
        ADD(", couples the rows of a batch if it is not the default");
#undef ADD
}

static void dtypes_text(uint32_t set, char *text, size_t n)
{
    text[0] = 0;
    for (uint32_t d = 0; d < HEED_DTYPES; d++)
        if (set & HEED_BIT(d))
            snprintf(text + strlen(text), n - strlen(text), "%s%s", text[0] ? " " : "",
                     heed_dtype_name(d));
}

static void print_ports(const heed_op *op)
{
    int name = 0, axes = 0;
    char dtypes[64], text[1536];
    for (uint32_t i = 0; i < op->ports.count; i++) {
        if ((int)strlen(port_at(op, i)->name) > name) name = (int)strlen(port_at(op, i)->name);
        if ((int)strlen(port_at(op, i)->axes) > axes) axes = (int)strlen(port_at(op, i)->axes);
    }
    for (uint32_t role = HEED_INPUT; role <= HEED_OUTPUT; role++)
        for (uint32_t i = 0, any = 0; i < op->ports.count; i++) {
            const heed_port *p = port_at(op, i);
            if (p->role != role) continue;
            if (!any++) printf("\n%ss\n", roles[role]);
            dtypes_text(p->dtypes, dtypes, sizeof dtypes);
            snprintf(
                text, sizeof text, "%s%s%s%s%s", p->flags & HEED_PORT_OPTIONAL ? "optional; " : "",
                p->flags & HEED_PORT_REPEATS ? "axes of size 1 repeat; " : "",
                p->flags & HEED_PORT_IN_PLACE ? "may be the memory of the first such input; " : "",
                role == HEED_WEIGHT && p->scope == HEED_SCOPE_STACK
                    ? "one for all layers, or a layer's own; "
                    : "",
                p->doc);
            int at = printf("  %-*s  %-*s  %-12s  ", name, p->name, axes, p->axes, dtypes);
            table_prose(at, at, text);
        }
}

static void print_params(const heed_op *op)
{
    char text[2304];
    int key = 0;
    for (uint32_t i = 0; i < op->params.count; i++)
        if ((int)strlen(param_at(op, i)->key) > key) key = (int)strlen(param_at(op, i)->key);
    if (op->params.count) printf("\nparams\n");
    for (uint32_t i = 0; i < op->params.count; i++) {
        const heed_param *p = param_at(op, i);
        type_text(p, text, sizeof text);
        int at = printf("  %-*s  ", key, p->key);
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, ": %s", p->doc);
        table_prose(at, at, text);
    }
}

/* What a letter stands for; an op's own is called like the param that fixes it. NULL: not told. */
static const char *axis_name(const heed_op *op, char letter)
{
    const char *name = axis_names[letter - 'A'];
    for (uint32_t i = 0; i < op->params.count && !name; i++)
        if (param_at(op, i)->axis == (uint32_t)letter) name = param_at(op, i)->key;
    return name;
}

/* What the letters in this op's axes stand for. */
static void print_axes(const heed_op *op)
{
    int seen[HEED_AXES] = {0};
    char line[2048] = "";
    for (uint32_t i = 0; i < op->ports.count; i++)
        for (const char *a = port_at(op, i)->axes; *a; a++) {
            if (*a < 'A' || *a > 'Z' || seen[*a - 'A']++ || !axis_name(op, *a)) continue;
            snprintf(line + strlen(line), sizeof line - strlen(line), "%s%c %s", *line ? ", " : "",
                     *a, axis_name(op, *a));
        }
    if (*line) printf("\naxes\n  "), table_prose(2, 2, line);
}

/* A text of maybe several lines behind its name. */
static void print_prose(const char *name, const char *text)
{
    for (; *text; name = "") {
        size_t line = strcspn(text, "\n");
        char *copy = strndup(text, line);
        int at = printf("  %-9s  ", name);
        table_prose(at, at, copy ? copy : "");
        free(copy);
        text += line + (text[line] == '\n');
    }
}

/* Which gradients its backward gives, and from which. */
static void print_backward(const heed_op *op, const heed_path *path)
{
    const heed_grad *grad = path ? heed_op_grad(op, path) : NULL;
    char gives[512], takes[512], line[1100];
    if (!grad) {
        const heed_grad *adds =
            path && path->get_extension ? path->get_extension(HEED_GRAD_ID) : NULL;
        print_prose("backward", !adds || !(adds->flags & HEED_GRAD_ADDS) ? "none"
                                : adds->gives
                                    ? "of its weights, by the attention that it is in"
                                    : "none is needed: what it adds to scores depends on no input");
        return;
    }
    names_text(op, grad->gives, gives, sizeof gives);
    names_text(op, grad->takes, takes, sizeof takes);
    snprintf(line, sizeof line, "gradients of %s%s, from those of %s", gives,
             grad->flags & HEED_GRAD_INNER ? ", and of the weights of a position op inside" : "",
             takes);
    print_prose("backward", line);
}

static void print_text(const heed_engine *engine, uint32_t index)
{
    const heed_op *op = heed_op_at(engine, index);
    const heed_path *chosen = heed_op_path(engine, index);
    char line[2304];
    snprintf(line, sizeof line, "%s %s: %s", op->id, op->version, op->summary);
    table_prose(0, 2, line);
    printf("\n");
    print_prose("formula", op->formula);
    print_prose("reference", op->reference);
    printf("  plugin     %s\n  paths     ", heed_op_plugin(engine, index));
    for (uint32_t i = 0; i < op->paths.count; i++)
        printf(path_at(op, i) == chosen ? " [%s]" : " %s", path_at(op, i)->name);
    printf("\n");
    for (uint32_t i = 0; i < op->paths.count; i++)
        if (path_at(op, i)->flags & HEED_PATH_INEXACT)
            snprintf(line, sizeof line,
                     "%s gives other bits: it runs where --isa names it, or with accuracy=fast",
                     path_at(op, i)->name),
                print_prose("inexact", line);
    if (!strncmp(op->id, "attention/", 10) && op->acts)
        printf("  acts       its scores go by how far a key is from its query\n");
    else if (acts[op->acts]) printf("  acts       %s\n", acts[op->acts]);
    *line = 0;
    for (size_t i = 0; i < MASKS; i++)
        if (op->masks & masks[i].kind)
            snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s", *line ? ", " : "",
                     masks[i].how);
    print_prose("masks", line);
    if (op->measure_state) printf("  state      remembers a sequence between calls\n");
    print_backward(op, chosen);
    print_ports(op);
    print_params(op);
    print_axes(op);
}

/* How large it is for a shape. */
static void print_sizes(const op_sizes *s)
{
    printf("\nsizes for %s\n  parameters  %lld\n", s->shape, (long long)s->parameters);
    if (s->state_fixed > 0)
        printf("  state       %.15g bytes, however long the sequence\n", s->state_fixed);
    else if (s->state > 0 && s->keeps >= 0)
        printf("  state       %.6g bytes a token, of the last %lld at most\n", s->state,
               (long long)s->keeps);
    else if (s->state > 0) printf("  state       %.6g bytes a token\n", s->state);
    if (s->cost.flops < 0) return;
    if (s->cost.reach > 0)
        printf("  reach       %.15g key%s of one query\n", s->cost.reach, &"s"[s->cost.reach == 1]);
    printf("  one call    %.6g flops, ", s->cost.flops);
    if (s->cost.executed > 0) printf("%.6g executed, ", s->cost.executed);
    printf("%.6g bytes\n", s->cost.bytes);
}

/* ---- as JSON ---- */

/* Whole numbers without a point, as far as a double is exact. */
static json_t *json_number(double f)
{
    int whole = f >= -0x1p53 && f <= 0x1p53 && f == (double)(json_int_t)f;
    return whole ? json_integer((json_int_t)f) : json_real(f);
}

static json_t *json_port(const heed_port *p)
{
    json_t *dtypes = json_array();
    for (uint32_t d = 0; d < HEED_DTYPES; d++)
        if (p->dtypes & HEED_BIT(d)) json_array_append_new(dtypes, json_string(heed_dtype_name(d)));
    json_t *port = json_pack("{s:s, s:s, s:s, s:o, s:b, s:b, s:b, s:s}", "name", p->name, "role",
                             roles[p->role], "axes", p->axes, "dtypes", dtypes, "optional",
                             (int)(p->flags & HEED_PORT_OPTIONAL), "in_place",
                             (int)(p->flags & HEED_PORT_IN_PLACE), "repeats",
                             (int)(p->flags & HEED_PORT_REPEATS), "doc", p->doc);
    if (p->role == HEED_WEIGHT) {
        json_object_set_new(port, "scope",
                            json_string(p->scope == HEED_SCOPE_STACK ? "stack" : "layer"));
        json_object_set_new(port, "init", json_string(inits[p->init]));
    }
    return port;
}

static json_t *json_default(const heed_param *p)
{
    int length;
    if (!has_default(p)) return json_null();
    if (p->type == HEED_PARAM_BOOL) return json_boolean(p->standard != 0);
    if (p->type != HEED_PARAM_CHOICE) return json_number(p->standard);
    const char *word = choice(p->choices, (int64_t)p->standard, &length);
    return json_stringn(word, (size_t)length);
}

static json_t *json_param(const heed_param *p)
{
    char axis[2] = {(char)p->axis, 0};
    json_t *choices = p->type == HEED_PARAM_CHOICE ? json_array() : json_null();
    for (const char *at = p->choices; p->type == HEED_PARAM_CHOICE && at;) {
        json_array_append_new(choices, json_stringn(at, strcspn(at, "|")));
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:s?, s:b, s:b, s:s?, s:s}", "key", p->key, "type",
        types[p->type], "min", is_number(p) ? json_number(p->min) : json_null(), "max",
        is_number(p) ? json_number(p->max) : json_null(), "default", json_default(p), "choices",
        choices, "kind", p->type == HEED_PARAM_OP ? p->choices : NULL, "required",
        (int)(p->flags & HEED_PARAM_REQUIRED), "runtime", (int)(p->flags & HEED_PARAM_RUNTIME),
        "axis", p->axis ? axis : NULL, "doc", p->doc);
}

/* The names of a set of ports. */
static json_t *json_names(const heed_op *op, uint32_t ports)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < op->ports.count; i++)
        if (ports >> i & 1) json_array_append_new(names, json_string(port_at(op, i)->name));
    return names;
}

static json_t *json_backward(const heed_op *op, const heed_path *path)
{
    const heed_grad *grad = path ? heed_op_grad(op, path) : NULL;
    if (!grad) return json_null();
    return json_pack("{s:o, s:o, s:o}", "gives", json_names(op, grad->gives), "takes",
                     json_names(op, grad->takes), "reads", json_names(op, grad->reads));
}

static json_t *json_op(const heed_engine *engine, uint32_t index)
{
    const heed_op *op = heed_op_at(engine, index);
    const heed_path *chosen = heed_op_path(engine, index);
    json_t *paths = json_array(), *inexact = json_array(), *kinds = json_array(),
           *ports = json_array(), *params = json_array();
    for (uint32_t i = 0; i < op->paths.count; i++) {
        const heed_path *p = path_at(op, i);
        json_array_append_new(paths, json_string(p->name));
        if (p->flags & HEED_PATH_INEXACT) json_array_append_new(inexact, json_string(p->name));
    }
    for (size_t i = 0; i < MASKS; i++)
        if (op->masks & masks[i].kind) json_array_append_new(kinds, json_string(masks[i].name));
    for (uint32_t i = 0; i < op->ports.count; i++)
        json_array_append_new(ports, json_port(port_at(op, i)));
    for (uint32_t i = 0; i < op->params.count; i++)
        json_array_append_new(params, json_param(param_at(op, i)));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:o, s:o}",
                     "id", op->id, "version", op->version, "plugin", heed_op_plugin(engine, index),
                     "paths", paths, "inexact", inexact, "chosen", chosen ? chosen->name : NULL,
                     "summary", op->summary, "formula", op->formula, "reference", op->reference,
                     "acts", acts_words[op->acts], "masks", kinds, "state",
                     op->measure_state != NULL, "backward", json_backward(op, chosen), "ports",
                     ports, "params", params);
}

static json_t *json_told(double x) { return x >= 0 ? json_number(x) : json_null(); }

static json_t *json_sizes(const op_sizes *s)
{
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "shape", s->shape,
                     "parameters", (json_int_t)s->parameters, "state_bytes_per_token",
                     json_number(s->state), "state_tokens", json_told((double)s->keeps),
                     "state_bytes_fixed", json_number(s->state_fixed), "receptive_field",
                     json_told(s->cost.reach), "flops", json_told(s->cost.flops), "executed_flops",
                     json_told(s->cost.executed > 0 ? s->cost.executed : -1), "bytes",
                     json_told(s->cost.bytes));
}

/* ---- which op ---- */

/* The index of the op with this id, or of the only one with this name; or -1 and an error. */
static int64_t find_op(const heed_engine *engine, const char *word, heed_error *error)
{
    uint32_t count = heed_op_count(engine), n = 0, hits = 0;
    int64_t found = -1;
    char list[256] = "";
    const char **names = malloc(sizeof *names * (2 * (size_t)count + 1));
    if (!names) return error_memory(error), -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *id = heed_op_at(engine, i)->id, *name = strchr(id, '/') + 1;
        names[n++] = id;
        names[n++] = name;
        if (strcmp(word, id) && strcmp(word, name)) continue;
        found = i;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", hits++ ? ", " : "", id);
    }
    const char *near = error_nearest(word, names, n);
    for (uint32_t i = 0; near && i < n; i++)
        if (names[i] == near) near = names[i & ~1u]; /* the whole id */
    free(names);
    if (hits == 1) return found;
    if (hits)
        error_set(error, HEED_E_ARGUMENT, "more than one op is called " QUOTE ": %s", QUOTED(word),
                  list);
    else if (strchr(word, '('))
        error_set(error, HEED_E_ARGUMENT,
                  "describe takes the id of an op without its settings, not " QUOTE
                  "; with --shape it takes them",
                  QUOTED(word));
    else {
        char refused[REFUSED_TEXT];
        registry_refused(&engine->registry, word, refused);
        error_set(error, HEED_E_ARGUMENT, "no op is called " QUOTE "%s%s; heed list names them%s",
                  QUOTED(word), near ? ", the nearest is " : "", near ? near : "", refused);
    }
    return -1;
}

/* ---- the command ---- */

typedef struct request {
    heed_options options;
    const char *words[PROBE_NETWORKS], *word, *shape, *spec, *save, *svg;
    uint32_t n_words;
    int64_t seed;
    int json, probe;
} request;

static int read_word(void *to, const char *value)
{
    request *r = to;
    if (r->n_words == PROBE_NETWORKS)
        return options_usage("describe --probe takes up to %d networks", PROBE_NETWORKS);
    r->words[r->n_words++] = value;
    return 0;
}

static int read_seed(void *to, const char *value)
{
    return options_int("--seed", value, 0, INT64_MAX, &((request *)to)->seed);
}

static int describe_op(const request *r, const call_shape *shape)
{
    heed_error error = {0};
    op_sizes sizes;
    json_t *object = NULL;
    int64_t index = -1;
    heed_engine *engine = engine_make(&r->options, probe_plugins(), &error);
    int32_t failed = !engine    ? error.code
                     : r->shape ? sizes_of(engine, r->word, shape, &sizes, &error)
                                : HEED_OK;
    if (!failed) index = find_op(engine, r->shape ? sizes.op : r->word, &error);
    if (index >= 0 && r->json) {
        object = json_op(engine, (uint32_t)index);
        if (r->shape) json_object_set_new(object, "sizes", json_sizes(&sizes));
    }
    int status = index < 0 ? command_fail(&error)
                 : r->json ? command_json(object)
                           : (print_text(engine, (uint32_t)index), 0);
    if (!status && !r->json && r->shape) print_sizes(&sizes);
    heed_engine_free(engine);
    return status;
}

static int probe(request *r)
{
    call_shape shape;
    int status = r->shape ? shape_read(r->shape, &shape) : 0;
    if (status) return status;
    if (r->save) return options_usage("--save and --probe are two things to do");
    if (r->spec && r->n_words == PROBE_NETWORKS)
        return options_usage("describe --probe takes up to %d networks", PROBE_NETWORKS);
    if (r->spec) r->words[r->n_words++] = r->spec;
    if (!r->n_words) return options_usage("describe --probe needs a network");
    for (uint32_t i = 0; i < r->n_words; i++)
        if (!model_is(r->words[i]))
            return options_usage("--probe runs networks, and " QUOTE " is none",
                                 QUOTED(r->words[i]));
    if (r->json && r->svg && !strcmp(r->svg, "-"))
        return options_usage("--json and --svg - would both write to standard output");
    return describe_probe(&(probe_request){.options = r->options,
                                           .word = r->words,
                                           .count = r->n_words,
                                           .shape = r->shape ? &shape : NULL,
                                           .svg = r->svg,
                                           .seed = r->seed,
                                           .json = r->json});
}

int command_describe(int argc, char **argv)
{
    static const option options[] = {
        {"--json", 0, .at = offsetof(request, json)},
        {"--isa", 1, .at = offsetof(request, options.isa), .values = OPTIONS_PATHS},
        {"--shape", 1, .at = offsetof(request, shape)},
        {"--spec", 1, .at = offsetof(request, spec)},
        {"--save", 1, .at = offsetof(request, save), .values = "FILE"},
        {"--seed", 1, .read = read_seed},
        {"--probe", 0, .at = offsetof(request, probe)},
        {"--svg", 1, .at = offsetof(request, svg), .values = "FILE"},
        {"", 1, .read = read_word, .values = "SPEC FILE"},
        {0}};
    request r = {.seed = 1,
                 .options = {.size = sizeof r.options, .threads = 1, .pinning = HEED_PIN_NONE}};
    call_shape shape;
    int status = options_parse(argc, argv, usage, options, &r, NULL);
    if (status) return status;
    if (r.probe) return probe(&r);
    if (r.svg) return options_usage("--svg is the picture of --probe");
    if (r.n_words > 1)
        return options_usage("describe takes one op or model, not %s and %s", r.words[0],
                             r.words[1]);
    r.word = r.words[0];
    if (!r.word && !r.spec) return options_usage("describe needs an op or a model");
    if (r.shape && (status = shape_read(r.shape, &shape))) return status;
    if (!r.spec && model_is(r.word) && !model_is_file(r.word)) r.spec = r.word, r.word = NULL;
    if (r.save && (r.word || !r.spec))
        return options_usage("--save writes weights of chance, of the network that --spec says");
    if (!r.spec && !model_is(r.word)) return describe_op(&r, &shape);
    return describe_network(&(network_request){.options = r.options,
                                               .path = r.word,
                                               .spec = r.spec,
                                               .shape = r.shape ? &shape : NULL,
                                               .save = r.save,
                                               .seed = r.seed,
                                               .json = r.json});
}
