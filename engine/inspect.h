/* SPDX-License-Identifier: MIT
 *
 * inspect.h: the engine as who measures it (bench/), checks a plugin (tests/check/) or says how
 * large an op is (command/sizes.c) needs it, beyond heed.h: ops and their settings before they are
 * opened, and one call as a path gets it. It is all that they see of the inside.
 *
 * It is in libcore and not exported from libheed; unlike heed.h it may change with any commit. What
 * it returns belongs to the engine or the instance, unless it says otherwise.
 */
#ifndef HEED_INSPECT_H
#define HEED_INSPECT_H

#include "op/load.h"
#include "op/resolve.h"
#include "run/trace.h"

/* ---- an engine ---- */

/* heed_engine_new, with care in what it loads; `care` outlives the engine. */
HEED_LOCAL heed_engine *inspect_engine(const heed_options *options, const load_care *care,
                                       heed_error *error);
/* The op of that index, as heed_op_at counts; NULL behind the last. And the op of that id, or
 * NULL. */
HEED_LOCAL const entry *inspect_op(const heed_engine *engine, uint32_t index);
HEED_LOCAL const entry *inspect_find(const heed_engine *engine, const char *id);
/* A set of HEED_CPU_*: what its paths may use. */
HEED_LOCAL uint64_t inspect_features(const heed_engine *engine);
/* The highest path that it may use here, "avx512": one that gives other bits only if it was
 * named. */
HEED_LOCAL const char *inspect_path(const heed_engine *engine);
HEED_LOCAL const heed_host *inspect_host(const heed_engine *engine);
/* Gives it another host, for calls from now on; returns the former one. No call may be running. */
HEED_LOCAL const heed_host *inspect_change_host(heed_engine *engine, const heed_host *host);
/* Binds the calling thread to lane 0's place: for a program's own main thread. */
HEED_LOCAL void inspect_pin_caller(heed_engine *engine);
/* Why its threads are not pinned, "not pinned: ...", in the buffer; NULL: they are. */
HEED_LOCAL const char *inspect_unpinned(const heed_engine *engine, char *buffer, size_t n);

/* This machine, as far as this process may use it, as hwloc has it; hwloc_topology_destroy. */
HEED_LOCAL struct hwloc_topology *inspect_topology(heed_error *error);

/* The name of a wiring of networks, such as "pre"; NULL behind the last. */
HEED_LOCAL const char *inspect_wiring(uint32_t index);

/* ---- an op with its settings, and an instance of it ---- */

/* From a spec; resolve_free. NULL and a sentence if it is wrong. */
HEED_LOCAL resolved *inspect_resolve(const heed_engine *engine, const char *spec,
                                     heed_error *error);
/* heed_instance_open, of what is resolved. */
HEED_LOCAL heed_instance *inspect_open(heed_engine *engine, const resolved *op,
                                       const heed_opening *opening, heed_error *error);
/* Its memory, which measure asked for and init filled. */
HEED_LOCAL const void *inspect_memory(const heed_instance *instance);
/* What its init got; `weight` by port, NULL where there is none. */
HEED_LOCAL heed_open inspect_opening(const heed_instance *instance,
                                     const heed_tensor *const *weight, heed_sink *sink);
/* The op inside that is the param of that index; its `instance` is NULL if there is none. */
HEED_LOCAL const heed_child *inspect_child(const heed_instance *instance, uint32_t param);
/* What it remembers of a sequence, for the sizes of axes that are known. */
HEED_LOCAL int32_t inspect_state(const heed_instance *instance, const int64_t *axes,
                                 heed_state_size *size, heed_error *error);
/* Bytes of a saved sequence before those that the op wrote. */
HEED_LOCAL uint64_t inspect_saved_head(void);
/* A sequence as a path sees it. */
HEED_LOCAL const heed_state *inspect_sequence(const heed_sequence *sequence);

/* ---- one call ---- */

/* What heed_run would hand to the path for these tensors, whose data may be NULL: but for `state`,
 * `workspace` and `scratch`, which are empty. The caller may change all of it. To be freed by
 * inspect_call_free; the op's sentences are in sink->text. */
HEED_LOCAL heed_call *inspect_call(const heed_instance *instance, const heed_binding *in,
                                   uint32_t n_in, const heed_binding *out, uint32_t n_out,
                                   heed_error *error);
HEED_LOCAL void inspect_call_free(heed_call *call);

/* ---- a network ---- */

/* One step of a network: an op, and what it costs to read so many tokens at once behind so many
 * older ones, by flops, bytes and executed flops; where tokens halt, as if none did, and of an expert
 * as if all got as many. One that tells no cost (`told` 0) touches its tensors once, and one that only
 * moves rows has the op "" and costs nothing. */
typedef struct inspect_step {
    const char *op, *part; /* its id; "layers.3.q". They are the network's */
    int64_t layer;         /* -1: in none */
    int told;
    heed_cost cost;
} inspect_step;

/* The step of that index, or 0 behind the last. */
HEED_LOCAL int inspect_stack_step(const heed_stack *stack, uint32_t index, int64_t tokens,
                                  int64_t before, inspect_step *step);
/* How many results it can give of so many tokens: one of them all, if it pools. */
HEED_LOCAL int64_t inspect_stack_rows(const heed_stack *stack, int64_t tokens);
/* The sum over all steps. */
HEED_LOCAL void inspect_stack_cost(const heed_stack *stack, int64_t tokens, int64_t before,
                                   heed_cost *cost);
/* Takes a session back to its first tokens, for timing: what can not go back, a recurrent state,
 * stays, and costs the same. */
HEED_LOCAL void inspect_session_back(heed_session *session, int64_t length);

/* ---- a trace ---- */

/* Its calls and their tiles are noted from now on; NULL ends that. No call may be running, and the
 * trace was made for this engine's host. */
HEED_LOCAL void inspect_trace(heed_engine *engine, trace *t);

#endif
