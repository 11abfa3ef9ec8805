/* SPDX-License-Identifier: MIT
 *
 * session_tree.c: heed_tree, guesses of what comes next, as a tree, read at once. Each path from the
 * root to a leaf is a branch: a fork of the session, which shares its pages. The tokens are the rows
 * of one feed, each once, so that the weights are read once for all; only what remembers takes them by
 * branches:
 *
 *     tree            rows           branches, of the forks
 *     0 - 1 - 2       0 1 2 3 4      0 1 2
 *       \ 3           one product    0 3
 *     4               a row each     4              one call for those of a length
 *
 * So a branch sees a text, and no op knows of trees: masks, positions, codecs and recurrences are what
 * they are, and each token has the bits of its path fed alone. (A mask of ancestors over keys as they
 * lie would add up the weights of a block in another order.)
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/session.h"
#include "model/session_step.h"
#include "op/engine.h"

typedef struct branch {
    heed_session *session;
    int32_t *path; /* [n] rows, from the root on */
    int64_t n;
} branch;

struct heed_tree {
    heed_session *session; /* behind which it stands */
    branch *branches;      /* shorter ones first */
    uint32_t count;
    int64_t start; /* tokens before the tree */
    int64_t n;
    int32_t parent[HEED_TREE_TOKENS];
    int64_t depth[HEED_TREE_TOKENS];   /* 0: a root */
    uint32_t branch[HEED_TREE_TOKENS]; /* one that the token is on */
};

void heed_tree_free(heed_tree *t)
{
    if (!t) return;
    for (uint32_t i = 0; t->branches && i < t->count; i++) {
        heed_session_free(t->branches[i].session);
        free(t->branches[i].path);
    }
    free(t->branches);
    free(t);
}

/* ---- from parents to branches ---- */

static int32_t read_parents(heed_tree *t, const int32_t *parents, heed_error *error)
{
    for (int64_t i = 0; i < t->n; i++) {
        if (parents[i] < -1 || parents[i] >= i)
            return error_set(error, HEED_E_ARGUMENT,
                             "token %lld of the tree has token %d as its parent; a parent comes "
                             "before its children, and that of a root is -1",
                             (long long)i, parents[i]);
        t->parent[i] = parents[i];
        t->depth[i] = parents[i] < 0 ? 0 : t->depth[parents[i]] + 1;
    }
    return HEED_OK;
}

static int is_leaf(const heed_tree *t, int64_t token)
{
    for (int64_t i = token + 1; i < t->n; i++)
        if (t->parent[i] == token) return 0;
    return 1;
}

static int32_t make_branch(heed_tree *t, int64_t leaf, heed_error *error)
{
    branch *b = &t->branches[t->count];
    *b = (branch){.n = t->depth[leaf] + 1};
    b->path = calloc((size_t)b->n, sizeof *b->path);
    if (!b->path) return error_memory(error);
    int32_t token = (int32_t)leaf;
    for (int64_t i = b->n; i > 0; token = t->parent[token]) {
        b->path[--i] = token;
        t->branch[token] = t->count;
    }
    t->count++;
    b->session = heed_session_fork(t->session, error);
    return b->session ? HEED_OK : error->code;
}

static int32_t make_branches(heed_tree *t, heed_error *error)
{
    t->branches = calloc((size_t)t->n, sizeof *t->branches);
    if (!t->branches) return error_memory(error);
    for (int64_t depth = 0; depth < t->n; depth++)
        for (int64_t i = 0; i < t->n; i++)
            if (t->depth[i] == depth && is_leaf(t, i)) TRY(make_branch(t, i, error));
    return HEED_OK;
}

/* ---- the feed ---- */

typedef struct feed {
    heed_tree *tree;
    heed_session *lead; /* lends its buffers */
    const int32_t *tokens;
    float *logits;
    heed_sequence **sequences; /* [branches], of one step */
    char *room;                /* rows of a step, by branches */
    uint64_t bytes;
} feed;

static void place_row_views(feed *f, uint32_t first, uint32_t end)
{
    const heed_stack *stack = f->lead->stack;
    for (uint32_t v = first; v < end; v++) {
        const stack_view *view = &stack->views[v];
        const void *buffer = view->buffer == STACK_TOKENS   ? (const void *)f->tokens
                             : view->buffer == STACK_LOGITS ? (const void *)f->logits
                                                            : f->lead->buffer[view->buffer];
        if (view->rows == STACK_ROWS || view->rows == STACK_TAIL)
            session_place_view(f->lead, v, buffer, 0, f->tree->n);
        else if (view->rows == STACK_ONE) session_place_view(f->lead, v, buffer, 0, 1);
    }
}

/* Copies the rows of a view to where the branches have them, or back. */
static void copy_rows(const branch *b, uint32_t count, char *rows, char *branches, uint64_t bytes,
                      int back)
{
    for (uint32_t i = 0; i < count; i++)
        for (int64_t t = 0; t < b[i].n; t++, branches += bytes) {
            char *row = rows + (uint64_t)b[i].path[t] * bytes;
            if (back) memcpy(row, branches, bytes);
            else memcpy(branches, row, bytes);
        }
}

/* A step that remembers, of `count` branches of one length, in one call. */
static int32_t run_branches(feed *f, const stack_step *step, const branch *b, uint32_t count,
                            heed_error *error)
{
    const heed_stack *stack = f->lead->stack;
    const uint32_t end = step->first + step->n_in;
    char *room = f->room, *out = NULL, *rows_of_out = NULL;
    uint64_t bytes_of_out = 0;
    for (uint32_t u = step->first; u <= end; u++) {
        const uint32_t v = stack->uses[u].view;
        heed_tensor *t = &f->lead->tensors[v];
        if (stack->views[v].rows != STACK_ROWS) continue;
        place_row_views(f, v, v + 1);
        const uint64_t bytes = t->bytes / (uint64_t)f->tree->n;
        char *rows = t->data;
        copy_rows(b, count, rows, room, bytes, 0); /* the output may be an input's view */
        if (u == end) out = room, rows_of_out = rows, bytes_of_out = bytes;
        t->data = room, t->bytes = bytes * count * (uint64_t)b->n;
        t->dim[0] = count, t->dim[1] = b->n, t->stride[0] = b->n * t->stride[1];
        room += (t->bytes + 63) & ~(uint64_t)63;
    }
    for (uint32_t i = 0; i < count; i++) f->sequences[i] = b[i].session->sequences[step->memory];
    const int32_t failed = session_step_run(f->lead, step, f->sequences, error);
    if (!failed && out) copy_rows(b, count, rows_of_out, out, bytes_of_out, 1);
    for (uint32_t u = step->first; u <= end; u++) {
        const uint32_t v = stack->uses[u].view;
        if (stack->views[v].rows == STACK_ROWS) f->lead->tensors[v].dim[0] = 1;
    }
    return failed;
}

static int32_t run_memory(feed *f, const stack_step *step, heed_error *error)
{
    const heed_tree *t = f->tree;
    int32_t failed = HEED_OK;
    for (uint32_t i = 0, n; i < t->count && !failed; i += n) {
        for (n = 1; i + n < t->count && t->branches[i + n].n == t->branches[i].n;) n++;
        failed = run_branches(f, step, &t->branches[i], n, error);
    }
    place_row_views(f, 0, f->lead->stack->n_views);
    return failed;
}

/* Bytes of the rows of a step that remembers, at most, and of all branches at most. */
static uint64_t bytes_by_branches(const feed *f)
{
    const heed_stack *stack = f->lead->stack;
    uint64_t most = 0, rows = 0;
    for (uint32_t i = 0; i < f->tree->count; i++) rows += (uint64_t)f->tree->branches[i].n;
    for (uint32_t n = 0; n < stack->tail; n++) {
        const stack_step *step = &stack->steps[n];
        uint64_t bytes = 0;
        for (uint32_t u = step->first; u <= step->first + step->n_in && step->memory >= 0; u++)
            bytes += f->lead->tensors[stack->uses[u].view].bytes / (uint64_t)f->tree->n * rows + 64;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* All tokens as the rows of one feed. */
static int32_t feed_rows(feed *f, heed_error *error)
{
    heed_session *lead = f->lead;
    const heed_stack *stack = lead->stack;
    const heed_tree *t = f->tree;
    TRY(session_make_room(lead, t->n, error));
    int64_t *position = lead->buffer[STACK_POSITIONS];
    for (int64_t i = 0; i < t->n; i++) position[i] = t->start + t->depth[i];
    session_fill_types(lead, NULL, t->n);
    place_row_views(f, 0, stack->n_views);
    f->bytes = bytes_by_branches(f);
    f->room = aligned_alloc(64, (f->bytes + 127) & ~(uint64_t)63);
    f->sequences = calloc(t->count, sizeof *f->sequences);
    if (!f->room || !f->sequences) return error_memory(error);
    for (uint32_t n = 0; n < stack->tail; n++) {
        const stack_step *step = &stack->steps[n];
        if (stack->engine->trace) trace_layer(stack->engine->trace, step->layer);
        TRY(step->memory < 0 ? session_step_run(lead, step, NULL, error)
                             : run_memory(f, step, error));
    }
    return session_run_tail(lead, f->logits, error);
}

/* Branch by branch, of networks whose rows meet elsewhere too. */
static int32_t feed_branches(feed *f, heed_error *error)
{
    const size_t row = (size_t)f->lead->stack->outputs;
    int32_t tokens[HEED_TREE_TOKENS], failed = HEED_OK;
    float *logits = calloc(HEED_TREE_TOKENS, row * sizeof *logits);
    if (!logits) return error_memory(error);
    for (uint32_t i = 0; i < f->tree->count && !failed; i++) {
        const branch *b = &f->tree->branches[i];
        for (int64_t t = 0; t < b->n; t++) tokens[t] = f->tokens[b->path[t]];
        failed = heed_session_feed(b->session, tokens, b->n, logits, b->n, error);
        for (int64_t t = 0; t < b->n && !failed; t++)
            memcpy(f->logits + (size_t)b->path[t] * row, logits + (size_t)t * row,
                   row * sizeof *logits);
    }
    free(logits);
    return failed;
}

static int32_t read_tree(feed *f, const int32_t *parents, heed_error *error)
{
    heed_tree *t = f->tree;
    int64_t deepest = 0;
    TRY(read_parents(t, parents, error));
    for (int64_t i = 0; i < t->n; i++)
        if (t->depth[i] > deepest) deepest = t->depth[i];
    TRY(session_check_feed(t->session, deepest + 1, deepest + 1, error));
    TRY(make_branches(t, error));
    if (session_many_one_by_one(t->session->stack) || t->session->stack->whole)
        return feed_branches(f, error);
    TRY(feed_rows(f, error));
    for (uint32_t i = 0; i < t->count; i++) t->branches[i].session->length += t->branches[i].n;
    return HEED_OK;
}

heed_tree *heed_tree_read(heed_session *session, const int32_t *tokens, const int32_t *parents,
                          int64_t n, float *logits, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (n < 1 || n > HEED_TREE_TOKENS || !tokens || !parents || !logits) {
        if (n < 1 || n > HEED_TREE_TOKENS)
            error_set(error, HEED_E_ARGUMENT, "a tree has %lld tokens; 1 to %d is right",
                      (long long)n, HEED_TREE_TOKENS);
        else
            error_set(error, HEED_E_ARGUMENT, "the %s of a tree are NULL",
                      !tokens    ? "tokens"
                      : !parents ? "parents"
                                 : "logits");
        return NULL;
    }
    heed_tree *tree = calloc(1, sizeof *tree);
    if (!tree) return error_memory(error), NULL;
    tree->session = session, tree->start = session->length, tree->n = n;
    feed f = {.tree = tree, .lead = session, .tokens = tokens, .logits = logits};
    const int32_t failed = read_tree(&f, parents, error);
    free(f.room), free(f.sequences);
    if (failed) heed_tree_free(tree), tree = NULL;
    return tree;
}

int32_t heed_tree_accept(heed_tree *t, int64_t token, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (token < 0 || token >= t->n)
        return error_set(error, HEED_E_ARGUMENT,
                         "token %lld of a tree of %lld is accepted; 0 to %lld is right",
                         (long long)token, (long long)t->n, (long long)t->n - 1);
    heed_session *twin = heed_session_fork(t->branches[t->branch[token]].session, error);
    if (!twin) return error->code;
    int32_t failed = heed_session_truncate(twin, t->start + t->depth[token] + 1, error);
    if (!failed) {
        heed_sequence **old = t->session->sequences;
        t->session->sequences = twin->sequences, twin->sequences = old;
        t->session->length = twin->length, t->session->broken = 0;
    }
    heed_session_free(twin);
    return failed;
}
