/* SPDX-License-Identifier: MIT
 *
 * call.c: one call of any op, from a line that describes it: its tensors by the op's own table of ports, the oracle's
 * view of them, and its runs.
 */
#include "call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/trust.h"
#include "inspect.h"

#define ENGINES 64
static heed_engine *engines[ENGINES];
const char *harness_plugin;
const load_care *harness_care;
const heed_table *harness_oracles;

/* An engine; with harness_plugin that one comes first, so that of two ops of one id its own is kept. */
static heed_engine *make_engine(uint32_t threads)
{
    heed_error e;
    const char *folders = trust_environment("HEED_PLUGINS"), *why, *path;
    char *plugins = NULL; /* a ':' at the end stands for the installed ones */
    if (harness_plugin && asprintf(&plugins, "%s:%s", harness_plugin, folders ? folders : "") < 0)
        harness_fail("no memory");
    heed_options o = {.size = sizeof o, .threads = threads, .plugins = plugins};
    heed_engine *engine = inspect_engine(&o, harness_care, &e);
    if (!engine) harness_fail("no engine: %s", e.text);
    for (uint32_t i = 0; harness_plugin && i < heed_refusal_count(engine); i++)
        if (why = heed_refusal(engine, i, &path), !strcmp(path, harness_plugin))
            harness_fail("plugin %s is refused: %s", path, why);
    free(plugins);
    return engine;
}

heed_engine *harness_engine(uint32_t threads)
{
    if (threads >= ENGINES) harness_fail("%u threads; a test has fewer than %d", threads, ENGINES);
    if (!engines[threads]) engines[threads] = make_engine(threads);
    return engines[threads];
}

void harness_end(void)
{
    for (int i = 0; i < ENGINES; i++) heed_engine_free(engines[i]);
}

int harness_quick(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ /* kernels take 30 times as long */
    return 1;
#else
    const char *quick = getenv("HEED_TEST_QUICK");
    return !quick ? 0 : atoi(quick) > 1 ? atoi(quick) : 1;
#endif
}

int harness_skips(size_t n, int every) { return harness_quick() && n % ((size_t)every * (size_t)harness_quick()); }

int harness_paths(const char *id, const char *names[8])
{
    static char told[512];
    heed_engine *engine = harness_engine(1);
    int n = 0;
    for (uint32_t i = 0; i < heed_op_count(engine); i++) {
        const heed_op *op = heed_op_at(engine, i);
        if (strcmp(op->id, id)) continue;
        for (uint32_t p = 0; p < op->paths.count; p++) {
            const heed_path *path = (const heed_path *)op->paths.data + p;
            if (path->flags & HEED_PATH_INEXACT) continue; /* its bits are its own */
            if ((path->needs & ~inspect_features(engine)) == 0) names[n++] = path->name;
            else if (!strstr(told, path->name)) {
                printf("[  SKIPPED ] path %s: this CPU lacks it\n", path->name);
                strcat(told, path->name);
            }
        }
    }
    if (n == 0) harness_fail("%s is not loaded", id);
    return n;
}

/* ---- a call ---- */

static const heed_port *port_of(const call *c, uint32_t i)
{
    const uint32_t own = c->op->ports.count;
    return i < own ? (const heed_port *)c->op->ports.data + i : c->inner[i - own];
}

/* What stands behind a name in the list "gain,bias", or with `plus` behind its name in "+bias:BH"; NULL: not there. */
static const char *listed(const char *list, const char *name, int plus)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        const char *at = p + (*p == '+');
        if ((*p == '+') == plus && strncmp(at, name, n) == 0 && strchr(",:", at[n])) return at + n;
    }
    return NULL;
}

/* Whether a case has this axis of a port that repeats once. */
static int is_once(const call *c, const heed_port *port, int axis)
{
    const char *axes = port->flags & HEED_PORT_REPEATS ? listed(c->how->without, port->name, 1) : NULL;
    return axes && memchr(axes, port->axes[2 * axis], strcspn(axes, ","));
}

/* Documents come in runs, short or long, in no order, some of them several times; 999 is no key's. */
static int64_t document(const call *c, int64_t i, int64_t before, uint64_t r, int of_query)
{
    static const int64_t ids[] = {7, -3, 1 << 30, 0, 999};
    uint64_t run = c->how->seed % 2 ? 60 : 7;
    return i && r % run ? before : ids[(r >> 20) % (of_query ? 5 : 4)];
}

/* Along the axes that the case has once, everywhere the element at their beginning. */
static void repeat(const call *c, heed_tensor *t, const heed_port *port)
{
    for (int64_t i = 0; port->flags & HEED_PORT_REPEATS && i < heed_tensor_elements(t); i++) {
        int64_t rest = i, from = 0;
        for (int a = t->rank - 1; a >= 0; rest /= t->dim[a--])
            if (!is_once(c, port, a)) from += rest % t->dim[a] * t->stride[a];
        tensor_put(t, i, tensor_get(t, from));
    }
}

/* Blocks of a list come in rising order, some of them neighbours; then -1. */
static int64_t listed_block(const call *c, const heed_tensor *t, int64_t i, int64_t before,
                            int64_t keys, uint64_t r)
{
    const int64_t blocks = (keys + c->mask.block_keys - 1) / c->mask.block_keys,
                  last = i % t->dim[2] ? before : -1, next = last + 1 + (int64_t)(r >> 20) % 3;
    return (i % t->dim[2] && before < 0) || next >= blocks ? -1 : next;
}

static void fill(call *c, heed_tensor *t, const heed_port *port, uint64_t *seed)
{
    const int64_t *axis = c->oracle.axis, keys = axis['S' - 'A'] < 0 ? axis['T' - 'A'] : axis['S' - 'A'];
    int64_t n = heed_tensor_elements(t), last = 0;
    const char *name = port->name;
    int fraction = port->role == HEED_INPUT &&
                   (!strcmp(name, "draw") || !strcmp(name, "beta") || !strcmp(name, "gate"));
    int masks = strcmp(name, "bias") == 0 && port->flags & HEED_PORT_REPEATS; /* an eighth of its elements are -inf */
    for (int64_t i = 0; i < n; i++) {
        if (t->dtype == HEED_I64 || t->dtype == HEED_I32) {
            uint64_t r = harness_random(seed);
            int64_t limit = strcmp(name, "key_lengths") == 0 ? keys + 1
                            : strcmp(name, "positions") == 0 && axis['C' - 'A'] > 0
                                ? axis['C' - 'A']
                            : strcmp(name, "positions") == 0 ? 5000
                                                             : axis['V' - 'A'];
            last = strstr(name, "documents")     ? document(c, i, last, r, *name == 'q')
                   : !strcmp(name, "key_blocks") ? listed_block(c, t, i, last, keys, r)
                   : limit > 0                   ? (int64_t)(r % (uint64_t)limit)
                                                 : 0;
            tensor_put(t, i, (double)last);
            continue;
        }
        double value = harness_normal(seed) * (c->how->size > 0 ? c->how->size : 1.0f);
        if (strcmp(name, "span") == 0) value = fabs(value) - floor(fabs(value)); /* of attention/adaptive_span */
        if (!strcmp(name, "variance")) value = fabs(value) + 0.1;
        if (strstr(name, "_factors")) value = fabs(value) + 0.5; /* of position/longrope */
        if (fraction) value = (double)(harness_random(seed) >> 40) * 0x1p-24;
        if (fraction && !strcmp(port->axes, "B S G") && !strcmp(name, "gate")) value = -value; /* a log decay */
        tensor_put(t, i, masks && harness_random(seed) % 8 == 0 ? -INFINITY : value);
    }
    repeat(c, t, port);
}

/* Whether a case leaves a port out. What shapes attention's scores is there only if it is asked for. */
static int left_out(const call *c, const heed_port *port)
{
    if (!(port->flags & HEED_PORT_OPTIONAL)) return 0;
    if (!strcmp(port->name, "key_blocks")) return !(c->mask.kinds & HEED_MASK_BLOCKS);
    int shapes_scores = strncmp(c->op->id, "attention/", 10) == 0 && port->role != HEED_OUTPUT &&
                        strcmp(port->name, "key_lengths");
    return shapes_scores == !listed(c->how->without, port->name, shapes_scores);
}

static void parse_axes(call *c, int64_t *leading, int *n_leading)
{
    for (int i = 0; i < HEED_AXES; i++) c->oracle.axis[i] = -1;
    *n_leading = 0;
    c->oracle.rows = 1;
    for (const char *p = c->how->axes; *p;) {
        char name = *p;
        char *end;
        for (p += 2;; p = end + 1) {
            int64_t n = strtoll(p, &end, 10);
            if (name == 'x') {
                leading[(*n_leading)++] = n;
                c->oracle.rows *= n;
            } else {
                c->oracle.axis[name - 'A'] = n;
            }
            if (*end != 'x') break;
        }
        p = *end == ',' ? end + 1 : end;
    }
}

/* The size of an axis that only a weight of an op inside has. */
#define INNER_SIZE 33

/* The weights of the op that is a param, under the names that the engine has for them: "position.table". */
static void add_inner(call *c, const char *key, const entry *e)
{
    for (uint32_t i = 0; i < e->op.ports.count; i++) {
        const heed_port *port = entry_port(e, i);
        const uint32_t n = c->ports - c->op->ports.count;
        if (port->role != HEED_WEIGHT || n == INNER_MAX) continue;
        snprintf(c->inner_name[n], sizeof *c->inner_name, "%s.%s", key, port->name);
        c->inner[n] = port;
        c->port[c->ports++] = c->inner_name[n];
    }
}

/* Sizes that the case leaves open and params fix, defaults among them, those of ops inside first. */
static void fix_axes(call *c, const resolved *r)
{
    for (uint32_t i = 0; i < r->entry->op.params.count; i++)
        if (r->child[i]) fix_axes(c, r->child[i]);
    resolve_axes(r, c->oracle.axis, 0);
}

/* An oracle is told the id of the op inside and no more: what its weights do, and settings that are given, it can not
 * know. */
static int has_settings(const resolved *inner)
{
    const entry *e = inner->entry;
    int has = 0;
    for (uint32_t i = 0; i < e->op.ports.count; i++) has |= entry_port(e, i)->role == HEED_WEIGHT;
    for (uint32_t i = 0; i < e->op.params.count; i++) has |= inner->value[i].given != 0;
    return has;
}

/* The op, params and mask as the engine resolved them are what the oracle is told; its formulas are its own. */
static void describe(call *c, const char *spec)
{
    heed_error e;
    resolved *r = inspect_resolve(harness_engine(1), spec, &e);
    if (!r) harness_fail("%s: %s", spec, e.text);
    c->op = &r->entry->op;
    c->ports = c->op->ports.count;
    for (uint32_t i = 0; i < c->ports; i++) c->port[i] = port_of(c, i)->name;
    c->oracle.params = c->op->params.count;
    for (uint32_t i = 0; i < c->op->params.count; i++) {
        const heed_param *p = (const heed_param *)c->op->params.data + i;
        c->key[i] = p->key;
        c->value[i] = p->flags & HEED_PARAM_AUTO && !r->value[i].given ? NAN
                             : p->type == HEED_PARAM_FLOAT                    ? r->value[i].f
                                                                              : (double)r->value[i].i;
        if (!r->child[i]) continue;
        if (!strcmp(p->choices, "cache")) { /* it changes nothing that is not remembered */
            c->coded = 1;
            continue;
        }
        c->oracle.position = r->child[i]->entry->op.id;
        c->untold |= has_settings(r->child[i]);
        add_inner(c, p->key, r->child[i]->entry);
    }
    c->oracle.ports = c->ports;
    c->mask = r->mask;
    fix_axes(c, r);
    resolve_free(r);
}

/* Lists of blocks for the positions of all queries, unless the case says how many: some are too short to have all. */
static void size_lists(call *c)
{
    int64_t *axis = c->oracle.axis, T = axis['T' - 'A'],
            S = axis['S' - 'A'] < 0 ? T : axis['S' - 'A'];
    if (!(c->mask.kinds & HEED_MASK_BLOCKS)) return;
    if (axis['I' - 'A'] < 0) axis['I' - 'A'] = (T > S ? T : S) / c->mask.block_queries + 1;
    if (axis['Y' - 'A'] < 0) axis['Y' - 'A'] = S / c->mask.block_keys / 2 + 2;
}

void call_make(call *c, const call_case *how)
{
    *c = (call){.how = how};
    c->oracle = (heed_oracle_call){.size = sizeof c->oracle, .port = c->port, .d = c->d, .f = c->f, .param = c->key,
                                   .value = c->value, .mask = &c->mask};
    int64_t leading[HEED_MAX_RANK];
    int n_leading;
    parse_axes(c, leading, &n_leading);
    describe(c, how->spec);
    size_lists(c);
    uint64_t seed = how->seed + 1;
    for (uint32_t i = 0; i < c->ports; i++) {
        const heed_port *port = port_of(c, i);
        if (left_out(c, port)) continue;
        int64_t dim[HEED_MAX_RANK];
        int rank = 0;
        const char *a = port->axes;
        if (strncmp(a, "...", 3) == 0) {
            for (a += 3; rank < n_leading; rank++) dim[rank] = leading[rank];
        }
        for (; *a; a++)
            if (*a != ' ') {
                if (c->oracle.axis[*a - 'A'] < 0 && i >= c->op->ports.count) c->oracle.axis[*a - 'A'] = INNER_SIZE;
                if (c->oracle.axis[*a - 'A'] < 0)
                    harness_fail("%s: [%s] does not say axis %c", how->spec, how->axes, *a);
                dim[rank++] = c->oracle.axis[*a - 'A'];
            }
        uint32_t dtype = port->dtypes & HEED_BIT(HEED_F32)   ? HEED_F32
                         : port->dtypes & HEED_BIT(HEED_I64) ? HEED_I64
                                                             : HEED_I32;
        if (port->role != HEED_OUTPUT && port->dtypes & HEED_BIT(how->dtype)) dtype = how->dtype;
        c->plain[i] = heed_tensor_of(NULL, dtype, rank, dim);
        if (heed_tensor_alloc(&c->plain[i], NULL)) harness_fail("no memory");
        if (port->role != HEED_OUTPUT) fill(c, &c->plain[i], port, &seed);
        int64_t n = heed_tensor_elements(&c->plain[i]);
        c->d[i] = calloc((size_t)n + 1, sizeof(double));
        c->f[i] = calloc((size_t)n + 1, sizeof(float));
    }
    call_update(c);
}

void call_update(call *c)
{
    for (uint32_t i = 0; i < c->ports; i++) {
        const heed_tensor *t = &c->plain[i];
        if (!t->data || port_of(c, i)->role == HEED_OUTPUT) continue;
        for (int64_t j = 0; j < heed_tensor_elements(t); j++) {
            c->d[i][j] = tensor_get(t, j);
            c->f[i][j] = (float)c->d[i][j];
        }
    }
}

int call_port(const call *c, const char *name)
{
    for (uint32_t i = 0; i < c->oracle.ports; i++)
        if (strcmp(c->port[i], name) == 0) return (int)i;
    harness_fail("%s has no port %s", c->op->id, name);
    return -1;
}

void call_after(call *c, const heed_tensor *k, const heed_tensor *v)
{
    const heed_tensor *past[] = {k, v};
    c->oracle.past = k->dim[1];
    for (int i = 0; i < 2; i++) {
        uint32_t p = c->oracle.ports++;
        if (p >= ORACLE_PORTS) harness_fail("%s has too many ports", c->op->id);
        heed_tensor dense = heed_tensor_of(NULL, past[i]->dtype, past[i]->rank, past[i]->dim);
        if (heed_tensor_alloc(&dense, NULL)) harness_fail("no memory");
        tensor_copy(&dense, past[i]);
        int64_t n = heed_tensor_elements(&dense);
        c->port[p] = i ? "past_v" : "past_k";
        c->d[p] = calloc((size_t)n + 1, sizeof(double));
        c->f[p] = calloc((size_t)n + 1, sizeof(float));
        for (int64_t j = 0; j < n; j++) c->f[p][j] = (float)(c->d[p][j] = tensor_get(&dense, j));
        free(dense.data);
    }
}

void call_free(call *c)
{
    for (uint32_t i = 0; i < ORACLE_PORTS; i++) {
        free(c->plain[i].data);
        free(c->d[i]);
        free(c->f[i]);
    }
}

const heed_oracle *call_oracle(const call *c)
{
    if (c->untold) return NULL;
    for (uint32_t i = 0; harness_oracles && i < harness_oracles->count; i++) {
        const char *at = (const char *)harness_oracles->data + (size_t)i * harness_oracles->stride;
        const heed_oracle *o = (const heed_oracle *)(const void *)at;
        if (strcmp(o->id, c->op->id) == 0) return o;
    }
    return oracle_find(c->op->id);
}

uint32_t call_bindings(const call *c, uint32_t role, heed_tensor by_port[ORACLE_PORTS], heed_binding to[ORACLE_PORTS])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->ports; i++)
        if (port_of(c, i)->role == role && by_port[i].data) to[n++] = (heed_binding){c->port[i], &by_port[i]};
    return n;
}

heed_instance *call_try(const call *c, const char *isa, uint32_t threads, heed_tensor by_port[ORACLE_PORTS],
                        heed_error *error)
{
    heed_binding weights[ORACLE_PORTS];
    int64_t axes[HEED_AXES]; /* an instance is for any batch and any length */
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("BTS", 'A' + a) ? -1 : c->oracle.axis[a];
    heed_opening opening = {.size = sizeof opening, .weights = weights, .axes = axes, .isa = isa};
    opening.n_weights = call_bindings(c, HEED_WEIGHT, by_port, weights);
    return heed_instance_open(harness_engine(threads), c->how->spec, &opening, error);
}

static heed_instance *open_with(const call *c, const char *isa, uint32_t threads, heed_tensor by_port[ORACLE_PORTS])
{
    heed_error e;
    heed_instance *i = call_try(c, isa, threads, by_port, &e);
    if (!i) harness_fail("%s: %s", c->how->spec, e.text);
    if (isa && strcmp(heed_instance_path(i)->name, isa))
        harness_fail("%s: path %s was asked for, %s was opened", c->how->spec, isa, heed_instance_path(i)->name);
    return i;
}

heed_instance *call_open(const call *c, const char *isa, uint32_t threads)
{
    return open_with(c, isa, threads, (heed_tensor *)c->plain);
}

void call_once(const call *c, const heed_tensor by_port[ORACLE_PORTS], heed_tensor once[ORACLE_PORTS])
{
    memcpy(once, by_port, sizeof *once * ORACLE_PORTS);
    for (uint32_t i = 0; i < c->ports; i++)
        for (int a = 0; once[i].data && a < once[i].rank; a++)
            if (is_once(c, port_of(c, i), a)) once[i].dim[a] = 1;
}

int32_t call_with(const call *c, const heed_instance *i, heed_tensor by_port[ORACLE_PORTS],
                  heed_sequence *const *sequences, heed_error *error)
{
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    heed_tensor once[ORACLE_PORTS];
    call_once(c, by_port, once);
    uint32_t n_in = call_bindings(c, HEED_INPUT, once, in), n_out = call_bindings(c, HEED_OUTPUT, by_port, out);
    return heed_run(i, in, n_in, out, n_out, sequences, error);
}

void outputs_make(const call *c, heed_tensor out[ORACLE_PORTS])
{
    memset(out, 0, sizeof *out * ORACLE_PORTS);
    for (uint32_t i = 0; i < c->ports; i++) {
        if (port_of(c, i)->role != HEED_OUTPUT || !c->plain[i].data) continue;
        out[i] = c->plain[i];
        if (heed_tensor_alloc(&out[i], NULL)) harness_fail("no memory");
    }
}

/* Outputs are written in whole and nothing else is: memory that was filled before shows what has been touched. */
static void look_around(const call *c, const char *isa, placed at[ORACLE_PORTS])
{
    for (uint32_t i = 0; i < c->ports; i++) {
        if (!at[i].map) continue;
        const heed_port *port = port_of(c, i);
        const heed_tensor *t = &at[i].view;
        int output = port->role == HEED_OUTPUT, wide = heed_dtype_bytes(t->dtype) >= 4;
        const char *path = isa ? isa : "the best path";
        for (int64_t j = 0; j < heed_tensor_elements(t); j++) {
            if (output && wide && placed_untouched(t, j))
                harness_fail("%s leaves element %lld of the output %s unwritten", path, (long long)j, port->name);
            if (!output && memcmp(tensor_at(t, j), tensor_at(&c->plain[i], j), heed_dtype_bytes(t->dtype)))
                harness_fail("%s changes element %lld of its %s %s", path, (long long)j,
                             port->role == HEED_WEIGHT ? "weight" : "input", port->name);
        }
        int64_t stray = placed_stray(&at[i]);
        if (stray >= 0)
            harness_fail("%s writes beside the elements of %s, into byte %lld of its memory", path, port->name,
                         (long long)stray);
    }
}

void call_run(const call *c, const char *isa, uint32_t threads, int layout, heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    placed at[ORACLE_PORTS] = {0};
    heed_tensor views[ORACLE_PORTS] = {0};
    for (uint32_t i = 0; i < c->ports; i++) {
        if (!c->plain[i].data) continue;
        at[i] = place(&c->plain[i], layout);
        views[i] = at[i].view;
        if (port_of(c, i)->role != HEED_OUTPUT) tensor_copy(&views[i], &c->plain[i]);
    }
    heed_instance *instance = open_with(c, isa, threads, views);
    if (call_with(c, instance, views, NULL, &e)) harness_fail("%s [%s]: %s", c->how->spec, c->how->axes, e.text);
    outputs_make(c, out);
    for (uint32_t i = 0; i < c->ports; i++)
        if (out[i].data) tensor_copy(&out[i], &views[i]);
    heed_instance_close(instance);
    look_around(c, isa, at);
    for (uint32_t i = 0; i < c->ports; i++)
        if (at[i].map) unplace(&at[i]);
}

void outputs_free(heed_tensor out[ORACLE_PORTS])
{
    for (int i = 0; i < ORACLE_PORTS; i++) {
        free(out[i].data);
        out[i].data = NULL;
    }
}
