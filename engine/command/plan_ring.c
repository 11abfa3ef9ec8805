/* SPDX-License-Identifier: MIT
 *
 * plan_ring.c: what a text takes that several ranks read together, a simulation: the schedule of
 * heed_group_run (op/group_run.c) is gone through step by step, with so many seconds for the work of
 * one rank and for a message. Norms and products are of each rank's own rows, and send nothing.
 *
 *     rank r has the blocks r and 2P - 1 - r of 2P, and works on one run of the keys after the other,
 *     run j being the blocks 2j and 2j + 1; those of the next step are on their way meanwhile. Of a
 *     causal text it needs the blocks up to 2P - 1 - r alone: n runs, which it goes through from the
 *     last one down and around, from the r n / P-th on
 *
 * A message takes the latency and its bytes at the network's rate, which what a rank sends at a time
 * shares, and what it receives. Nobody waits for the work of who sends.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/plan.h"

#define AGREEMENT 256.0 /* bytes to each rank; two a call */
#define SPAN 1536.0     /* keys of a span: a byte of each goes to each rank, what this one sees */

/* Of a causal text a block of queries sees those keys before it, and half of its own. */
static double seen(const plan_ring *r, int64_t queries, int64_t keys)
{
    if (!r->causal) return 1;
    return keys < queries ? 1 : keys == queries ? 0.5 : 0;
}

/* Runs of which a rank sees some key. */
static int64_t runs_needed(const plan_ring *r, int64_t ranks, int64_t rank)
{
    return r->causal ? (2 * ranks - 1 - rank) / 2 + 1 : ranks;
}

static int64_t run_of(const plan_ring *r, int64_t ranks, int64_t rank, int64_t step)
{
    const int64_t n = runs_needed(r, ranks, rank);
    return n - 1 - (step + rank * n / ranks) % n;
}

/* Pairs of blocks of a step. */
static double pairs(const plan_ring *r, int64_t ranks, int64_t rank, int64_t run)
{
    const int64_t early = rank, late = 2 * ranks - 1 - rank;
    return seen(r, early, 2 * run) + seen(r, early, 2 * run + 1) + seen(r, late, 2 * run) +
           seen(r, late, 2 * run + 1);
}

typedef struct side {
    double now, sends, receives; /* seconds: it works, and its network is busy, until then */
    double waits, busy;          /* for messages, and of them */
    double come;                 /* when it goes on: the keys of its step have come */
    int64_t step;
} side;

static double later(double a, double b) { return a > b ? a : b; }

/* When the keys of a run have come to a rank that asks for them now. */
static double bring(const plan_ring *r, side *all, int64_t ranks, int64_t rank, int64_t run)
{
    const double bytes = r->row_bytes * r->tokens / (2 * (double)ranks), takes = bytes / r->rate;
    side *to = &all[rank];
    double come = to->now, moved = 0;
    for (int64_t block = 2 * run; block < 2 * run + 2; block++) {
        side *from = &all[block < ranks ? block : 2 * ranks - 1 - block];
        if (from == to || (r->causal && block > 2 * ranks - 1 - rank)) continue;
        from->sends = later(from->sends, to->now) + takes;
        to->receives = later(to->receives, to->now) + takes;
        come = later(come, later(from->sends, to->receives) + r->latency);
        to->busy += takes, moved = 1;
    }
    to->busy += moved * r->latency;
    return come;
}

/* ---- in the order of time ---- */

/* Ranks by when they go on, the earliest first: a heap. */
typedef struct queue {
    int64_t *rank, n;
    const side *all;
} queue;

static int sooner(const queue *q, int64_t a, int64_t b)
{
    const side *x = &q->all[q->rank[a]], *y = &q->all[q->rank[b]];
    return x->come < y->come || (x->come == y->come && q->rank[a] < q->rank[b]);
}

/* The first one has got another time, or another one stands there. */
static void settle(queue *q)
{
    for (int64_t at = 0, next; (next = 2 * at + 1) < q->n; at = next) {
        if (next + 1 < q->n && sooner(q, next + 1, next)) next++;
        if (!sooner(q, next, at)) return;
        const int64_t swapped = q->rank[at];
        q->rank[at] = q->rank[next], q->rank[next] = swapped;
    }
}

/* A rank has the keys of its step: it asks for those of the next one, and works. */
static int go_on(const plan_ring *r, side *all, int64_t ranks, int64_t rank)
{
    const double pair = r->attention / (double)(ranks * ranks * (r->causal ? 2 : 4));
    side *s = &all[rank];
    const int64_t run = run_of(r, ranks, rank, s->step), steps = runs_needed(r, ranks, rank);
    if (s->come > s->now) s->waits += s->come - s->now, s->now = s->come;
    if (++s->step < steps) s->come = bring(r, all, ranks, rank, run_of(r, ranks, rank, s->step));
    s->now += pair * pairs(r, ranks, rank, run);
    if (s->come < s->now) s->come = s->now;
    return s->step < steps;
}

/* One layer's attention. */
static void replay_layer(const plan_ring *r, side *all, int64_t ranks, int64_t *order)
{
    queue q = {order, ranks, all};
    for (int64_t k = 0; k < ranks; k++) order[k] = k;
    for (int64_t k = 0; k < ranks; k++)
        all[k].come = bring(r, all, ranks, k, run_of(r, ranks, k, 0));
    while (q.n) {
        if (!go_on(r, all, ranks, q.rank[0])) q.rank[0] = q.rank[--q.n];
        settle(&q);
    }
}

int32_t plan_ring_replay(const plan_ring *r, int64_t ranks, plan_ring_time *t, heed_error *error)
{
    const double alone = r->rest + r->layers * r->attention,
                 each = 2 * AGREEMENT + ceil(r->tokens / SPAN),
                 agreements = 3 * r->latency + each * (double)(ranks - 1) / r->rate;
    side *all = calloc((size_t)ranks, sizeof *all);
    int64_t *order = calloc((size_t)ranks, sizeof *order);
    double last = 0, waits = 0, busy = 0;
    *t = (plan_ring_time){.ranks = ranks, .seconds = alone, .efficiency = 1, .hidden = 1};
    const int32_t failed = all && order ? HEED_OK : error_memory(error);
    if (!failed && ranks > 1) {
        replay_layer(r, all, ranks, order);
        for (int64_t k = 0; k < ranks; k++) {
            if (all[k].now > last) last = all[k].now;
            waits += all[k].waits + agreements, busy += all[k].busy + agreements;
        }
        t->seconds = r->rest / (double)ranks + r->layers * (last + agreements);
        t->efficiency = alone / t->seconds / (double)ranks;
        t->waits = r->layers * waits / (double)ranks / t->seconds;
        t->hidden = waits < busy ? 1 - waits / busy : 0;
    }
    free(all), free(order);
    return failed;
}

/* ---- of a network ---- */

static int attends(const plan_part *p) { return !strncmp(p->op, "attention/", 10); }

int32_t plan_ranks(plan_network *n, const plan_machine *m, const plan_link *link, double tokens,
                   heed_error *error)
{
    double attention = 0;
    const double seconds = n->read > 0 ? n->read : n->least_read;
    if (*n->cost.why || !(seconds > 0)) return HEED_OK;
    for (uint32_t i = 0; i < n->cost.n_parts; i++)
        if (attends(&n->cost.parts[i]))
            attention += plan_part_seconds(&n->cost.parts[i], m, n->read > 0);
    const double layers = (double)n->plan.number[STACK_LAYERS];
    const plan_ring r = {.attention = attention / layers / link->cores,
                         .rest = (seconds - attention > 0 ? seconds - attention : 0) / link->cores,
                         .layers = layers,
                         .tokens = tokens,
                         .row_bytes = 2 * 4 * (double)n->plan.number[STACK_KV_HEADS] *
                                      (double)n->plan.number[STACK_HEAD_WIDTH],
                         .rate = link->rate,
                         .latency = link->latency,
                         .causal = n->cost.decodes};
    for (int64_t ranks = 1; n->n_ranks < PLAN_RANKS_ROWS;
         ranks = 2 * ranks < link->ranks ? 2 * ranks : link->ranks) {
        TRY(plan_ring_replay(&r, ranks, &n->ranks[n->n_ranks++], error));
        if (ranks == link->ranks) break;
    }
    return HEED_OK;
}

int64_t plan_ranks_pay(const plan_network *n)
{
    uint32_t k = 1;
    while (k < n->n_ranks && n->ranks[k - 1].seconds >= 1.5 * n->ranks[k].seconds) k++;
    return k < n->n_ranks ? n->ranks[k - 1].ranks : 0;
}
