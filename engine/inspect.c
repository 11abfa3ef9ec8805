/* SPDX-License-Identifier: MIT
 *
 * inspect.c: the doors of inspect.h. Nothing is decided here.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/error.h"
#include "inspect.h"
#include "model/session.h"
#include "model/stack.h"
#include "model/stack_wirings.h"
#include "op/call.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/sequence.h"
#include "op/sequence_saved.h"
#include "run/topology.h"

/* ---- an engine ---- */

heed_engine *inspect_engine(const heed_options *options, const load_care *care, heed_error *error)
{
    return engine_make(options, care, error);
}

const char *inspect_wiring(uint32_t index) { return stack_wires_name(index); }

const entry *inspect_op(const heed_engine *engine, uint32_t index)
{
    registry_all(&engine->registry, NULL);
    return index < engine->registry.count ? engine->registry.entries[index] : NULL;
}

const entry *inspect_find(const heed_engine *engine, const char *id)
{
    return registry_find(&engine->registry, id);
}

uint64_t inspect_features(const heed_engine *engine) { return engine->features; }
const heed_host *inspect_host(const heed_engine *engine) { return engine->host; }

const heed_host *inspect_change_host(heed_engine *engine, const heed_host *host)
{
    const heed_host *former = engine->host;
    engine->host = host;
    return former;
}

const char *inspect_path(const heed_engine *engine)
{
    const char *best = "scalar", *name;
    const int named = !strcmp(engine->isa, "avx512_bf16") || !strcmp(engine->isa, "neon_bf16");
    const uint64_t features = engine->features & ~(named ? 0 : CPU_INEXACT);
    for (uint32_t i = 0; (name = cpu_path(features, i)); i++) best = name;
    return best;
}

void inspect_pin_caller(heed_engine *engine) { pool_pin_caller(engine->pool); }

const char *inspect_unpinned(const heed_engine *engine, char *buffer, size_t n)
{
    return pool_unpinned(engine->pool, buffer, n);
}

struct hwloc_topology *inspect_topology(heed_error *error) { return topology_open(NULL, error); }

/* ---- an op with its settings, and an instance of it ---- */

resolved *inspect_resolve(const heed_engine *engine, const char *spec, heed_error *error)
{
    return resolve_text(&engine->registry, spec, error);
}

heed_instance *inspect_open(heed_engine *engine, const resolved *op, const heed_opening *opening,
                            heed_error *error)
{
    return instance_make(engine, op, opening, error);
}

const void *inspect_memory(const heed_instance *instance) { return instance->memory; }

heed_open inspect_opening(const heed_instance *instance, const heed_tensor *const *weight,
                          heed_sink *sink)
{
    return instance_opening(instance, weight, sink);
}

const heed_child *inspect_child(const heed_instance *instance, uint32_t param)
{
    return &instance->child[param];
}

int32_t inspect_state(const heed_instance *instance, const int64_t *axes, heed_state_size *size,
                      heed_error *error)
{
    return sequence_measure(instance, axes, size, error);
}

uint64_t inspect_saved_head(void) { return sizeof(saved_sequence); }

const heed_state *inspect_sequence(const heed_sequence *sequence)
{
    return sequence_view(sequence);
}

/* ---- one call ---- */

heed_call *inspect_call(const heed_instance *instance, const heed_binding *in, uint32_t n_in,
                        const heed_binding *out, uint32_t n_out, heed_error *error)
{
    prepared *p = malloc(sizeof *p);
    if (!p) return error_memory(error), NULL;
    int32_t failed = call_prepare(p, instance, in, n_in, 0, error);
    if (!failed) failed = bind_role(&p->set, HEED_OUTPUT, out, n_out, 0, error);
    if (!failed) return &p->call;
    free(p);
    return NULL;
}

void inspect_call_free(heed_call *call)
{
    if (call) free((char *)call - offsetof(prepared, call));
}

/* ---- a network ---- */

static heed_tensor view_of(const stack_view *v, int64_t tokens)
{
    heed_tensor t = heed_tensor_of(NULL, v->dtype, v->rank, v->dim);
    if (v->rows == STACK_ONE) return t;
    t.dim[1] = tokens;
    t.stride[0] = tokens * t.stride[1];
    t.bytes *= (uint64_t)tokens;
    return t;
}

/* heed_estimate, behind so many tokens of a sequence. */
static int estimate(const heed_instance *instance, const heed_binding *in, uint32_t n,
                    const heed_state *const *state, heed_cost *cost)
{
    const heed_op *op = &instance->entry->op;
    const heed_coster *coster = op->get_extension ? op->get_extension(HEED_COST_ID) : NULL;
    prepared *p = coster ? malloc(sizeof *p) : NULL;
    int told = p && !call_prepare(p, instance, in, n, 0, NULL);
    if (told) p->call.state = state;
    if (told) told = !coster->cost(instance->memory, &p->call, cost);
    free(p);
    return told;
}

int inspect_stack_step(const heed_stack *stack, uint32_t index, int64_t tokens, int64_t before,
                       inspect_step *out)
{
    if (index >= stack->n_steps) return 0;
    const stack_step *step = &stack->steps[index];
    const heed_state older = {.size = sizeof older, .length = before}, *state = &older;
    heed_tensor tensor[PORT_MAX];
    heed_binding in[PORT_MAX];
    heed_cost cost = {.size = sizeof cost};
    double touched = 0;
    *out = (inspect_step){.op = "", .part = "", .layer = step->layer, .told = 1};
    if (!step->instance) return 1;
    tokens = (int64_t)ceil((double)tokens * (double)step->part);
    for (uint32_t i = 0; i <= step->n_in; i++) {
        const stack_use *use = &stack->uses[step->first + i];
        tensor[i] = view_of(&stack->views[use->view], tokens);
        in[i] = (heed_binding){use->port, &tensor[i]};
        touched += (double)tensor[i].bytes;
    }
    int told = estimate(step->instance, in, step->n_in, step->memory >= 0 && before ? &state : NULL,
                        &cost);
    if (!told) cost = (heed_cost){.size = sizeof cost};
    if (!(cost.bytes > 0)) cost.bytes = touched;
    if (!(cost.executed > 0)) cost.executed = cost.flops;
    *out = (inspect_step){.op = step->instance->entry->op.id,
                          .part = step->instance->part,
                          .layer = step->layer,
                          .told = told,
                          .cost = cost};
    return 1;
}

int64_t inspect_stack_rows(const heed_stack *stack, int64_t tokens)
{
    return stack->pools ? 1 : tokens;
}

void inspect_stack_cost(const heed_stack *stack, int64_t tokens, int64_t before, heed_cost *cost)
{
    inspect_step step;
    *cost = (heed_cost){.size = sizeof *cost};
    for (uint32_t s = 0; inspect_stack_step(stack, s, tokens, before, &step); s++) {
        cost->flops += step.cost.flops;
        cost->executed += step.cost.executed;
        cost->bytes += step.cost.bytes;
    }
}

void inspect_session_back(heed_session *session, int64_t length)
{
    for (uint32_t i = 0; i < session->stack->n_memories; i++)
        heed_sequence_truncate(session->sequences[i], length, NULL);
    session->length = length;
}

/* ---- a trace ---- */

void inspect_trace(heed_engine *engine, trace *t)
{
    engine->host = t ? trace_host(t) : engine->trace ? trace_former(engine->trace) : engine->host;
    engine->trace = t;
}
