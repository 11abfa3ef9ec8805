/* SPDX-License-Identifier: MIT
 *
 * test_train_ranks.c: a trainer whose batches are shared by ranks, threads of this process, has the
 * losses, gradients and weights of one, byte by byte: of networks of every kind of op with weights, and
 * of batches whose texts end in the middle of a block of rows.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#include "base/error.h"
#include "train/trainer.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NET "vocab=13; width=16; layers=2; heads=4; "
#define DECODER NET "attention=softmax(causal=true); norm=rms; "

enum { TEXTS = 7, LENGTH_MOST = 128, RANKS_MOST = 7, STEPS = 2, BATCHES = 2 };

static heed_error e;

/* A network, and its batches of 7 texts. */
static const struct net {
    const char *spec;
    int64_t length, source, auxiliary;
    int differ; /* texts have different lengths */
} nets[] = {
    /* blocks of 256 rows that texts share, and a tied table */
    {DECODER "position=rope; feedforward=swiglu(hidden=24); tied=true; context=128", 100, 0, 0, 0},
    /* texts that are blocks, or of which two are: ranks have several nodes */
    {DECODER "position=rope; feedforward=gelu(hidden=24)", 128, 0, 0, 0},
    /* a table of positions, biases, norms of queries and keys, and classifiers beside */
    {NET "attention=softmax(causal=true); norm=layer; position=[learned]; context=64; "
         "feedforward=relu(hidden=24); auxiliary=2",
     48, 0, 2, 0},
    /* weights inside attentions */
    {NET "attention=softmax(causal=true, position=t5(buckets=8, max_distance=16)); norm=rms; "
         "feedforward=geglu(hidden=24)",
     40, 0, 0, 0},
    {NET "attention=adaptive_span(causal=true, limit=16); norm=rms; feedforward=gelu(hidden=24)",
     40, 0, 0, 0},
    {NET "attention=gated_delta(gate=softplus); norm=rms; feedforward=gelu(hidden=24)", 40, 0, 0,
     0},
    /* rows of whole texts, and texts of different lengths */
    {NET "attention=softmax; norm=rms; position=rope; feedforward=gelu(hidden=24); output=concat; "
         "pooler=true; classes=3",
     40, 0, 0, 1},
    /* an encoder of other texts, and tokens that halt */
    {NET "attention=softmax(causal=true); norm=rms; position=rope; feedforward=gelu(hidden=24); "
         "halting=act; encoder_layers=1; encoder_attention=softmax; encoder_halting=none; "
         "cross_attention=softmax",
     40, 24, 0, 1},
};

typedef struct member {
    const struct net *net;
    heed_transport transport;
    int alone;
    heed_trainer *t;
    double nats[STEPS * BATCHES];
    float nll[TEXTS * LENGTH_MOST];
    heed_error error;
} member;

/* What follows from the step and the number of a batch alone. */
static void make_batch(const struct net *net, const heed_stack *stack, int number,
                       int32_t memory[5][TEXTS * LENGTH_MOST], heed_batch *b)
{
    for (int64_t i = 0; i < TEXTS * LENGTH_MOST; i++) {
        memory[0][i] = (int32_t)((i * i + 5 * number) % 13);
        memory[1][i] = (int32_t)(stack->pools ? i % 3 : (i * i + 2 * i + 1 + 5 * number) % 13);
        memory[2][i] = (int32_t)((3 * i * i + number) % 13);
        memory[3][i] = (int32_t)(net->length - i), memory[4][i] = (int32_t)(net->source - 2 * i);
    }
    *b = (heed_batch){.size = sizeof *b,
                      .texts = TEXTS,
                      .length = net->length,
                      .tokens = memory[0],
                      .targets = memory[1],
                      .lengths = net->differ ? memory[3] : NULL,
                      .source = net->source ? memory[2] : NULL,
                      .source_length = net->source,
                      .source_lengths = net->source && net->differ ? memory[4] : NULL};
}

static int32_t learn(member *m)
{
    heed_batch b;
    int32_t memory[5][TEXTS * LENGTH_MOST];
    for (int64_t layer = 0; layer < 2 && m->net->auxiliary; layer++)
        TRY(heed_trainer_weigh(m->t, layer, 2, 0.5, &m->error));
    for (int k = 0; k < STEPS * BATCHES; k++) {
        make_batch(m->net, heed_trainer_stack(m->t), k, memory, &b);
        TRY(heed_trainer_learn_batch(m->t, &b, 1.0 / 640, &m->nats[k], &m->error));
        if (k % BATCHES + 1 == BATCHES && k + 1 < STEPS * BATCHES) /* of the last sums are left */
            TRY(heed_trainer_step(m->t, 0.01, NULL, &m->error));
    }
    return heed_trainer_loss_batch(m->t, &b, m->nll, NULL, &m->error);
}

static void *run(void *arg)
{
    member *m = arg;
    const heed_recipe recipe = {.size = sizeof recipe,
                                .seed = 1,
                                .dropout = 0.2,
                                .beta1 = 0.9,
                                .beta2 = 0.98,
                                .epsilon = 1e-8,
                                .decay = 0.1,
                                .ponder = 0.01,
                                .clip = 0.5};
    heed_engine *engine = harness_engine(1);
    m->t = heed_trainer_new(engine, m->net->spec, NULL, &recipe, &m->error);
    heed_group *group =
        m->t && !m->alone ? heed_group_new(engine, &m->transport, 20, &m->error) : NULL;
    if (m->t && (m->alone || (group && !heed_group_train(group, m->t, &m->error)))) learn(m);
    heed_group_free(group);
    return NULL;
}

static void on_ranks(member *m, uint32_t ranks, const struct net *net)
{
    heed_transport t[RANKS_MOST + 1];
    pthread_t thread[RANKS_MOST + 1];
    if (heed_transport_threads(ranks, t, &e)) fail_msg("%s", e.text);
    for (uint32_t r = 0; r < ranks; r++) {
        m[r] = (member){.net = net, .transport = t[r]};
        assert_int_equal(pthread_create(&thread[r], NULL, run, &m[r]), 0);
    }
    for (uint32_t r = 0; r < ranks; r++) pthread_join(thread[r], NULL);
}

static void compare(const member *one, const member *m, uint32_t ranks)
{
    const adamw *a = &one->t->optimiser, *b = &m->t->optimiser;
    if (m->error.code) fail_msg("%s on %u ranks: %s", m->net->spec, ranks, m->error.text);
    if (memcmp(one->nats, m->nats, sizeof m->nats) || memcmp(one->nll, m->nll, sizeof m->nll) ||
        one->t->aside != m->t->aside)
        fail_msg("%s on %u ranks: other losses", m->net->spec, ranks);
    for (uint32_t i = 0; i < a->count; i++) {
        const adamw_tensor *of = &a->tensors[i];
        const size_t bytes = (size_t)of->n * sizeof(float);
        if (memcmp(of->weight, b->tensors[i].weight, bytes) ||
            memcmp(a->gradient + of->first, b->gradient + of->first, bytes))
            fail_msg("%s on %u ranks: %s has other bits", m->net->spec, ranks, of->name);
    }
}

static void shared_batches_have_the_bits_of_one(void **unused)
{
    static const uint32_t ranks[] = {2, 3, 7};
    static member one, m[RANKS_MOST];
    (void)unused;
    for (uint32_t n = 0; n < COUNT(nets); n++) {
        one = (member){.net = &nets[n], .alone = 1};
        run(&one);
        if (one.error.code) fail_msg("%s: %s", nets[n].spec, one.error.text);
        for (uint32_t k = 0; k < (harness_quick() ? 1 : COUNT(ranks)); k++) {
            on_ranks(m, ranks[k], &nets[n]);
            for (uint32_t r = 0; r < ranks[k]; r++) {
                compare(&one, &m[r], ranks[k]);
                heed_trainer_free(m[r].t);
            }
        }
        heed_trainer_free(one.t);
    }
}

/* Fewer texts than ranks, which end the work of all with one sentence; and segments. */
static void what_can_not_be_shared_is_refused(void **unused)
{
    static const struct net few = {DECODER "position=rope; feedforward=gelu(hidden=24)", 8, 0, 0,
                                   0};
    static member m[RANKS_MOST + 1];
    (void)unused;
    on_ranks(m, RANKS_MOST + 1, &few);
    for (int r = 0; r <= RANKS_MOST; r++) {
        if (!strstr(m[r].error.text, "a batch of 7 texts is learned by 8 ranks"))
            fail_msg("not refused: %s", m[r].error.text);
        if (!heed_trainer_remember(m[r].t, 8, &e) || !strstr(e.text, "not shared by ranks"))
            fail_msg("segments are not refused: %s", e.text);
        heed_trainer_free(m[r].t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_batches_have_the_bits_of_one),
        cmocka_unit_test(what_can_not_be_shared_is_refused),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_end();
    return failed;
}
