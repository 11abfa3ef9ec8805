/* SPDX-License-Identifier: MIT
 *
 * case.c: one op, one shape, one path: tensors are made, the op is opened, compared with its scalar path, and run.
 *
 * Any op can be a case, also one that nobody here has seen: all follows from its ports and from the sizes given. Inputs
 * depend on the port's name and their index alone, and no function of the C library takes part, so that they are the
 * same on every machine.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define KIT_INLINE static inline __attribute__((unused))
#include <heed/kit/half.h>

#define AXIS(shape, letter) ((shape)->axis[(letter) - 'A'])
#define CHUNK 512    /* keys that fill a sequence at a time */
#define WORK_MAX 1e8 /* flops, more or less, that the scalar path is given for the comparison */

/* ---- sizes ---- */

/* What a size is if it is not given: `factor` times the sizes of other axes. Shapes are printed in this order too. */
static const struct standard {
    char axis;
    int64_t factor;
    const char *axes;
} standards[] = {
    {'B', 1, ""},  {'T', 2048, ""}, {'S', 1, "T"}, {'H', 8, ""}, {'G', 1, "H"},   {'D', 64, ""},
    {'E', 1, "D"}, {'M', 1, "HD"},  {'N', 1, "M"}, {'F', 4, "M"}, {'V', 256, ""},
};
#define STANDARDS (sizeof standards / sizeof *standards)
#define UNKNOWN 64 /* an axis that only its plugin knows */

static int read_size(const char *at, const char **end, int64_t *size)
{
    int64_t n = 0;
    for (*end = at; **end >= '0' && **end <= '9' && n < (int64_t)1 << 31; (*end)++) n = 10 * n + (**end - '0');
    *size = n;
    return *end > at && n > 0 && n < (int64_t)1 << 31;
}

int bench_shape_read(const char *text, bench_shape *shape)
{
    static const char decode[] = "decode";
    *shape = (bench_shape){.n_leading = 0};
    for (int a = 0; a < HEED_AXES; a++) shape->axis[a] = -1;
    for (const char *at = text, *end;; at = end + 1) {
        size_t length = strcspn(at, "=");
        int letter = length == 1 && *at >= 'A' && *at <= 'Z', leading = length == 1 && *at == 'x';
        int64_t *size = letter && *at == 'L' ? &shape->key_lengths : letter ? &AXIS(shape, *at) : &shape->decode;
        if (!letter && !leading && (length != strlen(decode) || memcmp(at, decode, length))) break;
        if (leading ? shape->n_leading : *size > 0)
            return cmd_usage("--shape " SPEC_QUOTE " has %.*s twice", SPEC_QUOTED(text), (int)length, at);
        if (leading) size = &shape->leading[shape->n_leading++];
        if (!read_size(at + length + !!at[length], &end, size)) break;
        while (leading && *end == 'x' && shape->n_leading < HEED_MAX_RANK - 1)
            if (!read_size(end + 1, &end, &shape->leading[shape->n_leading++]))
                return cmd_usage("--shape takes x=3x5, sizes from 1 on, not " SPEC_QUOTE, SPEC_QUOTED(text));
        if (!*end) return 0;
        if (*end != ',') break;
    }
    return cmd_usage("--shape takes sizes from 1 on, such as B=1,H=8,T=2048,D=64, not " SPEC_QUOTE, SPEC_QUOTED(text));
}

/* Sizes that params fix (hidden=1376 is axis F), then those that follow from others. */
static void fill_shape(bench_shape *shape, const resolved *op)
{
    for (uint32_t p = 0; p < op->entry->op.params.count; p++) {
        char axis = (char)entry_param(op->entry, p)->axis;
        if (axis && op->value[p].given && AXIS(shape, axis) < 0) AXIS(shape, axis) = op->value[p].i;
    }
    int stateful = op->entry->op.measure_state != NULL;
    if (shape->decode) { /* an op without a state sees all keys as inputs */
        AXIS(shape, 'T') = 1;
        AXIS(shape, 'S') = stateful ? 1 : shape->decode;
    }
    for (size_t i = 0; i < STANDARDS; i++) {
        if (AXIS(shape, standards[i].axis) >= 0) continue;
        int64_t size = standards[i].factor;
        for (const char *a = standards[i].axes; *a; a++) size *= AXIS(shape, *a);
        AXIS(shape, standards[i].axis) = size;
    }
    for (int a = 0; a < HEED_AXES; a++)
        if (shape->axis[a] < 0) shape->axis[a] = UNKNOWN;
    if (!shape->n_leading) shape->leading[shape->n_leading++] = AXIS(shape, 'T');
}

static int has_axis(const entry *e, uint32_t port, char letter)
{
    return e->axes[port].count > 0 && memchr(e->axes[port].letter, letter, (size_t)e->axes[port].count) != NULL;
}

/* Whether a tensor of the call has the axis; '.': leading ones. */
static int uses(const bench_call *c, char axis)
{
    int used = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (c->tensor[p].rank >= 0) used |= axis == '.' ? c->entry->axes[p].leading : has_axis(c->entry, p, axis);
    return used;
}

static void put(bench_call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(bench_call *c, const char *format, ...)
{
    size_t n = strlen(c->text);
    va_list list;
    va_start(list, format);
    vsnprintf(c->text + n, sizeof c->text - n, format + (n == 0), list); /* the first of them without its comma */
    va_end(list);
}

/* The sizes that matter to the op, in the words of --shape; without those that follow from others, S=T, G=H, E=D. */
static void print_shape(bench_call *c)
{
    static const char follow[][2] = {{'S', 'T'}, {'G', 'H'}, {'E', 'D'}};
    const bench_shape *s = &c->shape;
    int rows = s->n_leading == 1 && s->leading[0] == AXIS(s, 'T'); /* leading axes are T rows */
    char letters[HEED_AXES + 1] = "";
    for (size_t i = 0; i < STANDARDS; i++) letters[i] = standards[i].axis;
    for (char a = 'A'; a <= 'Z'; a++)
        if (!strchr(letters, a)) letters[strlen(letters)] = a;
    c->text[0] = 0;
    for (int i = 0; !rows && uses(c, '.') && i < s->n_leading; i++)
        put(c, i ? "x%lld" : ",x=%lld", (long long)s->leading[i]);
    for (const char *a = letters; *a; a++) {
        int left_out = !uses(c, *a) && !(*a == 'T' && rows && uses(c, '.'));
        for (size_t i = 0; i < sizeof follow / sizeof *follow; i++)
            left_out |= *a == follow[i][0] && AXIS(s, *a) == AXIS(s, follow[i][1]);
        left_out |= c->stateful && (*a == 'T' || *a == 'S');
        if (!left_out) put(c, ",%c=%lld", *a, (long long)AXIS(s, *a));
    }
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (c->tensor[p].rank >= 0 && !strcmp(entry_port(c->entry, p)->name, "key_lengths"))
            put(c, ",L=%lld", (long long)s->key_lengths);
    if (c->stateful) put(c, ",decode=%lld", (long long)s->decode);
}

/* ---- numbers ---- */

static uint64_t fnv(uint64_t hash, const void *bytes, uint64_t n)
{
    for (const unsigned char *b = bytes; n > 0; n--, b++) hash = (hash ^ *b) * 0x100000001b3u;
    return hash;
}
#define FNV_START 0xcbf29ce484222325u

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Mean 0, variance 1, nearly normal: the sum of twelve uniform numbers of 16 bits, which is exact. */
static float normal(uint64_t *state)
{
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t z = draw(state);
        sum += (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
    }
    return (float)(sum - 6 * 0xffff) * 0x1p-16f;
}

static double element(const heed_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case HEED_F32: return ((const float *)t->data)[i];
    case HEED_F64: return ((const double *)t->data)[i];
    case HEED_F16: return kit_from_f16(((const uint16_t *)t->data)[i]);
    case HEED_BF16: return kit_from_bf16(((const uint16_t *)t->data)[i]);
    case HEED_I64: return (double)((const int64_t *)t->data)[i];
    case HEED_I32: return ((const int32_t *)t->data)[i];
    case HEED_I8: return ((const int8_t *)t->data)[i];
    default: return ((const uint8_t *)t->data)[i];
    }
}

/* Floats: normal, for a weight over the root of its last axis; "draw": uniform in [0, 1). Indices: below V. */
static void fill(const bench_call *c, uint32_t port)
{
    const heed_tensor *t = &c->tensor[port];
    const heed_port *p = entry_port(c->entry, port);
    int64_t n = heed_tensor_elements(t), rows = AXIS(&c->shape, 'V'), keys = AXIS(&c->shape, 'S');
    int64_t valid = c->shape.key_lengths < keys ? c->shape.key_lengths : keys;
    int uniform = !strcmp(p->name, "draw"), lengths = !strcmp(p->name, "key_lengths");
    float scale = p->role == HEED_WEIGHT && t->rank ? 1 / sqrtf((float)t->dim[t->rank - 1]) : 1;
    uint64_t state = fnv(FNV_START, p->name, strlen(p->name));
    for (int64_t i = 0; i < n; i++) {
        if (t->dtype == HEED_I64 || t->dtype == HEED_I32) {
            int64_t x = lengths ? valid : (int64_t)(draw(&state) % (uint64_t)rows);
            if (t->dtype == HEED_I64) ((int64_t *)t->data)[i] = x;
            else ((int32_t *)t->data)[i] = (int32_t)x;
            continue;
        }
        float x = uniform ? (float)(draw(&state) >> 40) * 0x1p-24f : scale * normal(&state);
        switch (t->dtype) {
        case HEED_F32: ((float *)t->data)[i] = x; break;
        case HEED_F64: ((double *)t->data)[i] = x; break;
        case HEED_F16: ((uint16_t *)t->data)[i] = kit_to_f16(x); break;
        case HEED_BF16: ((uint16_t *)t->data)[i] = kit_to_bf16(x); break;
        default: ((uint8_t *)t->data)[i] = (uint8_t)draw(&state); break;
        }
    }
}

/* ---- tensors ---- */

/* Whether a port gets a tensor. Outputs: those that must be there. Weights: all. */
static int takes_part(const heed_port *p, const bench_shape *shape)
{
    if (!(p->flags & HEED_PORT_OPTIONAL) || p->role == HEED_WEIGHT) return 1;
    if (p->role != HEED_INPUT) return 0;
    return !strcmp(p->name, "draw") || (!strcmp(p->name, "key_lengths") && shape->key_lengths > 0);
}

static uint32_t choose_dtype(const heed_port *p, uint32_t asked)
{
    if (p->role != HEED_OUTPUT && p->dtypes & HEED_BIT(asked)) return asked;
    return (uint32_t)__builtin_ctz(p->dtypes); /* what heed_infer tells of an output */
}

static heed_tensor port_shape(const bench_call *c, uint32_t port)
{
    const port_axes *a = &c->entry->axes[port];
    int64_t dim[2 * HEED_MAX_RANK];
    int rank = 0;
    for (int i = 0; a->leading && i < c->shape.n_leading; i++) dim[rank++] = c->shape.leading[i];
    for (int i = 0; i < a->count; i++) dim[rank++] = AXIS(&c->shape, a->letter[i]);
    return heed_tensor_of(NULL, choose_dtype(entry_port(c->entry, port), c->dtype), rank, dim);
}

static void make_shapes(bench_call *c)
{
    c->n_in = c->n_weights = c->n_out = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        const heed_port *port = entry_port(c->entry, p);
        c->tensor[p] = (heed_tensor){.rank = -1};
        if (!takes_part(port, &c->shape)) continue;
        c->tensor[p] = port_shape(c, p);
        heed_binding b = {port->name, &c->tensor[p]};
        if (port->role == HEED_INPUT) c->in[c->n_in++] = b;
        else if (port->role == HEED_WEIGHT) c->weights[c->n_weights++] = b;
        else c->out[c->n_out++] = b;
    }
    print_shape(c);
}

int32_t bench_call_make(bench_call *c, const resolved *op, const bench_shape *shape, uint32_t dtype, heed_error *error)
{
    const heed_op *o = &op->entry->op;
    *c = (bench_call){.entry = op->entry, .shape = *shape, .dtype = dtype};
    if (op->entry->path && !op->entry->path->forward)
        return error_set(error, HEED_E_UNSUPPORTED, "%s does nothing by itself; it is a setting of another op", o->id);
    fill_shape(&c->shape, op);
    c->stateful = c->shape.decode && o->measure_state;
    make_shapes(c);
    for (uint32_t p = 0; p < o->ports.count; p++) {
        if (c->tensor[p].rank < 0) continue;
        int32_t failed = heed_tensor_alloc(&c->tensor[p], error);
        if (failed)
            return error_set(error, failed, "%s, %s: no memory for %s", o->id, c->text, entry_port(c->entry, p)->name);
        if (entry_port(c->entry, p)->role != HEED_OUTPUT) fill(c, p);
    }
    return HEED_OK;
}

void bench_call_free(bench_call *c)
{
    for (uint32_t p = 0; p < PORT_MAX; p++) free(c->tensor[p].data);
    *c = (bench_call){.entry = NULL};
}

/* ---- a run ---- */

int32_t bench_case_run(const bench_case *c, heed_error *error)
{
    const bench_call *k = c->call;
    int32_t failed = heed_run(c->instance, k->in, k->n_in, k->out, k->n_out, c->sequences, error);
    for (int64_t b = 0; c->truncates && b < AXIS(&k->shape, 'B') && !failed; b++)
        failed = heed_sequence_truncate(c->sequences[b], k->shape.decode - 1, error);
    return failed;
}

/* Brings the sequences to one key less than a call is to see. Where an op has axis S, chunks of keys come with one
 * query: what the queries give is not wanted. */
static int32_t fill_sequences(bench_case *c, const resolved *op, heed_error *error)
{
    const bench_call *call = c->call;
    int64_t batch = AXIS(&call->shape, 'B'), left = call->shape.decode - 1;
    int own_keys = 0;
    if (!(c->sequences = calloc((size_t)batch, sizeof *c->sequences))) return error_memory(error);
    for (int64_t b = 0; b < batch; b++)
        if (!(c->sequences[b] = heed_sequence_new(c->instance, call->shape.axis, error))) return error->code;
    for (uint32_t p = 0; p < call->entry->op.ports.count; p++) own_keys |= has_axis(call->entry, p, 'S');
    bench_call chunk = {.entry = NULL};
    int32_t failed = HEED_OK;
    for (int64_t n; left > 0 && !failed; left -= n) {
        n = left < CHUNK ? left : CHUNK;
        if (chunk.entry && AXIS(&chunk.shape, 'S') == n) {
            failed = heed_run(c->instance, chunk.in, chunk.n_in, chunk.out, chunk.n_out, c->sequences, error);
            continue;
        }
        bench_shape shape = call->shape;
        shape.decode = 0;
        AXIS(&shape, 'T') = own_keys ? 1 : n;
        AXIS(&shape, 'S') = n;
        bench_call_free(&chunk);
        failed = bench_call_make(&chunk, op, &shape, call->dtype, error);
        if (!failed) failed = heed_run(c->instance, chunk.in, chunk.n_in, chunk.out, chunk.n_out, c->sequences, error);
    }
    bench_call_free(&chunk);
    return failed;
}

/* Opened and ready to run. T, B and S may differ from call to call, so the instance is not told. */
static int32_t start(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                     heed_error *error)
{
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("BST", 'A' + a) ? -1 : call->shape.axis[a];
    heed_opening opening = {.size = sizeof opening, .n_weights = call->n_weights, .weights = call->weights,
                            .axes = axes, .isa = isa};
    *c = (bench_case){.call = call, .flops = -1};
    if (!(c->instance = instance_make(engine, op, &opening, error))) return error->code;
    int32_t failed = call->stateful ? fill_sequences(c, op, error) : HEED_OK;
    if (failed || !call->stateful) return failed;
    /* A recurrent state can not be put back. It need not be: a call costs the same, however many came before. */
    failed = heed_run(c->instance, call->in, call->n_in, call->out, call->n_out, c->sequences, error);
    c->truncates = !failed;
    for (int64_t b = 0; c->truncates && b < AXIS(&call->shape, 'B'); b++) {
        int32_t refused = heed_sequence_truncate(c->sequences[b], call->shape.decode - 1, error);
        if (refused) c->truncates = 0;
        if (refused && refused != HEED_E_UNSUPPORTED) failed = refused;
    }
    return failed;
}

void bench_case_close(bench_case *c)
{
    for (int64_t b = 0; c->sequences && b < AXIS(&c->call->shape, 'B'); b++) heed_sequence_free(c->sequences[b]);
    free(c->sequences);
    free(c->seconds);
    free(c->memory);
    heed_instance_close(c->instance);
    *c = (bench_case){.call = NULL};
}

/* ---- what a call costs ---- */

int32_t bench_direct_make(bench_direct *d, const bench_case *c, heed_error *error)
{
    const heed_instance *i = c->instance;
    const bench_call *k = c->call;
    int64_t batch = AXIS(&k->shape, 'B');
    *d = (bench_direct){.mask = i->mask};
    bind_start(&d->set, i->entry, i->axis);
    int32_t failed = bind_role(&d->set, HEED_INPUT, k->in, k->n_in, 0, error);
    if (!failed) failed = bind_role(&d->set, HEED_OUTPUT, k->out, k->n_out, 0, error);
    if (failed) return failed;
    if (c->sequences && !(d->states = calloc((size_t)batch, sizeof *d->states))) return error_memory(error);
    for (int64_t b = 0; d->states && b < batch; b++) d->states[b] = sequence_view(c->sequences[b]);
    d->mask.size = sizeof d->mask;
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++)
        if (d->set.tensor[p] && !strcmp(entry_port(i->entry, p)->name, "key_lengths"))
            d->mask.kinds |= HEED_MASK_KEY_LENGTHS;
    d->sink = (heed_sink){sizeof d->sink, sizeof d->text, d->text};
    d->call = (heed_call){.size = sizeof d->call, .lanes = heed_lanes(i->engine), .tensor = d->set.tensor,
                          .axis = d->set.axis, .value = i->value, .mask = &d->mask, .state = d->states,
                          .host = i->engine->host, .sink = &d->sink};
    heed_call_size size = {.size = sizeof size};
    failed = i->entry->op.measure_call ? i->entry->op.measure_call(i->memory, &d->call, &size) : HEED_OK;
    if (failed) return error_set(error, failed, "%s: %s", i->entry->op.id, d->text);
    uint64_t shared = (size.workspace + 63) & ~(uint64_t)63, stride = ((size.scratch + 4095) & ~(uint64_t)4095) + 64;
    if (!(d->memory = aligned_alloc(64, shared + stride * d->call.lanes + 64))) return error_memory(error);
    d->call.workspace = d->memory;
    d->call.scratch = (char *)d->memory + shared;
    d->call.scratch_stride = stride;
    return HEED_OK;
}

void bench_direct_free(bench_direct *d)
{
    free(d->states);
    free(d->memory);
    d->states = NULL;
    d->memory = NULL;
}

/* By the op's heed.cost/1; without it, all tensors touched once. */
static int32_t estimate(bench_case *c, heed_error *error)
{
    const bench_call *k = c->call;
    const heed_op *op = &k->entry->op;
    double touched = 0, written = 0;
    for (uint32_t p = 0; p < op->ports.count; p++) {
        if (k->tensor[p].rank < 0) continue;
        touched += (double)k->tensor[p].bytes;
        if (entry_port(k->entry, p)->role == HEED_OUTPUT) written += (double)k->tensor[p].bytes;
    }
    const heed_coster *coster = op->get_extension ? op->get_extension(HEED_COST_ID) : NULL;
    c->flops = -1;
    c->bytes = touched;
    double heads = (double)AXIS(&k->shape, 'B') * (double)AXIS(&k->shape, 'G');
    if (k->stateful) /* a cache of keys and values, float32 */
        c->bytes += 4 * (double)(k->shape.decode - 1) * heads * (double)(AXIS(&k->shape, 'D') + AXIS(&k->shape, 'E'));
    c->copies = !k->stateful && 4 * written >= c->bytes;
    if (!coster) return HEED_OK;
    bench_direct d;
    heed_cost cost = {.size = sizeof cost};
    int32_t failed = bench_direct_make(&d, c, error);
    if (!failed && (failed = coster->cost(c->instance->memory, &d.call, &cost)))
        error_set(error, failed, "%s: %s", op->id, d.text);
    bench_direct_free(&d);
    if (failed) return failed;
    c->flops = cost.flops;
    if (cost.bytes > 0) c->bytes = cost.bytes;
    c->copies = !k->stateful && 4 * written >= c->bytes;
    return HEED_OK;
}

/* ---- the comparison with the scalar path ---- */

static int is_output(const bench_call *c, uint32_t port)
{
    return c->tensor[port].rank >= 0 && entry_port(c->entry, port)->role == HEED_OUTPUT;
}

static uint64_t hash_outputs(const bench_call *c)
{
    uint64_t hash = FNV_START;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (is_output(c, p)) hash = fnv(hash, c->tensor[p].data, c->tensor[p].bytes);
    return hash;
}

/* The largest difference of two calls' outputs; infinite where one has a NaN and the other has not. */
static double difference(const bench_call *a, const bench_call *b)
{
    double largest = 0;
    for (uint32_t p = 0; p < a->entry->op.ports.count; p++) {
        if (!is_output(a, p)) continue;
        int64_t n = heed_tensor_elements(&a->tensor[p]);
        for (int64_t i = 0; i < n; i++) {
            double x = element(&a->tensor[p], i), y = element(&b->tensor[p], i), d = fabs(x - y);
            if (x == y || (isnan(x) && isnan(y))) continue;
            largest = isnan(d) ? INFINITY : fmax(largest, d);
        }
    }
    return largest;
}

/* Halves the largest size that is not one of a weight; 0 if all are 1. */
static int halve(const entry *e, bench_shape *s)
{
    int64_t *sizes[HEED_MAX_RANK + 4], largest = 1;
    int n = 0;
    for (const char *a = "BTS"; *a; a++) {
        int of_weight = 0;
        for (uint32_t p = 0; p < e->op.ports.count; p++)
            of_weight |= entry_port(e, p)->role == HEED_WEIGHT && has_axis(e, p, *a);
        if (!of_weight) sizes[n++] = &AXIS(s, *a);
    }
    for (int i = 0; i < s->n_leading; i++) sizes[n++] = &s->leading[i];
    sizes[n++] = &s->decode;
    for (int i = 0; i < n; i++)
        if (*sizes[i] > largest) largest = *sizes[i];
    for (int i = 0; i < n; i++)
        if (*sizes[i] == largest) *sizes[i] = largest / 2;
    return largest > 1;
}

/* What a path is given to do, the filling of sequences included. */
static double work(const bench_case *c)
{
    double once = c->flops > 4 * c->bytes ? c->flops : 4 * c->bytes;
    return c->call->stateful ? once * (double)(c->call->shape.decode / CHUNK + 1) : once;
}

/* Makes the shape smaller, until the scalar path is done in a moment. Tensors have no data. */
static int32_t reduce(bench_call *shapes, const bench_case *c, heed_error *error)
{
    bench_case smaller = *c;
    int32_t failed = HEED_OK;
    *shapes = *c->call;
    smaller.call = shapes;
    while (!failed && work(&smaller) > WORK_MAX && halve(shapes->entry, &shapes->shape)) {
        make_shapes(shapes);
        if (shapes->stateful) { /* its sequences are those of the full shape */
            double share = (double)(shapes->shape.decode * AXIS(&shapes->shape, 'B')) /
                           (double)(c->call->shape.decode * AXIS(&c->call->shape, 'B'));
            smaller.flops = c->flops * share;
            smaller.bytes = c->bytes * share;
        } else {
            failed = estimate(&smaller, error);
        }
    }
    return failed;
}

/* One run on a path, on tensors of its own. */
static int32_t run_once(bench_call *call, heed_engine *engine, const resolved *op, const bench_shape *shape,
                        uint32_t dtype, const char *isa, heed_error *error)
{
    bench_case c = {.call = NULL};
    int32_t failed = bench_call_make(call, op, shape, dtype, error);
    if (!failed) failed = start(&c, engine, op, call, isa, error);
    if (!failed) failed = bench_case_run(&c, error);
    if (c.call) bench_case_close(&c);
    return failed;
}

/* Runs the scalar path on what `c` has just computed, or, where that takes long, both paths on a smaller shape. */
static int32_t judge(bench_case *c, heed_engine *engine, const resolved *op, const char *isa, heed_error *error)
{
    const bench_call *full = c->call;
    bench_call shapes, ours = {.entry = NULL}, plain = {.entry = NULL};
    int32_t failed = reduce(&shapes, c, error);
    if (failed) return failed;
    snprintf(c->judged, sizeof c->judged, "%s", shapes.text);
    int reduced = strcmp(shapes.text, full->text) != 0;
    if (!strcmp(heed_instance_path(c->instance)->name, "scalar")) return HEED_OK;
    if (reduced) failed = run_once(&ours, engine, op, &shapes.shape, full->dtype, isa, error);
    if (!failed) failed = run_once(&plain, engine, op, &shapes.shape, full->dtype, "scalar", error);
    if (!failed) {
        const bench_call *mine = reduced ? &ours : full;
        c->max_error = hash_outputs(mine) == hash_outputs(&plain) ? 0 : difference(mine, &plain);
    }
    bench_call_free(&ours);
    bench_call_free(&plain);
    return failed;
}

int32_t bench_case_open(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                        heed_error *error)
{
    int32_t failed = start(c, engine, op, call, isa, error);
    if (!failed) failed = bench_case_run(c, error);
    if (failed) return failed;
    c->hash = hash_outputs(call);
    failed = estimate(c, error);
    return failed ? failed : judge(c, engine, op, isa, error);
}
