/* SPDX-License-Identifier: MIT
 *
 * describe_network.c: heed describe MODEL: what a network is made of: the parameters of each part,
 * what it remembers of every token, and, with --shape, what its ops cost. It is opened, and not run.
 *
 * Invariant: every tensor of the weights counts in one part, so that the parts add up to the whole.
 */
#include <limits.h>
#include <stdio.h>

#include "base/error.h"
#include "base/grow.h"
#include "command/command.h"
#include "command/describe.h"
#include "command/file.h"
#include "command/model.h"
#include "command/parts.h"
#include "command/table.h"
#include "io/weights.h"
#include "model/source.h"
#include "model/stack.h"
#include "model/stack_plan.h"
#include "model/stack_wiring.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/sequence.h"

/* What layers have, in order, in the decoder and in the encoder; tensors of other names, q.weight or
 * o.weight, are the attention's projections. */
enum { ATTENTION = 1, IN_LAYER = 13, SIDES = STACK_ENCODER + 1 };
enum { ALWAYS, CROSSED, ROUTED, SHARED, GIVEN }; /* GIVEN: the spec has the key */
#define ENCODER "encoder."
static const struct {
    const char *name[SIDES]; /* NULL: it has none */
    uint32_t part, when;
} in_layer[IN_LAYER] = {
    {{"attention_norm", ENCODER "attention_norm"}, STACK_PART_NORM, ALWAYS},
    {{"attention", ENCODER "attention"}, STACK_PART_ATTENTION, ALWAYS},
    {{"convolution", NULL}, STACK_PART_CONVOLUTION, GIVEN},
    {{"head_norm", NULL}, STACK_PART_HEAD_NORM, GIVEN},
    {{"output_gate", NULL}, STACK_PART_OUTPUT_GATE, GIVEN},
    {{"cross_norm", NULL}, STACK_PART_NORM, CROSSED},
    {{"cross", NULL}, STACK_PART_CROSS, CROSSED},
    {{"feedforward_norm", ENCODER "feedforward_norm"}, STACK_PART_NORM, ALWAYS},
    {{"feedforward", ENCODER "feedforward"}, STACK_PART_FEEDFORWARD, ALWAYS},
    {{"router", ENCODER "router"}, STACK_PART_ROUTER, ROUTED},
    {{"experts", ENCODER "experts"}, STACK_PART_FEEDFORWARD, ROUTED},
    {{"shared_experts", ENCODER "shared_experts"}, STACK_PART_FEEDFORWARD, SHARED},
    {{"shared_gate", NULL}, STACK_PART_SHARED_GATE, GIVEN}};

typedef struct part {
    uint32_t side;
    int64_t layer;         /* -1: it is in none */
    const char *name, *op; /* "attention", "attention/window(left=64)" */
    int64_t parameters;
    double state;  /* bytes a token */
    int64_t keeps; /* of so many tokens; -1: of all */
    double fixed;  /* bytes of a state that does not grow */
} part;

typedef struct network {
    heed_engine *engine;
    heed_weights *weights;
    heed_stack *stack; /* NULL: it is too large to be opened for a description */
    stack_plan plan;
    char *spec; /* canonical */
    part *parts;
    uint32_t n_parts, layers[SIDES]; /* where the first layer's begin */
    uint32_t in_layer[SIDES];        /* parts of a layer */
    int64_t parameters;
    double growing, bounded; /* bytes a token; bytes of those that stop growing */
    int opened;              /* a spec alone, with numbers */
    int64_t tokens;          /* of --shape; 0: it was not given */
    int next;                /* the last of them alone is read */
    part_costs costs;
} network;

/* ---- parts ---- */

static int32_t add(network *n, int64_t layer, const char *name, const char *op, heed_error *error)
{
    const uint32_t side = strncmp(name, ENCODER, strlen(ENCODER)) ? STACK_DECODER : STACK_ENCODER;
    part *p = grow_append(&n->parts, &n->n_parts, sizeof *p);
    if (!p) return error_memory(error);
    *p = (part){.side = side, .layer = layer, .name = name, .op = op, .keeps = -1};
    return HEED_OK;
}

static const char *op_of(const network *n, uint32_t side, uint32_t part, int64_t layer)
{
    const stack_part *p = stack_plan_part(&n->plan, side, part);
    return p->count ? p->text[p->of_layer ? p->of_layer[layer] : 0] : "none";
}

static int32_t list_position(network *n, uint32_t side, const char *name, heed_error *error)
{
    const stack_part *p = stack_plan_part(&n->plan, side, STACK_PART_POSITION);
    if (!p->count) return HEED_OK;
    return add(n, -1, name, p->listed ? "a list, by layer" : p->text[0], error);
}

/* The norm behind the embedding, and that behind the last layer. */
static int32_t list_norms(network *n, uint32_t side, const char *embed, const char *final,
                          heed_error *error)
{
    const stack_plan *p = &n->plan;
    const int own = stack_plan_part(p, side, STACK_PART_FINAL_NORM)->count != 0;
    if (p->parts[STACK_PART_EMBED_NORM].count)
        TRY(add(n, -1, embed, op_of(n, side, STACK_PART_EMBED_NORM, 0), error));
    if (!stack_wiring_final(p, side)) return HEED_OK;
    return add(n, -1, final,
               op_of(n, side, own ? STACK_PART_FINAL_NORM : STACK_PART_NORM,
                     own ? 0 : stack_plan_layers(p, side) - 1),
               error);
}

static int32_t list_layers(network *n, uint32_t side, heed_error *error)
{
    const int routed = stack_plan_part(&n->plan, side, STACK_PART_ROUTER)->count != 0;
    const int has[] = {[ALWAYS] = 1,
                       [CROSSED] = n->plan.parts[STACK_PART_CROSS].count != 0,
                       [ROUTED] = routed,
                       [SHARED] = routed && n->plan.number[STACK_SHARED_EXPERTS] > 0};
    const int own = n->plan.parts[STACK_PART_SHARED_FEEDFORWARD].count != 0;
    const int trains = side == STACK_DECODER && n->plan.number[STACK_AUXILIARY] > 0;
    n->layers[side] = n->n_parts;
    for (int64_t layer = 0; layer < stack_plan_layers(&n->plan, side); layer++) {
        for (int i = 0; i < IN_LAYER; i++) {
            const char *name = in_layer[i].name[side];
            uint32_t part = in_layer[i].part;
            const uint32_t when = in_layer[i].when;
            if (!name || !(when == GIVEN ? n->plan.parts[part].count != 0 : has[when])) continue;
            if (when == SHARED && side == STACK_DECODER && own)
                part = STACK_PART_SHARED_FEEDFORWARD;
            TRY(add(n, layer, name, op_of(n, side, part, layer), error));
            n->in_layer[side] += !layer;
        }
        if (trains) TRY(add(n, layer, "auxiliary", "classifiers, for training alone", error));
        n->in_layer[side] += trains && !layer;
    }
    return HEED_OK;
}

static int32_t list_encoder(network *n, heed_error *error)
{
    if (n->plan.number[STACK_ENCODER_LAYERS] < 0) return HEED_OK;
    if (n->plan.number[STACK_ENCODER_VOCAB] >= 0)
        TRY(add(n, -1, ENCODER "embed", "embed/table", error));
    TRY(list_position(n, STACK_ENCODER, ENCODER "position", error));
    TRY(list_layers(n, STACK_ENCODER, error));
    TRY(add(n, -1, ENCODER "stack", "tensors that all layers share", error));
    if (stack_plan_part(&n->plan, STACK_ENCODER, STACK_PART_HALTING)->count)
        TRY(add(n, -1, ENCODER "halting", op_of(n, STACK_ENCODER, STACK_PART_HALTING, 0), error));
    return list_norms(n, STACK_ENCODER, ENCODER "embed_norm", ENCODER "final_norm", error);
}

/* What stands beside the decoder's layers, each if the network has it. */
static int32_t list_rest(network *n, heed_error *error)
{
    const stack_plan *p = &n->plan;
    TRY(add(n, -1, "stack", "tensors that all layers share", error));
    if (p->parts[STACK_PART_HALTING].count)
        TRY(add(n, -1, "halting", op_of(n, STACK_DECODER, STACK_PART_HALTING, 0), error));
    TRY(list_norms(n, STACK_DECODER, "embed_norm", "final_norm", error));
    if (p->choice[STACK_POOLER]) TRY(add(n, -1, "pooler", "linear/projection, tanh", error));
    if (p->hidden || p->parts[STACK_PART_OUTPUT].count)
        return add(n, -1, "output",
                   p->number[STACK_CLASSES] >= 0 ? "linear/projection, to classes"
                   : p->hidden                   ? "hidden states"
                                                 : op_of(n, STACK_DECODER, STACK_PART_OUTPUT, 0),
                   error);
    return add(n, -1, "output",
               p->choice[STACK_TIED] ? "linear/projection, tied to embed" : "linear/projection",
               error);
}

static int32_t list_parts(network *n, heed_error *error)
{
    TRY(add(n, -1, "embed", "embed/table", error));
    if (n->plan.number[STACK_TYPES_COUNT] > 0) TRY(add(n, -1, "types", "embed/table", error));
    TRY(list_encoder(n, error));
    TRY(list_position(n, STACK_DECODER, "position", error));
    TRY(list_layers(n, STACK_DECODER, error));
    return list_rest(n, error);
}

/* "layers.3.q.weight" is the attention's of layer 3, "embed.table" that of embed. NULL:
 * nobody's. */
static part *owner(network *n, const char *tensor)
{
    const size_t skipped = strncmp(tensor, ENCODER, strlen(ENCODER)) ? 0 : strlen(ENCODER);
    const uint32_t side = skipped ? STACK_ENCODER : STACK_DECODER;
    uint32_t first = 0, last = n->n_parts;
    char *name;
    tensor += skipped;
    if (!strncmp(tensor, "layers.", 7)) {
        int64_t layer = strtoll(tensor + 7, &name, 10);
        if (*name != '.' || layer < 0 || layer >= stack_plan_layers(&n->plan, side)) return NULL;
        tensor = name + 1, first = n->layers[side] + (uint32_t)layer * n->in_layer[side];
        last = first + n->in_layer[side];
    }
    for (uint32_t i = first; i < last; i++) {
        const part *p = &n->parts[i];
        const char *own = p->name + (p->side == side ? skipped : strlen(p->name));
        if (strlen(own) == strcspn(tensor, ".") && !memcmp(own, tensor, strlen(own)) &&
            (first || p->layer < 0))
            return &n->parts[i];
    }
    return first ? &n->parts[first + ATTENTION] : NULL;
}

static void count_parameters(network *n)
{
    for (uint32_t i = 0; i < heed_weights_count(n->weights); i++) {
        const char *name = heed_weights_name(n->weights, i);
        int64_t elements = heed_tensor_elements(heed_weights_find(n->weights, name));
        part *p = owner(n, name);
        if (p) p->parameters += elements;
        n->parameters += elements;
    }
}

/* What the step of a layer remembers, in the part that its op belongs to. */
static int32_t measure_state(network *n, const stack_step *step, heed_error *error)
{
    const heed_instance *memory = n->stack->memories[step->memory];
    heed_state_size size;
    char name[96];
    const char *rest = strchr(memory->part + strlen("layers."), '.');
    snprintf(name, sizeof name, "layers.%d%s", step->layer, rest ? rest : "");
    part *p = owner(n, name);
    if (!p) return HEED_OK;
    TRY(sequence_measure(memory, memory->axis, &size, error));
    const double each = size.page_tokens ? (double)size.page_bytes / (double)size.page_tokens : 0,
                 fixed = size.page_tokens ? 0 : (double)size.page_bytes;
    p->fixed += fixed, p->state += each;
    if (!size.page_tokens) p->keeps = 0;
    else if (size.recent) p->keeps = size.recent + size.first;
    if (p->keeps < 0) n->growing += each;
    else n->bounded += fixed + each * (double)p->keeps;
    return HEED_OK;
}

static int32_t measure_states(network *n, heed_error *error)
{
    for (uint32_t i = 0; i < n->stack->n_steps; i++)
        if (n->stack->steps[i].memory >= 0) TRY(measure_state(n, &n->stack->steps[i], error));
    return HEED_OK;
}

/* Numbers of a network that is opened though nobody asked for its numbers: 1 GiB. */
#define OPENED_MOST ((int64_t)1 << 28)

/* A network that is a spec alone is counted without its numbers; if it is small, or more is asked
 * for than to count it, it gets some, and is opened. */
static int32_t open_spec(network *n, const network_request *r, heed_error *error)
{
    if (!(n->weights = source_sketch(n->engine, r->spec, error))) return error->code;
    TRY(list_parts(n, error));
    count_parameters(n);
    if (n->parameters > OPENED_MOST && !r->shape && !r->save) return HEED_OK;
    heed_weights_close(n->weights);
    n->weights = heed_weights_random(n->engine, r->spec, (uint64_t)r->seed, error);
    n->opened = n->weights != NULL;
    return n->weights ? HEED_OK : error->code;
}

static int32_t add_costs(network *n, const call_shape *shape, heed_error *error)
{
    TRY(model_shape(shape, &n->tokens, &n->next, error));
    TRY(model_check_measured(n->stack, error));
    if (!n->tokens)
        return error_set(error, HEED_E_ARGUMENT, "--shape of a network takes T=N or decode=N");
    return parts_of_stack(&n->costs, n->stack, n->next ? 1 : n->tokens, n->next ? n->tokens - 1 : 0,
                          error);
}

static int32_t open_network(network *n, const network_request *r, heed_error *error)
{
    const char *spec = r->spec;
    if (r->save) TRY(file_check(r->save, error));
    if (r->path && !(n->weights = heed_weights_open(r->path, error))) return error->code;
    if (!(n->engine = heed_engine_new(&r->options, error))) return error->code;
    if (r->path && !spec && !(spec = heed_weights_metadata(n->weights, "heed.spec")))
        return error_set(error, HEED_E_DATA,
                         "the weights have no spec (heed.spec), so one must be "
                         "given");
    TRY(stack_plan_read(&n->plan, &n->engine->registry, spec, error));
    if (!(n->spec = stack_plan_print(&n->plan))) return error_memory(error);
    if (!r->path) TRY(open_spec(n, r, error));
    if (!r->path && !n->opened) return HEED_OK;
    if (!(n->stack = heed_stack_open(n->engine, spec, n->weights, error))) return error->code;
    if (r->shape) TRY(add_costs(n, r->shape, error));
    if (r->save) TRY(weights_write(n->weights, n->spec, r->save, error));
    if (!r->path) return measure_states(n, error);
    TRY(list_parts(n, error));
    count_parameters(n);
    return measure_states(n, error);
}

/* ---- as text ---- */

static int equal(const part *a, const part *b)
{
    return !strcmp(a->op, b->op) && a->parameters == b->parameters && a->state == b->state &&
           a->keeps == b->keeps && a->fixed == b->fixed;
}

/* The last of the layers from this one on that are all alike. */
static int64_t same_layers(const network *n, uint32_t at)
{
    const uint32_t rows = n->in_layer[n->parts[at].side];
    int64_t last = n->parts[at].layer;
    for (uint32_t i = at + rows; i + rows <= n->n_parts && n->parts[i].layer == last + 1;
         i += rows) {
        for (uint32_t k = 0; k < rows; k++)
            if (!equal(&n->parts[at + k], &n->parts[i + k])) return last;
        last++;
    }
    return last;
}

static void add_part(table *t, const part *p, int64_t last)
{
    char layers[48] = "", state[64] = "-";
    if (p->layer >= 0)
        snprintf(layers, sizeof layers, last > p->layer ? "%lld-%lld" : "%lld", (long long)p->layer,
                 (long long)last);
    if (p->fixed > 0) snprintf(state, sizeof state, "%.0f in all", p->fixed);
    else if (p->state > 0 && p->keeps >= 0)
        snprintf(state, sizeof state, "%.6g, of %lld tokens", p->state, (long long)p->keeps);
    else if (p->state > 0) snprintf(state, sizeof state, "%.6g", p->state);
    table_cell(t, "%s", layers);
    table_cell(t, "%s", p->name);
    table_cell(t, "%s", p->op);
    table_cell(t, "%lld", (long long)p->parameters);
    table_cell(t, "%s", state);
}

static void print_costs(const network *n)
{
    static const table_column columns[] = {{"part", 0, 0, 0},     {"op", 0, 12, 3},
                                           {"calls", 1, 0, 1},    {"flops", 1, 0, 0},
                                           {"executed", 1, 0, 2}, {"bytes", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 6};
    char text[32];
    double flops = 0, executed = 0, bytes = 0;
    printf(n->next ? "\ncosts of token %lld, behind the others\n" : "\ncosts of %lld tokens\n",
           (long long)n->tokens);
    for (uint32_t i = 0; i < n->costs.count; i++) {
        const part_cost *p = &n->costs.row[i];
        flops += p->flops, executed += p->executed, bytes += p->bytes;
        table_cell(&t, "%s", p->part);
        table_cell(&t, "%s", p->op);
        table_cell(&t, "%lld", (long long)p->calls);
        table_cell(&t, "%s", parts_amount(p->told ? p->flops : 0, text, sizeof text));
        table_cell(&t, "%s", parts_amount(p->told ? p->executed : 0, text, sizeof text));
        table_cell(&t, "%s", parts_amount(p->bytes, text, sizeof text));
    }
    table_cell(&t, "in all");
    for (int i = 0; i < 2; i++) table_cell(&t, "%s", "");
    table_cell(&t, "%s", parts_amount(flops, text, sizeof text));
    table_cell(&t, "%s", parts_amount(executed, text, sizeof text));
    table_cell(&t, "%s", parts_amount(bytes, text, sizeof text));
    table_print(&t);
}

static void print_text(const network *n)
{
    static const table_column columns[] = {{"layers", 0, 0, 0},
                                           {"part", 0, 0, 0},
                                           {"op", 0, 16, 0},
                                           {"parameters", 1, 0, 0},
                                           {"state bytes a token", 0, 8, 1}};
    table t = {.column = columns, .n_columns = 5};
    table_prose(0, 2, n->spec);
    printf("\n");
    for (uint32_t i = 0; i < n->n_parts;) {
        int64_t last = n->parts[i].layer < 0 ? -1 : same_layers(n, i), first = n->parts[i].layer;
        uint32_t rows = first < 0 ? 1 : n->in_layer[n->parts[i].side];
        for (uint32_t k = 0; k < rows; k++)
            if (first >= 0 || n->parts[i].parameters || !strstr(n->parts[i].name, "stack"))
                add_part(&t, &n->parts[i + k], last);
        i += rows * (uint32_t)(first < 0 ? 1 : last - first + 1);
    }
    table_print(&t);
    printf("\n%lld parameters; ", (long long)n->parameters);
    if (!n->stack)
        printf("too many for a description to open it, so what a sequence takes is not told\n");
    else if (n->stack->forgets)
        printf("%s remembers nothing: a text is read at once\n", n->stack->forgets);
    else if (n->bounded > 0 && n->growing > 0)
        printf(
            "a sequence takes %.6g bytes a token, and %.15g bytes at most of what stops growing\n",
            n->growing, n->bounded);
    else if (n->bounded > 0) printf("a sequence takes %.15g bytes at most\n", n->bounded);
    else printf("a sequence takes %.6g bytes a token\n", n->growing);
    if (n->tokens) print_costs(n);
    if (n->weights) describe_checkpoint(n->weights);
}

/* ---- as JSON ---- */

/* null in a network that was not opened. */
static json_t *json_known(const network *n, double bytes)
{
    return n->stack ? json_real(bytes) : json_null();
}

static json_t *json_part(const network *n, const part *p)
{
    json_t *layer = p->layer >= 0 ? json_integer(p->layer) : json_null();
    json_t *keeps = p->keeps >= 0 ? json_integer(p->keeps) : json_null();
    return json_pack("{s:o, s:s, s:s, s:I, s:o, s:o, s:o}", "layer", layer, "part", p->name, "op",
                     p->op, "parameters", (json_int_t)p->parameters, "state_bytes_per_token",
                     json_known(n, p->state), "state_tokens", keeps, "state_bytes_fixed",
                     json_known(n, p->fixed));
}

static json_t *json_told(double x, int told) { return told ? json_real(x) : json_null(); }

/* null without --shape */
static json_t *json_costs(const network *n)
{
    json_t *all = n->tokens ? json_array() : json_null();
    for (uint32_t i = 0; i < n->costs.count; i++) {
        const part_cost *p = &n->costs.row[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:I, s:o, s:o, s:f}", "part", p->part,
                                             "op", p->op, "calls", (json_int_t)p->calls, "flops",
                                             json_told(p->flops, p->told), "executed_flops",
                                             json_told(p->executed, p->told), "bytes", p->bytes));
    }
    return all;
}

static json_t *json_network(const network *n)
{
    json_t *parts = json_array();
    for (uint32_t i = 0; i < n->n_parts; i++)
        json_array_append_new(parts, json_part(n, &n->parts[i]));
    return json_pack("{s:s, s:I, s:o, s:o, s:s?, s:o, s:o, s:o}", "spec", n->spec, "parameters",
                     (json_int_t)n->parameters, "state_bytes_per_token", json_known(n, n->growing),
                     "state_bytes_bounded", json_known(n, n->bounded), "forgets",
                     n->stack ? n->stack->forgets : NULL, "parts", parts, "costs", json_costs(n),
                     "checkpoint", describe_checkpoint_json(n->weights));
}

int describe_network(const network_request *r)
{
    network n = {.engine = NULL};
    heed_error error = {0};
    int status = 0;
    if (open_network(&n, r, &error)) status = command_fail(&error);
    else if (r->json) status = command_json(json_network(&n));
    else print_text(&n);
    free(n.parts);
    free(n.spec);
    parts_free(&n.costs);
    stack_plan_free(&n.plan);
    heed_stack_close(n.stack);
    heed_weights_close(n.weights);
    heed_engine_free(n.engine);
    return status;
}
