/* SPDX-License-Identifier: MIT
 *
 * call.c: one run of an instance: bind, prepare the sequences, measure, take the workspace,
 * forward, advance. Nothing that the caller owns is changed before everything has been checked.
 */
#include <string.h>

#include "base/cpu.h"
#include "base/error.h"
#include "op/call.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/sequence.h"
#include "run/arena.h"

static const heed_tensor *port_tensor(const binding_set *set, const char *name)
{
    for (uint32_t p = 0; p < set->entry->op.ports.count; p++)
        if (strcmp(entry_port(set->entry, p)->name, name) == 0) return set->tensor[p];
    return NULL;
}

/* Kinds of mask that come with an input, not with the spec. A sequence has no such input: `why`
 * not. */
static const struct {
    uint32_t kind;
    const char *port, *why;
} mask_ports[] = {
    {HEED_MASK_KEY_LENGTHS, "key_lengths", "a sequence knows its length"},
    {HEED_MASK_DOCUMENTS, "documents", "a sequence is one document"},
};
#define MASK_PORTS (sizeof mask_ports / sizeof *mask_ports)

static int32_t complete_mask(prepared *c, const heed_instance *i, heed_error *error)
{
    uint32_t honoured = i->entry->op.masks;
    c->mask = i->mask;
    c->mask.size = sizeof c->mask;
    for (size_t m = 0; m < MASK_PORTS; m++)
        if (honoured & mask_ports[m].kind && port_tensor(&c->set, mask_ports[m].port))
            c->mask.kinds |= mask_ports[m].kind;
    if (honoured & ~c->mask.kinds & HEED_MASK_DOCUMENTS && port_tensor(&c->set, "query_documents"))
        return error_set(error, HEED_E_ARGUMENT,
                         "%s: query_documents needs the input documents, the documents of the keys",
                         i->entry->op.id);
    const int asked = (c->mask.kinds & HEED_MASK_BLOCKS) != 0,
              given = honoured & HEED_MASK_BLOCKS && port_tensor(&c->set, "key_blocks");
    if (asked && !given)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s: blocks=%lld:%lld needs the input key_blocks, which lists the blocks "
                         "of keys that each block of queries sees",
                         i->entry->op.id, (long long)c->mask.block_queries,
                         (long long)c->mask.block_keys);
    if (given && !asked)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s: key_blocks needs the sizes of its blocks: blocks=QUERIES:KEYS in the "
                         "spec",
                         i->entry->op.id);
    return HEED_OK;
}

int32_t call_prepare(prepared *c, const heed_instance *i, const heed_binding *in, uint32_t n_in,
                     int with_data, heed_error *error)
{
    if (error) error->code = HEED_OK, error->text[0] = 0;
    bind_start(&c->set, i->entry, i->axis);
    int32_t failed = bind_role(&c->set, HEED_INPUT, in, n_in, with_data, error);
    if (!failed) failed = complete_mask(c, i, error);
    if (failed) return failed;
    c->text[0] = 0;
    c->sink = (heed_sink){sizeof c->sink, sizeof c->text, c->text};
    c->call = (heed_call){.size = sizeof c->call,
                          .lanes = heed_lanes(i->engine),
                          .tensor = c->set.tensor,
                          .axis = c->set.axis,
                          .value = i->value,
                          .mask = &c->mask,
                          .host = i->engine->host,
                          .sink = &c->sink};
    return HEED_OK;
}

int32_t call_failed(const prepared *c, const heed_instance *i, int32_t code, heed_error *error)
{
    return error_set(error, code < 0 ? code : HEED_E_DATA, "%s: %s", i->entry->op.id,
                     c->text[0]                 ? c->text
                     : code == HEED_E_CANCELLED ? "cancelled"
                                                : "failed, and the plugin does not say why");
}

/* Bytes from the first element to the end of the last one. */
static uint64_t reach(const heed_tensor *t)
{
    int64_t last = 0;
    for (int a = 0; a < t->rank; a++) last += (t->dim[a] - 1) * t->stride[a];
    return (uint64_t)(last + 1) * heed_dtype_bytes(t->dtype);
}

static int is_dense(const heed_tensor *t)
{
    uint64_t bytes = heed_dtype_bytes(t->dtype);
    for (int a = 0; a < t->rank; a++)
        if (t->stride[a]) bytes *= (uint64_t)t->dim[a];
    return bytes == reach(t);
}

/* Whether two tensors surely share an element: they start together, or one has no gaps and an end
 * of the other lies in it. Views that only interleave, such as q, k and v in one buffer, pass. */
int call_share_memory(const heed_tensor *a, const heed_tensor *b)
{
    if (a->data == b->data) return 1;
    for (int turn = 0; turn < 2; turn++) {
        uintptr_t from = (uintptr_t)b->data, size = reach(b), first = (uintptr_t)a->data,
                  last = first + reach(a) - 1;
        if (is_dense(b) && (first - from < size || last - from < size)) return 1;
        const heed_tensor *c = a;
        a = b, b = c;
    }
    return 0;
}

/* The input whose memory an output may be: the first with the same axes. NULL if it may be
 * none's. */
static const heed_tensor *place_of(const prepared *c, const entry *e, uint32_t output)
{
    for (uint32_t p = 0; entry_port(e, output)->flags & HEED_PORT_IN_PLACE && p < e->op.ports.count;
         p++)
        if (entry_port(e, p)->role == HEED_INPUT &&
            !memcmp(&e->axes[p], &e->axes[output], sizeof *e->axes))
            return c->set.tensor[p];
    return NULL;
}

/* An output in the memory of an input must be one that may, and the same view; else it is refused,
 * and so is one in the memory of another output. */
static int32_t check_aliases(const prepared *c, const heed_instance *i, heed_error *error)
{
    const entry *e = i->entry;
    for (uint32_t o = 0; o < e->op.ports.count; o++) {
        const heed_tensor *out = c->set.tensor[o];
        if (entry_port(e, o)->role != HEED_OUTPUT || !out || heed_tensor_elements(out) == 0)
            continue;
        for (uint32_t p = 0; p < e->op.ports.count; p++) {
            const heed_tensor *in = c->set.tensor[p];
            if (p == o || !in || heed_tensor_elements(in) == 0 || !call_share_memory(in, out))
                continue;
            int same = entry_port(e, p)->role == HEED_INPUT && in == place_of(c, e, o) &&
                       in->data == out->data && in->dtype == out->dtype && in->rank == out->rank &&
                       !memcmp(in->stride, out->stride, sizeof *in->stride * (size_t)in->rank);
            if (!same)
                return error_set(error, HEED_E_ARGUMENT, "%s: port %s shares memory with port %s",
                                 e->op.id, entry_port(e, o)->name, entry_port(e, p)->name);
        }
    }
    return HEED_OK;
}

/* Apart, so that its shapes are off the stack when the op runs. */
static __attribute__((noinline)) int32_t bind_outputs(prepared *c, const heed_instance *i,
                                                      const heed_binding *out, uint32_t n_out,
                                                      heed_error *error)
{
    binding_set shapes = c->set; /* what the outputs' sizes follow from */
    int32_t failed = bind_role(&c->set, HEED_OUTPUT, out, n_out, 1, error);
    if (failed) return failed;
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++) {
        heed_tensor shape;
        if (entry_port(i->entry, p)->role != HEED_OUTPUT || !c->set.tensor[p]) continue;
        if ((failed = bind_infer(&shapes, p, &shape, error))) return failed;
        if (c->set.tensor[p]->rank != shape.rank) /* an output must not invent leading axes */
            return error_set(
                error, HEED_E_SHAPE, "%s: port %s: the tensor has %d axes, but the result has %d",
                i->entry->op.id, entry_port(i->entry, p)->name, c->set.tensor[p]->rank, shape.rank);
    }
    return check_aliases(c, i, error);
}

/* What a call took, with what the op tells of its cost; without that, all tensors are touched. */
static void note_trace(const prepared *c, const heed_instance *i, int64_t begin)
{
    const heed_op *op = &i->entry->op;
    trace_call call = {.op = op->id, .part = i->part, .begin = begin, .end = trace_now()};
    heed_cost cost = {.size = sizeof cost, .flops = -1};
    const heed_coster *coster = op->get_extension ? op->get_extension(HEED_COST_ID) : NULL;
    if (coster && coster->cost(i->memory, &c->call, &cost)) cost.flops = -1, cost.bytes = 0;
    call.flops = cost.flops;
    call.bytes = cost.bytes;
    for (uint32_t p = 0; !(cost.bytes > 0) && p < op->ports.count; p++)
        if (c->set.tensor[p])
            call.bytes += (double)heed_tensor_elements(c->set.tensor[p]) *
                          heed_dtype_bytes(c->set.tensor[p]->dtype);
    trace_add(i->engine->trace, call);
}

int32_t call_compute(prepared *c, const heed_instance *i, const call_work *work, heed_error *error)
{
    heed_call_size size = {.size = sizeof size};
    if (i->engine->host->cancelled(i->engine->host))
        return call_failed(c, i, HEED_E_CANCELLED, error);
    int32_t failed = work->measure(work->arg, i, &c->call, &size);
    if (failed) return call_failed(c, i, failed, error);
    const uint64_t limit = (uint64_t)1 << 46;
    if (size.workspace > limit || size.scratch > limit / (c->call.lanes + 1))
        return error_set(error, HEED_E_MEMORY,
                         "%s: the plugin asks for %llu and %llu bytes of workspace and scratch",
                         i->entry->op.id, (unsigned long long)size.workspace,
                         (unsigned long long)size.scratch);
    /* lanes a page and a line apart: no false sharing, and not all on the same cache sets */
    uint64_t stride = size.scratch ? ((size.scratch + 4095) & ~(uint64_t)4095) + 64 : 0,
             shared = (size.workspace + 63) & ~(uint64_t)63;
    char *memory = arena_take(shared + stride * c->call.lanes);
    if (!memory) return error_memory(error);
    c->call.workspace = memory;
    c->call.scratch = memory + shared;
    c->call.scratch_stride = stride;
    /* the application may flush subnormals: results must not depend on it */
    uint64_t mode = cpu_float_plain();
    failed = work->run(work->arg, i, &c->call);
    cpu_float_restore(mode);
    arena_give(memory);
    return failed ? call_failed(c, i, failed, error) : HEED_OK;
}

static int32_t measure_forward(void *arg, const heed_instance *i, const heed_call *call,
                               heed_call_size *size)
{
    (void)arg;
    return i->entry->op.measure_call ? i->entry->op.measure_call(i->memory, call, size) : HEED_OK;
}

static int32_t run_forward(void *arg, const heed_instance *i, const heed_call *call)
{
    int64_t begin = i->engine->trace ? trace_now() : 0;
    int32_t failed = i->path->forward(i->memory, call);
    if (i->engine->trace) note_trace(arg, i, begin);
    return failed;
}

static int32_t forward(prepared *c, const heed_instance *i, heed_error *error)
{
    return call_compute(c, i, &(call_work){measure_forward, run_forward, c}, error);
}

int32_t heed_run(const heed_instance *i, const heed_binding *in, uint32_t n_in,
                 const heed_binding *out, uint32_t n_out, heed_sequence *const *sequences,
                 heed_error *error)
{
    enum { FEW = 16 };
    prepared c;
    int32_t failed = call_prepare(&c, i, in, n_in, 1, error);
    if (failed) return failed;
    if (!i->path->forward)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s does nothing by itself; it is a setting of another op, such as "
                         "attention/softmax(position=%s)",
                         i->entry->op.id, i->entry->op.id);
    if ((failed = bind_outputs(&c, i, out, n_out, error))) return failed;
    if (!sequences) return forward(&c, i, error);

    int64_t batch = c.set.axis['B' - 'A'], added = c.set.axis['S' - 'A'];
    if (batch < 0 || !i->entry->op.measure_state)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s remembers nothing between calls, so it takes no sequences",
                         i->entry->op.id);
    for (size_t m = 0; m < MASK_PORTS; m++)
        if (c.mask.kinds & mask_ports[m].kind)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s: %s and sequences exclude each other: %s", i->entry->op.id,
                             mask_ports[m].port, mask_ports[m].why);
    if (added < 0) added = c.set.axis['T' - 'A'];
    const heed_state *few[FEW],
        **states = batch <= FEW ? few : arena_take(sizeof *states * (size_t)batch);
    if (!states) return error_memory(error);
    int64_t tried = 0;
    for (; tried < batch && !failed; tried++) {
        const int64_t b = tried;
        if (!sequences[b])
            failed = error_set(error, HEED_E_ARGUMENT, "%s: row %lld has no sequence",
                               i->entry->op.id, (long long)b);
        if (!failed && sequences[b]->ranks)
            failed = error_set(error, HEED_E_UNSUPPORTED,
                               "%s: row %lld has a sequence of which %u ranks have parts: a group "
                               "feeds it",
                               i->entry->op.id, (long long)b, sequences[b]->ranks);
        for (int64_t other = 0; other < b && !failed; other++)
            if (sequences[other] == sequences[b])
                failed = error_set(error, HEED_E_ARGUMENT,
                                   "%s: rows %lld and %lld have the same sequence", i->entry->op.id,
                                   (long long)other, (long long)b);
        if (!failed) failed = sequence_prepare(sequences[b], i, c.set.axis, added, error);
        if (!failed) states[b] = sequence_view(sequences[b]);
    }
    c.call.state = states;
    if (!failed) failed = forward(&c, i, error);
    /* after a failure the pages that were made for the new tokens go */
    for (int64_t b = 0; b < tried; b++)
        if (!failed) sequence_advance(sequences[b], added);
        else if (sequences[b]) sequence_undo(sequences[b], failed);
    if (states != few) arena_give(states);
    return failed;
}

int32_t heed_infer(const heed_instance *i, const heed_binding *in, uint32_t n_in, const char *port,
                   heed_tensor *tensor, heed_error *error)
{
    prepared c;
    int32_t failed = call_prepare(&c, i, in, n_in, 0, error);
    if (failed) return failed;
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++)
        if (entry_port(i->entry, p)->role == HEED_OUTPUT && port &&
            strcmp(entry_port(i->entry, p)->name, port) == 0)
            return bind_infer(&c.set, p, tensor, error);
    return error_set(error, HEED_E_ARGUMENT, "%s has no output named \"%s\"", i->entry->op.id,
                     port ? port : "(NULL)");
}

int32_t heed_estimate(const heed_instance *i, const heed_binding *in, uint32_t n_in,
                      heed_cost *cost, heed_error *error)
{
    prepared c;
    int32_t failed = call_prepare(&c, i, in, n_in, 0, error);
    if (failed) return failed;
    const heed_coster *coster =
        i->entry->op.get_extension ? i->entry->op.get_extension(HEED_COST_ID) : NULL;
    if (!coster)
        return error_set(error, HEED_E_UNSUPPORTED, "%s does not tell its cost", i->entry->op.id);
    *cost = (heed_cost){.size = sizeof *cost};
    failed = coster->cost(i->memory, &c.call, cost);
    return failed ? call_failed(&c, i, failed, error) : HEED_OK;
}
