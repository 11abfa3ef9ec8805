/* SPDX-License-Identifier: MIT
 *
 * run_ranks.c: one call that ranks share: each takes its share of queries and keys out of whole
 * tensors, and rank 0 puts the shares of the outputs together.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/run_ranks.h"
#include "op/entry.h"
#include "op/group.h"
#include "op/instance.h"

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
static void copy_share(const run_ranks *r, uint32_t rank, const heed_tensor *all, char *part,
                       int axis, int gives)
{
    int64_t first[2], count[2], outer = 1;
    uint64_t inner = heed_dtype_bytes(all->dtype);
    for (int a = 0; a < axis; a++) outer *= all->dim[a];
    for (int a = axis + 1; a < all->rank; a++) inner *= (uint64_t)all->dim[a];
    heed_group_share(rank, heed_group_ranks(r->group), all->dim[axis], first, count);
    for (int64_t o = 0; o < outer; o++)
        for (int b = 0; b < 2; b++) {
            char *whole = (char *)all->data + (uint64_t)(o * all->dim[axis] + first[b]) * inner;
            const size_t bytes = (size_t)((uint64_t)count[b] * inner);
            memcpy(gives ? whole : part, gives ? part : whole, bytes);
            part += bytes;
        }
}

static int64_t share_size(const run_ranks *r, uint32_t rank, int64_t rows)
{
    int64_t first[2], count[2];
    heed_group_share(rank, heed_group_ranks(r->group), rows, first, count);
    return count[0] + count[1];
}

/* The share of one tensor. An axis that a tensor has once for all stays. */
static int32_t take_share(run_ranks *r, uint32_t n, heed_error *error)
{
    const heed_tensor *all = r->given[n].tensor;
    const char *port = r->given[n].port;
    const uint32_t rank = heed_group_rank(r->group);
    const int axis = shared_axis(r->instance->entry, port);
    int64_t dim[HEED_MAX_RANK];
    r->bound[n] = r->given[n], r->axis[n] = -1;
    if (axis < 0 || axis >= all->rank || (all->dim[axis] == 1 && !strcmp(port, "bias")))
        return HEED_OK;
    memcpy(dim, all->dim, sizeof dim);
    dim[axis] = share_size(r, rank, dim[axis]);
    r->part[n] = heed_tensor_of(NULL, all->dtype, all->rank, dim);
    TRY(heed_tensor_alloc(&r->part[n], error));
    r->bound[n].tensor = &r->part[n], r->axis[n] = axis;
    if (!strcmp(port, "q")) r->queries = all->dim[axis];
    if (!strcmp(port, "v")) r->keys = all->dim[axis];
    if (n < r->n_in) copy_share(r, rank, all, r->part[n].data, axis, 0);
    return HEED_OK;
}

int32_t run_ranks_take(run_ranks *r, heed_group *group, const heed_instance *instance,
                       const heed_binding *in, uint32_t n_in, const heed_binding *out,
                       uint32_t n_out, heed_error *error)
{
    const uint32_t n = n_in + n_out;
    *r = (run_ranks){.group = group,
                     .instance = instance,
                     .n_in = n_in,
                     .n_out = n_out,
                     .queries = -1,
                     .keys = -1,
                     .given = calloc(n + (size_t)1, sizeof *r->given),
                     .bound = calloc(n + (size_t)1, sizeof *r->bound),
                     .part = calloc(n + (size_t)1, sizeof *r->part),
                     .axis = calloc(n + (size_t)1, sizeof *r->axis)};
    if (!r->given || !r->bound || !r->part || !r->axis) return error_memory(error);
    TRY(group_check(instance, error));
    for (uint32_t b = 0; b < n; b++) {
        r->given[b] = b < n_in ? in[b] : out[b - n_in];
        TRY(take_share(r, b, error));
    }
    if (r->queries >= 0 && r->keys >= 0) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "%s: ranks share q, k and v, and not all of them are given",
                     instance->entry->op.id);
}

int32_t run_ranks_call(const run_ranks *r, heed_error *error)
{
    return heed_group_run(r->group, r->instance, r->bound, r->n_in, r->bound + r->n_in, r->n_out,
                          r->queries, r->keys, error);
}

/* Rank 0 gets the others' rows of an output. */
static int32_t collect(const run_ranks *r, uint32_t n, heed_error *error)
{
    const uint32_t ranks = heed_group_ranks(r->group);
    const heed_tensor *all = r->given[n].tensor, *part = &r->part[n];
    const int axis = r->axis[n];
    exchange *x = &r->group->x;
    exchange_posts posts = {0};
    if (axis < 0 || !heed_tensor_elements(all)) return HEED_OK;
    if (heed_group_rank(r->group)) {
        const int32_t failed = exchange_send(x, &posts, 0, part->data, part->bytes, error);
        return exchange_wait(x, &posts, failed, error);
    }
    const uint64_t row = all->bytes / (uint64_t)all->dim[axis];
    copy_share(r, 0, all, part->data, axis, 1);
    for (uint32_t other = 1; other < ranks; other++) {
        const uint64_t bytes = row * (uint64_t)share_size(r, other, all->dim[axis]);
        char *rows = malloc(bytes + 1);
        int32_t failed =
            rows ? exchange_receive(x, &posts, other, rows, bytes, error) : error_memory(error);
        failed = exchange_wait(x, &posts, failed, error);
        if (!failed) copy_share(r, other, all, rows, axis, 1);
        free(rows);
        TRY(failed);
    }
    return HEED_OK;
}

int32_t run_ranks_collect(const run_ranks *r, heed_error *error)
{
    for (uint32_t n = r->n_in; n < r->n_in + r->n_out; n++) TRY(collect(r, n, error));
    return HEED_OK;
}

void run_ranks_free(run_ranks *r)
{
    for (uint32_t n = 0; n < r->n_in + r->n_out && r->part; n++) free(r->part[n].data);
    free(r->part), free(r->bound), free(r->given), free(r->axis);
    *r = (run_ranks){0};
}

int32_t run_ranks_whole(heed_group *group, const heed_instance *instance, const heed_binding *in,
                        uint32_t n_in, const heed_binding *out, uint32_t n_out, int32_t failed,
                        heed_error *error)
{
    run_ranks r = {0};
    if (!failed) failed = run_ranks_take(&r, group, instance, in, n_in, out, n_out, error);
    failed = heed_group_agree(group, NULL, 0, failed, error);
    if (!failed) failed = run_ranks_call(&r, error);
    if (!failed) failed = run_ranks_collect(&r, error);
    run_ranks_free(&r);
    return failed;
}
