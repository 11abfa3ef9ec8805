/* SPDX-License-Identifier: MIT
 *
 * group_run.c: heed_group_run, one call without a state whose queries and keys the ranks share.
 *
 * Each rank keeps its queries, and the keys come to it. The spans of all keys are cut into as many
 * runs as there are ranks, of which a rank works on one after the other while the keys of the next
 * are on their way: so it has two runs of keys in memory. Of queries and of keys each rank has an
 * early and a late block (heed_group_share), so that a causal mask leaves all about as much to do.
 *
 * Ranks first tell each other which spans their queries see; others are not sent to them, nor
 * computed. A rank goes through the runs that it needs from the last one down and around, each rank
 * from another place on, so that not all want the same keys at a time. Of a causal text of 4 ranks:
 *
 *     step       0      1      2      3
 *     rank 0     run 3  run 2  run 1  run 0
 *     rank 1     run 2  run 1  run 0  run 3       of which it needs the first half
 *     rank 2     run 1  run 0  run 2
 *     rank 3     run 0  run 2  run 1              and here of run 2
 *
 * A run has keys of several ranks, who send their parts of it directly. What its nodes give goes up
 * the tree of spans (op/tree.h), whose root has the bits of one rank, whatever the order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/engine.h"
#include "op/group.h"
#include "op/instance.h"
#include "op/registry.h"
#include "run/behind.h"

enum { K, V }; /* the two tensors of keys */

/* Keys of a run, for one step. */
typedef struct lot {
    int64_t first, count; /* keys */
    void *data[2];
    exchange_posts posts; /* what is still to come */
} lot;

/* Queries of one block of this rank. */
typedef struct block {
    int64_t first, count, skipped; /* in the text; and rows of this rank before them */
    unsigned char *seen;           /* [spans] */
    tree tree;
    heed_partial_call x;
    heed_tensor narrow[PORT_MAX];
    const heed_tensor *tensor[PORT_MAX];
    prepared c;
} block;

typedef struct job {
    heed_group *g;
    const heed_instance *i;
    const heed_partial *p;
    int64_t T, S, B, spans; /* of the whole text */
    unsigned char *seen;    /* [ranks][spans]: what the queries of each rank see */
    int64_t *runs;          /* [ranks][ranks]: those that each needs, in its order */
    int64_t *steps;         /* [ranks]: and how many that are */
    uint32_t port[2];
    int64_t bytes[2]; /* of a key, of all heads */
    char *own[2];     /* this rank's keys, [B][keys][heads][width] */
    int64_t n_own;
    heed_tensor shape[2], view[2];
    lot lots[2];
    block *blocks; /* [2] */
    exchange_posts sends;
    behind host; /* the engine's, which has messages moved between tiles */
} job;

/* ---- who has which keys ---- */

/* The keys of a run. */
static void run_keys(const job *j, int64_t run, int64_t *first, int64_t *end)
{
    const int64_t ranks = j->g->x.t.ranks;
    *first = j->spans * run / ranks * j->p->span, *end = j->spans * (run + 1) / ranks * j->p->span;
    if (*first > j->S) *first = j->S;
    if (*end > j->S) *end = j->S;
}

/* The next keys behind `at`, of a run that ends at `end`, that a rank needs; 0: there are none. */
static int next_needed(const job *j, uint32_t rank, int64_t end, int64_t *at, int64_t *to)
{
    const unsigned char *seen = j->seen + rank * j->spans;
    const int64_t width = j->p->span;
    while (*at < end && !seen[*at / width]) *at += width - *at % width;
    for (*to = *at; *to < end && seen[*to / width];) *to += width - *to % width;
    if (*to > end) *to = end;
    return *to > *at;
}

/* The runs that each rank needs, from the last one down, from the place on that is its own. */
static void order_runs(job *j)
{
    const int64_t ranks = j->g->x.t.ranks;
    for (int64_t r = 0; r < ranks; r++) {
        const unsigned char *seen = j->seen + r * j->spans;
        int64_t *runs = j->runs + r * ranks, n = 0, k = 0;
        for (int turn = 0; turn < 2; turn++) /* how many; and which */
            for (int64_t run = ranks - 1; run >= 0; run--) {
                const int64_t from = j->spans * run / ranks, to = j->spans * (run + 1) / ranks;
                if (to == from || !memchr(seen + from, 1, (size_t)(to - from))) continue;
                if (turn) runs[(k++ + n - r * n / ranks) % n] = run;
                else n++;
            }
        j->steps[r] = n;
    }
}

static int64_t run_of(const job *j, uint32_t rank, int64_t step)
{
    return j->runs[rank * (int64_t)j->g->x.t.ranks + step];
}

/* Of the keys [first, end) those that a rank has in one of its two blocks, and where among its own. */
static int64_t part_of(const job *j, uint32_t rank, int which, int64_t first, int64_t end,
                       int64_t *from, int64_t *own)
{
    int64_t at[2], count[2];
    heed_group_share(rank, j->g->x.t.ranks, j->S, at, count);
    *from = at[which] > first ? at[which] : first;
    const int64_t last = at[which] + count[which] < end ? at[which] + count[which] : end;
    *own = (which ? count[0] : 0) + *from - at[which];
    return last > *from ? last - *from : 0;
}

/* Sends what this rank has of the keys [first, end) to a rank that needs them, or receives into
 * `to` what another one has. */
static int32_t post_keys(job *j, uint32_t other, int64_t first, int64_t end, lot *to,
                         heed_error *error)
{
    const uint32_t own_rank = j->g->x.t.rank;
    int64_t from, own;
    for (int64_t b = 0; b < j->B; b++)
        for (int which = 0; which < 2; which++) {
            const int64_t n = part_of(j, to ? other : own_rank, which, first, end, &from, &own);
            for (int t = 0; t < 2 && n; t++) {
                const uint64_t bytes = (uint64_t)(n * j->bytes[t]);
                char *here = j->own[t] + (b * j->n_own + own) * j->bytes[t], *there = NULL;
                if (to)
                    there = (char *)to->data[t] + (b * to->count + from - to->first) * j->bytes[t];
                if (to && other == own_rank) memcpy(there, here, bytes);
                else if (to)
                    TRY(exchange_receive(&j->g->x, &to->posts, other, there, bytes, error));
                else TRY(exchange_send(&j->g->x, &j->sends, other, here, bytes, error));
            }
        }
    return HEED_OK;
}

/* Sends what the others need in a step, or receives what this rank does. */
static int32_t post_step(job *j, int64_t step, lot *to, heed_error *error)
{
    const uint32_t ranks = j->g->x.t.ranks, own_rank = j->g->x.t.rank;
    for (uint32_t r = 0; r < ranks; r++) {
        const uint32_t taker = to ? own_rank : r;
        int64_t at, end, next;
        if (step >= j->steps[taker]) continue;
        run_keys(j, run_of(j, taker, step), &at, &end);
        for (; next_needed(j, taker, end, &at, &next); at = next)
            TRY(post_keys(j, r, at, next, to, error));
    }
    return HEED_OK;
}

static int32_t begin_step(job *j, int64_t step, heed_error *error)
{
    lot *to = &j->lots[step % 2];
    int64_t end;
    if (step >= j->steps[j->g->x.t.rank]) return HEED_OK;
    run_keys(j, run_of(j, j->g->x.t.rank, step), &to->first, &end);
    to->count = end - to->first;
    return post_step(j, step, to, error);
}

/* ---- the work of a step ---- */

static int32_t put(const job *j, tree *t, tree_node node, float *rows, heed_error *error)
{
    const int32_t code = tree_put(t, node, rows);
    if (!code) return HEED_OK;
    return error_set(error, code, "%s: the work was cancelled", j->i->entry->op.id);
}

/* The nodes of a run of which a block's queries see some key, or, unseen, the others. */
static uint32_t list_nodes(const job *j, const block *q, int64_t run, int unseen,
                           tree_node node[TREE_NODES])
{
    const int64_t ranks = j->g->x.t.ranks, spans = j->spans;
    const uint32_t all = tree_cover(spans * run / ranks, spans * (run + 1) / ranks, spans, node);
    uint32_t n = 0;
    for (uint32_t k = 0; k < all; k++)
        if (group_sees(q->seen, spans, node[k]) != unseen) node[n++] = node[k];
    return n;
}

/* What a block's queries do not see goes up its tree first. */
static int32_t put_unseen(job *j, block *q, heed_error *error)
{
    tree_node node[TREE_NODES];
    for (int64_t run = 0; run < j->g->x.t.ranks && q->count; run++)
        for (uint32_t n = list_nodes(j, q, run, 1, node), k = 0; k < n; k++)
            TRY(put(j, &q->tree, node[k], NULL, error));
    return HEED_OK;
}

/* The rows of a block's queries for the nodes of a run, into the block's tree. */
static int32_t compute_block(job *j, block *q, const lot *keys, int64_t run, heed_error *error)
{
    tree_node node[TREE_NODES];
    float *rows[TREE_NODES] = {NULL};
    const uint32_t n = list_nodes(j, q, run, 0, node);
    int32_t failed = HEED_OK;
    for (int t = 0; t < 2; t++) {
        heed_tensor *view = &j->view[t];
        *view = j->shape[t];
        view->dim[1] = keys->count, view->data = keys->data[t];
        view->stride[0] = keys->count * view->stride[1];
        view->bytes = (uint64_t)(j->B * keys->count * j->bytes[t]);
        q->tensor[j->port[t]] = view;
    }
    for (uint32_t k = 0; k < n && !failed; k++)
        if (!(rows[k] = tree_take(&q->tree))) failed = error_memory(error);
    q->x.nodes = n, q->x.node = &node[0].level, q->x.to = rows, q->x.first_key = keys->first;
    if (!failed && n) failed = group_compute(&q->c, j->i, j->p, &q->x, error);
    for (uint32_t k = 0; k < n; k++)
        if (failed) free(rows[k]);
        else failed = put(j, &q->tree, node[k], rows[k], error);
    return failed;
}

/* All steps. What this rank sends is posted at once, so that nobody waits for its work; if that has
 * failed, it goes on to receive, and says so in the end. */
static int32_t run_steps(job *j, heed_error *error)
{
    const int64_t ranks = j->g->x.t.ranks, steps = j->steps[j->g->x.t.rank];
    int32_t failed = HEED_OK, cut = begin_step(j, 0, error);
    for (int64_t step = 0; step < ranks && !cut; step++) cut = post_step(j, step, NULL, error);
    for (int b = 0; b < 2 && !failed; b++) failed = put_unseen(j, &j->blocks[b], error);
    for (int64_t step = 0; step < steps && !cut; step++) {
        lot *keys = &j->lots[step % 2];
        cut = exchange_wait(&j->g->x, &keys->posts, HEED_OK, error);
        if (!cut) cut = begin_step(j, step + 1, error);
        j->host.posts[0] = &j->lots[(step + 1) % 2].posts, j->host.posts[1] = &j->sends;
        for (int b = 0; b < 2 && !cut && !failed; b++)
            if (j->blocks[b].count)
                failed =
                    compute_block(j, &j->blocks[b], keys, run_of(j, j->g->x.t.rank, step), error);
    }
    for (int k = 0; k < 2; k++) cut = exchange_wait(&j->g->x, &j->lots[k].posts, cut, error);
    cut = exchange_wait(&j->g->x, &j->sends, cut, error);
    return cut ? cut : failed;
}

/* The outputs of a block; *again: a sum was too large (abi/partial.h). */
static int32_t finish_block(job *j, block *q, int32_t *again, heed_error *error)
{
    if (!q->count) return HEED_OK;
    q->x.rows = tree_root(&q->tree);
    if (!q->x.rows)
        return error_set(error, HEED_E_DATA, "%s: a part of the keys is missing",
                         j->i->entry->op.id);
    return group_finish(&q->c, j->i, j->p, &q->x, again, error);
}

/* ---- the call ---- */

/* [B][keys][heads][width] of a tensor whose strides may be any. */
static void pack(const heed_tensor *t, char *to)
{
    const uint64_t width = heed_dtype_bytes(t->dtype);
    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t s = 0; s < t->dim[1]; s++)
            for (int64_t h = 0; h < t->dim[2]; h++) {
                const char *from =
                    (const char *)t->data +
                    (uint64_t)(b * t->stride[0] + s * t->stride[1] + h * t->stride[2]) * width;
                if (t->stride[3] == 1 || t->dim[3] == 1)
                    memcpy(to, from, (size_t)t->dim[3] * width), to += (size_t)t->dim[3] * width;
                else
                    for (int64_t d = 0; d < t->dim[3]; d++, to += width)
                        memcpy(to, from + (uint64_t)(d * t->stride[3]) * width, width);
            }
}

static int32_t make_keys(job *j, const heed_binding *in, uint32_t n_in, heed_error *error)
{
    static const char *const names[] = {"k", "v"};
    int64_t most = 0, first, end;
    for (int64_t run = 0; run < j->g->x.t.ranks; run++) {
        run_keys(j, run, &first, &end);
        if (end - first > most) most = end - first;
    }
    for (int t = 0; t < 2; t++) {
        const heed_tensor *local = NULL;
        for (uint32_t b = 0; b < n_in; b++)
            if (!strcmp(in[b].port, names[t])) local = in[b].tensor;
        j->shape[t] = heed_tensor_of(NULL, local->dtype, 4, local->dim);
        j->bytes[t] = local->dim[2] * local->dim[3] * (int64_t)heed_dtype_bytes(local->dtype);
        j->B = local->dim[0];
        j->own[t] = malloc((size_t)(j->B * local->dim[1] * j->bytes[t]) + 1);
        const size_t bytes = ((size_t)(j->B * most * j->bytes[t]) + 127) & ~(size_t)63;
        for (int k = 0; k < 2; k++) {
            if (!(j->lots[k].data[t] = aligned_alloc(64, bytes))) return error_memory(error);
            memset(j->lots[k].data[t], 0, bytes); /* of a run some keys may never come */
        }
        if (!j->own[t]) return error_memory(error);
        pack(local, j->own[t]);
    }
    return HEED_OK;
}

/* The tensors of one block's queries: those with the axis T, cut. */
static int32_t make_block(job *j, block *q, const prepared *all, heed_error *error)
{
    const entry *e = j->i->entry;
    int64_t H = -1;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        q->tensor[p] = all->set.tensor[p];
        for (int a = 0; q->tensor[p] && a < e->axes[p].count; a++) {
            heed_tensor *t = &q->narrow[p];
            if (e->axes[p].letter[a] != 'T' || entry_port(e, p)->role == HEED_WEIGHT) continue;
            *t = *q->tensor[p], q->tensor[p] = t;
            const uint64_t skipped =
                (uint64_t)(q->skipped * t->stride[a]) * heed_dtype_bytes(t->dtype);
            t->data = (char *)t->data + skipped, t->dim[a] = q->count;
        }
    }
    q->c.call = all->call, q->c.mask = all->mask;
    q->c.sink = (heed_sink){sizeof q->c.sink, sizeof q->c.text, q->c.text};
    memcpy(q->c.set.axis, all->set.axis, sizeof q->c.set.axis);
    HEED_AXIS(q->c.set.axis, 'T') = q->count;
    q->c.call.tensor = q->tensor, q->c.call.axis = q->c.set.axis;
    q->c.call.mask = &q->c.mask, q->c.call.sink = &q->c.sink, q->c.call.host = &j->host.table;
    H = HEED_AXIS(q->c.set.axis, 'H');
    q->tree = (tree){.partial = j->p,
                     .host = j->g->engine->host,
                     .spans = j->spans,
                     .rows = j->B * q->count * H,
                     .floats = j->p->floats(j->i->memory, &q->c.call)};
    q->x = (heed_partial_call){.size = sizeof q->x, .first_query = q->first, .queries = j->T};
    q->x.lift = calloc((size_t)q->tree.rows + 16, sizeof *q->x.lift);
    q->seen = calloc((size_t)j->spans, 1);
    if (!q->x.lift || !q->seen) return error_memory(error);
    if (q->count) group_seen(&q->c, j->i, j->p, &q->x, j->spans, q->seen);
    return HEED_OK;
}

/* What this rank sees, and memory for what the others do. */
static int32_t make_plan(job *j, heed_error *error)
{
    const size_t ranks = j->g->x.t.ranks;
    j->seen = calloc(ranks, (size_t)j->spans);
    j->runs = calloc(ranks * ranks, sizeof *j->runs);
    j->steps = calloc(ranks, sizeof *j->steps);
    if (!j->seen || !j->runs || !j->steps) return error_memory(error);
    unsigned char *own = j->seen + j->g->x.t.rank * j->spans;
    for (int64_t s = 0; s < j->spans; s++) own[s] = j->blocks[0].seen[s] | j->blocks[1].seen[s];
    return HEED_OK;
}

/* All ranks get what each sees. */
static int32_t gather_plan(job *j, heed_error *error)
{
    const uint32_t ranks = j->g->x.t.ranks;
    uint64_t *at = calloc(ranks + (size_t)1, sizeof *at);
    if (!at) return error_memory(error);
    for (uint32_t r = 0; r <= ranks; r++) at[r] = (uint64_t)r * (uint64_t)j->spans;
    const int32_t failed = exchange_gather(&j->g->x, j->seen, at, error);
    free(at);
    if (!failed) order_runs(j);
    return failed;
}

/* Binds what is here, as if the keys of all were. */
static int32_t bind(job *j, prepared *all, heed_binding *in, uint32_t n_in, const heed_binding *out,
                    uint32_t n_out, heed_tensor whole[2], heed_error *error)
{
    const entry *e = j->i->entry;
    int64_t first[2], rows[2], keys[2];
    heed_group_share(j->g->x.t.rank, j->g->x.t.ranks, j->T, first, rows);
    heed_group_share(j->g->x.t.rank, j->g->x.t.ranks, j->S, first, keys);
    j->n_own = keys[0] + keys[1];
    binding_set alone;
    bind_start(&alone, e, j->i->axis);
    for (uint32_t b = 0; b < n_in; b++) {
        const int which = !strcmp(in[b].port, "k") ? K : !strcmp(in[b].port, "v") ? V : -1;
        if (which < 0 || !in[b].tensor) continue;
        TRY(bind_some(&alone, HEED_INPUT, &in[b], 1, 1, error));
        if (in[b].tensor->dim[1] != j->n_own)
            return error_set(error, HEED_E_SHAPE,
                             "%s: port %s has %lld keys, but of %lld keys rank %u of %u has %lld",
                             e->op.id, in[b].port, (long long)in[b].tensor->dim[1], (long long)j->S,
                             j->g->x.t.rank, j->g->x.t.ranks, (long long)j->n_own);
        whole[which] = *in[b].tensor, whole[which].dim[1] = j->S;
        in[b].tensor = &whole[which];
    }
    TRY(call_prepare(all, j->i, in, n_in, 0, error));
    TRY(bind_role(&all->set, HEED_OUTPUT, out, n_out, 1, error));
    const int64_t T = HEED_AXIS(all->set.axis, 'T');
    if (T == rows[0] + rows[1]) return HEED_OK;
    return error_set(error, HEED_E_SHAPE,
                     "%s: %lld queries are given, but of %lld queries rank %u of %u has %lld",
                     e->op.id, (long long)T, (long long)j->T, j->g->x.t.rank, j->g->x.t.ranks,
                     (long long)(rows[0] + rows[1]));
}

/* That inputs are all here: their shapes alone were bound. */
static int32_t check_data(const job *j, const prepared *all, heed_error *error)
{
    for (uint32_t p = 0; p < j->i->entry->op.ports.count; p++) {
        const heed_tensor *t = all->set.tensor[p];
        const char *name = entry_port(j->i->entry, p)->name;
        if (!t || entry_port(j->i->entry, p)->role != HEED_INPUT) continue;
        if (!strcmp(name, "k") || !strcmp(name, "v")) continue;
        TRY(bind_check_memory(&all->set, entry_port(all->set.entry, p), t, 0, error));
    }
    return HEED_OK;
}

static int32_t make_job(job *j, prepared *all, const heed_binding *in, uint32_t n_in,
                        const heed_binding *out, uint32_t n_out, heed_error *error)
{
    heed_binding changed[PORT_MAX];
    heed_tensor whole[2] = {{0}};
    int64_t first[2], rows[2];
    if (n_in > PORT_MAX)
        return error_set(error, HEED_E_ARGUMENT, "%u inputs are more than an op has", n_in);
    if (!(j->p = group_partial(j->i, error))) return error->code;
    j->spans = tree_spans(j->p, j->S);
    memcpy(changed, in, sizeof *in * n_in);
    TRY(bind(j, all, changed, n_in, out, n_out, whole, error));
    TRY(check_data(j, all, error));
    if (!whole[K].size || !whole[V].size)
        return error_set(error, HEED_E_ARGUMENT, "%s: ranks share k and v, and they are not given",
                         j->i->entry->op.id);
    for (uint32_t p = 0; p < j->i->entry->op.ports.count; p++)
        for (int t = 0; t < 2; t++)
            if (all->set.tensor[p] == &whole[t]) j->port[t] = p;
    TRY(make_keys(j, in, n_in, error));
    heed_group_share(j->g->x.t.rank, j->g->x.t.ranks, j->T, first, rows);
    for (int b = 0; b < 2; b++) {
        j->blocks[b].first = first[b], j->blocks[b].count = rows[b];
        j->blocks[b].skipped = b ? rows[0] : 0;
        TRY(make_block(j, &j->blocks[b], all, error));
    }
    return make_plan(j, error);
}

static void free_job(job *j)
{
    for (int t = 0; t < 2; t++) {
        free(j->own[t]);
        for (int k = 0; k < 2; k++) free(j->lots[k].data[t]);
    }
    for (int b = 0; b < 2 && j->blocks; b++) {
        tree_free(&j->blocks[b].tree);
        free(j->blocks[b].x.lift), free(j->blocks[b].seen);
    }
    free(j->seen), free(j->runs), free(j->steps);
    free(j->blocks);
}

/* What all ranks must have alike. */
static uint64_t hash_of(const job *j)
{
    const int64_t sizes[] = {j->T, j->S};
    return group_hash(group_hash(0, j->i->spec, strlen(j->i->spec)), sizes, sizeof sizes);
}

int32_t heed_group_run(heed_group *g, const heed_instance *i, const heed_binding *in, uint32_t n_in,
                       const heed_binding *out, uint32_t n_out, int64_t queries, int64_t keys,
                       heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    job j = {.g = g, .i = i, .T = queries, .S = keys, .blocks = calloc(2, sizeof *j.blocks)};
    prepared *all = calloc(1, sizeof *all);
    *told = (heed_error){0};
    behind_make(&j.host, g->engine->host, &g->x);
    int32_t failed =
        all && j.blocks ? make_job(&j, all, in, n_in, out, n_out, told) : error_memory(told);
    exchange_stand stand = {.what = hash_of(&j), .failed = failed};
    failed = exchange_agree(&g->x, &stand, told);
    if (!failed) failed = gather_plan(&j, told);
    for (int64_t round = 0; round < 3 && !failed; round++) {
        int32_t again = 0;
        for (int b = 0; b < 2; b++) j.blocks[b].x.round = round;
        failed = run_steps(&j, told);
        for (int b = 0; b < 2 && !failed; b++)
            failed = finish_block(&j, &j.blocks[b], &again, told);
        stand = (exchange_stand){.what = hash_of(&j), .failed = failed, .flag = again};
        failed = exchange_agree(&g->x, &stand, told);
        if (!stand.flag) break;
        for (int b = 0; b < 2; b++) {
            tree *t = &j.blocks[b].tree;
            while (t->count) free(t->kept[--t->count].rows);
        }
    }
    free(all);
    free_job(&j);
    return failed;
}
