/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIT_INLINE static inline __attribute__((unused))
#include <heed/kit/half.h>

#include "engine.h"

#define ENGINES 64
static heed_engine *engines[ENGINES];

heed_engine *harness_engine(uint32_t threads)
{
    assert_true(threads < ENGINES);
    if (!engines[threads]) {
        heed_error e;
        heed_options o = {.size = sizeof o, .threads = threads};
        engines[threads] = heed_engine_new(&o, &e);
        if (!engines[threads]) fail_msg("no engine: %s", e.text);
    }
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
    return getenv("HEED_TEST_QUICK") != NULL;
#endif
}

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
            if ((path->needs & ~engine->features) == 0) names[n++] = path->name;
            else if (!strstr(told, path->name)) {
                printf("[  SKIPPED ] path %s: this CPU lacks it\n", path->name);
                strcat(told, path->name);
            }
        }
    }
    if (n == 0) fail_msg("%s is not loaded", id);
    return n;
}

uint64_t harness_random(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The sum of twelve uniform numbers, which is as good as normal here and, in integers, the same on every machine. */
float harness_normal(uint64_t *seed)
{
    int64_t sum = -6 * ((int64_t)1 << 20);
    for (int i = 0; i < 4; i++) {
        uint64_t r = harness_random(seed);
        sum += (int64_t)(r & 0xfffff) + (int64_t)(r >> 20 & 0xfffff) + (int64_t)(r >> 40 & 0xfffff);
    }
    return (float)((double)sum * 0x1p-20);
}

/* ---- tensors in awkward places ---- */

typedef struct placed {
    heed_tensor view;
    void *map;
    size_t map_bytes;
} placed;

static placed place(const heed_tensor *shape, int layout)
{
    placed p = {.view = *shape};
    int64_t stride = layout == STRIDED ? 3 : 1, width = heed_dtype_bytes(shape->dtype);
    for (int i = shape->rank - 1; i >= 0; i--) {
        p.view.stride[i] = stride;
        stride *= shape->dim[i] > 0 ? shape->dim[i] : 1;
        if (layout == STRIDED) stride += 5 + i;
    }
    int64_t last = 0, empty = 0;
    for (int i = 0; i < shape->rank; i++) {
        last += (shape->dim[i] - 1) * p.view.stride[i];
        empty |= shape->dim[i] == 0;
    }
    size_t bytes = empty ? 0 : (size_t)((last + 1) * width), page = (size_t)sysconf(_SC_PAGESIZE);
    p.map_bytes = (bytes + 64 + page - 1) / page * page + page;
    p.map = mmap(NULL, p.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p.map != MAP_FAILED);
    /* qemu's AVX2 masked loads read all lanes: a run on it says HEED_TEST_GUARD=no */
    if (!getenv("HEED_TEST_GUARD")) mprotect((char *)p.map + p.map_bytes - page, page, PROT_NONE);
    memset(p.map, 0x5a, p.map_bytes - page);
    size_t end = p.map_bytes - page - bytes;
    if (layout != SHIFTED)
        end &= ~(size_t)63; /* aligned; else the last element touches the page that can not be read */
    p.view.data = (char *)p.map + end;
    p.view.bytes = bytes;
    return p;
}

static void unplace(placed *p) { munmap(p->map, p->map_bytes); }

heed_tensor tensor_slice(const heed_tensor *t, int axis, int64_t from, int64_t n)
{
    heed_tensor s = *t;
    uint64_t offset = (uint64_t)(from * t->stride[axis]) * heed_dtype_bytes(t->dtype);
    s.dim[axis] = n;
    s.data = (char *)t->data + offset;
    s.bytes = offset < t->bytes ? t->bytes - offset : 0;
    return s;
}

void tensor_copy(const heed_tensor *to, const heed_tensor *from)
{
    int64_t n = heed_tensor_elements(from), width = heed_dtype_bytes(from->dtype);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, a = 0, b = 0;
        for (int d = from->rank - 1; d >= 0; d--) {
            a += rest % from->dim[d] * to->stride[d];
            b += rest % from->dim[d] * from->stride[d];
            rest /= from->dim[d];
        }
        memcpy((char *)to->data + a * width, (char *)from->data + b * width, (size_t)width);
    }
}

/* ---- a call ---- */

static const heed_port *port_of(const call *c, uint32_t i) { return (const heed_port *)c->op->ports.data + i; }

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

double tensor_get(const heed_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case HEED_F32: return ((float *)t->data)[i];
    case HEED_F16: return kit_from_f16(((uint16_t *)t->data)[i]);
    case HEED_BF16: return kit_from_bf16(((uint16_t *)t->data)[i]);
    case HEED_I64: return (double)((int64_t *)t->data)[i];
    default: return ((int32_t *)t->data)[i];
    }
}

void tensor_put(const heed_tensor *t, int64_t i, double value)
{
    switch (t->dtype) {
    case HEED_F32: ((float *)t->data)[i] = (float)value; return;
    case HEED_F16: ((uint16_t *)t->data)[i] = kit_to_f16((float)value); return;
    case HEED_BF16: ((uint16_t *)t->data)[i] = kit_to_bf16((float)value); return;
    case HEED_I64: ((int64_t *)t->data)[i] = (int64_t)value; return;
    default: ((int32_t *)t->data)[i] = (int32_t)value;
    }
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

static void fill(call *c, heed_tensor *t, const heed_port *port, uint64_t *seed)
{
    const int64_t *axis = c->oracle.axis;
    int64_t n = heed_tensor_elements(t), last = 0;
    const char *name = port->name;
    int masks = strcmp(name, "bias") == 0 && port->flags & HEED_PORT_REPEATS; /* an eighth of its elements are -inf */
    for (int64_t i = 0; i < n; i++) {
        if (t->dtype == HEED_I64 || t->dtype == HEED_I32) {
            uint64_t r = harness_random(seed);
            int64_t limit = strcmp(name, "key_lengths") == 0 ? axis['S' - 'A'] + 1
                            : strcmp(name, "positions") == 0 ? 5000
                                                             : axis['V' - 'A'];
            last = strstr(name, "documents") ? document(c, i, last, r, *name == 'q')
                   : limit > 0               ? (int64_t)(r % (uint64_t)limit)
                                             : 0;
            tensor_put(t, i, (double)last);
            continue;
        }
        double value = harness_normal(seed) * (c->how->size > 0 ? c->how->size : 1.0f);
        if (strcmp(name, "span") == 0) value = fabs(value) - floor(fabs(value)); /* of attention/adaptive_span */
        tensor_put(t, i, masks && harness_random(seed) % 8 == 0 ? -INFINITY : value);
    }
    repeat(c, t, port);
}

/* Whether a case leaves a port out. What shapes attention's scores is there only if it is asked for. */
static int left_out(const call *c, const heed_port *port)
{
    if (!(port->flags & HEED_PORT_OPTIONAL)) return 0;
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

/* The op, params and mask as the engine resolved them are what the oracle is told; its formulas are its own. */
static void describe(call *c, const char *spec)
{
    heed_error e;
    struct spec *s = spec_parse(spec, 0, &e);
    resolved *r = s ? resolve(&harness_engine(1)->registry, s, s->op, NULL, &e) : NULL;
    if (!r) fail_msg("%s: %s", spec, e.text);
    c->op = &r->entry->op;
    c->oracle.ports = c->op->ports.count;
    for (uint32_t i = 0; i < c->op->ports.count; i++) c->oracle.port[i] = port_of(c, i)->name;
    c->oracle.params = c->op->params.count;
    for (uint32_t i = 0; i < c->op->params.count; i++) {
        const heed_param *p = (const heed_param *)c->op->params.data + i;
        c->oracle.param[i] = p->key;
        c->oracle.value[i] = p->flags & HEED_PARAM_AUTO && !r->value[i].given ? NAN
                             : p->type == HEED_PARAM_FLOAT                    ? r->value[i].f
                                                                              : (double)r->value[i].i;
        if (r->child[i]) c->oracle.position = r->child[i]->entry->op.id;
    }
    c->oracle.mask = r->mask;
    c->oracle.skip_key = -1;
    c->oracle.scale_factor = 1;
    resolve_free(r);
    spec_free(s);
}

void call_make(call *c, const call_case *how)
{
    *c = (call){.how = how};
    int64_t leading[HEED_MAX_RANK];
    int n_leading;
    describe(c, how->spec);
    parse_axes(c, leading, &n_leading);
    uint64_t seed = how->seed + 1;
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        const heed_port *port = port_of(c, i);
        if (left_out(c, port)) continue;
        int64_t dim[HEED_MAX_RANK];
        int rank = 0;
        const char *a = port->axes;
        if (strncmp(a, "...", 3) == 0) {
            for (a += 3; rank < n_leading; rank++) dim[rank] = leading[rank];
        }
        for (; *a; a++)
            if (*a != ' ') dim[rank++] = c->oracle.axis[*a - 'A'];
        uint32_t dtype = port->dtypes & HEED_BIT(HEED_F32)   ? HEED_F32
                         : port->dtypes & HEED_BIT(HEED_I64) ? HEED_I64
                                                             : HEED_I32;
        if (port->role != HEED_OUTPUT && port->dtypes & HEED_BIT(how->dtype)) dtype = how->dtype;
        c->plain[i] = heed_tensor_of(NULL, dtype, rank, dim);
        if (heed_tensor_alloc(&c->plain[i], NULL)) fail_msg("no memory");
        if (port->role != HEED_OUTPUT) fill(c, &c->plain[i], port, &seed);
        int64_t n = heed_tensor_elements(&c->plain[i]);
        c->oracle.d[i] = calloc((size_t)n + 1, sizeof(double));
        c->oracle.f[i] = calloc((size_t)n + 1, sizeof(float));
    }
    call_update(c);
}

void call_update(call *c)
{
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        const heed_tensor *t = &c->plain[i];
        if (!t->data || port_of(c, i)->role == HEED_OUTPUT) continue;
        for (int64_t j = 0; j < heed_tensor_elements(t); j++) {
            c->oracle.d[i][j] = tensor_get(t, j);
            c->oracle.f[i][j] = (float)c->oracle.d[i][j];
        }
    }
}

int call_port(const call *c, const char *name)
{
    int i = oracle_port(&c->oracle, name);
    if (i < 0) fail_msg("%s has no port %s", c->op->id, name);
    return i;
}

void call_after(call *c, const heed_tensor *k, const heed_tensor *v)
{
    const heed_tensor *past[] = {k, v};
    c->oracle.past = k->dim[1];
    for (int i = 0; i < 2; i++) {
        uint32_t p = c->oracle.ports++;
        assert_true(p < ORACLE_PORTS);
        heed_tensor dense = heed_tensor_of(NULL, past[i]->dtype, past[i]->rank, past[i]->dim);
        if (heed_tensor_alloc(&dense, NULL)) fail_msg("no memory");
        tensor_copy(&dense, past[i]);
        int64_t n = heed_tensor_elements(&dense);
        c->oracle.port[p] = i ? "past_v" : "past_k";
        c->oracle.d[p] = calloc((size_t)n + 1, sizeof(double));
        c->oracle.f[p] = calloc((size_t)n + 1, sizeof(float));
        for (int64_t j = 0; j < n; j++) c->oracle.f[p][j] = (float)(c->oracle.d[p][j] = tensor_get(&dense, j));
        free(dense.data);
    }
}

void call_free(call *c)
{
    for (uint32_t i = 0; i < ORACLE_PORTS; i++) {
        free(c->plain[i].data);
        free(c->oracle.d[i]);
        free(c->oracle.f[i]);
    }
}

/* The bindings of one role. */
static uint32_t bindings(const call *c, uint32_t role, heed_tensor by_port[ORACLE_PORTS], heed_binding to[ORACLE_PORTS])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->op->ports.count; i++)
        if (port_of(c, i)->role == role && by_port[i].data) to[n++] = (heed_binding){port_of(c, i)->name, &by_port[i]};
    return n;
}

static heed_instance *open_with(const call *c, const char *isa, uint32_t threads, heed_tensor by_port[ORACLE_PORTS])
{
    heed_error e;
    heed_binding weights[ORACLE_PORTS];
    int64_t axes[HEED_AXES]; /* an instance is for any batch and any length */
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("BTS", 'A' + a) ? -1 : c->oracle.axis[a];
    heed_opening opening = {.size = sizeof opening, .weights = weights, .axes = axes, .isa = isa};
    opening.n_weights = bindings(c, HEED_WEIGHT, by_port, weights);
    heed_instance *i = heed_instance_open(harness_engine(threads), c->how->spec, &opening, &e);
    if (!i) fail_msg("%s: %s", c->how->spec, e.text);
    if (isa) assert_string_equal(heed_instance_path(i)->name, isa);
    return i;
}

heed_instance *call_open(const call *c, const char *isa, uint32_t threads)
{
    return open_with(c, isa, threads, (heed_tensor *)c->plain);
}

int32_t call_with(const call *c, const heed_instance *i, heed_tensor by_port[ORACLE_PORTS],
                  heed_sequence *const *sequences, heed_error *error)
{
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    heed_tensor once[ORACLE_PORTS];
    memcpy(once, by_port, sizeof once);
    for (uint32_t i = 0; i < c->op->ports.count; i++)
        for (int a = 0; once[i].data && a < once[i].rank; a++)
            if (is_once(c, port_of(c, i), a)) once[i].dim[a] = 1;
    uint32_t n_in = bindings(c, HEED_INPUT, once, in), n_out = bindings(c, HEED_OUTPUT, by_port, out);
    return heed_run(i, in, n_in, out, n_out, sequences, error);
}

void outputs_make(const call *c, heed_tensor out[ORACLE_PORTS])
{
    memset(out, 0, sizeof *out * ORACLE_PORTS);
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        if (port_of(c, i)->role != HEED_OUTPUT || !c->plain[i].data) continue;
        out[i] = c->plain[i];
        if (heed_tensor_alloc(&out[i], NULL)) fail_msg("no memory");
    }
}

void call_run(const call *c, const char *isa, uint32_t threads, int layout, heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    placed at[ORACLE_PORTS] = {0};
    heed_tensor views[ORACLE_PORTS] = {0};
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        if (!c->plain[i].data) continue;
        at[i] = place(&c->plain[i], layout);
        views[i] = at[i].view;
        if (port_of(c, i)->role != HEED_OUTPUT) tensor_copy(&views[i], &c->plain[i]);
    }
    heed_instance *instance = open_with(c, isa, threads, views);
    if (call_with(c, instance, views, NULL, &e)) fail_msg("%s [%s]: %s", c->how->spec, c->how->axes, e.text);
    outputs_make(c, out);
    for (uint32_t i = 0; i < c->op->ports.count; i++)
        if (out[i].data) tensor_copy(&out[i], &views[i]);
    heed_instance_close(instance);
    for (uint32_t i = 0; i < c->op->ports.count; i++)
        if (at[i].map) unplace(&at[i]);
}

void outputs_free(heed_tensor out[ORACLE_PORTS])
{
    for (int i = 0; i < ORACLE_PORTS; i++) {
        free(out[i].data);
        out[i].data = NULL;
    }
}

int outputs_equal(const call *c, const heed_tensor *a, const heed_tensor *b)
{
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        if (port_of(c, i)->role != HEED_OUTPUT || !a[i].data) continue;
        for (int64_t j = 0; j < heed_tensor_elements(&a[i]); j++) {
            double x = tensor_get(&a[i], j), y = tensor_get(&b[i], j);
            int64_t width = heed_dtype_bytes(a[i].dtype);
            if (memcmp((char *)a[i].data + j * width, (char *)b[i].data + j * width, (size_t)width) &&
                !(isnan(x) && isnan(y)))
                return 0;
        }
    }
    return 1;
}

/* ---- judgement ---- */

/* The largest error of the naive loop, per port. The luck of a few outputs is no yardstick (the naive loop is exact for
 * some): a call with fewer than 256 outputs is drawn again, with other numbers, until there are as many. */
static void naive_errors(const call *c, const oracle *o, double error[ORACLE_PORTS])
{
    enum { ENOUGH = 256, DRAWS = 64 };
    int64_t outputs = 0;
    for (int draw = 0; draw < DRAWS && outputs < ENOUGH; draw++) {
        call again;
        call_case how = *c->how;
        how.seed += 1000003u * (uint64_t)draw;
        call_make(&again, &how);
        for (uint32_t p = 0; p < c->op->ports.count && draw == 0;
             p++) /* the very data, which a test may have changed */
            if (c->plain[p].data && port_of(c, p)->role != HEED_OUTPUT) tensor_copy(&again.plain[p], &c->plain[p]);
        call_update(&again);
        again.oracle.skip_key = c->oracle.skip_key;
        again.oracle.scale_factor = c->oracle.scale_factor;
        for (uint32_t p = c->op->ports.count; p < c->oracle.ports; p++) { /* the past is lent */
            again.oracle.port[p] = c->oracle.port[p];
            again.oracle.d[p] = c->oracle.d[p];
            again.oracle.f[p] = c->oracle.f[p];
        }
        again.oracle.ports = c->oracle.ports;
        again.oracle.past = c->oracle.past;
        o->f64(&again.oracle);
        o->f32(&again.oracle);
        for (uint32_t p = c->op->ports.count; p < c->oracle.ports; p++) {
            again.oracle.d[p] = NULL;
            again.oracle.f[p] = NULL;
        }
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            if (port_of(c, p)->role != HEED_OUTPUT || !again.plain[p].data) continue;
            int64_t n = heed_tensor_elements(&again.plain[p]);
            outputs += n;
            for (int64_t i = 0; i < n; i++) {
                double e = fabs((double)again.oracle.f[p][i] - again.oracle.d[p][i]);
                if (e > error[p] && isfinite(e)) error[p] = e;
            }
        }
        call_free(&again);
        if (outputs == 0) break;
    }
}

static double worst(const double *exact, double naive_error, const heed_tensor *out)
{
    double worst_ratio = 0;
    for (int64_t i = 0; i < heed_tensor_elements(out); i++) {
        double y = tensor_get(out, i), x = exact[i];
        if (isnan(x) || isnan(y) || isinf(x) || isinf(y)) {
            if (!(isnan(x) && isnan(y)) && x != y) return INFINITY;
            continue;
        }
        double ulp = (double)nextafterf((float)fabs(x), INFINITY) - (double)(float)fabs(x);
        double ratio = fabs(y - x) / (4 * naive_error + ulp);
        if (ratio > worst_ratio) worst_ratio = ratio;
    }
    return worst_ratio;
}

double call_judge(call *c, const heed_tensor *out)
{
    const oracle *o = oracle_find(c->op->id);
    double naive[ORACLE_PORTS] = {0}, ratio = 0;
    if (!o) fail_msg("%s has no oracle", c->op->id);
    naive_errors(c, o, naive);
    o->f64(&c->oracle);
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        if (port_of(c, i)->role != HEED_OUTPUT || !out[i].data) continue;
        double r = worst(c->oracle.d[i], naive[i], &out[i]);
        if (!(r <= ratio)) ratio = r;
    }
    return ratio;
}
