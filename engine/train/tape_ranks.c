/* SPDX-License-Identifier: MIT
 *
 * tape_ranks.c: the gradients of weights where ranks share the texts of a batch. Each runs its own
 * texts forwards and backwards, and the sums over all rows have the bits of one rank, in two ways:
 *
 * - An op whose rows are by themselves (HEED_GRAD_ROWS) sums over blocks of rows by a binary tree.
 *   A rank has the blocks that begin in its texts, as the largest nodes that these are made of:
 *
 *       blocks   0 1 2 3 4 | 5 6 7 8 9     rank 0: (0 1 2 3), 4; rank 1: 5, (6 7), (8 9)
 *
 *   The rest of its last block it gets from those behind it. The sums of nodes wait until the end,
 *   when each rank adds a part of the numbers as the tree says, and all get all.
 * - For any other op every rank gets the rows of all, and runs its backward for the weights alone.
 *
 * Invariant: to one weight is added in the order in which one rank adds.
 */
#include <stdlib.h>
#include <string.h>

#include <heed/abi/grad_rows.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/grow.h"
#include "op/instance.h"
#include "train/tape_inside.h"

/* Sums for a weight that wait for those of other ranks: one for each node of this rank. */
typedef struct waiting {
    uint32_t weight;
    int64_t floats, rows; /* of one; rows of a text, which the blocks are of */
    tape_memory memory;
} waiting;

enum { ROWS_MOST = 2 * PORT_MAX + 1 };

struct tape_ranks {
    heed_group *group;
    const int64_t *first;
    waiting *sums;
    uint32_t n_sums, made;
    tape_memory rows[ROWS_MOST]; /* of all ranks, or those that a sum needs */
    tape_memory sent, received, added;
    exchange_posts posts;
};

/* ---- which rows are whose ---- */

static uint32_t count_of(const tape_ranks *r) { return heed_group_ranks(r->group); }
static uint32_t own_of(const tape_ranks *r) { return heed_group_rank(r->group); }

typedef struct range {
    int64_t from, end;
} range;

static range overlap(range a, range b)
{
    const range both = {a.from > b.from ? a.from : b.from, a.end < b.end ? a.end : b.end};
    return both.from < both.end ? both : (range){0, 0};
}

/* The rows of a rank's texts. */
static range rows_of(const tape_ranks *r, uint32_t rank, int64_t rows)
{
    return (range){r->first[rank] * rows, r->first[rank + 1] * rows};
}

static int64_t blocks_of(int64_t rows) { return (rows + HEED_GRAD_BLOCK - 1) / HEED_GRAD_BLOCK; }

/* The blocks that begin there. */
static range blocks_in(const tape_ranks *r, uint32_t rank, int64_t rows)
{
    const range own = rows_of(r, rank, rows);
    return (range){blocks_of(own.from), blocks_of(own.end)};
}

/* The rows that a rank sums over. */
static range needs(const tape_ranks *r, uint32_t rank, int64_t rows, int whole)
{
    const range blocks = blocks_in(r, rank, rows), all = {0, r->first[count_of(r)] * rows};
    return whole
               ? all
               : overlap(all, (range){blocks.from * HEED_GRAD_BLOCK, blocks.end * HEED_GRAD_BLOCK});
}

/* Whether each rank has all of its blocks. */
static int is_aligned(const tape_ranks *r, int64_t rows)
{
    for (uint32_t rank = 1; rank < count_of(r); rank++)
        if (r->first[rank] * rows % HEED_GRAD_BLOCK) return 0;
    return 1;
}

/* The end of the largest node that begins with a block and ends at `end` at most, of `blocks`. */
static int64_t node_end(int64_t from, int64_t end, int64_t blocks)
{
    int64_t size = 1;
    while (from % (2 * size) == 0 && size < end - from && (from + 2 * size <= end || end == blocks))
        size *= 2;
    return from + size < end ? from + size : end;
}

static int64_t count_nodes(const tape_ranks *r, uint32_t rank, int64_t rows)
{
    const range of = blocks_in(r, rank, rows);
    const int64_t blocks = blocks_of(r->first[count_of(r)] * rows);
    int64_t n = 0;
    for (int64_t at = of.from; at < of.end; at = node_end(at, of.end, blocks)) n++;
    return n;
}

/* ---- rows of others ---- */

static int32_t agree(tape_ranks *r, int32_t failed, heed_error *error)
{
    return group_agree(r->group, r->n_sums, failed, error);
}

/* Posts what ranks lack of the rows of a tensor; *to is this rank's, once they have come. `whole`: all
 * texts, by their first axis; else the rows that it sums over. */
static int32_t bring(tape_ranks *r, const heed_tensor *own, int64_t rows, int whole,
                     tape_memory *memory, heed_tensor *to, heed_error *error)
{
    const uint32_t rank = own_of(r);
    const range has = rows_of(r, rank, rows), need = needs(r, rank, rows, whole),
                stays = overlap(has, need);
    const uint64_t bytes = (uint64_t)heed_tensor_elements(own) * heed_dtype_bytes(own->dtype) /
                           (uint64_t)(has.end - has.from);
    int64_t dim[HEED_MAX_RANK];
    TRY(tape_room(memory, (uint64_t)(need.end - need.from + 1) * bytes, error));
    char *into = memory->data;
    const char *from = own->data;
    memcpy(into + (uint64_t)(stays.end ? stays.from - need.from : 0) * bytes,
           from + (uint64_t)(stays.end ? stays.from - has.from : 0) * bytes,
           (uint64_t)(stays.end - stays.from) * bytes);
    for (uint32_t other = 0; other < count_of(r); other++) {
        if (other == rank) continue;
        const range get = overlap(need, rows_of(r, other, rows)),
                    give = overlap(has, needs(r, other, rows, whole));
        if (get.end)
            TRY(exchange_receive(&r->group->x, &r->posts, other,
                                 into + (uint64_t)(get.from - need.from) * bytes,
                                 (uint64_t)(get.end - get.from) * bytes, error));
        if (give.end)
            TRY(exchange_send(&r->group->x, &r->posts, other,
                              from + (uint64_t)(give.from - has.from) * bytes,
                              (uint64_t)(give.end - give.from) * bytes, error));
    }
    memcpy(dim, own->dim, sizeof dim);
    if (whole) dim[0] = need.end;
    for (int32_t a = 0; a + 1 < own->rank && !whole; a++)
        dim[a] = a + 2 < own->rank ? 1 : need.end - need.from;
    *to = heed_tensor_of(into, own->dtype, own->rank, dim);
    return HEED_OK;
}

/* A call with the rows that its sums need: its bindings are those of `tensors`. */
typedef struct brought {
    heed_binding in[PORT_MAX], out[PORT_MAX], comes;
    heed_tensor tensors[ROWS_MOST];
} brought;

static int32_t bring_all(tape_ranks *r, const tape_call *c, int64_t rows, int whole, brought *b,
                         heed_error *error)
{
    uint32_t n = 0;
    int32_t failed = HEED_OK;
    for (uint32_t k = 0; k < c->n_in + c->n_out + 1 && !failed; k++, n++) {
        const heed_binding *from = k < c->n_in              ? &c->in[k]
                                   : k < c->n_in + c->n_out ? &c->out[k - c->n_in]
                                                            : &c->comes;
        heed_binding *to = k < c->n_in              ? &b->in[k]
                           : k < c->n_in + c->n_out ? &b->out[k - c->n_in]
                                                    : &b->comes;
        *to = (heed_binding){from->port, &b->tensors[n]};
        failed = bring(r, from->tensor, rows, whole, &r->rows[n], &b->tensors[n], error);
    }
    return exchange_wait(&r->group->x, &r->posts, failed, error);
}

/* ---- sums ---- */

static waiting *add_waiting(tape_ranks *r, const tape_weight *of, uint32_t weight, int64_t rows,
                            heed_error *error)
{
    const int64_t floats = heed_tensor_elements(&of->gradient);
    const uint64_t bytes = (uint64_t)(floats * count_nodes(r, own_of(r), rows)) * sizeof(float);
    if (r->n_sums == r->made && !grow_append(&r->sums, &r->made, sizeof *r->sums))
        return error_memory(error), NULL;
    waiting *w = &r->sums[r->n_sums];
    if (tape_room(&w->memory, bytes + 1, error)) return NULL;
    memset(w->memory.data, 0, bytes);
    w->weight = weight, w->floats = floats, w->rows = rows;
    r->n_sums++;
    return w;
}

/* What sums of a call's weights are over: rows of a text, or 0: it needs all texts. */
static int64_t rows_of_call(const tape_ranks *r, const tape_call *c)
{
    const heed_instance *i = c->instance;
    const heed_grad *grad = heed_op_grad(&i->entry->op, i->path);
    const heed_tensor *d = c->comes.tensor;
    const range texts = rows_of(r, own_of(r), 1);
    if (!(grad->flags & HEED_GRAD_ROWS)) return 0;
    return heed_tensor_elements(d) / d->dim[d->rank - 1] / (texts.end - texts.from);
}

/* Rows [from, end) of a tensor of them. */
static heed_tensor cut(const heed_tensor *t, int64_t from, int64_t end)
{
    heed_tensor part = *t;
    part.dim[t->rank - 2] = end - from;
    part = heed_tensor_of((char *)t->data +
                              (uint64_t)(from * t->dim[t->rank - 1]) * heed_dtype_bytes(t->dtype),
                          t->dtype, t->rank, part.dim);
    return part;
}

/* The sums of one node: rows [from, end) of those that were brought. */
static int32_t sum_node(tape *t, const tape_call *c, const brought *b, int64_t from, int64_t end,
                        int64_t node, uint32_t first, heed_error *error)
{
    tape_ranks *r = t->ranks;
    heed_binding in[PORT_MAX], out[PORT_MAX], bound[PORT_MAX + 1];
    heed_tensor part[ROWS_MOST], sum[PORT_MAX];
    uint32_t n = 0, sums = first, at = 0;
    for (uint32_t k = 0; k < c->n_in; k++, at++)
        part[at] = cut(b->in[k].tensor, from, end),
        in[k] = (heed_binding){b->in[k].port, &part[at]};
    for (uint32_t k = 0; k < c->n_out; k++, at++)
        part[at] = cut(b->out[k].tensor, from, end),
        out[k] = (heed_binding){b->out[k].port, &part[at]};
    part[at] = cut(b->comes.tensor, from, end);
    bound[n++] = (heed_binding){b->comes.port, &part[at]};
    for (uint32_t k = 0; k < c->n_weights; k++) {
        const tape_weight *w = &t->weights[c->weights[k].weight];
        if (w->frozen) continue;
        const waiting *to = &r->sums[sums++];
        sum[n] = w->gradient;
        sum[n].data = (float *)to->memory.data + node * to->floats;
        bound[n] = (heed_binding){c->weights[k].port, &sum[n]}, n++;
    }
    return heed_backward(c->instance, in, c->n_in, out, c->n_out, bound, n, error);
}

static int32_t sum_blocks(tape *t, const tape_call *c, int64_t rows, heed_error *error)
{
    tape_ranks *r = t->ranks;
    const range of = blocks_in(r, own_of(r), rows), need = needs(r, own_of(r), rows, 0);
    const int64_t blocks = blocks_of(r->first[count_of(r)] * rows);
    const uint32_t first = r->n_sums;
    brought b;
    int32_t failed = is_aligned(r, rows) ? HEED_OK : agree(r, HEED_OK, error);
    if (!failed) failed = bring_all(r, c, rows, 0, &b, error);
    for (uint32_t k = 0; k < c->n_weights && !failed; k++) {
        const tape_weight *w = &t->weights[c->weights[k].weight];
        if (!w->frozen && !add_waiting(r, w, c->weights[k].weight, rows, error))
            failed = HEED_E_MEMORY;
    }
    int64_t node = 0;
    for (int64_t at = of.from, next; at < of.end && !failed; at = next, node++) {
        next = node_end(at, of.end, blocks);
        const int64_t from = at * HEED_GRAD_BLOCK - need.from,
                      end = next * HEED_GRAD_BLOCK < need.end ? next * HEED_GRAD_BLOCK : need.end;
        failed = sum_node(t, c, &b, from, end - need.from, node, first, error);
    }
    return failed;
}

/* By every rank, of all texts. */
static int32_t sum_whole(tape *t, const tape_call *c, heed_error *error)
{
    tape_ranks *r = t->ranks;
    brought b;
    heed_binding bound[PORT_MAX + 1];
    uint32_t n = 0;
    const int64_t texts = r->first[own_of(r) + 1] - r->first[own_of(r)];
    int32_t failed = HEED_OK;
    for (uint32_t k = 0; k < c->n_weights; k++)
        for (uint32_t s = 0; s < r->n_sums; s++)
            if (r->sums[s].weight == c->weights[k].weight) {
                TRY(tape_ranks_end(t, error));
                break;
            }
    for (uint32_t k = 0; k < c->n_out; k++)
        if (c->out[k].tensor->dim[0] != texts)
            failed = error_set(error, HEED_E_UNSUPPORTED,
                               "%s can not be trained by ranks: its output %s has not the axis of "
                               "texts in front",
                               c->instance->spec, c->out[k].port);
    TRY(agree(r, failed, error));
    TRY(bring_all(r, c, 1, 1, &b, error));
    bound[n++] = b.comes;
    for (uint32_t k = 0; k < c->n_weights; k++) {
        tape_weight *w = &t->weights[c->weights[k].weight];
        if (!w->frozen) bound[n++] = (heed_binding){c->weights[k].port, &w->gradient};
    }
    return heed_backward(c->instance, b.in, c->n_in, b.out, c->n_out, bound, n, error);
}

int tape_ranks_share(const tape *t) { return t->ranks && t->ranks->first; }

int32_t tape_ranks_weights(tape *t, const tape_call *c, heed_error *error)
{
    uint32_t learn = 0;
    for (uint32_t k = 0; k < c->n_weights; k++) learn += !t->weights[c->weights[k].weight].frozen;
    if (!learn) return HEED_OK;
    const int64_t rows = rows_of_call(t->ranks, c);
    return rows ? sum_blocks(t, c, rows, error) : sum_whole(t, c, error);
}

int tape_ranks_inside(const tape *t, const tape_call *c)
{
    const tape_ranks *r = t->ranks;
    const int64_t rows = rows_of_call(r, c);
    return rows && is_aligned(r, rows) && count_nodes(r, own_of(r), rows) == 1;
}

int32_t tape_ranks_gradient(tape *t, const tape_call *c, uint32_t k, heed_tensor *to,
                            heed_error *error)
{
    const uint32_t weight = c->weights[k].weight;
    const waiting *w =
        add_waiting(t->ranks, &t->weights[weight], weight, rows_of_call(t->ranks, c), error);
    if (!w) return HEED_E_MEMORY;
    *to = t->weights[weight].gradient;
    to->data = w->memory.data;
    return HEED_OK;
}

/* ---- the end ---- */

/* The part of so many numbers that a rank adds. */
static range slice_of(const tape_ranks *r, uint32_t rank, int64_t floats)
{
    const int64_t ranks = count_of(r);
    return (range){floats * rank / ranks, floats * (rank + 1) / ranks};
}

/* Floats that a rank sends to another: of each sum and node, in this order, what that one adds. */
static int64_t message_of(const tape_ranks *r, uint32_t from, uint32_t to)
{
    int64_t n = 0;
    for (uint32_t s = 0; s < r->n_sums; s++) {
        const range slice = slice_of(r, to, r->sums[s].floats);
        n += (slice.end - slice.from) * count_nodes(r, from, r->sums[s].rows);
    }
    return n;
}

/* Everybody's part of the sums of all nodes to who adds it; `at` [ranks] has where a rank's begin. */
static int32_t send_parts(tape_ranks *r, float *sent, float *received, const int64_t *at,
                          heed_error *error)
{
    const uint32_t own = own_of(r);
    int32_t failed = HEED_OK;
    for (uint32_t other = 0; other < count_of(r) && !failed; other++) {
        float *to = other == own ? received + at[own] : sent, *begin = to;
        for (uint32_t s = 0; s < r->n_sums; s++) {
            const waiting *w = &r->sums[s];
            const range slice = slice_of(r, other, w->floats);
            for (int64_t node = 0; node < count_nodes(r, own, w->rows); node++) {
                const size_t n = (size_t)(slice.end - slice.from);
                memcpy(to, (float *)w->memory.data + node * w->floats + slice.from, n * sizeof *to);
                to += n;
            }
        }
        if (other == own) continue;
        sent = to;
        failed = exchange_send(&r->group->x, &r->posts, other, begin,
                               (uint64_t)(to - begin) * sizeof *to, error);
        if (!failed)
            failed = exchange_receive(&r->group->x, &r->posts, other, received + at[other],
                                      (uint64_t)message_of(r, other, own) * sizeof *to, error);
    }
    return exchange_wait(&r->group->x, &r->posts, failed, error);
}

/* The nodes of a sum, from the first block on. */
typedef struct walk {
    const tape_ranks *r;
    int64_t rows, blocks, floats;
    uint32_t rank;
    range left; /* of the rank's blocks */
    float **at; /* [ranks] where the next node of each is */
} walk;

/* The sum of blocks [from, from + size), in the memory of the first of its nodes. */
static float *add_nodes(walk *w, int64_t from, int64_t size)
{
    const int64_t end = from + size < w->blocks ? from + size : w->blocks;
    while (w->left.from == w->left.end) w->left = blocks_in(w->r, ++w->rank, w->rows);
    const int64_t next = node_end(from, w->left.end, w->blocks);
    if (next == end) {
        float *node = w->at[w->rank];
        w->at[w->rank] += w->floats;
        w->left.from = next;
        return node;
    }
    float *sum = add_nodes(w, from, size / 2);
    if (from + size / 2 >= w->blocks) return sum;
    const float *more = add_nodes(w, from + size / 2, size / 2);
    for (int64_t i = 0; i < w->floats; i++) sum[i] += more[i];
    return sum;
}

/* This rank's part of all sums. */
static void add_parts(const tape_ranks *r, float *to, float **at)
{
    for (uint32_t s = 0; s < r->n_sums; s++) {
        const waiting *of = &r->sums[s];
        const range slice = slice_of(r, own_of(r), of->floats);
        walk w = {.r = r,
                  .rows = of->rows,
                  .blocks = blocks_of(r->first[count_of(r)] * of->rows),
                  .floats = slice.end - slice.from,
                  .left = blocks_in(r, 0, of->rows),
                  .at = at};
        int64_t size = 1;
        while (size < w.blocks) size *= 2;
        memcpy(to, add_nodes(&w, 0, size), (size_t)w.floats * sizeof *to);
        to += w.floats;
    }
}

/* All parts to the gradients. */
static void add_sums(tape *t, const float *from)
{
    const tape_ranks *r = t->ranks;
    for (uint32_t rank = 0; rank < count_of(r); rank++)
        for (uint32_t s = 0; s < r->n_sums; s++) {
            const range slice = slice_of(r, rank, r->sums[s].floats);
            float *to = (float *)t->weights[r->sums[s].weight].gradient.data + slice.from;
            for (int64_t i = 0; i < slice.end - slice.from; i++) to[i] += *from++;
        }
}

/* Where a rank's message lies, and its part of the sums: floats [ranks + 1] each. */
static int32_t exchange_sums(tape *t, int64_t *message, uint64_t *part, float **at,
                             heed_error *error)
{
    tape_ranks *r = t->ranks;
    const uint32_t own = own_of(r), ranks = count_of(r);
    int64_t sends = 0;
    for (uint32_t k = 0; k < ranks; k++) {
        message[k + 1] = message[k] + message_of(r, k, own);
        part[k + 1] = part[k];
        for (uint32_t s = 0; s < r->n_sums; s++) {
            const range slice = slice_of(r, k, r->sums[s].floats);
            part[k + 1] += (uint64_t)(slice.end - slice.from) * sizeof(float);
        }
        if (k != own) sends += message_of(r, own, k);
    }
    int32_t failed = tape_room(&r->sent, (uint64_t)sends * sizeof(float) + 1, error);
    if (!failed)
        failed = tape_room(&r->received, (uint64_t)message[ranks] * sizeof(float) + 1, error);
    if (!failed) failed = tape_room(&r->added, part[ranks] + 1, error);
    TRY(agree(r, failed, error));
    float *received = r->received.data;
    TRY(send_parts(r, r->sent.data, received, message, error));
    for (uint32_t k = 0; k < ranks; k++) at[k] = received + message[k];
    const uint64_t mode = cpu_float_plain();
    add_parts(r, (float *)(void *)((char *)r->added.data + part[own]), at);
    cpu_float_restore(mode);
    TRY(exchange_gather(&r->group->x, r->added.data, part, error));
    const uint64_t again = cpu_float_plain();
    add_sums(t, r->added.data);
    cpu_float_restore(again);
    r->n_sums = 0;
    return HEED_OK;
}

int32_t tape_ranks_end(tape *t, heed_error *error)
{
    if (!tape_ranks_share(t) || !t->ranks->n_sums) return HEED_OK;
    const size_t ranks = count_of(t->ranks);
    int64_t *message = calloc(ranks + 1, sizeof *message);
    uint64_t *part = calloc(ranks + 1, sizeof *part);
    float **at = calloc(ranks, sizeof *at);
    const int32_t failed =
        message && part && at ? exchange_sums(t, message, part, at, error) : error_memory(error);
    free(message), free(part), free(at);
    return failed;
}

/* ---- the texts of ranks ---- */

int32_t tape_spread(tape *t, heed_group *group, const int64_t *first, heed_error *error)
{
    if (!t->ranks && !(t->ranks = calloc(1, sizeof *t->ranks))) return error_memory(error);
    t->ranks->group = group, t->ranks->first = first;
    t->ranks->n_sums = 0;
    t->texts_before = first ? first[heed_group_rank(group)] : 0;
    return HEED_OK;
}

void tape_ranks_free(tape *t)
{
    tape_ranks *r = t->ranks;
    if (!r) return;
    for (uint32_t s = 0; s < r->made; s++) free(r->sums[s].memory.data);
    for (uint32_t k = 0; k < ROWS_MOST; k++) free(r->rows[k].data);
    free(r->sums), free(r->sent.data), free(r->received.data), free(r->added.data);
    free(r);
}
