/* SPDX-License-Identifier: MIT
 *
 * group_relay.c: an attention whose state goes along the tokens (abi/relay.h), of a text whose rows
 * the ranks have. Each stretch of rows needs what its units have of all rows before, and a unit is
 * handed on as soon as it has gone through a stretch: so ranks work at the same time, each on
 * another unit. With 4 ranks and units a, b, c ...:
 *
 *     rank 0     a  b  c  d  e  f  g  h
 *     rank 1        a  b  c  d  e  f  g  h            n units take n + ranks - 1 steps of the n of
 *     rank 2           a  b  c  d  e  f  g  h         each
 *     rank 3              a  b  c  d  e  f  g  h
 *
 * In one call without a state a rank has two stretches, an early and a late one (heed_group_share),
 * and the units come back the way they went. With a state each has one, and who has the last rows
 * gives the state behind them to all: it is small, and a few tokens are computed by everybody then,
 * with nothing sent. Arithmetic is that of one rank's chain, so bits are too.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/engine.h"
#include "op/group.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/sequence.h"
#include "run/behind.h"

#define UNITS_WANTED 4 /* of each thread of all ranks */

/* Rows of the text in one piece. */
typedef struct stretch {
    int64_t first, count, skipped; /* in the text; and rows of this rank before them */
    int64_t place;                 /* among all stretches */
    heed_tensor tensor[PORT_MAX];
    heed_binding bound[PORT_MAX];
    heed_state *state; /* [B] */
    const heed_state **states;
    char *carries;         /* [units], each `each` bytes */
    exchange_posts *posts; /* [tasks]: those that are still to come */
    prepared c;
} stretch;

typedef struct job {
    heed_group *g;
    const heed_instance *i;
    const heed_relay *p;
    heed_sequence *const *sequences; /* NULL: a call without a state */
    int64_t T, past, B;
    stretch *stretches; /* [n] of this rank */
    int n;
    int64_t places; /* stretches of all ranks */
    heed_relay_call x;
    heed_relay_plan plan;
    uint64_t each;
    int64_t group, tasks; /* units that are handed on at a time, and how often that is */
    char **now;           /* [group]: the carries of a task */
    char *last;           /* [units] what the last rank gives to all */
    exchange_posts sends, ends;
    behind host;
} job;

static uint32_t owner(const job *j, int64_t place)
{
    const int64_t ranks = j->g->x.t.ranks;
    return (uint32_t)(place < ranks ? place : 2 * ranks - 1 - place);
}

static char *carry_of(const job *j, char *carries, int64_t unit)
{
    return carries + (uint64_t)unit * j->each;
}

/* The units of a task: [first, end). */
static int64_t task_end(const job *j, int64_t task)
{
    const int64_t end = (task + 1) * j->group;
    return end < j->plan.units ? end : j->plan.units;
}

/* ---- what is bound ---- */

/* The rows of a stretch of one tensor. Of a call without a state k, v and what has the axis T have
 * this rank's rows, and others with an axis S those of the whole text. */
static int32_t cut(const job *j, const stretch *s, const heed_binding *from, heed_tensor *to,
                   heed_error *error)
{
    const entry *e = j->i->entry;
    int64_t own = 0;
    *to = *from->tensor;
    for (int k = 0; k < j->n; k++) own += j->stretches[k].count;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        if (strcmp(entry_port(e, p)->name, from->port)) continue;
        for (int a = 0; a < e->axes[p].count && a < to->rank; a++) {
            const char letter = e->axes[p].letter[a];
            if (letter != 'T' && letter != 'S') continue;
            const int here = j->sequences || letter == 'T' || !strcmp(from->port, "k") ||
                             !strcmp(from->port, "v");
            const int64_t rows = here ? own : j->T, skipped = here ? s->skipped : s->first;
            if (to->dim[a] != rows)
                return error_set(error, HEED_E_SHAPE,
                                 "%s: port %s has %lld rows along %c, but of %lld rows rank %u of "
                                 "%u has %lld",
                                 e->op.id, from->port, (long long)to->dim[a], letter,
                                 (long long)j->T, j->g->x.t.rank, j->g->x.t.ranks, (long long)rows);
            const uint64_t bytes =
                (uint64_t)(skipped * to->stride[a]) * heed_dtype_bytes(to->dtype);
            to->dim[a] = s->count;
            if (to->data && s->count) to->data = (char *)to->data + bytes, to->bytes -= bytes;
        }
    }
    return HEED_OK;
}

static int32_t check_mask(const job *j, const heed_mask *m, heed_error *error)
{
    const char *id = j->i->entry->op.id;
    if (m->kinds & (HEED_MASK_KEY_LENGTHS | HEED_MASK_DOCUMENTS))
        return error_set(error, HEED_E_UNSUPPORTED, "%s: ranks share a whole text, without %s", id,
                         m->kinds & HEED_MASK_KEY_LENGTHS ? "key_lengths" : "documents");
    if (m->align != HEED_ALIGN_OFFSET || !m->offset) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED,
                     "%s: ranks share queries that stand at their keys, and not %lld away", id,
                     (long long)m->offset);
}

static int32_t bind_stretch(job *j, stretch *s, const heed_binding *in, uint32_t n_in,
                            const heed_binding *out, uint32_t n_out, heed_error *error)
{
    if (n_in + n_out > PORT_MAX)
        return error_set(error, HEED_E_ARGUMENT, "%u tensors are more than an op has",
                         n_in + n_out);
    for (uint32_t b = 0; b < n_in + n_out; b++) {
        const heed_binding *from = b < n_in ? &in[b] : &out[b - n_in];
        s->bound[b] = *from;
        if (!from->tensor || !from->port) continue;
        TRY(cut(j, s, from, &s->tensor[b], error));
        s->bound[b].tensor = &s->tensor[b];
    }
    TRY(call_prepare(&s->c, j->i, s->bound, n_in, 1, error));
    TRY(bind_role(&s->c.set, HEED_OUTPUT, s->bound + n_in, n_out, 1, error));
    TRY(check_mask(j, &s->c.mask, error));
    j->B = HEED_AXIS(s->c.set.axis, 'B');
    s->state = calloc((size_t)j->B + 1, sizeof *s->state);
    s->states = calloc((size_t)j->B + 1, sizeof *s->states);
    if (!s->state || !s->states) return error_memory(error);
    for (int64_t b = 0; b < j->B; b++) {
        s->state[b] = (heed_state){.size = sizeof(heed_state), .length = j->past + s->first};
        s->states[b] = &s->state[b];
    }
    s->c.call.state = s->states, s->c.call.host = &j->host.table;
    return HEED_OK;
}

/* ---- a task ---- */

typedef struct part {
    const heed_relay *p;
    const heed_relay_call *x;
} part;

static int32_t measure_part(void *arg, const heed_instance *i, const heed_call *call,
                            heed_call_size *size)
{
    const part *w = arg;
    (void)call;
    return w->p->measure(i->memory, w->x, size);
}

static int32_t run_part(void *arg, const heed_instance *i, const heed_call *call)
{
    const part *w = arg;
    (void)call;
    return w->p->run(i->memory, w->x);
}

static int32_t compute(job *j, stretch *s, int64_t task, heed_error *error)
{
    part w = {j->p, &j->x};
    if (!s->count) return HEED_OK;
    j->x.call = &s->c.call, j->x.carry = j->now;
    j->x.first = task * j->group, j->x.count = task_end(j, task) - j->x.first;
    for (int64_t u = 0; u < j->x.count; u++) j->now[u] = carry_of(j, s->carries, j->x.first + u);
    return call_compute(&s->c, j->i, &(call_work){measure_part, run_part, &w}, error);
}

/* Between the pages of the sequences and carries. */
static void copy_pages(job *j, stretch *s, char *carries, int stores)
{
    j->x.call = &s->c.call;
    for (int64_t u = 0; u < j->plan.units; u++) {
        heed_sequence *of = j->sequences[u / (j->plan.units / j->B)];
        j->p->page(j->i->memory, &j->x, u, sequence_view(of)->page[0], carry_of(j, carries, u),
                   stores);
    }
}

/* What the units of a task have now, to whoever goes on with them. */
static int32_t hand_on(job *j, stretch *s, int64_t task, heed_error *error)
{
    const uint32_t ranks = j->g->x.t.ranks, own = j->g->x.t.rank;
    const int last = s->place + 1 == j->places;
    for (int64_t u = task * j->group; u < task_end(j, task); u++) {
        char *carry = carry_of(j, s->carries, u);
        if (!last && owner(j, s->place + 1) == own)
            memcpy(carry_of(j, s[1].carries, u), carry, j->plan.bytes);
        else if (!last)
            TRY(exchange_send(&j->g->x, &j->sends, owner(j, s->place + 1), carry, j->plan.bytes,
                              error));
        for (uint32_t r = 0; r < ranks && last && j->sequences; r++)
            TRY(exchange_send(&j->g->x, &j->sends, r, carry, j->plan.bytes, error));
    }
    return HEED_OK;
}

/* All that is to come is asked for at once. */
static int32_t post_receives(job *j, heed_error *error)
{
    const uint32_t own = j->g->x.t.rank, end = owner(j, j->places - 1);
    for (int k = 0; k < j->n; k++) {
        stretch *s = &j->stretches[k];
        if (!s->place) continue;
        for (int64_t u = 0; u < j->plan.units; u++)
            TRY(exchange_receive(&j->g->x, &s->posts[u / j->group], owner(j, s->place - 1),
                                 carry_of(j, s->carries, u), j->plan.bytes, error));
    }
    for (int64_t u = 0; u < j->plan.units && j->sequences && own != end; u++)
        TRY(exchange_receive(&j->g->x, &j->ends, end, carry_of(j, j->last, u), j->plan.bytes,
                             error));
    return HEED_OK;
}

/* Which of this rank's two stretches is to be worked at next. A task reaches stretch number `place` only
 * after as many steps, so the one with the smaller sum of place and tasks done has its data first.
 * NULL: all is done. */
static stretch *next_task(job *j, const int64_t *done)
{
    stretch *next = NULL;
    for (int k = 0; k < j->n; k++) {
        stretch *s = &j->stretches[k];
        if (done[k] == j->tasks) continue;
        if (!next || s->place + done[k] <= next->place + done[next - j->stretches]) next = s;
    }
    return next;
}

/* All tasks. A rank that has failed goes on to hand on, and says so in the end. */
static int32_t run_tasks(job *j, heed_error *error)
{
    int64_t done[2] = {0, 0};
    int32_t failed = HEED_OK, cut = post_receives(j, error);
    for (stretch *s; !cut && (s = next_task(j, done));) {
        const int64_t task = done[s - j->stretches]++;
        cut = exchange_wait(&j->g->x, &s->posts[task], HEED_OK, error);
        j->host.posts[0] = task + 1 < j->tasks ? &s->posts[task + 1] : NULL;
        j->host.posts[1] = &j->sends;
        if (!cut && !failed) failed = compute(j, s, task, error);
        if (!cut) cut = hand_on(j, s, task, error);
    }
    j->host.posts[0] = j->host.posts[1] = NULL;
    for (int k = 0; k < j->n; k++)
        for (int64_t t = 0; t < j->tasks; t++)
            cut = exchange_wait(&j->g->x, &j->stretches[k].posts[t], cut, error);
    cut = exchange_wait(&j->g->x, &j->sends, cut, error);
    cut = exchange_wait(&j->g->x, &j->ends, cut, error);
    return cut ? cut : failed;
}

/* ---- the call ---- */

static int32_t make_carries(job *j, heed_error *error)
{
    j->x = (heed_relay_call){.size = sizeof j->x, .call = &j->stretches[0].c.call};
    const int64_t ranks = j->g->x.t.ranks, lanes = j->g->lanes;
    j->x.wanted = ranks > 1 ? UNITS_WANTED * lanes * ranks : 0;
    j->plan = (heed_relay_plan){.size = sizeof j->plan};
    const int32_t failed = j->p->plan(j->i->memory, &j->x, &j->plan);
    if (failed) return call_failed(&j->stretches[0].c, j->i, failed, error);
    const int64_t units = j->plan.units;
    j->each = (j->plan.bytes + j->plan.room + 63) & ~(uint64_t)63;
    j->group = ranks > 1 && lanes < units ? lanes : units > 0 ? units : 1;
    j->tasks = (units + j->group - 1) / j->group;
    const size_t bytes = (size_t)units * j->each + 64;
    if (!(j->now = calloc((size_t)j->group, sizeof *j->now))) return error_memory(error);
    for (int k = 0; k < j->n; k++) {
        stretch *s = &j->stretches[k];
        if (!(s->carries = aligned_alloc(64, bytes)) ||
            !(s->posts = calloc((size_t)j->tasks + 1, sizeof *s->posts)))
            return error_memory(error);
        memset(s->carries, 0, bytes); /* nothing comes before the first stretch */
    }
    if (j->sequences && !(j->last = aligned_alloc(64, bytes))) return error_memory(error);
    return HEED_OK;
}

static int32_t prepare_sequences(job *j, int64_t *tried, heed_error *error)
{
    stretch *s = j->stretches;
    for (; j->sequences && *tried < j->B; ++*tried) {
        heed_sequence *one = j->sequences[*tried];
        if (one->view.length != j->past)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s: the sequences have %lld and %lld tokens, and ranks take those of "
                             "one length at a time",
                             j->i->entry->op.id, (long long)j->past, (long long)one->view.length);
        TRY(sequence_prepare(one, j->i, s->c.set.axis, j->T, error));
    }
    TRY(make_carries(j, error));
    if (j->sequences && !s->place && j->plan.units) copy_pages(j, s, s->carries, 0);
    return HEED_OK;
}

static void free_job(job *j)
{
    for (int k = 0; k < 2 && j->stretches; k++) {
        stretch *s = &j->stretches[k];
        free(s->state), free(s->states), free(s->carries), free(s->posts);
    }
    free(j->stretches), free(j->now), free(j->last);
}

static int32_t run_job(job *j, const heed_binding *in, uint32_t n_in, const heed_binding *out,
                       uint32_t n_out, heed_error *told)
{
    int64_t tried = 0;
    int32_t failed = j->stretches ? HEED_OK : error_memory(told);
    behind_make(&j->host, j->g->engine->host, &j->g->x);
    for (int k = 0; k < j->n && !failed; k++)
        failed = bind_stretch(j, &j->stretches[k], in, n_in, out, n_out, told);
    if (!failed) failed = prepare_sequences(j, &tried, told);
    const int64_t sizes[] = {j->T, j->past, j->plan.units, (int64_t)j->plan.bytes};
    const uint64_t what =
        group_hash(group_hash(0, j->i->spec, strlen(j->i->spec)), sizes, sizeof sizes);
    failed = group_agree(j->g, what, failed, told);
    if (!failed) {
        failed = run_tasks(j, told);
        failed = group_agree(j->g, what, failed, told);
    }
    stretch *s = j->stretches;
    if (!failed && tried && j->plan.units)
        copy_pages(j, s, s->place + 1 == j->places ? s->carries : j->last, 1);
    for (int64_t b = 0; b < tried; b++)
        if (!failed) sequence_advance(j->sequences[b], j->T);
        else sequence_undo(j->sequences[b], failed);
    free_job(j);
    return failed;
}

int32_t group_relay_run(heed_group *g, const heed_instance *i, const heed_binding *in,
                        uint32_t n_in, const heed_binding *out, uint32_t n_out, int64_t queries,
                        int64_t keys, heed_error *error)
{
    const int64_t ranks = g->x.t.ranks, rank = g->x.t.rank;
    job j = {.g = g,
             .i = i,
             .p = group_relay(i),
             .T = queries,
             .n = 2,
             .places = 2 * ranks,
             .stretches = calloc(2, sizeof *j.stretches)};
    int64_t first[2], count[2];
    if (queries != keys) {
        free_job(&j);
        error_set(error, HEED_E_UNSUPPORTED,
                  "%s: %lld queries and %lld keys: ranks that share a text take as many of both",
                  i->entry->op.id, (long long)queries, (long long)keys);
        return group_agree(g, 0, error->code, error);
    }
    heed_group_share(g->x.t.rank, g->x.t.ranks, queries, first, count);
    for (int k = 0; k < 2 && j.stretches; k++)
        j.stretches[k].first = first[k], j.stretches[k].count = count[k],
        j.stretches[k].skipped = k ? count[0] : 0,
        j.stretches[k].place = k ? 2 * ranks - 1 - rank : rank;
    return run_job(&j, in, n_in, out, n_out, error);
}

int32_t group_relay_attend(heed_group *g, const heed_instance *i, const heed_binding *in,
                           uint32_t n_in, const heed_binding *out, uint32_t n_out,
                           heed_sequence *const *sequences, const int64_t *at, heed_error *error)
{
    const uint32_t rank = g->x.t.rank;
    job j = {.g = g,
             .i = i,
             .p = group_relay(i),
             .sequences = sequences,
             .n = 1,
             .T = at[g->x.t.ranks],
             .places = g->x.t.ranks,
             .past = sequences[0]->view.length,
             .stretches = calloc(2, sizeof *j.stretches)};
    if (j.stretches)
        j.stretches[0].first = at[rank], j.stretches[0].count = at[rank + 1] - at[rank],
        j.stretches[0].place = rank;
    return run_job(&j, in, n_in, out, n_out, error);
}
