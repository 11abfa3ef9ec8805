/* SPDX-License-Identifier: MIT
 *
 * test_train.c: training from inside: gradients and steps of networks of every wiring against
 * PyTorch in float64 (models/training.json, made by models/training.py); dropout's backward against
 * differences; numbers of chance against the published ones; the same bits on every path and at
 * every number of threads, and behind a save and a load; memory that is linear in the tokens; and
 * what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/harness.h"

#include "base/cpu.h"
#include "op/engine.h"
#include "op/instance.h"
#include "train/philox.h"
#include "train/schedule.h"
#include "train/trainer.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SMALL                                                                                      \
    "vocab=13; width=16; layers=2; heads=4; kv_heads=2; context=16; norm=rms; "                    \
    "attention=softmax(causal=true); position=rope; feedforward=swiglu(hidden=24); tied=true"

static json_t *reference;
static heed_engine *engine;
static heed_error e;

static const heed_recipe plain = {
    .size = sizeof plain, .seed = 1, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-8};

static heed_trainer *open_trainer(heed_engine *with, const char *spec, const heed_weights *weights,
                                  const heed_recipe *recipe)
{
    heed_trainer *t = heed_trainer_new(with, spec, weights, recipe, &e);
    if (!t) fail_msg("%s: %s", spec, e.text);
    return t;
}

#define RIGHT(call)                                                                                \
    do {                                                                                           \
        if (call) fail_msg("%s", e.text);                                                          \
    } while (0)

/* ---- numbers that follow from a name, as the script makes them ---- */

static double number_of(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / 0x1p23 - 1;
}

static void fill(const char *before, const char *name, const heed_tensor *like, float *to)
{
    const size_t length = strlen(name);
    const int gain = length >= 4 && !strcmp(name + length - 4, "gain");
    uint64_t state = 0xcbf29ce484222325u;
    for (const char *c = before; *c; c++) state = (state ^ (unsigned char)*c) * 0x100000001b3u;
    for (const char *c = name; *c; c++) state = (state ^ (unsigned char)*c) * 0x100000001b3u;
    for (int64_t k = 0; k < heed_tensor_elements(like); k++) {
        const double x = number_of(&state);
        to[k] = (float)(like->rank > 1 ? x * 2 / sqrt((double)like->dim[like->rank - 1])
                        : gain         ? 1 + x / 4
                                       : x);
    }
}

/* ---- against PyTorch ---- */

static double at(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

/* The two texts as a batch; how long each is. */
static int64_t read_texts(int32_t *tokens, int32_t *targets)
{
    const json_t *texts = json_object_get(reference, "texts");
    const int64_t length = (int64_t)json_array_size(json_array_get(texts, 0)) - 1;
    assert_int_equal(json_array_size(texts), 2);
    for (int64_t i = 0; i < 2 * length; i++) {
        const json_t *text = json_array_get(texts, (size_t)(i / length));
        tokens[i] = (int32_t)at(text, (size_t)(i % length));
        targets[i] = (int32_t)at(text, (size_t)(i % length) + 1);
    }
    return length;
}

/* Norm and product with the direction of each gradient. */
static void compare_gradients(const heed_trainer *t, const char *spec, const json_t *right)
{
    static float direction[8192];
    const heed_weights *w = heed_trainer_weights(t);
    double largest = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)right, name, value) largest = fmax(largest, at(value, 0));
    assert_int_equal(json_object_size(right), heed_weights_count(w));
    for (uint32_t i = 0; i < heed_weights_count(w); i++) {
        name = heed_weights_name(w, i);
        const json_t *two = json_object_get(right, name);
        const heed_tensor *g = heed_trainer_gradient(t, name);
        double sum = 0, product = 0;
        assert_true(heed_tensor_elements(g) <= (int64_t)COUNT(direction));
        fill("d.", name, g, direction);
        for (int64_t k = 0; k < heed_tensor_elements(g); k++) {
            const double d = (double)((float *)g->data)[k];
            sum += d * d, product += d * (double)direction[k];
        }
        if (!two || !(fabs(sqrt(sum) - at(two, 0)) <= 1e-5 * largest) ||
            !(fabs(product - at(two, 1)) <= 3e-5 * largest))
            fail_msg("%s: the gradient of %s: %g and %g, not %g and %g", spec, name, sqrt(sum),
                     product, at(two, 0), at(two, 1));
    }
}

static void test_reference(void **unused)
{
    const json_t *networks = json_object_get(reference, "networks"),
                 *betas = json_object_get(reference, "betas");
    const heed_recipe recipe = {.size = sizeof recipe,
                                .beta1 = at(betas, 0),
                                .beta2 = at(betas, 1),
                                .epsilon = json_number_value(json_object_get(reference, "epsilon")),
                                .decay = json_number_value(json_object_get(reference, "decay")),
                                .clip = json_number_value(json_object_get(reference, "clip"))};
    const double rate = json_number_value(json_object_get(reference, "rate"));
    int32_t tokens[64], targets[64];
    const int64_t length = read_texts(tokens, targets);
    (void)unused;
    assert_int_equal(json_array_size(networks), 8);
    for (size_t n = 0; n < json_array_size(networks); n++) {
        const json_t *one = json_array_get(networks, n), *losses = json_object_get(one, "losses");
        const char *spec = json_string_value(json_object_get(one, "spec"));
        heed_weights *first = heed_weights_random(engine, spec, 1, &e);
        if (!first) fail_msg("%s: %s", spec, e.text);
        for (uint32_t i = 0; i < first->count; i++)
            fill("", first->items[i].name, &first->items[i].tensor, first->items[i].tensor.data);
        heed_trainer *t = open_trainer(engine, spec, first, &recipe);
        heed_weights_close(first);
        for (size_t step = 0; step < json_array_size(losses); step++) {
            const double share = 1.0 / (double)(2 * length);
            double nats;
            RIGHT(heed_trainer_learn(t, tokens, targets, 2, length, share, &nats, &e));
            if (!(fabs(nats * share - at(losses, step)) <= 1e-4 * at(losses, step)))
                fail_msg("%s: before step %zu the loss is %.9g, not %.9g", spec, step + 1,
                         nats * share, at(losses, step));
            if (!step) compare_gradients(t, spec, json_object_get(one, "gradients"));
            RIGHT(heed_trainer_step(t, rate, NULL, &e));
        }
        heed_trainer_free(t);
    }
}

/* ---- other tasks against PyTorch ---- */

enum { SAID = 2, LONGEST = 8 };

/* Texts of the reference as rows of one length, `behind` tokens after their first; how long that is. */
static int64_t read_rows(const char *key, size_t behind, size_t left_out, int32_t fill_up,
                         int32_t *tokens, int32_t *lengths)
{
    const json_t *texts = json_object_get(reference, key);
    size_t longest = 0;
    assert_int_equal(json_array_size(texts), SAID);
    for (size_t i = 0; i < SAID; i++) {
        const size_t n = json_array_size(json_array_get(texts, i)) - left_out;
        lengths[i] = (int32_t)n;
        if (n > longest) longest = n;
    }
    assert_true(longest <= LONGEST);
    for (size_t i = 0; i < SAID * longest; i++) {
        const size_t row = i / longest, place = i % longest;
        tokens[i] = place < (size_t)lengths[row]
                        ? (int32_t)at(json_array_get(texts, row), place + behind)
                        : fill_up;
    }
    return (int64_t)longest;
}

/* The batch of a task; `memory` is what it points to. How many targets it has. */
static int64_t make_batch(const heed_trainer *t, heed_batch *b, int32_t memory[5][SAID * LONGEST])
{
    const int classes = t->stack->number[STACK_CLASSES] >= 0;
    const json_t *labels = json_object_get(reference, "labels");
    int64_t targets = SAID;
    *b = (heed_batch){.size = sizeof *b,
                      .texts = SAID,
                      .tokens = memory[0],
                      .targets = memory[1],
                      .lengths = memory[2]};
    b->length = read_rows("said", 0, !classes, 5, memory[0], memory[2]);
    for (size_t i = 0; i < SAID && classes; i++) memory[1][i] = (int32_t)at(labels, i);
    if (!classes) {
        read_rows("said", 1, 1, -100, memory[1], memory[2]);
        targets = memory[2][0] + memory[2][1];
    }
    if (!t->stack->n_encode) return targets;
    b->source = memory[3], b->source_lengths = memory[4];
    b->source_length = read_rows("read", 0, 0, 7, memory[3], memory[4]);
    return targets;
}

/* A trainer of a network with the numbers of the reference. */
static heed_trainer *open_reference(const char *spec, const heed_recipe *recipe)
{
    heed_weights *first = heed_weights_random(engine, spec, 1, &e);
    if (!first) fail_msg("%s: %s", spec, e.text);
    for (uint32_t i = 0; i < first->count; i++)
        fill("", first->items[i].name, &first->items[i].tensor, first->items[i].tensor.data);
    heed_trainer *t = open_trainer(engine, spec, first, recipe);
    heed_weights_close(first);
    return t;
}

/* What a session gives for each text alone is what they give in one batch. */
static void compare_session(heed_trainer *t, const char *spec, const heed_batch *b)
{
    static float nll[SAID * LONGEST], is[SAID * LONGEST * 16], right[LONGEST * 16];
    const int64_t outputs = heed_stack_outputs(t->stack);
    heed_session *s = heed_session_new(t->stack, &e);
    assert_true(outputs <= 16 && s);
    RIGHT(heed_trainer_loss_batch(t, b, nll, is, &e));
    for (int64_t i = 0; i < SAID; i++) {
        const int64_t rows = t->stack->pools ? 1 : b->lengths[i];
        RIGHT(heed_session_reset(s, &e));
        if (b->source)
            RIGHT(
                heed_session_encode(s, b->source + i * b->source_length, b->source_lengths[i], &e));
        RIGHT(heed_session_feed(s, b->tokens + i * b->length, b->lengths[i], right, rows, &e));
        const float *own = is + i * outputs * (t->stack->pools ? 1 : b->length);
        for (int64_t k = 0; k < rows * outputs; k++)
            if (!(fabsf(own[k] - right[k]) <= 1e-5f))
                fail_msg("%s: text %lld, result %lld is %.9g, not %.9g", spec, (long long)i,
                         (long long)k, (double)own[k], (double)right[k]);
    }
    heed_session_free(s);
}

static void check_task(const json_t *one, const heed_recipe *recipe, double rate)
{
    const json_t *losses = json_object_get(one, "losses");
    const char *spec = json_string_value(json_object_get(one, "spec"));
    int32_t memory[5][SAID * LONGEST];
    heed_batch b;
    heed_trainer *t = open_reference(spec, recipe);
    const double share = 1.0 / (double)make_batch(t, &b, memory);
    compare_session(t, spec, &b);
    for (size_t step = 0; step < json_array_size(losses); step++) {
        double nats, steps, rest;
        RIGHT(heed_trainer_learn_batch(t, &b, share, &nats, &e));
        if (tape_ponder(t->tape, &steps, &rest)) nats += recipe->ponder * (steps + rest);
        for (uint32_t k = 0; tape_reach(t->tape, k, NULL) >= 0; k++)
            nats += recipe->span * tape_reach(t->tape, k, NULL) / share;
        if (!(fabs(nats * share - at(losses, step)) <= 1e-4 * at(losses, step)))
            fail_msg("%s: before step %zu the loss is %.9g, not %.9g", spec, step + 1, nats * share,
                     at(losses, step));
        if (!step) compare_gradients(t, spec, json_object_get(one, "gradients"));
        RIGHT(heed_trainer_step(t, rate, NULL, &e));
    }
    heed_trainer_free(t);
}

static void test_tasks(void **unused)
{
    const json_t *tasks = json_object_get(reference, "tasks"),
                 *betas = json_object_get(reference, "betas");
    const heed_recipe recipe = {.size = sizeof recipe,
                                .beta1 = at(betas, 0),
                                .beta2 = at(betas, 1),
                                .epsilon = json_number_value(json_object_get(reference, "epsilon")),
                                .decay = json_number_value(json_object_get(reference, "decay")),
                                .clip = json_number_value(json_object_get(reference, "clip")),
                                .ponder = json_number_value(json_object_get(reference, "ponder")),
                                .span = json_number_value(json_object_get(reference, "span"))};
    (void)unused;
    assert_int_equal(json_array_size(tasks), 13);
    for (size_t n = 0; n < json_array_size(tasks); n++)
        check_task(json_array_get(tasks, n), &recipe,
                   json_number_value(json_object_get(reference, "rate")));
}

/* ---- numbers of chance, rates ---- */

static void test_philox(void **unused)
{
    /* the known answers of the authors' library, Random123 */
    static const struct {
        uint64_t seed;
        philox counter, right;
    } rows[] = {
        {0, {{0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {0xffffffffffffffff,
         {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {0x299f31d0a4093822,
         {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    (void)unused;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const philox is = philox_at(rows[i].seed, rows[i].counter);
        assert_memory_equal(&is, &rows[i].right, sizeof is);
    }
}

/* Dropout draws these numbers, leaves out the share that it says, and again the same. */
static void test_dropout(void **unused)
{
    enum { N = 20001 };
    static float x[N], y[N], again[N];
    static uint8_t keep[N];
    const dropout d = {0.25, 77, 5, 3, 2, 0};
    int64_t stay = 0;
    (void)unused;
    for (int i = 0; i < N; i++) x[i] = i == 9 ? NAN : (float)i + 1;
    RIGHT(dropout_run(engine, &d, keep, y, x, N, &e));
    RIGHT(dropout_again(engine, &d, keep, again, x, N, &e));
    assert_memory_equal(y, again, sizeof y);
    for (int i = 0; i < N; i++) {
        stay += keep[i];
        if (i != 9 && y[i] != (keep[i] ? x[i] * (float)(1 / 0.75) : 0))
            fail_msg("element %d is %g", i, (double)y[i]);
        const int run = i / 128, half = i % 128 / 16; /* see choose() */
        const philox p = philox_at(
            d.seed, (philox){{(uint32_t)(run * 16 + i % 16), 2 | 3 << 16, 5, PHILOX_DROPOUT}});
        const uint32_t bits = p.word[half / 2] >> 16 * (half % 2) & 0xffff;
        if (keep[i] != (bits >= 16384)) fail_msg("element %d is not that of its number", i);
    }
    if (fabs((double)stay / N - 0.75) > 0.02) fail_msg("%lld of %d stay", (long long)stay, N);
}

static void test_schedule(void **unused)
{
    schedule s = {SCHEDULE_COSINE, 0.5, 0.1, 0.2, 1000};
    (void)unused;
    for (int64_t step = 0; step < s.steps; step++) {
        const double done = ((double)step + 1 - 200) / 800,
                     right = step < 199 ? 0.5 * ((double)step + 1) / 200
                                        : 0.05 + 0.45 * 0.5 * (1 + cos(M_PI * done));
        if (fabs(schedule_rate(&s, step) - right) > 1e-15)
            fail_msg("cosine, step %lld: %.17g, not %.17g", (long long)step,
                     schedule_rate(&s, step), right);
    }
    s.kind = SCHEDULE_SLANTED, s.floor = 1.0 / 32; /* arXiv 1801.06146, equation 3 */
    for (int64_t step = 0; step < s.steps; step++) {
        const double t = (double)step + 1,
                     p = t < 200 ? t / 200 : 1 - (t - 200) / (200 * (5 - 1.0)),
                     right = 0.5 * (1 + p * 31) / 32;
        if (fabs(schedule_rate(&s, step) - right) > 1e-15)
            fail_msg("slanted, step %lld: %.17g", (long long)step, schedule_rate(&s, step));
    }
    s.kind = SCHEDULE_CONSTANT;
    assert_true(schedule_rate(&s, 999) == 0.5 && schedule_rate(&s, 99) == 0.25);
}

/* ---- against differences ---- */

/* What is learned: the network's own loss and those of the classifiers. */
static double learn_all(heed_trainer *t, const int32_t *tokens, const int32_t *targets)
{
    double nats;
    heed_trainer_forget(t);
    RIGHT(heed_trainer_learn(t, tokens, targets, 2, 8, 1, &nats, &e));
    return nats + t->aside;
}

/* Along its gradient a loss grows by the square of its norm. */
static void check_gradient(heed_trainer *t, const char *spec, double within)
{
    int32_t tokens[64], targets[64];
    const int64_t n = t->optimiser.n;
    float *g = calloc((size_t)n, sizeof *g);
    double square = 0, loss[2];
    read_texts(tokens, targets);
    learn_all(t, tokens, targets);
    memcpy(g, t->optimiser.gradient, (size_t)n * sizeof *g);
    for (int64_t i = 0; i < n; i++) square += (double)g[i] * (double)g[i];
    const double h = 0.005 / square;
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < t->optimiser.count; i++)
            for (int64_t k = 0; k < t->optimiser.tensors[i].n; k++)
                t->optimiser.tensors[i].weight[k] +=
                    (float)((side ? -2 : 1) * h) * g[t->optimiser.tensors[i].first + k];
        RIGHT(trainer_rebind(t, &e));
        loss[side] = learn_all(t, tokens, targets);
    }
    const double found = (loss[0] - loss[1]) / (2 * h);
    if (!(fabs(found - square) <= within * square))
        fail_msg("%s: %g along the gradient, whose square is %g", spec, found, square);
    free(g);
}

static void test_dropout_backward(void **unused)
{
    static const char *const wirings[] = {"pre", "dual", "sandwich", "parallel"};
    heed_recipe recipe = plain;
    char spec[512];
    (void)unused;
    recipe.dropout = 0.3;
    for (size_t w = 0; w < COUNT(wirings); w++) {
        snprintf(spec, sizeof spec, "%s; residual=%s", SMALL, wirings[w]);
        heed_trainer *t = open_trainer(engine, spec, NULL, &recipe);
        check_gradient(t, spec, 0.01);
        heed_trainer_free(t);
    }
}

/* Spans have room on both sides. */
static void centre_spans(heed_trainer *t)
{
    for (uint32_t i = 0; i < t->optimiser.count; i++)
        for (int64_t k = 0; t->optimiser.tensors[i].bounded && k < t->optimiser.tensors[i].n; k++)
            t->optimiser.tensors[i].weight[k] = 0.5f;
    RIGHT(trainer_rebind(t, &e));
}

/* Parts of every kind; what has no backward is refused by its name. */
static void test_parts(void **unused)
{
    static const char *const parts[] = {
        "norm=layer; attention=softmax(causal=true); position=alibi",
        "norm=rms; attention=softmax(causal=true); position=learned",
        "norm=rms; attention=softmax(causal=true); position=sinusoidal",
        "norm=rms; attention=softmax(causal=true); position=t5(bidirectional=false)",
        "norm=rms; attention=softmax(causal=true); softcap=3",
        "norm=batch; attention=softmax(causal=true)",
        "norm=rms; kv_heads=1; attention=[window(left=5), softmax(causal=true)]",
        "norm=rms; attention=sparse(stride=4)",
        "norm=rms; attention=shaw(causal=true, distances=9)",
        "norm=rms; attention=transformer_xl(causal=true, memory=16)",
        "norm=rms; attention=adaptive_span(limit=16, ramp=5)",
        "norm=rms; attention=dynamic_span(limit=16)",
        "norm=rms; attention=synthesizer_random(causal=true)",
        "norm=rms; attention=synthesizer_dense(causal=true)",
        "norm=rms; attention=synthesizer_factorized_dense(causal=true, run=4, runs=4)",
        "norm=rms; attention=gau(base=8, width=12, causal=true)",
        "norm=rms; attention=linear(causal=true)",
        "norm=rms; attention=linear(features=dpfp, nu=2, causal=true)",
        "norm=rms; attention=fast_weight(causal=true)",
        "norm=rms; attention=gated_delta(gate=softplus, causal=true)",
        "norm=rms; attention=retention(causal=true)",
        "norm=rms; attention=performer(features=40, causal=true)",
        "norm=rms; attention=lightweight_conv(kernel=3, causal=true)",
        "norm=rms; attention=dynamic_conv(kernel=3, causal=true)",
        "norm=rms; attention=flash_linear(chunk=4, causal=true)",
    };
    char spec[512];
    (void)unused;
    for (size_t i = 0; i < COUNT(parts); i += harness_quick() ? 3 : 1) {
        snprintf(
            spec, sizeof spec,
            "vocab=13; width=16; layers=2; heads=2; context=16; feedforward=gelu(hidden=24); %s",
            parts[i]);
        heed_trainer *t = heed_trainer_new(engine, spec, NULL, &plain, &e);
        const int refused = strstr(parts[i], "norm=batch") != NULL; /* its statistics are weights */
        if (t) centre_spans(t);
        if (t && !refused) check_gradient(t, spec, 0.03); /* some have kinks */
        else if (t || !refused || !strstr(e.text, "has no gradient of its weight mean"))
            fail_msg("%s: %s", spec, t ? "is not refused" : e.text);
        heed_trainer_free(t);
    }
}

/* What a tape does not know is refused when the trainer is opened. */
static void test_not_trained(void **unused)
{
    static const struct {
        const char *more, *says;
    } rows[] = {
        {"router=top_k(experts=4, k=2)", "router/top_k has no backward"},
        {"output=hidden", "gives neither logits nor classes"},
        {"output=concat", "gives neither logits nor classes"},
    };
    char spec[512];
    (void)unused;
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(spec, sizeof spec,
                 "vocab=13; width=16; layers=2; heads=2; context=16; norm=rms; "
                 "attention=softmax(causal=true); feedforward=gelu(hidden=24); %s",
                 rows[i].more);
        assert_null(heed_trainer_new(engine, spec, NULL, &plain, &e));
        if (!strstr(e.text, rows[i].says)) fail_msg("%s: %s", spec, e.text);
    }
}

/* ---- bits ---- */

enum { STEPS = 2, LENGTH = 16 };

/* Some steps of two micro-batches each. */
static void learn(heed_trainer *t, int steps)
{
    int32_t tokens[3 * LENGTH], targets[3 * LENGTH];
    double nats;
    for (int s = 0; s < steps; s++) {
        const uint64_t now = (uint64_t)heed_trainer_steps(t);
        for (uint64_t batch = 0; batch < 2; batch++) {
            for (uint64_t i = 0; i < 3 * LENGTH; i++)
                tokens[i] = (int32_t)((i * i + 5 * batch + 3 * now) % 13),
                targets[i] = (int32_t)((i * i + 2 * i + 1 + 5 * batch + 3 * now) % 13);
            RIGHT(heed_trainer_learn(t, tokens, targets, 3, LENGTH, 1.0 / 96, &nats, &e));
        }
        RIGHT(heed_trainer_step(t, 0.01, NULL, &e));
    }
}

static void assert_equal(const heed_trainer *a, const heed_trainer *b, const char *what)
{
    assert_int_equal(a->optimiser.n, b->optimiser.n);
    const size_t bytes = (size_t)a->optimiser.n * sizeof(float);
    for (uint32_t i = 0; i < a->optimiser.count; i++)
        if (memcmp(a->optimiser.tensors[i].weight, b->optimiser.tensors[i].weight,
                   (size_t)a->optimiser.tensors[i].n * sizeof(float)))
            fail_msg("%s: other bits of %s", what, a->optimiser.tensors[i].name);
    if (memcmp(a->optimiser.moment, b->optimiser.moment, bytes) ||
        (a->optimiser.square && memcmp(a->optimiser.square, b->optimiser.square, bytes)))
        fail_msg("%s: other moments", what);
}

static heed_recipe full_recipe(void)
{
    heed_recipe r = plain;
    r.dropout = 0.2, r.decay = 0.1, r.clip = 0.5;
    return r;
}

/* Two texts of different lengths, and what an encoder reads. */
static void learn_batches(heed_trainer *t, int steps)
{
    int32_t memory[5][SAID * LONGEST];
    heed_batch b;
    for (int s = 0; s < steps; s++) {
        const int64_t targets = make_batch(t, &b, memory);
        RIGHT(heed_trainer_learn_batch(t, &b, 1.0 / (double)targets, NULL, &e));
        RIGHT(heed_trainer_step(t, 0.01, NULL, &e));
    }
}

static void compare_paths(const char *spec, void (*learns)(heed_trainer *t, int steps))
{
    heed_recipe recipe = full_recipe();
    recipe.ponder = 0.01;
    heed_trainer *right = open_trainer(engine, spec, NULL, &recipe);
    const char *isa;
    char what[64];
    learns(right, STEPS);
    for (uint32_t p = 0; (isa = cpu_path(engine->features & ~(uint64_t)CPU_INEXACT, p)); p++)
        for (uint32_t threads = 1; threads <= 3; threads++) {
            const heed_options o = {.size = sizeof o, .threads = threads, .isa = isa};
            heed_engine *other = heed_engine_new(&o, &e);
            if (!other) fail_msg("%s", e.text);
            heed_trainer *t = open_trainer(other, spec, NULL, &recipe);
            learns(t, STEPS);
            snprintf(what, sizeof what, "%s, %u threads", isa, threads);
            assert_equal(t, right, what);
            heed_trainer_free(t);
            heed_engine_free(other);
        }
    heed_trainer_free(right);
}

#define TASKS                                                                                      \
    "vocab=13; width=16; layers=2; heads=4; norm=rms; position=rope; "                             \
    "feedforward=gelu(hidden=24); "

static void test_bits(void **unused)
{
    (void)unused;
    compare_paths(SMALL, learn);
    compare_paths(TASKS "attention=softmax; output=concat; pooler=true; classes=3", learn_batches);
    compare_paths(TASKS "attention=softmax(causal=true); halting=act; encoder_layers=1; "
                        "encoder_attention=softmax; encoder_halting=none; cross_attention=softmax",
                  learn_batches);
}

/* ---- a run that was interrupted ---- */

static void assert_refused(int32_t code, const char *text)
{
    if (!code || !strstr(e.text, text)) fail_msg("not said: %s; but: %s", text, e.text);
}

static void test_saved(void **unused)
{
    char path[] = "/tmp/heed-train.XXXXXX";
    const int fd = mkstemp(path);
    heed_recipe recipe = full_recipe();
    heed_trainer *right = open_trainer(engine, SMALL, NULL, &recipe),
                 *first = open_trainer(engine, SMALL, NULL, &recipe);
    (void)unused;
    assert_true(fd >= 0);
    close(fd);
    learn(right, 3);
    learn(first, 1);
    RIGHT(heed_trainer_save(first, path, "a note", &e));
    heed_trainer *then = open_trainer(engine, SMALL, NULL, &recipe);
    learn(then, 2); /* is forgotten */
    RIGHT(heed_trainer_load(then, path, &e));
    assert_int_equal(heed_trainer_steps(then), 1);
    assert_equal(then, first, "a load");
    learn(then, 2);
    assert_equal(then, right, "a run in two parts");
    char *note = trainer_note(path, &e);
    assert_string_equal(note, "a note");
    free(note);
    recipe.dropout = 0.1;
    heed_trainer *other = open_trainer(engine, SMALL, NULL, &recipe);
    assert_refused(heed_trainer_load(other, path, &e), "another recipe");
    heed_trainer_free(other);
    recipe = full_recipe();
    other = open_trainer(engine, SMALL "; residual=dual", NULL, &recipe);
    assert_refused(heed_trainer_load(other, path, &e), "another network");
    heed_trainer_free(other);
    RIGHT(heed_trainer_export(then, path, HEED_F32, &e));
    assert_refused(heed_trainer_load(then, path, &e), "is no checkpoint of a training");
    heed_weights *weights = heed_weights_open(path, &e);
    heed_stack *stack = weights ? heed_stack_open(engine, NULL, weights, &e) : NULL;
    if (!stack) fail_msg("%s", e.text);
    heed_stack_close(stack);
    heed_weights_close(weights);
    assert_refused(heed_trainer_export(then, path, HEED_I32, &e), "not i32");
    then->optimiser.tensors[1].weight[0] = 1e6f;
    assert_refused(heed_trainer_export(then, path, HEED_F16, &e), "has 1e+06, which is too large");
    then->optimiser.tensors[1].weight[0] = right->optimiser.tensors[1].weight[0];
    RIGHT(heed_trainer_export(then, path, HEED_F16, &e));
    weights = heed_weights_open(path, &e);
    assert_true(weights && weights->items[1].tensor.dtype == HEED_F16);
    heed_weights_close(weights);
    unlink(path);
    assert_refused(heed_trainer_load(then, path, &e), "No such file");
    assert_equal(then, right, "what is refused");
    heed_trainer_free(then), heed_trainer_free(first), heed_trainer_free(right);
}

/* ---- the optimiser with one moment ---- */

/* Steps of SGD as PyTorch makes them. */
static void check_momentum(const heed_recipe *recipe)
{
    const json_t *losses = json_object_get(reference, "sgd_losses");
    const double rate = json_number_value(json_object_get(reference, "sgd_rate"));
    const char *spec = json_string_value(
        json_object_get(json_array_get(json_object_get(reference, "networks"), 0), "spec"));
    int32_t tokens[64], targets[64];
    const int64_t length = read_texts(tokens, targets);
    heed_trainer *t = open_reference(spec, recipe);
    assert_int_equal(json_array_size(losses), 4);
    for (size_t step = 0; step < json_array_size(losses); step++) {
        const double share = 1.0 / (double)(2 * length);
        double nats;
        RIGHT(heed_trainer_learn(t, tokens, targets, 2, length, share, &nats, &e));
        if (!(fabs(nats * share - at(losses, step)) <= 1e-4 * at(losses, step)))
            fail_msg("before step %zu the loss is %.9g, not %.9g", step + 1, nats * share,
                     at(losses, step));
        RIGHT(heed_trainer_step(t, rate, NULL, &e));
    }
    heed_trainer_free(t);
}

/* Against PyTorch; and the same bits on the lowest path by three threads, in two parts. */
static void test_momentum(void **unused)
{
    char path[] = "/tmp/heed-train.XXXXXX";
    const int fd = mkstemp(path);
    const heed_options o = {.size = sizeof o, .threads = 3, .isa = "scalar"};
    heed_engine *lowest = heed_engine_new(&o, &e);
    heed_recipe recipe = {.size = sizeof recipe,
                          .optimiser = HEED_SGD,
                          .beta1 = json_number_value(json_object_get(reference, "momentum")),
                          .decay = json_number_value(json_object_get(reference, "decay")),
                          .clip = json_number_value(json_object_get(reference, "clip"))};
    (void)unused;
    assert_true(fd >= 0 && lowest);
    close(fd);
    check_momentum(&recipe);
    heed_trainer *right = open_trainer(engine, SMALL, NULL, &recipe),
                 *first = open_trainer(lowest, SMALL, NULL, &recipe),
                 *then = open_trainer(lowest, SMALL, NULL, &recipe);
    learn(right, 3), learn(first, 1);
    RIGHT(heed_trainer_save(first, path, NULL, &e));
    RIGHT(heed_trainer_load(then, path, &e));
    learn(then, 2);
    assert_equal(then, right, "momentum in two parts");
    heed_trainer *other = open_trainer(engine, SMALL, NULL, &plain);
    assert_refused(heed_trainer_load(other, path, &e), "of another recipe: optimizer=sgd");
    heed_trainer_free(other), heed_trainer_free(then), heed_trainer_free(first);
    heed_trainer_free(right), heed_engine_free(lowest);
    unlink(path);
}

/* ---- weights that learn slower, or not at all ---- */

static void test_frozen(void **unused)
{
    const heed_recipe recipe = full_recipe();
    heed_trainer *all = open_trainer(engine, SMALL, NULL, &recipe),
                 *some = open_trainer(engine, SMALL, NULL, &recipe);
    int32_t tokens[LENGTH], targets[LENGTH];
    double nats[2];
    (void)unused;
    for (int i = 0; i < LENGTH; i++) tokens[i] = i % 13, targets[i] = (i * i) % 13;
    for (uint32_t i = 0; i < some->optimiser.count; i++) {
        const char *name = some->optimiser.tensors[i].name;
        if (!strncmp(name, "layers.1.", 9) || !strncmp(name, "final", 5)) continue;
        RIGHT(heed_trainer_scale(some, name, 0, &e));
    }
    RIGHT(heed_trainer_learn(all, tokens, targets, 1, LENGTH, 1, &nats[0], &e));
    RIGHT(heed_trainer_learn(some, tokens, targets, 1, LENGTH, 1, &nats[1], &e));
    assert_true(nats[0] == nats[1]);
    for (uint32_t i = 0; i < some->optimiser.count; i++) {
        const optimiser_tensor *of = &some->optimiser.tensors[i];
        const float *g = some->optimiser.gradient + of->first;
        if (of->factor > 0) {
            if (memcmp(g, all->optimiser.gradient + of->first, (size_t)of->n * sizeof *g))
                fail_msg("%s has another gradient", of->name);
        } else
            for (int64_t k = 0; k < of->n; k++)
                if (g[k] != 0) fail_msg("%s is frozen and has a gradient", of->name);
    }
    heed_trainer_forget(all), heed_trainer_forget(some);
    learn(some, 1);
    for (uint32_t i = 0; i < some->optimiser.count; i++) {
        const optimiser_tensor *of = &some->optimiser.tensors[i];
        const int same =
            !memcmp(of->weight, all->optimiser.tensors[i].weight, (size_t)of->n * sizeof(float));
        if (same != !(of->factor > 0)) fail_msg("%s %s", of->name, same ? "stays" : "changes");
    }
    heed_trainer_free(some), heed_trainer_free(all);
}

/* Half the rate of one weight is half the rate of all, for that weight. */
static void test_scaled(void **unused)
{
    const heed_recipe recipe = full_recipe();
    heed_trainer *whole = open_trainer(engine, SMALL, NULL, &recipe),
                 *one = open_trainer(engine, SMALL, NULL, &recipe),
                 *half = open_trainer(engine, SMALL, NULL, &recipe);
    (void)unused;
    RIGHT(heed_trainer_scale(one, "layers.0.q.weight", 0.5, &e));
    for (uint32_t i = 0; i < half->optimiser.count; i++)
        RIGHT(heed_trainer_scale(half, half->optimiser.tensors[i].name, 0.5, &e));
    learn(whole, 1), learn(one, 1), learn(half, 1);
    for (uint32_t i = 0; i < one->optimiser.count; i++) {
        const optimiser_tensor *of = &one->optimiser.tensors[i];
        const heed_trainer *like = strcmp(of->name, "layers.0.q.weight") ? whole : half;
        if (memcmp(of->weight, like->optimiser.tensors[i].weight, (size_t)of->n * sizeof(float)))
            fail_msg("%s has other bits", of->name);
    }
    assert_refused(heed_trainer_scale(half, "layers.9.q.weight", 1, &e),
                   "no weight \"layers.9.q.weight\"");
    assert_refused(heed_trainer_scale(half, "layers.0.q.weight", -1, &e), "is -1, but must be");
    heed_trainer_free(whole), heed_trainer_free(one), heed_trainer_free(half);
}

/* ---- spans ---- */

/* The optional weights whose name ends so go. */
static void leave_out(heed_weights *w, const char *end)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const char *name = w->items[i].name;
        if (strlen(name) < strlen(end) || strcmp(name + strlen(name) - strlen(end), end)) continue;
        free(w->items[i].own), free(w->items[i].copy);
        memmove(&w->items[i], &w->items[i + 1], (--w->count - i) * sizeof *w->items);
        i--;
    }
}

/* They stay in 0 .. 1, and what they cost draws them to 0. */
static void test_spans(void **unused)
{
    static const char spec[] =
        "vocab=13; width=16; layers=1; heads=2; context=16; norm=rms; "
        "attention=adaptive_span(limit=8, ramp=3); feedforward=gelu(hidden=24)";
    heed_recipe recipe = plain;
    (void)unused;
    for (int costs = 0; costs < 2; costs++) {
        recipe.span = costs ? 100 : 0;
        heed_weights *first = heed_weights_random(engine, spec, 1, &e);
        if (!first) fail_msg("%s", e.text);
        leave_out(first, "distance_table");
        heed_tensor *span = heed_weights_find(first, "layers.0.attention.span");
        for (int h = 0; h < 2; h++) ((float *)span->data)[h] = h ? 0.005f : 0.995f;
        heed_trainer *t = heed_trainer_new(engine, spec, first, &recipe, &e);
        heed_weights_close(first);
        if (!t) {
            assert_true(strstr(e.text, "can not be trained") != NULL);
            print_message("%s\n", e.text);
            return;
        }
        learn(t, 3); /* at 0.01 a step */
        span = heed_weights_find(heed_trainer_weights(t), "layers.0.attention.span");
        for (int h = 0; h < 2; h++) {
            const float is = ((float *)span->data)[h];
            if (!(is >= 0 && is <= 1) || (costs && is > (h ? 0.0f : 0.97f)))
                fail_msg("the span of head %d is %g", h, (double)is);
        }
        heed_trainer_free(t);
    }
}

/* ---- classifiers beside the network ---- */

#define AUXILIARY                                                                                  \
    "vocab=13; width=16; layers=2; heads=4; context=16; residual=post; norm=rms; "                 \
    "attention=softmax(causal=true); feedforward=gelu(hidden=24); auxiliary=2"

/* Behind the last layer and with the output's numbers a classifier is the output, of later tokens. */
static void check_later(heed_trainer *t, const int32_t *tokens, const int32_t *targets)
{
    const heed_weights *w = heed_trainer_weights(t);
    const heed_tensor *from = heed_weights_find(w, "output.weight"),
                      *to = heed_weights_find(w, "layers.1.auxiliary.2.weight");
    int32_t later[16];
    float nll[16];
    double sum = 0;
    memcpy(to->data, from->data, (size_t)heed_tensor_elements(to) * sizeof(float));
    RIGHT(trainer_rebind(t, &e));
    for (int i = 0; i < 16; i++) later[i] = i % 8 < 7 ? targets[i + 1] : -100;
    RIGHT(heed_trainer_loss(t, tokens, later, 2, 8, nll, &e));
    for (int i = 0; i < 16; i++) sum += (double)nll[i];
    RIGHT(heed_trainer_weigh(t, 1, 2, 1, &e));
    learn_all(t, tokens, targets);
    if (t->aside != sum) fail_msg("the token after the next: %.9g, not %.9g", t->aside, sum);
}

static void test_auxiliary(void **unused)
{
    int32_t tokens[64], targets[64];
    heed_trainer *t = open_trainer(engine, AUXILIARY, NULL, &plain);
    (void)unused;
    read_texts(tokens, targets);
    check_later(t, tokens, targets);
    RIGHT(heed_trainer_weigh(t, 0, 1, 0.75, &e));
    RIGHT(heed_trainer_weigh(t, 0, 2, 0.5, &e));
    check_gradient(t, AUXILIARY, 0.01);
    assert_refused(heed_trainer_weigh(t, 1, 1, 1, &e), "layer 1 has no classifier for the token 1");
    heed_trainer_free(t);
}

/* ---- segments ---- */

enum { SEGMENT = 6 };
#define SEGMENTED "vocab=13; width=16; layers=2; heads=4; norm=rms; feedforward=swiglu(hidden=24); "
#define SEGMENTS                                                                                   \
    SEGMENTED "kv_heads=2; position=rope; attention=[softmax(causal=true), "                       \
              "softmax(causal=true, window=5)]"

/* Learns a segment of two texts of 2 SEGMENT tokens; what its tokens cost. */
static double learn_segment(heed_trainer *t, int which)
{
    int32_t tokens[2 * SEGMENT], targets[2 * SEGMENT];
    const heed_batch b = {.size = sizeof b,
                          .follows = which > 0,
                          .texts = 2,
                          .length = SEGMENT,
                          .tokens = tokens,
                          .targets = targets};
    double nats;
    for (int i = 0; i < 2 * SEGMENT; i++) {
        const int at = i % SEGMENT + which * SEGMENT + 31 * (i / SEGMENT);
        tokens[i] = at * at % 13, targets[i] = (at + 1) * (at + 1) % 13;
    }
    RIGHT(heed_trainer_learn_batch(t, &b, 1, &nats, &e));
    return nats;
}

/* The second segment's cost behind the first one, with other weights than that was read with. */
static double second_at(heed_trainer *t, const float *first, const float *way, double h)
{
    for (int then = 0; then < 2; then++) {
        for (uint32_t i = 0; i < t->optimiser.count; i++)
            for (int64_t k = 0; k < t->optimiser.tensors[i].n; k++) {
                const int64_t at = t->optimiser.tensors[i].first + k;
                t->optimiser.tensors[i].weight[k] = first[at] + (float)(then ? h : 0) * way[at];
            }
        RIGHT(trainer_rebind(t, &e));
        if (!then) learn_segment(t, 0);
        heed_trainer_forget(t);
    }
    return learn_segment(t, 1);
}

/* What follows sees what was before as one text would, and its gradient is that of the segment alone. */
static void check_segments(heed_trainer *t, const char *spec)
{
    int32_t tokens[4 * SEGMENT], targets[4 * SEGMENT];
    float nll[4 * SEGMENT];
    const int64_t n = t->optimiser.n;
    float *first = calloc((size_t)n, sizeof *first), *way = calloc((size_t)n, sizeof *way);
    double whole = 0, square = 0;
    for (int i = 0; i < 4 * SEGMENT; i++) {
        const int at = i % (2 * SEGMENT) + 31 * (i / (2 * SEGMENT));
        tokens[i] = at * at % 13, targets[i] = (at + 1) * (at + 1) % 13;
    }
    RIGHT(heed_trainer_loss(t, tokens, targets, 2, 2 * SEGMENT, nll, &e));
    for (int i = 0; i < 4 * SEGMENT; i++)
        if (i % (2 * SEGMENT) >= SEGMENT) whole += (double)nll[i];
    for (uint32_t i = 0; i < t->optimiser.count; i++)
        memcpy(first + t->optimiser.tensors[i].first, t->optimiser.tensors[i].weight,
               (size_t)t->optimiser.tensors[i].n * sizeof *first);
    const double parts = second_at(t, first, way, 0);
    if (!(fabs(parts - whole) <= 1e-5 * whole))
        fail_msg("%s: %.9g in parts, %.9g whole", spec, parts, whole);
    memcpy(way, t->optimiser.gradient, (size_t)n * sizeof *way);
    for (int64_t i = 0; i < n; i++) square += (double)way[i] * (double)way[i];
    const double h = 0.005 / square,
                 found = (second_at(t, first, way, h) - second_at(t, first, way, -h)) / (2 * h);
    if (!(fabs(found - square) <= 0.01 * square))
        fail_msg("%s: %g along the gradient, whose square is %g", spec, found, square);
    free(first), free(way);
}

/* What is remembered goes through a checkpoint, to an engine with other threads. */
static void check_remembered(const char *spec)
{
    char path[] = "/tmp/heed-train.XXXXXX";
    const int fd = mkstemp(path);
    const heed_options o = {.size = sizeof o, .threads = 3};
    const heed_recipe recipe = full_recipe();
    heed_engine *other = heed_engine_new(&o, &e);
    assert_true(fd >= 0 && other);
    close(fd);
    heed_trainer *right = open_trainer(engine, spec, NULL, &recipe),
                 *then = open_trainer(other, spec, NULL, &recipe);
    RIGHT(heed_trainer_remember(right, 4, &e));
    RIGHT(heed_trainer_remember(then, 4, &e));
    for (int s = 0; s < 4; s++) {
        if (s == 2) RIGHT(heed_trainer_save(right, path, NULL, &e));
        learn_segment(right, s);
        RIGHT(heed_trainer_step(right, 0.01, NULL, &e));
    }
    RIGHT(heed_trainer_load(then, path, &e));
    for (int s = 2; s < 4; s++) {
        learn_segment(then, s);
        RIGHT(heed_trainer_step(then, 0.01, NULL, &e));
    }
    assert_equal(then, right, spec);
    unlink(path);
    heed_trainer_free(right), heed_trainer_free(then);
    heed_engine_free(other);
}

static void test_segments(void **unused)
{
    static const char *const specs[] = {
        SEGMENTS,
        SEGMENTED "attention=softmax(causal=true); position=alibi",
        SEGMENTED "attention=linear(causal=true)",
        SEGMENTED "attention=retention(causal=true)",
        SEGMENTED "attention=performer(features=40, causal=true)",
        SEGMENTED "attention=transformer_xl(causal=true, memory=12)",
    };
    (void)unused;
    for (size_t i = 0; i < COUNT(specs); i++) {
        heed_trainer *t = open_trainer(engine, specs[i], NULL, &plain);
        RIGHT(heed_trainer_remember(t, 100, &e));
        check_segments(t, specs[i]);
        heed_trainer_free(t);
    }
    check_remembered(SEGMENTS);
    check_remembered(specs[COUNT(specs) - 1]);
    heed_trainer *t = open_trainer(engine, SMALL "; halting=act", NULL, &plain);
    assert_refused(heed_trainer_remember(t, 4, &e), "this network has tokens that halt");
    heed_trainer_free(t);
    t = open_trainer(engine, TASKS "attention=softmax", NULL, &plain);
    assert_refused(heed_trainer_remember(t, 4, &e), "attention/softmax has no mask causal=true");
    heed_trainer_free(t);
    t = open_trainer(engine, SEGMENTED "attention=fast_weight(causal=true)", NULL, &plain);
    assert_refused(heed_trainer_remember(t, 4, &e), "does not take keys and values alone");
    heed_trainer_free(t);
}

/* ---- memory ---- */

static void test_memory(void **unused)
{
    uint64_t bytes[2];
    int32_t tokens[16] = {0};
    (void)unused;
    for (int k = 0; k < 2; k++) {
        heed_trainer *t = open_trainer(engine, SMALL, NULL, &plain);
        RIGHT(heed_trainer_learn(t, tokens, tokens, 1, 8 << k, 1, NULL, &e));
        bytes[k] = tape_bytes(t->tape);
        heed_trainer_free(t);
    }
    if (bytes[1] > 2 * bytes[0] + 4096)
        fail_msg("%llu bytes for 8 tokens, %llu for 16", (unsigned long long)bytes[0],
                 (unsigned long long)bytes[1]);
}

/* ---- batches ---- */

/* What stands behind a text has no part in it, and a batch that does not fit is refused. */
static void test_batches(void **unused)
{
    static const char encoder[] = TASKS "attention=softmax; output=concat; classes=3",
                      both[] = TASKS "attention=softmax(causal=true); encoder_layers=1; "
                                     "encoder_attention=softmax; cross_attention=softmax";
    int32_t memory[5][SAID * LONGEST];
    double nats[2];
    heed_batch b;
    heed_trainer *one = open_trainer(engine, encoder, NULL, &plain),
                 *other = open_trainer(engine, encoder, NULL, &plain);
    (void)unused;
    make_batch(one, &b, memory);
    RIGHT(heed_trainer_learn_batch(one, &b, 1, &nats[0], &e));
    for (int64_t i = b.lengths[1]; i < b.length; i++) memory[0][b.length + i] = 11;
    RIGHT(heed_trainer_learn_batch(other, &b, 1, &nats[1], &e));
    assert_true(nats[0] == nats[1]);
    for (uint32_t i = 0; i < one->optimiser.count; i++) {
        const optimiser_tensor *of = &one->optimiser.tensors[i];
        if (memcmp(one->optimiser.gradient + of->first, other->optimiser.gradient + of->first,
                   (size_t)of->n * sizeof(float)))
            fail_msg("what stands behind a text changes the gradient of %s", of->name);
    }
    memory[2][1] = 9;
    assert_refused(heed_trainer_learn_batch(one, &b, 1, NULL, &e), "text 1 has 9 tokens; 1 to 8");
    memory[2][1] = 0;
    assert_refused(heed_trainer_learn_batch(one, &b, 1, NULL, &e), "text 1 has 0 tokens");
    b.source = memory[3], b.source_length = 3;
    assert_refused(heed_trainer_learn_batch(one, &b, 1, NULL, &e), "this network has none");
    b.size = 8;
    assert_refused(heed_trainer_learn_batch(one, &b, 1, NULL, &e), "the batch's size is 8");
    heed_trainer_free(one), heed_trainer_free(other);
    one = open_trainer(engine, both, NULL, &plain);
    make_batch(one, &b, memory);
    b.source = NULL;
    assert_refused(heed_trainer_learn_batch(one, &b, 1, NULL, &e), "has no texts for it (source)");
    heed_trainer_free(one);
}

/* ---- what is refused ---- */

static void refuse_new(const char *spec, const heed_recipe *recipe, const char *text)
{
    heed_trainer *t = heed_trainer_new(engine, spec, NULL, recipe, &e);
    assert_refused(t ? 0 : e.code, text);
}

static void test_refused(void **unused)
{
    heed_recipe wrong = plain;
    int32_t tokens[LENGTH + 1] = {1}, bad[1] = {13};
    double nats;
    (void)unused;
    refuse_new(NULL, &plain, "needs the spec");
    refuse_new(SMALL, NULL, "the recipe is NULL");
    wrong.size = 4;
    refuse_new(SMALL, &wrong, "the recipe's size is 4");
    wrong = plain, wrong.dropout = 1;
    refuse_new(SMALL, &wrong, "dropout is 1, but must be from 0 to less than 1");
    wrong = plain, wrong.beta2 = NAN;
    refuse_new(SMALL, &wrong, "beta2 is nan");
    wrong = plain, wrong.optimiser = 2;
    refuse_new(SMALL, &wrong, "the recipe's optimiser is 2, but must be HEED_ADAMW or HEED_SGD");
    refuse_new("vocab=13; width=16; layers=1; heads=2; norm=rms; attention=softmax; "
               "feedforward=relu(hidden=24); output=hidden",
               &plain, "gives neither logits nor classes");
    heed_trainer *t = open_trainer(engine, SMALL, NULL, &plain);
    assert_refused(heed_trainer_learn(t, NULL, tokens, 1, 2, 1, &nats, &e), "the tokens are NULL");
    assert_refused(heed_trainer_learn(t, tokens, tokens, 0, 2, 1, &nats, &e), "0 sequences");
    assert_refused(heed_trainer_learn(t, tokens, tokens, 1, LENGTH + 1, 1, &nats, &e),
                   "17 tokens are more than the context of 16");
    assert_refused(heed_trainer_learn(t, bad, tokens, 1, 1, 1, &nats, &e), "token 13");
    assert_refused(heed_trainer_step(t, -1, NULL, &e), "rate is -1");
    float *weight = t->optimiser.tensors[0].weight;
    const float before = weight[0];
    RIGHT(heed_trainer_learn(t, tokens, tokens, 1, 2, 1, &nats, &e));
    t->optimiser.gradient[t->optimiser.tensors[3].first] = NAN;
    assert_refused(heed_trainer_step(t, 0.1, NULL, &e), "step 1: the gradient of ");
    assert_true(strstr(e.text, t->optimiser.tensors[3].name) && weight[0] == before);
    heed_trainer_free(t);
}

static int setup(void **unused)
{
    char path[4096];
    heed_options o = {.size = sizeof o, .threads = 2};
    (void)unused;
    snprintf(path, sizeof path, "%s/models/training.json", getenv("SRC") ? getenv("SRC") : ".");
    reference = json_load_file(path, 0, NULL);
    engine = heed_engine_new(&o, &e);
    return !reference || !engine;
}

static int teardown(void **unused)
{
    (void)unused;
    json_decref(reference);
    heed_engine_free(engine);
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_dropout_backward),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_momentum),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_not_trained),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_auxiliary),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
