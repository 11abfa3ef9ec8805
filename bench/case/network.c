/* SPDX-License-Identifier: MIT
 *
 * network.c: a network as a case: a stack from the spec in a safetensors file, which reads a text
 * at once, or a token at a time from an empty sequence on. Its path is that of an engine of its
 * own, since all ops of a stack take one.
 *
 * Invariant: every run begins with an empty sequence and gives the same logits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/random.h"
#include "bench/case/case.h"
#include "bench/case/network.h"
#include "command/model.h"
#include "inspect.h"

struct bench_network {
    model model;
    heed_path path; /* name and needs alone */
    int64_t tokens, rows;
    int steps;
    int32_t *token;
    float *logits; /* [rows, vocab] */
    char shape[64];
};

const char *network_spec(const bench_network *n) { return heed_stack_spec(n->model.stack); }
const char *network_shape(const bench_network *n) { return n->shape; }
const heed_path *network_path(const bench_network *n) { return &n->path; }
int network_steps(const bench_network *n) { return n->steps; }

int32_t network_run(const bench_network *n, heed_error *error)
{
    int32_t failed = heed_session_reset(n->model.session, error);
    if (!n->steps && !failed)
        return heed_session_feed(n->model.session, n->token, n->tokens, n->logits, n->rows, error);
    for (int64_t t = 0; t < n->tokens && !failed; t++)
        failed = heed_session_feed(n->model.session, n->token + t, 1, n->logits, 1, error);
    return failed;
}

/* ---- opening ---- */

/* The sum over the ops. A run that reads token by token sees no older keys here: what an attention
 * adds is small beside the weights. */
static void add_cost(bench_case *c, const bench_network *n)
{
    heed_cost cost;
    double times = n->steps ? (double)n->tokens : 1;
    inspect_stack_cost(n->model.stack, n->steps ? 1 : n->tokens, &cost);
    c->cost.flops = cost.flops * times;
    c->cost.executed = cost.executed * times;
    c->cost.bytes = cost.bytes * times;
    c->footprint = n->steps ? cost.bytes : 0;
}

/* Memory, and a text that is the same everywhere. */
static int32_t prepare(bench_network *n, heed_error *error)
{
    int64_t vocab = heed_stack_number(n->model.stack, "vocab");
    n->token = calloc((size_t)n->tokens, sizeof *n->token);
    n->logits = reallocarray(NULL, (size_t)n->rows, (size_t)vocab * sizeof *n->logits);
    if (!n->token || !n->logits) return error_memory(error);
    uint64_t state = 1;
    for (int64_t t = 0; t < n->tokens; t++)
        n->token[t] = (int32_t)(random_unit(&state) * (double)vocab);
    return HEED_OK;
}

int32_t network_open(bench_case *c, const heed_options *options, const char *isa, const char *file,
                     int64_t tokens, int steps, heed_error *error)
{
    heed_options own = *options;
    own.isa = isa;
    bench_network *n = calloc(1, sizeof *n);
    if (!n) return error_memory(error);
    *n = (bench_network){.tokens = tokens, .rows = steps ? 1 : tokens, .steps = steps};
    *c = (bench_case){.network = n};
    snprintf(n->shape, sizeof n->shape, steps ? "tokens=%lld,T=1" : "T=%lld", (long long)tokens);
    int32_t failed = model_open(&n->model, &own, file, NULL, 1, error);
    if (failed) return failed;
    n->path = (heed_path){.size = sizeof n->path, .name = inspect_path(n->model.engine)};
    n->path.needs = inspect_features(n->model.engine);
    failed = prepare(n, error);
    if (!failed) failed = network_run(n, error);
    if (failed) return failed;
    c->ran = 1;
    c->hash = random_hash(RANDOM_HASH, n->logits,
                          (uint64_t)n->rows * sizeof *n->logits *
                              (uint64_t)heed_stack_number(n->model.stack, "vocab"));
    snprintf(c->judged, sizeof c->judged, "%s", n->shape);
    add_cost(c, n);
    return HEED_OK;
}

void network_close(bench_network *n)
{
    if (!n) return;
    model_close(&n->model);
    free(n->token);
    free(n->logits);
    free(n);
}
