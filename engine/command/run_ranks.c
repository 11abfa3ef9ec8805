/* SPDX-License-Identifier: MIT
 *
 * run_ranks.c: one call that ranks share: each takes its share of queries and keys out of the files,
 * and rank 0 puts the shares of the outputs together.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/run_ranks.h"
#include "op/entry.h"
#include "op/group.h"
#include "op/instance.h"

typedef struct job {
    heed_group *g;
    const heed_instance *i;
    const heed_binding *given;
    heed_tensor *part; /* of each binding, what this rank has */
    heed_binding *bound;
    int *axis; /* that is shared; -1: none */
    int64_t T, S;
} job;

/* Which axis of a port's tensor ranks share: keys of k and v, and else queries. */
static int shared_axis(const entry *e, const char *name)
{
    const char letter = !strcmp(name, "k") || !strcmp(name, "v") ? 'S' : 'T';
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        if (strcmp(entry_port(e, p)->name, name) || entry_port(e, p)->role == HEED_WEIGHT) continue;
        for (int a = 0; a < e->axes[p].count; a++)
            if (e->axes[p].letter[a] == letter) return e->axes[p].leading ? -1 : a;
    }
    return -1;
}

/* Copies the share of a rank between a contiguous tensor and one of the share alone. */
static void copy_share(const job *j, uint32_t rank, const heed_tensor *all, char *part, int axis,
                       int gives)
{
    int64_t first[2], count[2], outer = 1;
    uint64_t inner = heed_dtype_bytes(all->dtype);
    for (int a = 0; a < axis; a++) outer *= all->dim[a];
    for (int a = axis + 1; a < all->rank; a++) inner *= (uint64_t)all->dim[a];
    heed_group_share(rank, heed_group_ranks(j->g), all->dim[axis], first, count);
    for (int64_t o = 0; o < outer; o++)
        for (int b = 0; b < 2; b++) {
            char *whole = (char *)all->data + (uint64_t)(o * all->dim[axis] + first[b]) * inner;
            const size_t bytes = (size_t)((uint64_t)count[b] * inner);
            if (gives) memcpy(whole, part, bytes);
            else memcpy(part, whole, bytes);
            part += bytes;
        }
}

static int64_t share_size(const job *j, uint32_t rank, int64_t rows)
{
    int64_t first[2], count[2];
    heed_group_share(rank, heed_group_ranks(j->g), rows, first, count);
    return count[0] + count[1];
}

/* The share of one tensor; files are contiguous. */
static int32_t take_share(job *j, uint32_t n, int reads, heed_error *error)
{
    const heed_tensor *all = j->given[n].tensor;
    heed_tensor *part = &j->part[n];
    const uint32_t rank = heed_group_rank(j->g);
    const int axis = j->axis[n] = shared_axis(j->i->entry, j->given[n].port);
    j->bound[n] = (heed_binding){j->given[n].port, (heed_tensor *)all};
    if (axis < 0 || axis >= all->rank) return j->axis[n] = -1, HEED_OK;
    if (all->dim[axis] == 1 && !strcmp(j->given[n].port, "bias")) return j->axis[n] = -1, HEED_OK;
    int64_t dim[HEED_MAX_RANK];
    memcpy(dim, all->dim, sizeof dim);
    dim[axis] = share_size(j, rank, dim[axis]);
    *part = heed_tensor_of(NULL, all->dtype, all->rank, dim);
    TRY(heed_tensor_alloc(part, error));
    j->bound[n].tensor = part;
    if (!strcmp(j->given[n].port, "q")) j->T = all->dim[axis];
    if (!strcmp(j->given[n].port, "v")) j->S = all->dim[axis];
    if (reads) copy_share(j, rank, all, part->data, axis, 0);
    return HEED_OK;
}

/* Rank 0 gets the others' rows of an output. */
static int32_t collect(job *j, uint32_t n, heed_error *error)
{
    const uint32_t ranks = heed_group_ranks(j->g), rank = heed_group_rank(j->g);
    const heed_tensor *all = j->given[n].tensor, *part = &j->part[n];
    exchange_posts posts = {0};
    if (j->axis[n] < 0) return HEED_OK;
    if (rank) {
        const int32_t failed = exchange_send(&j->g->x, &posts, 0, part->data, part->bytes, error);
        return exchange_wait(&j->g->x, &posts, failed, error);
    }
    copy_share(j, 0, all, part->data, j->axis[n], 1);
    for (uint32_t r = 1; r < ranks; r++) {
        const uint64_t bytes = all->dim[j->axis[n]]
                                   ? all->bytes / (uint64_t)all->dim[j->axis[n]] *
                                         (uint64_t)share_size(j, r, all->dim[j->axis[n]])
                                   : 0;
        char *rows = malloc(bytes + 1);
        int32_t failed = rows ? exchange_receive(&j->g->x, &posts, r, rows, bytes, error)
                              : error_memory(error);
        failed = exchange_wait(&j->g->x, &posts, failed, error);
        if (!failed) copy_share(j, r, all, rows, j->axis[n], 1);
        free(rows);
        TRY(failed);
    }
    return HEED_OK;
}

int32_t run_ranks(heed_group *g, const heed_instance *i, const heed_binding *in, uint32_t n_in,
                  const heed_binding *out, uint32_t n_out, int32_t failed, heed_error *error)
{
    const uint32_t n = n_in + n_out;
    heed_binding *given = calloc(n + (size_t)1, sizeof *given);
    job j = {.g = g,
             .i = i,
             .given = given,
             .T = -1,
             .S = -1,
             .part = calloc(n + (size_t)1, sizeof *j.part),
             .bound = calloc(n + (size_t)1, sizeof *j.bound),
             .axis = calloc(n + (size_t)1, sizeof *j.axis)};
    if (!failed && (!given || !j.part || !j.bound || !j.axis)) failed = error_memory(error);
    if (!failed && !group_partial(i, error)) failed = error->code;
    for (uint32_t b = 0; b < n && !failed; b++) {
        given[b] = b < n_in ? in[b] : out[b - n_in];
        failed = take_share(&j, b, b < n_in, error);
    }
    if (!failed && (j.T < 0 || j.S < 0))
        failed = error_set(error, HEED_E_ARGUMENT, "%s: ranks share q, k and v, and not all of "
                           "them are given", i->entry->op.id);
    failed = heed_group_agree(g, NULL, 0, failed, error);
    if (!failed)
        failed = heed_group_run(g, i, j.bound, n_in, j.bound + n_in, n_out, j.T, j.S, error);
    for (uint32_t b = n_in; b < n && !failed; b++) failed = collect(&j, b, error);
    for (uint32_t b = 0; b < n && j.part; b++) free(j.part[b].data);
    free(j.part), free(j.bound), free(j.axis), free(given);
    return failed;
}
