/* SPDX-License-Identifier: MIT
 *
 * network.c: a network as a case: a stack from the spec in a safetensors file, which reads a text
 * at once, or a token at a time from an empty sequence on. Its path is that of an engine of its
 * own, since all ops of a stack take one.
 *
 * Invariant: every run begins with an empty sequence and gives the same logits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/random.h"
#include "bench/case/case.h"
#include "bench/case/network.h"
#include "command/clock.h"
#include "command/model.h"
#include "command/parts.h"
#include "inspect.h"

#define USUAL_TOKENS 2048

struct bench_network {
    model model;
    heed_path path; /* name and needs alone */
    int64_t tokens, rows;
    int how;
    int32_t *token;
    float *logits; /* [rows, outputs] */
    char shape[64];
};

const char *network_spec(const bench_network *n) { return heed_stack_spec(n->model.stack); }
const char *network_shape(const bench_network *n) { return n->shape; }
const heed_path *network_path(const bench_network *n) { return &n->path; }
int network_decodes(const bench_network *n) { return n->how != NETWORK_WHOLE; }
int64_t network_tokens(const bench_network *n) { return n->tokens; }

int32_t network_run(const bench_network *n, heed_error *error)
{
    if (n->how == NETWORK_NEXT) {
        inspect_session_back(n->model.session, n->tokens - 1);
        return heed_session_feed(n->model.session, n->token + n->tokens - 1, 1, n->logits, 1,
                                 error);
    }
    int32_t failed = heed_session_reset(n->model.session, error);
    if (n->how == NETWORK_WHOLE && !failed)
        return heed_session_feed(n->model.session, n->token, n->tokens, n->logits, n->rows, error);
    for (int64_t t = 0; t < n->tokens && !failed; t++)
        failed = heed_session_feed(n->model.session, n->token + t, 1, n->logits, 1, error);
    return failed;
}

/* ---- opening ---- */

/* The sum over the ops. A run that reads token by token from the first one on sees no older keys
 * here: what an attention adds is small beside the weights. */
static void add_cost(bench_case *c, const bench_network *n)
{
    heed_cost cost;
    double times = n->how == NETWORK_STEPS ? (double)n->tokens : 1;
    inspect_stack_cost(n->model.stack, n->how == NETWORK_WHOLE ? n->tokens : 1,
                       n->how == NETWORK_NEXT ? n->tokens - 1 : 0, &cost);
    c->cost.flops = cost.flops * times;
    c->cost.executed = cost.executed * times;
    c->cost.bytes = cost.bytes * times;
    c->footprint = n->how == NETWORK_STEPS ? cost.bytes : 0;
}

static int64_t logits_count(const bench_network *n)
{
    return n->rows * heed_stack_outputs(n->model.stack);
}

/* Memory, and a text that is the same everywhere. */
static int32_t prepare(bench_network *n, heed_error *error)
{
    int64_t vocab = heed_stack_number(n->model.stack, "vocab");
    n->token = calloc((size_t)n->tokens, sizeof *n->token);
    n->logits = reallocarray(NULL, (size_t)n->rows,
                             (size_t)heed_stack_outputs(n->model.stack) * sizeof *n->logits);
    if (!n->token || !n->logits) return error_memory(error);
    uint64_t state = 1;
    for (int64_t t = 0; t < n->tokens; t++)
        n->token[t] = (int32_t)(random_unit(&state) * (double)vocab);
    if (n->how != NETWORK_NEXT || n->tokens == 1) return HEED_OK;
    return heed_session_feed(n->model.session, n->token, n->tokens - 1, NULL, 0, error);
}

static void name_shape(bench_network *n)
{
    static const char *const forms[] = {[NETWORK_WHOLE] = "T=%lld",
                                        [NETWORK_STEPS] = "tokens=%lld,T=1",
                                        [NETWORK_NEXT] = "decode=%lld"};
    snprintf(n->shape, sizeof n->shape, forms[n->how], (long long)n->tokens);
}

int32_t network_open(bench_case *c, const heed_options *options, const network_choice *choice,
                     heed_error *error)
{
    heed_options own = *options;
    own.isa = choice->isa;
    bench_network *n = calloc(1, sizeof *n);
    if (!n) return error_memory(error);
    *n = (bench_network){.tokens = choice->tokens, .how = choice->how};
    *c = (bench_case){.network = n};
    int32_t failed = model_open(&n->model, &own, choice->file, choice->spec, 1, error);
    if (!failed) failed = model_check_measured(n->model.stack, error);
    if (failed) return failed;
    int64_t context = heed_stack_number(n->model.stack, "context");
    if (!n->tokens) n->tokens = context > 0 && context < USUAL_TOKENS ? context : USUAL_TOKENS;
    n->rows = n->how == NETWORK_WHOLE ? inspect_stack_rows(n->model.stack, n->tokens) : 1;
    name_shape(n);
    n->path = (heed_path){.size = sizeof n->path, .name = inspect_path(n->model.engine)};
    n->path.needs = inspect_features(n->model.engine);
    failed = prepare(n, error);
    if (!failed) failed = network_run(n, error);
    if (failed) return failed;
    c->ran = 1;
    c->hash = random_hash(RANDOM_HASH, n->logits, (uint64_t)logits_count(n) * sizeof *n->logits);
    snprintf(c->judged, sizeof c->judged, "%s", n->shape);
    add_cost(c, n);
    return HEED_OK;
}

double network_steps(const bench_network *n)
{
    double steps, cost;
    return model_ponder(&n->model, &steps, &cost) ? steps : NAN;
}

double network_difference(const bench_network *a, const bench_network *b)
{
    double largest = 0;
    for (int64_t i = 0; i < logits_count(a); i++) {
        double x = a->logits[i], y = b->logits[i];
        if (x == y || (isnan(x) && isnan(y))) continue;
        largest = isnan(x - y) ? INFINITY : fmax(largest, fabs(x - y));
    }
    return largest;
}

/* ---- by op ---- */

static int32_t sum_calls(part_costs *all, const trace *t, heed_error *error)
{
    uint32_t n;
    const trace_call *calls = trace_calls(t, &n);
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < n && !failed; i++)
        failed = parts_add(all,
                           &(part_cost){.part = calls[i].part,
                                        .op = calls[i].op,
                                        .calls = 1,
                                        .seconds = 1e-9 * (double)(calls[i].end - calls[i].begin),
                                        .flops = calls[i].flops > 0 ? calls[i].flops : 0,
                                        .bytes = calls[i].bytes,
                                        .told = calls[i].flops >= 0},
                           error);
    return failed;
}

int32_t network_by_op(bench_case *c, double seconds, heed_error *error)
{
    bench_network *n = c->network;
    heed_engine *engine = n->model.engine;
    trace *t = trace_new(inspect_host(engine), heed_lanes(engine), NULL, error);
    double begin = clock_seconds(), best = INFINITY;
    int32_t failed = t ? HEED_OK : error->code;
    inspect_trace(engine, t);
    for (int runs = 0; !failed && (!runs || clock_seconds() - begin < seconds); runs++) {
        part_costs all = {NULL, 0};
        trace_clear(t);
        double start = clock_seconds();
        failed = network_run(n, error);
        double time = clock_seconds() - start;
        if (!failed && time < best) failed = sum_calls(&all, t, error);
        if (!failed && time < best) {
            part_costs other = c->by_op;
            c->by_op = all, all = other;
            c->traced = best = time;
        }
        parts_free(&all);
    }
    inspect_trace(engine, NULL);
    trace_free(t);
    return failed;
}

void network_close(bench_network *n)
{
    if (!n) return;
    model_close(&n->model);
    free(n->token);
    free(n->logits);
    free(n);
}
