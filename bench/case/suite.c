/* SPDX-License-Identifier: MIT
 *
 * suite.c: the cases of heed bench --suite: every op of the registry, whoever wrote it. No op is
 * named: its settings follow from the masks that it honours, its shape from the letters of its
 * ports.
 *
 * Every set has the small shapes of SUITE_TINY, run once for their hashes, which all machines must
 * give alike, the emulated ones too; "quick" and "full" add the shapes that are timed. Invariant:
 * what an op refuses is noted with its sentence, and ends nothing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/case/network.h"
#include "bench/case/open.h"
#include "bench/case/suite.h"
#include "command/progress.h"
#include "command/shape.h"
#include "inspect.h"

/* ---- what is run ---- */

static const struct set {
    const char *name;
    bench_pace pace;
} sets[SUITE_SETS] = {
    [SUITE_TINY] = {"tiny", {.rounds = 1}},
    [SUITE_QUICK] = {"quick", {.rounds = 5, .runs = 3, .seconds = 0.03, .all = 60}},
    [SUITE_FULL] = {"full", {.rounds = 7, .runs = 3, .seconds = 0.1, .all = 600}},
};

/* The shape of an op, by the first row whose letters its ports all have; '.' are leading axes. The
 * tiny ones end amid a vector and amid a tile. */
static const struct form {
    const char *letters, *shape[SUITE_SETS];
} forms[] = {
    {"TSD", {"B=2,T=50,H=4,G=2,D=20", "T=256,H=2,D=64", "T=1024,H=8,D=64"}}, /* attention */
    /* attention that keys do not decide */
    {"TGE", {"B=2,T=50,H=4,G=2,D=20", "T=256,H=2,D=64", "T=1024,H=8,D=64"}},
    {"TD", {"B=2,T=9,H=3,D=20", "T=128,H=8,D=64", "T=4096,H=8,D=64"}},       /* a head at a time */
    {"TE", {"B=2,T=9,H=3,E=20", "T=64,H=8,E=64", "T=4096,H=8,E=64"}},
    /* a text at a time */
    {"BTM", {"B=2,T=50,H=4,D=12,M=48", "T=256,H=2,D=64,M=128", "T=1024,H=8,D=64,M=512"}},
    /* a token at a time */
    {".MN", {"x=37,M=36,N=40", "x=128,M=256,N=512", "x=1024,M=1024,N=1024"}},
    {".MF", {"x=37,M=36,F=100", "x=64,M=128,F=512", "x=512,M=1024,F=4096"}},
    {".MV", {"x=37,M=36,V=50", "x=128,M=512,V=512", "x=4096,M=1024,V=32000"}},
    {".M", {"x=37,M=100", "x=64,M=1024", "x=8192,M=1024"}},
    {".V", {"x=5,V=300", "x=32,V=8192", "x=512,V=32000"}},
    {"BV", {"B=5,V=300", "B=8,V=8192", "B=32,V=32000"}},
    {"", {"B=2,T=9,H=4,G=2,D=20,M=36", "T=256,H=4,D=64", "T=1024,H=8,D=64"}},
};

/* And of an op that remembers, one token behind others. */
static const char *const decoding[SUITE_SETS] = {"B=2,H=4,G=2,D=20,M=48,decode=33",
                                                 "H=4,D=64,M=256,decode=512",
                                                 "H=16,D=128,M=2048,decode=4096"};

/* Settings, for an op that honours the masks. */
static const struct setting {
    uint32_t masks;
    const char *text[2]; /* tiny, timed */
    int decodes;         /* also for decoding */
} settings[] = {
    {0, {"", ""}, 0},
    {HEED_MASK_CAUSAL, {"causal=true", "causal=true"}, 1},
    {HEED_MASK_CAUSAL | HEED_MASK_WINDOW, {"causal=true, window=15", "causal=true, window=127"}, 0},
};
#define SETTINGS (sizeof settings / sizeof *settings)

/* Sizes of axes that only their plugin knows, to be tried in turn: even, odd, as many as tokens, as
 * heads, one. */
static const char own_sizes[] = "eoth1";
#define OWN_AXES 3 /* of one op */

/* Tokens of the network: read at once, and one by one. */
static const int64_t network_tokens_of[SUITE_SETS][2] = {{9, 4}, {128, 32}, {256, 256}};
static const char usual_model[] = "models/plays.safetensors";

const char *suite_name(uint32_t set) { return sets[set].name; }
bench_pace suite_pace(uint32_t set) { return sets[set].pace; }

/* ---- notes ---- */

static int32_t note(bench *b, heed_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The sentence in `error` is one about this, and is taken away. */
static int32_t note(bench *b, heed_error *error, const char *format, ...)
{
    bench_refusal r = {NULL, strndup(error->text, strcspn(error->text, "\n"))};
    va_list list;
    va_start(list, format);
    int length = vasprintf(&r.what, format, list);
    va_end(list);
    if (!grow_room(&b->refused, b->n_refused, sizeof r) || length < 0 || !r.why) {
        if (length >= 0) free(r.what);
        free(r.why);
        return error_memory(error);
    }
    b->refused[b->n_refused++] = r;
    *error = (heed_error){0};
    return HEED_OK;
}

void suite_free(bench *b)
{
    for (uint32_t i = 0; i < b->n_refused; i++) {
        free(b->refused[i].what);
        free(b->refused[i].why);
    }
    free(b->refused);
}

/* ---- specs ---- */

/* where an op is wanted that takes others, or that others take */
static const char plainest[] = "attention/softmax";

typedef struct text {
    char bytes[512];
    size_t n;
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, list);
    va_end(list);
    if (n > 0) t->n += (size_t)n < sizeof t->bytes - t->n ? (size_t)n : sizeof t->bytes - 1 - t->n;
}

static int is_kind(const entry *e, const char *kind)
{
    size_t n = strlen(kind);
    return !strncmp(e->op.id, kind, n) && e->op.id[n] == '/';
}

/* A value for a param that must be given: in the middle of what is usual. An op: the plainest, or
 * its kind's first. */
static void put_value(text *t, const heed_engine *engine, const heed_param *p)
{
    const entry *plain = inspect_find(engine, plainest);
    double middle = p->min > 4 ? p->min : p->max < 4 ? p->max : 4;
    switch (p->type) {
    case HEED_PARAM_INT: put(t, "%lld", (long long)middle); break;
    case HEED_PARAM_FLOAT: put(t, "%g", middle); break;
    case HEED_PARAM_BOOL: put(t, "true"); break;
    case HEED_PARAM_CHOICE: put(t, "%.*s", (int)strcspn(p->choices, "|"), p->choices); break;
    default:
        if (plain && is_kind(plain, p->choices)) put(t, "%s", plain->op.id);
        else for (uint32_t i = 0; (plain = inspect_op(engine, i)); i++) {
            if (!is_kind(plain, p->choices)) continue;
            put(t, "%s", plain->op.id);
            break;
        }
    }
}

/* The param of `e` that takes ops of the kind of `child`; NULL: it has none. */
static const heed_param *takes(const entry *e, const entry *child)
{
    for (uint32_t p = 0; p < e->op.params.count; p++)
        if (entry_param(e, p)->type == HEED_PARAM_OP && is_kind(child, entry_param(e, p)->choices))
            return entry_param(e, p);
    return NULL;
}

/* The op that does something by itself and takes `child` as a setting: the plainest, or the
 * first. */
static const entry *host_of(const heed_engine *engine, const entry *child)
{
    const entry *e, *plain = inspect_find(engine, plainest);
    if (plain && plain->path && takes(plain, child)) return plain;
    for (uint32_t i = 0; (e = inspect_op(engine, i)); i++)
        if (e->path && e->path->forward && takes(e, child)) return e;
    return NULL;
}

/* An op with a setting, what it must be given, and an op inside. */
static void write_spec(text *t, const heed_engine *engine, const entry *e, const char *setting,
                       const entry *child)
{
    *t = (text){.n = 0};
    put(t, "%s", e->op.id);
    if (*setting) put(t, "(%s", setting);
    const char *comma = *setting ? ", " : "(";
    for (uint32_t p = 0; p < e->op.params.count; p++) {
        const heed_param *param = entry_param(e, p);
        int inside = child && param == takes(e, child);
        if (!inside && !(param->flags & HEED_PARAM_REQUIRED)) continue;
        put(t, "%s%s=", comma, param->key);
        if (inside) put(t, "%s", child->op.id);
        else put_value(t, engine, param);
        comma = ", ";
    }
    if (*comma == ',') put(t, ")");
}

/* ---- opening ---- */

static int has_letters(const entry *e, const char *letters)
{
    for (; *letters; letters++) {
        int found = 0;
        for (uint32_t p = 0; p < e->op.ports.count && !found; p++)
            found = *letters == '.' ? e->axes[p].leading : entry_has_axis(e, p, *letters);
        if (!found) return 0;
    }
    return 1;
}

static const char *shape_of(const entry *e, uint32_t set)
{
    const struct form *f = forms;
    while (!has_letters(e, f->letters)) f++; /* the last has none */
    return f->shape[set];
}

/* One of a number of attempts: sizes of the axes that the suite knows nothing of; optional weights,
 * queries and keys, which some ops need; keys for every head, where an op takes no groups. `with`
 * keeps names of ports; 0 = there is no such attempt. */
static int attempt(const resolved *op, const char *shape_text, uint32_t number, call_shape *out,
                   char with[256])
{
    const entry *e = op->entry;
    call_shape shape;
    char own[OWN_AXES + 1] = "";
    uint32_t combinations = 1, n_own = 0, kinds = sizeof own_sizes - 1;
    shape_read(shape_text, out);
    shape = *out;
    shape_fill(&shape, op); /* what the op's params fix is known */
    for (char letter = 'A'; letter <= 'Z' && n_own < OWN_AXES; letter++)
        if (shape_guesses(&shape, e, letter)) own[n_own++] = letter, combinations *= kinds;
    uint32_t grouped = SHAPE_AXIS(&shape, 'G') != SHAPE_AXIS(&shape, 'H'),
             choice = number / combinations % 4;
    if (number >= combinations * 4 * (grouped + 1)) return 0;
    *with = 0;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const heed_port *port = entry_port(e, p);
        size_t n = strlen(with);
        int weight = port->role == HEED_WEIGHT,
            qk = !strcmp(port->name, "q") || !strcmp(port->name, "k");
        if (!(port->flags & HEED_PORT_OPTIONAL) || shape_takes(&shape, port)) continue;
        if ((weight && choice & 1) || (qk && choice & 2))
            snprintf(with + n, 256 - n, "%s%s", n ? "+" : "", port->name);
    }
    if (choice && !*with) choice = 0; /* the same as before, and refused again */
    uint32_t rest = number % combinations;
    for (uint32_t i = 0; i < n_own; i++, rest /= kinds) {
        int64_t tokens =
            shape.decode > SHAPE_AXIS(&shape, 'T') ? shape.decode : SHAPE_AXIS(&shape, 'T');
        char kind = own_sizes[rest % kinds];
        SHAPE_AXIS(out, own[i]) = kind == 'e' ? 16 : kind == 'o' ? 9 : kind == 't' ? tokens
                                  : kind == 'h' ? SHAPE_AXIS(&shape, 'H') : 1;
    }
    if (choice) out->with = with;
    if (number / combinations / 4) SHAPE_AXIS(out, 'G') = -1; /* follows H */
    return 1;
}

static int is_fatal(int32_t failed)
{
    return failed == HEED_E_CANCELLED || failed == HEED_E_MEMORY;
}

/* The first attempt that one path takes is the case. If none is, the sentence of the first one
 * tells. */
static int32_t open_one(bench *b, const suite_choice *choice, const char *spec_text,
                        const char *shape_text, uint32_t set, heed_error *error)
{
    call_shape shape;
    char with[256];
    uint32_t before = b->n_cases;
    int want = set == SUITE_TINY ? OPEN_RUN : OPEN_TIME;
    heed_error first = {0};
    const char *path = NULL, *first_path = NULL;
    resolved *op = inspect_resolve(b->engine, spec_text, error);
    int32_t failed = op ? HEED_OK : error->code;
    if (!op) first = *error;
    for (uint32_t n = 0; op && b->n_cases == before && attempt(op, shape_text, n, &shape, with);
         n++) {
        failed = open_shape(b, op, &shape, HEED_F32, choice->isa, want, &path, error);
        if (!failed || is_fatal(failed)) break;
        if (!n) first = *error, first_path = path;
    }
    resolve_free(op);
    if (!failed || is_fatal(failed)) return failed;
    if (b->n_cases == before) *error = first, path = first_path; /* else one of the paths failed */
    return note(b, error, "%s, %s%s%s", spec_text, shape_text, path ? ", " : "", path ? path : "");
}

/* One op in one set: with each setting, as a whole text and as the next token. */
static int32_t open_op(bench *b, const suite_choice *choice, const entry *op, uint32_t set,
                       heed_error *error)
{
    const heed_engine *engine = b->engine;
    const entry *e = op, *child = NULL;
    int32_t failed = HEED_OK;
    if (op->path && !op->path->forward) {
        e = host_of(engine, op);
        child = op;
    }
    if (!e) {
        error_set(error, HEED_E_UNSUPPORTED, "it does nothing by itself, and no op takes it");
        return note(b, error, "%s", op->op.id);
    }
    for (size_t s = 0; s < SETTINGS && !failed; s++) {
        text t;
        if (settings[s].masks & ~e->op.masks || (child && settings[s].masks != HEED_MASK_CAUSAL))
            continue;
        write_spec(&t, engine, e, settings[s].text[set != SUITE_TINY], child);
        failed = open_one(b, choice, t.bytes, shape_of(e, set), set, error);
        int alone = !(e->op.masks & HEED_MASK_CAUSAL); /* it knows no mask, but may remember */
        if (!failed && e->op.measure_state && (settings[s].decodes || alone))
            failed = open_one(b, choice, t.bytes, decoding[set], set, error);
    }
    return failed;
}

static int32_t open_usual(bench *b, const suite_choice *choice, uint32_t set, int steps,
                          heed_error *error)
{
    network_choice network = {.file = choice->model ? choice->model : usual_model,
                              .isa = choice->isa,
                              .tokens = network_tokens_of[set][steps],
                              .how = steps ? NETWORK_STEPS : NETWORK_WHOLE};
    int32_t failed = open_network(b, choice->engine, &network, set != SUITE_TINY, error);
    if (!failed || is_fatal(failed)) return failed;
    return choice->model ? failed : note(b, error, "a network");
}

static int asked(const suite_choice *choice, const entry *e)
{
    for (uint32_t i = 0; i < choice->n_ops; i++)
        if (!strcmp(choice->ops[i], e->op.id)) return 1;
    return !choice->n_ops;
}

/* An id that no op has is an error, with the nearest that there is. */
static int32_t check_ops(const bench *b, const suite_choice *choice, heed_error *error)
{
    for (uint32_t i = 0; i < choice->n_ops; i++) {
        if (inspect_find(b->engine, choice->ops[i])) continue;
        resolved *op = inspect_resolve(b->engine, choice->ops[i], error);
        int32_t failed = op ? error_set(error, HEED_E_ARGUMENT,
                                        "--suite takes ids of ops, such as %s, not " QUOTE,
                                        op->entry->op.id, QUOTED(choice->ops[i]))
                            : error->code;
        resolve_free(op);
        return failed;
    }
    return HEED_OK;
}

int32_t suite_open(bench *b, const suite_choice *choice, heed_error *error)
{
    int32_t failed = check_ops(b, choice, error);
    for (uint32_t set = SUITE_TINY; set <= choice->set && !failed; set++) {
        if (set != SUITE_TINY && set != choice->set) continue;
        const entry *e;
        for (uint32_t i = 0; !failed && (e = inspect_op(b->engine, i)); i++)
            if (asked(choice, e)) failed = open_op(b, choice, e, set, error);
        for (int steps = 0; steps < 2 && !failed && (!choice->n_ops || choice->model); steps++)
            failed = open_usual(b, choice, set, steps, error);
    }
    progress_end();
    return failed;
}
