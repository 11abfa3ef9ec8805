/* SPDX-License-Identifier: MIT
 *
 * group_attend.c: attention to the keys of a text that is remembered, each of which one rank has
 * (tree_rank). Keys stay where they are: every rank computes, for the queries of all, what they have
 * of its nodes, and sends these rows to whoever finishes them. For one token that is one row of each
 * head a node. Nodes of which no query sees a key, as those before a window, are left out by all.
 *
 * A new key is stored by the rank whose span it is in, and no other one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/engine.h"
#include "op/group.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/sequence.h"

#define BYTES_AT_ONCE ((int64_t)64 << 20) /* of rows that a rank has computed and not sent yet */

/* A node of the text, whose it is, and the how-many-th of that rank's. */
typedef struct owned {
    tree_node node;
    uint32_t rank, turn;
    float *rows; /* of the queries that this rank finishes, while they are on their way */
} owned;

typedef struct job {
    heed_group *g;
    const heed_instance *i;
    const heed_partial *p;
    prepared *c, *last; /* of all queries, and of those that this rank finishes */
    const heed_state **states;
    heed_tensor narrow[PORT_MAX];
    const heed_tensor *tensor[PORT_MAX];
    int64_t B, T, H, floats, spans;
    const int64_t *at; /* [ranks + 1] first query of each rank; NULL: each has all */
    int64_t first, count;
    heed_partial_call x, finish;
    tree tree;
    unsigned char *seen; /* [spans]: by any of all queries */
    owned *nodes;        /* in the order of the text, on all ranks alike */
    uint32_t n_nodes, turns;
} job;

/* The nodes of all ranks that some query sees. */
static int32_t list_nodes(job *j, heed_error *error)
{
    const uint32_t ranks = j->g->x.t.ranks;
    uint32_t *count = calloc(ranks, sizeof *count);
    j->seen = calloc((size_t)j->spans, 1);
    int32_t failed = count && j->seen ? HEED_OK : error_memory(error);
    if (!failed) group_seen(j->c, j->i, j->p, &j->x, j->spans, j->seen);
    for (int64_t span = 0; span < j->spans && !failed;) {
        const tree_node node = tree_run(span, ranks);
        const uint32_t rank = tree_rank(span, ranks);
        span += (int64_t)1 << node.level;
        if (!group_sees(j->seen, j->spans, node)) continue;
        owned *x = grow_append(&j->nodes, &j->n_nodes, sizeof *x);
        if (x) *x = (owned){.node = node, .rank = rank, .turn = count[rank]++};
        else failed = error_memory(error);
        if (x && x->turn >= j->turns) j->turns = x->turn + 1;
    }
    free(count);
    return failed;
}

/* The other nodes have no part in the tree. */
static int32_t put_unseen(job *j, heed_error *error)
{
    for (int64_t span = 0; span < j->spans;) {
        const tree_node node = tree_run(span, j->g->x.t.ranks);
        span += (int64_t)1 << node.level;
        if (!group_sees(j->seen, j->spans, node) && tree_put(&j->tree, node, NULL))
            return error_memory(error);
    }
    return HEED_OK;
}

/* Queries that a rank finishes. */
static int64_t queries_of(const job *j, uint32_t rank, int64_t *first)
{
    *first = j->at ? j->at[rank] : 0;
    return j->at ? j->at[rank + 1] - *first : j->T;
}

/* The queries [first, first + count) of [B][T][H] rows: one piece where B is 1. */
static int32_t post_rows(job *j, exchange_posts *posts, uint32_t other, int sends, float *rows,
                         int64_t first, int64_t count, int64_t T, heed_error *error)
{
    const int64_t row = j->H * j->floats;
    const uint64_t bytes = (uint64_t)(count * row) * sizeof *rows;
    for (int64_t b = 0; b < j->B && count; b++) {
        float *at = rows + (b * T + first) * row;
        TRY(sends ? exchange_send(&j->g->x, posts, other, at, bytes, error)
                  : exchange_receive(&j->g->x, posts, other, at, bytes, error));
    }
    return HEED_OK;
}

/* Rows of this rank's own node: those that it finishes stay, and the others get theirs. */
static int32_t give_rows(job *j, exchange_posts *posts, const owned *x, float *own,
                         heed_error *error)
{
    const int64_t row = j->H * j->floats;
    int64_t first;
    for (int64_t b = 0; b < j->B; b++)
        memcpy(x->rows + b * j->count * row, own + (b * j->T + j->first) * row,
               sizeof *own * (size_t)(j->count * row));
    for (uint32_t r = 0; r < j->g->x.t.ranks; r++) {
        const int64_t count = queries_of(j, r, &first);
        if (r != x->rank) TRY(post_rows(j, posts, r, 1, own, first, count, j->T, error));
    }
    return HEED_OK;
}

/* Sends the rows of this rank's nodes of the turns [turn, end), and gets those of the others. */
static int32_t swap_rows(job *j, uint32_t turn, uint32_t end, float *const *own, heed_error *error)
{
    exchange_posts posts = {0};
    int32_t failed = HEED_OK;
    for (owned *x = j->nodes; x < j->nodes + j->n_nodes && !failed; x++) {
        if (x->turn < turn || x->turn >= end) continue;
        if (!(x->rows = tree_take(&j->tree))) failed = error_memory(error);
        else if (x->rank == j->g->x.t.rank)
            failed = give_rows(j, &posts, x, own[x->turn - turn], error);
        else failed = post_rows(j, &posts, x->rank, 0, x->rows, 0, j->count, j->count, error);
    }
    return exchange_wait(&j->g->x, &posts, failed, error);
}

/* What has come goes up the tree. */
static int32_t put_rows(job *j, int32_t failed, heed_error *error)
{
    for (owned *x = j->nodes; x < j->nodes + j->n_nodes; x++) {
        float *rows = x->rows;
        x->rows = NULL;
        if (failed) free(rows);
        else if (rows && (failed = tree_put(&j->tree, x->node, rows)))
            error_set(error, failed, "%s: the work was cancelled", j->i->entry->op.id);
    }
    return failed;
}

/* The turns [turn, end): this rank's nodes of them, computed, sent and merged. */
static int32_t run_turns(job *j, uint32_t turn, uint32_t end, uint64_t what, heed_error *error)
{
    const size_t bytes = sizeof(float) * (size_t)(j->B * j->T * j->H * j->floats) + 64;
    tree_node node[TREE_NODES];
    float *own[TREE_NODES] = {NULL};
    int32_t failed = HEED_OK;
    uint32_t n = 0;
    for (const owned *x = j->nodes; x < j->nodes + j->n_nodes && !failed; x++) {
        if (x->rank != j->g->x.t.rank || x->turn < turn || x->turn >= end) continue;
        node[n] = x->node;
        if (!(own[n++] = malloc(bytes))) failed = error_memory(error);
    }
    j->x.nodes = failed ? 0 : n, j->x.node = &node[0].level, j->x.to = own;
    if (!failed) failed = group_compute(j->c, j->i, j->p, &j->x, error);
    failed = group_agree(j->g, what, failed, error);
    if (!failed) failed = swap_rows(j, turn, end, own, error);
    failed = put_rows(j, failed, error);
    while (n) free(own[--n]);
    return failed;
}

static int32_t finish(job *j, int32_t *again, heed_error *error)
{
    if (!j->count) return HEED_OK;
    j->finish.rows = tree_root(&j->tree);
    if (!j->finish.rows)
        return error_set(error, HEED_E_DATA, "%s: a part of the keys is missing",
                         j->i->entry->op.id);
    return group_finish(j->last, j->i, j->p, &j->finish, again, error);
}

/* `lift` of the queries that a rank finishes becomes that of all. */
static int32_t gather_lift(job *j, heed_error *error)
{
    const uint32_t ranks = j->g->x.t.ranks;
    uint64_t *at = calloc(ranks + (size_t)1, sizeof *at);
    int32_t failed = at ? HEED_OK : error_memory(error);
    for (int64_t b = 0; b < j->B && !failed && j->at; b++) {
        float *rows = j->x.lift + b * j->T * j->H;
        memcpy(rows + j->first * j->H, j->finish.lift + b * j->count * j->H,
               sizeof *rows * (size_t)(j->count * j->H));
        for (uint32_t r = 0; r <= ranks; r++) at[r] = (uint64_t)(j->at[r] * j->H) * sizeof *rows;
        failed = exchange_gather(&j->g->x, rows, at, error);
    }
    free(at);
    return failed;
}

static int32_t run_rounds(job *j, uint64_t what, heed_error *error)
{
    const int64_t each = (int64_t)sizeof(float) * j->B * j->T * j->H * j->floats;
    const int64_t fit = each ? BYTES_AT_ONCE / each : TREE_NODES;
    const uint32_t most = fit < 1 ? 1 : fit > TREE_NODES ? TREE_NODES : (uint32_t)fit;
    int32_t failed = HEED_OK;
    for (int64_t round = 0; round < 3 && !failed; round++) {
        int32_t again = 0;
        j->x.round = j->finish.round = round;
        failed = put_unseen(j, error);
        for (uint32_t turn = 0; turn < j->turns && !failed; turn += most)
            failed =
                run_turns(j, turn, turn + most < j->turns ? turn + most : j->turns, what, error);
        if (!failed) failed = finish(j, &again, error);
        exchange_stand stand = {.what = what, .failed = failed, .flag = again};
        if (j->at || failed) failed = exchange_agree(&j->g->x, &stand, error);
        else stand.flag = again; /* all have the same rows */
        if (failed || !stand.flag) break;
        failed = gather_lift(j, error);
        while (j->tree.count) free(j->tree.kept[--j->tree.count].rows);
    }
    return failed;
}

/* ---- the call ---- */

heed_sequence *heed_group_sequence(heed_group *g, const heed_instance *i, const int64_t *axes,
                                   heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    *told = (heed_error){0};
    const heed_partial *p = group_partial(i, told);
    heed_sequence *s = p ? heed_sequence_new(i, axes, told) : NULL;
    if (!s) return NULL;
    if (s->size.page_tokens <= 0 || p->span % s->size.page_tokens) {
        error_set(told, HEED_E_UNSUPPORTED,
                  "%s: its pages of %lld tokens do not fill spans of %lld keys", i->entry->op.id,
                  (long long)s->size.page_tokens, (long long)p->span);
        heed_sequence_free(s);
        return NULL;
    }
    s->rank = g->x.t.rank, s->ranks = g->x.t.ranks, s->span = p->span;
    return s;
}

int32_t heed_group_attend(heed_group *g, const heed_instance *i, const heed_binding *in,
                          uint32_t n_in, const heed_binding *out, uint32_t n_out,
                          heed_sequence *const *sequences, heed_error *error)
{
    return group_attend(g, i, in, n_in, out, n_out, sequences, NULL, error);
}

/* The call of the queries that this rank finishes: tensors with the axis T, cut. */
static void make_last(job *j)
{
    const entry *e = j->i->entry;
    prepared *c = j->last;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        j->tensor[p] = j->c->set.tensor[p];
        for (int a = 0; j->tensor[p] && a < e->axes[p].count; a++) {
            heed_tensor *t = &j->narrow[p];
            if (e->axes[p].letter[a] != 'T' || entry_port(e, p)->role == HEED_WEIGHT) continue;
            *t = *j->tensor[p], j->tensor[p] = t;
            t->data =
                (char *)t->data + (uint64_t)(j->first * t->stride[a]) * heed_dtype_bytes(t->dtype);
            t->dim[a] = j->count;
        }
    }
    c->call = j->c->call, c->mask = j->c->mask;
    c->sink = (heed_sink){sizeof c->sink, sizeof c->text, c->text};
    memcpy(c->set.axis, j->c->set.axis, sizeof c->set.axis);
    HEED_AXIS(c->set.axis, 'T') = j->count;
    c->call.tensor = j->tensor, c->call.axis = c->set.axis;
    c->call.mask = &c->mask, c->call.sink = &c->sink;
}

static int32_t make_job(job *j, const heed_binding *in, uint32_t n_in, const heed_binding *out,
                        uint32_t n_out, heed_error *error)
{
    if (!(j->p = group_partial(j->i, error))) return error->code;
    TRY(call_prepare(j->c, j->i, in, n_in, 1, error));
    TRY(bind_role(&j->c->set, HEED_OUTPUT, out, n_out, 1, error));
    const int64_t *axis = j->c->set.axis;
    j->B = HEED_AXIS(axis, 'B'), j->T = HEED_AXIS(axis, 'T'), j->H = HEED_AXIS(axis, 'H');
    if (HEED_AXIS(axis, 'S') != j->T)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: %lld queries and %lld new keys: ranks that share a text take as many "
                         "of both",
                         j->i->entry->op.id, (long long)j->T, (long long)HEED_AXIS(axis, 'S'));
    j->count = queries_of(j, j->g->x.t.rank, &j->first);
    make_last(j);
    j->floats = j->p->floats(j->i->memory, &j->c->call);
    j->x = (heed_partial_call){.size = sizeof j->x, .queries = j->T};
    j->finish =
        (heed_partial_call){.size = sizeof j->finish, .queries = j->T, .first_query = j->first};
    j->x.lift = calloc((size_t)(j->B * j->T * j->H) + 16, sizeof *j->x.lift);
    j->finish.lift =
        !j->at ? j->x.lift : calloc((size_t)(j->B * j->count * j->H) + 16, sizeof *j->x.lift);
    j->states = calloc((size_t)j->B + 1, sizeof *j->states);
    return j->x.lift && j->finish.lift && j->states ? HEED_OK : error_memory(error);
}

/* All sequences of a call have one length, as those of a group's steps do. */
static int32_t prepare_sequences(job *j, heed_sequence *const *sequences, int64_t *tried,
                                 heed_error *error)
{
    for (; *tried < j->B; ++*tried) {
        heed_sequence *s = sequences[*tried];
        if (!s || s->ranks != j->g->x.t.ranks || s->rank != j->g->x.t.rank)
            return error_set(error, HEED_E_ARGUMENT,
                             "%s: row %lld has no sequence of this group (heed_group_sequence)",
                             j->i->entry->op.id, (long long)*tried);
        if (s->view.length != sequences[0]->view.length)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s: the sequences have %lld and %lld tokens, and ranks take those of "
                             "one length at a time",
                             j->i->entry->op.id, (long long)sequences[0]->view.length,
                             (long long)s->view.length);
        TRY(sequence_prepare(s, j->i, j->c->set.axis, j->T, error));
        j->states[*tried] = sequence_view(s);
    }
    j->c->call.state = j->last->call.state = j->states;
    j->spans = tree_spans(j->p, j->B ? sequences[0]->view.length + j->T : 0);
    TRY(list_nodes(j, error));
    j->tree = (tree){.partial = j->p,
                     .host = j->g->engine->host,
                     .spans = j->spans,
                     .rows = j->B * j->count * j->H,
                     .floats = j->floats};
    return HEED_OK;
}

int32_t group_attend(heed_group *g, const heed_instance *i, const heed_binding *in, uint32_t n_in,
                     const heed_binding *out, uint32_t n_out, heed_sequence *const *sequences,
                     const int64_t *at, heed_error *error)
{
    heed_error own, *told = error ? error : &own;
    job j = {.g = g, .i = i, .at = at, .c = calloc(2, sizeof *j.c)};
    int64_t tried = 0;
    *told = (heed_error){0};
    j.last = j.c + 1;
    int32_t failed = j.c ? make_job(&j, in, n_in, out, n_out, told) : error_memory(told);
    if (!failed) failed = prepare_sequences(&j, sequences, &tried, told);
    const int64_t sizes[] = {j.T, j.B, tried ? sequences[0]->view.length : 0};
    const uint64_t what = group_hash(group_hash(0, i->spec, strlen(i->spec)), sizes, sizeof sizes);
    failed = failed ? group_agree(g, what, failed, told) : run_rounds(&j, what, told);
    for (int64_t b = 0; b < tried; b++)
        if (!failed) sequence_advance(sequences[b], j.T);
        else sequence_undo(sequences[b], failed);
    tree_free(&j.tree);
    free(j.nodes), free(j.seen);
    if (j.finish.lift != j.x.lift) free(j.finish.lift);
    free(j.x.lift);
    free(j.states);
    free(j.c);
    return failed;
}
