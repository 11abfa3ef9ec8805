/* SPDX-License-Identifier: MIT
 *
 * tape.c: the steps of a network forwards and backwards. tape_build.c makes them of a stack.
 *
 * A gradient lies in a block that several values may share, as the two terms of a sum do: it is
 * written only while it has one owner. Invariant: between calls no value has a gradient.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/engine.h"
#include "op/instance.h"
#include "run/trace.h"
#include "train/tape_inside.h"

/* ---- memory ---- */

/* A block that nobody has, of the shape of a value. NULL: no memory. */
static tape_block *take_block(tape *t, int64_t floats, heed_error *error)
{
    tape_block *best = NULL;
    const uint64_t bytes = (uint64_t)floats * sizeof(float);
    for (tape_block *b = t->blocks; b; b = b->next)
        if (!b->owners &&
            (!best || (best->memory.bytes < bytes
                           ? b->memory.bytes >= bytes
                           : b->memory.bytes >= bytes && b->memory.bytes < best->memory.bytes)))
            best = b;
    if (!best) {
        if (!(best = calloc(1, sizeof *best))) return error_memory(error), NULL;
        best->next = t->blocks, t->blocks = best;
    }
    if (tape_room(&best->memory, bytes, error)) return NULL;
    best->owners = 1;
    return best;
}

static void give_block(tape_block *b)
{
    if (b) b->owners--;
}

static void drop_gradients(tape *t)
{
    for (uint32_t v = 0; v < t->n_values; v++) {
        give_block(t->values[v].gradient);
        t->values[v].gradient = NULL;
    }
}

void tape_free(tape *t)
{
    if (!t) return;
    for (uint32_t v = 0; v < t->n_values; v++) free(t->values[v].memory.data);
    for (uint32_t s = 0; s < t->n_steps; s++) {
        for (uint32_t k = 0; k < t->steps[s].n_kept; k++) free(t->steps[s].kept[k].memory.data);
        free(t->steps[s].kept);
        tape_reach_free(&t->steps[s]);
        free(t->steps[s].keep.data);
        free(t->steps[s].weights);
    }
    for (tape_block *b = t->blocks, *next; b; b = next) {
        next = b->next;
        free(b->memory.data);
        free(b);
    }
    heed_instance_close(t->add);
    free(t->values);
    free(t->use);
    free(t->flow);
    free(t->heads);
    free(t->halting);
    tape_recall_free(t);
    tape_ranks_free(t);
    free(t->tensors);
    free(t->steps);
    free(t);
}

const double *tape_seconds(const tape *t) { return t->seconds; }

uint64_t tape_bytes(const tape *t)
{
    uint64_t bytes = 0;
    for (uint32_t v = 0; v < t->n_values; v++) bytes += t->values[v].memory.bytes;
    for (uint32_t s = 0; s < t->n_steps; s++)
        for (uint32_t k = 0; k < t->steps[s].n_kept; k++) bytes += t->steps[s].kept[k].memory.bytes;
    for (uint32_t s = 0; s < t->n_steps; s++) bytes += t->steps[s].keep.bytes;
    for (const tape_block *b = t->blocks; b; b = b->next) bytes += b->memory.bytes;
    return bytes;
}

/* ---- tensors ---- */

/* Rows of a value: one a token, or one a sequence. */
static int64_t rows_of(const tape *t, uint32_t rows)
{
    return rows == STACK_ONE ? t->batch : t->batch * t->length[rows == STACK_SOURCE];
}

static int64_t floats_of(const tape *t, uint32_t value)
{
    return rows_of(t, t->values[value].rows) * t->values[value].span;
}

static void *data_of(const tape *t, uint32_t value)
{
    const tape_value *v = &t->values[value];
    return v->given ? (void *)v->given : t->values[v->in].memory.data;
}

/* The view of a use on these numbers. */
static heed_tensor view_of(const tape *t, uint32_t use, void *data)
{
    const stack_view *v = &t->stack->views[t->stack->uses[use].view];
    const uint32_t rows = t->values[t->use[use]].rows;
    int64_t dim[HEED_MAX_RANK];
    memcpy(dim, v->dim, sizeof dim);
    dim[0] = t->batch;
    if (rows != STACK_ONE) dim[1] = t->length[rows == STACK_SOURCE];
    return heed_tensor_of(data, v->dtype, v->rank, dim);
}

/* The inputs of an op: those of the network, and the lengths of its texts. */
static uint32_t inputs_of(tape *t, const tape_step *s, heed_binding *in)
{
    uint32_t n = 0;
    for (; n < s->of->n_in; n++)
        in[n] =
            (heed_binding){t->stack->uses[s->of->first + n].port, &t->tensors[s->of->first + n]};
    if (s->lengths < TAPE_TEXTS && t->lengths[s->lengths].data)
        in[n++] = (heed_binding){"key_lengths", &t->lengths[s->lengths]};
    return n;
}

/* The outputs that backward reads beside the one that flows on. */
static int32_t place_kept(tape *t, tape_step *s, heed_error *error)
{
    heed_binding in[PORT_MAX];
    const uint32_t n = inputs_of(t, s, in);
    for (uint32_t k = 0; k < s->n_kept; k++) {
        tape_kept *kept = &s->kept[k];
        heed_tensor shape;
        TRY(heed_infer(s->of->instance, in, n, kept->port, &shape, error));
        TRY(tape_room(&kept->memory,
                      (uint64_t)heed_tensor_elements(&shape) * heed_dtype_bytes(shape.dtype),
                      error));
        kept->tensor = heed_tensor_of(kept->memory.data, shape.dtype, shape.rank, shape.dim);
    }
    return tape_reach_place(s, in, n, error);
}

/* Positions, and types, which are all 0, of one of both texts. */
static int32_t place_given(tape *t, uint32_t text, heed_error *error)
{
    tape_value *positions = &t->values[TAPE_VALUES_OF * text + TAPE_VALUE_POSITIONS],
               *types = &t->values[TAPE_VALUES_OF * text + TAPE_VALUE_TYPES];
    const int64_t length = t->length[text], n = t->batch * length;
    TRY(tape_room(&positions->memory, (uint64_t)n * sizeof(int64_t), error));
    if (!t->stack->typed) return HEED_OK;
    TRY(tape_room(&types->memory, (uint64_t)n * sizeof(int32_t), error));
    memset(types->memory.data, 0, (size_t)n * sizeof(int32_t));
    return HEED_OK;
}

/* Memory for all values, whose sizes have changed. */
static int32_t place_values(tape *t, heed_error *error)
{
    for (uint32_t text = 0; text < TAPE_TEXTS; text++)
        if (t->length[text]) TRY(place_given(t, text, error));
    for (uint32_t v = TAPE_VALUES_GIVEN; v < t->n_values; v++) {
        const tape_value *at = &t->values[v];
        const int64_t n = floats_of(t, v);
        if (at->in != v) continue;
        TRY(tape_room(&t->values[v].memory, (uint64_t)n * sizeof(float), error));
        for (int64_t i = 0; at->constant && i < n; i++) ((float *)at->memory.data)[i] = at->fill;
    }
    return HEED_OK;
}

/* A segment goes on behind those before it. */
static void fill_positions(tape *t)
{
    for (uint32_t text = 0; text < TAPE_TEXTS; text++) {
        const tape_value *v = &t->values[TAPE_VALUES_OF * text + TAPE_VALUE_POSITIONS];
        const int64_t length = t->length[text], first = t->follows ? t->start : 0;
        for (int64_t i = 0; i < t->batch * length; i++)
            ((int64_t *)v->memory.data)[i] = first + i % length;
    }
}

/* All tensors for a batch. */
static int32_t place_all(tape *t, const heed_batch *b, int same, heed_error *error)
{
    const int32_t *tokens[TAPE_TEXTS] = {b->tokens, b->source},
                  *lengths[TAPE_TEXTS] = {b->lengths, b->source_lengths};
    t->batch = b->texts, t->length[TAPE_TEXT] = b->length,
    t->length[TAPE_SOURCE] = b->source_length;
    for (uint32_t text = 0; text < TAPE_TEXTS; text++) {
        t->values[TAPE_VALUES_OF * text + TAPE_VALUE_TOKENS].given = tokens[text];
        t->lengths[text] = heed_tensor_of((void *)lengths[text], HEED_I32, 1, &b->texts);
    }
    if (!same) TRY(place_values(t, error));
    fill_positions(t);
    for (uint32_t s = 0; s < t->n_steps; s++) {
        const stack_step *of = t->steps[s].of;
        if (!of) continue;
        for (uint32_t u = of->first; u <= of->first + of->n_in; u++)
            t->tensors[u] = view_of(t, u, data_of(t, t->use[u]));
        if (!same) TRY(place_kept(t, &t->steps[s], error));
    }
    return HEED_OK;
}

static int32_t place(tape *t, const heed_batch *b, heed_error *error)
{
    const int same = t->batch == b->texts && t->length[TAPE_TEXT] == b->length &&
                     t->length[TAPE_SOURCE] == b->source_length;
    const int32_t failed = place_all(t, b, same, error);
    if (failed) t->batch = 0; /* nothing is there */
    return failed;
}

/* ---- what learns ---- */

void tape_refresh(tape *t)
{
    for (uint32_t k = 0; k < t->n_steps; k++) {
        const tape_step *s = &t->steps[k];
        int learns = !s->of && t->values[s->from].learns;
        if (s->kind == TAPE_SELECT) learns |= t->values[s->other].learns;
        for (uint32_t w = 0; w < s->n_weights; w++)
            learns |= !t->weights[s->weights[w].weight].frozen;
        for (uint32_t u = 0; s->of && u < s->of->n_in; u++)
            learns |= t->values[t->use[s->of->first + u]].learns;
        t->values[s->to].learns = learns;
    }
}

/* ---- forwards ---- */

static heed_tensor results_of(const tape *t, void *data)
{
    const int one = t->values[t->result].rows == STACK_ONE;
    const int64_t row[] = {t->batch, t->length[TAPE_TEXT], t->stack->outputs},
                  text[] = {t->batch, t->stack->outputs};
    return heed_tensor_of(data, HEED_F32, one ? 2 : 3, one ? text : row);
}

/* Whether a row is a token of a text, and does not lie behind its end. */
static int is_text(const tape *t, uint32_t text, int64_t row)
{
    const int32_t *lengths = t->lengths[text].data;
    return !lengths || row % t->length[text] < lengths[row / t->length[text]];
}

static int32_t run_op(tape *t, const tape_step *s, heed_error *error)
{
    const stack_step *of = s->of;
    heed_binding in[PORT_MAX], out[PORT_MAX];
    const uint32_t n_in = inputs_of(t, s, in);
    uint32_t n = 0;
    /* x + y is written over y, as an op in place writes over its first input: y is not read again */
    const int recalls = s->recall && t->follows;
    if (recalls) TRY(tape_recall_bind(t, s, in, error));
    if (s->kind == TAPE_SUM && t->values[s->to].in != s->to)
        in[0].tensor = &t->tensors[of->first + 1], in[1].tensor = &t->tensors[of->first];
    out[n++] = (heed_binding){t->stack->uses[of->first + of->n_in].port,
                              &t->tensors[of->first + of->n_in]};
    for (uint32_t k = 0; k < s->n_kept; k++)
        out[n++] = (heed_binding){s->kept[k].port, &s->kept[k].tensor};
    if (s->reach) out[n++] = (heed_binding){"reach", &s->reach->tensor};
    return heed_run(recalls ? t->recalls[s->recall - 1].later : of->instance, in, n_in, out, n,
                    NULL, error);
}

/* What is left out at a place of the network; where nothing is, the numbers go on. */
static int32_t run_drop(tape *t, tape_step *s, const dropout *drop, heed_error *error)
{
    const float *from = data_of(t, s->from);
    float *to = data_of(t, s->to);
    const int64_t n = floats_of(t, s->to);
    if (!drop) {
        if (from != to) memcpy(to, from, (size_t)n * sizeof *to);
        return HEED_OK;
    }
    dropout here = *drop;
    here.place = s->place, here.first = n / t->batch * t->texts_before;
    TRY(tape_room(&s->keep, (uint64_t)n, error));
    return dropout_run(t->stack->engine, &here, s->keep.data, to, from, n, error);
}

/* Whether a token runs through a layer, by what it has given to those before: 1 if it has halted. */
static int runs(const tape *t, uint32_t before, int64_t row)
{
    return !(((const float *)data_of(t, before))[row] >= 1);
}

static void run_select(const tape *t, const tape_step *s)
{
    const float *from = data_of(t, s->from), *other = data_of(t, s->other);
    float *to = data_of(t, s->to);
    const int64_t span = t->values[s->to].span, rows = rows_of(t, t->values[s->to].rows);
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * span, (runs(t, s->before, r) ? from : other) + r * span,
               (size_t)span * sizeof *to);
}

static void count_time(tape *t, const tape_step *s, int64_t begin)
{
    t->seconds[s->counts] += 1e-9 * (double)(trace_now() - begin);
}

/* That the texts are what this network takes. */
static int32_t check_lengths(const tape *t, const heed_batch *b, heed_error *error)
{
    const int32_t *lengths[TAPE_TEXTS] = {b->lengths, b->source_lengths};
    const int64_t most[TAPE_TEXTS] = {b->length, b->source_length};
    for (uint32_t text = 0; text < TAPE_TEXTS; text++) {
        if (!lengths[text]) continue;
        if (t->unequal)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "%s can not be told how long a text is (it has no key_lengths), so "
                             "texts of different lengths can not be in one batch",
                             t->unequal);
        for (int64_t i = 0; i < b->texts; i++)
            if (lengths[text][i] < 1 || lengths[text][i] > most[text])
                return error_set(error, HEED_E_ARGUMENT,
                                 "text %lld has %d tokens; 1 to %lld is right", (long long)i,
                                 lengths[text][i], (long long)most[text]);
    }
    return HEED_OK;
}

int32_t tape_forward(tape *t, const heed_batch *batch, const dropout *drop, int learns,
                     heed_tensor *results, heed_error *error)
{
    const int remembers = learns && t->memory > 0;
    TRY(check_lengths(t, batch, error));
    if (remembers && !batch->follows) t->have = t->start = 0;
    t->follows = remembers && t->have > 0;
    if (t->follows && batch->texts != t->recalls[0].kept_tensor[0].dim[0])
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld texts follow %lld; each goes on, so as many are right",
                         (long long)batch->texts, (long long)t->recalls[0].kept_tensor[0].dim[0]);
    TRY(place(t, batch, error));
    for (uint32_t k = 0; k < t->n_steps; k++) {
        tape_step *s = &t->steps[k];
        const int64_t begin = trace_now();
        if (s->of) TRY(run_op(t, s, error));
        else if (s->kind == TAPE_SELECT) run_select(t, s);
        else TRY(run_drop(t, s, drop, error));
        count_time(t, s, begin);
    }
    *results = results_of(t, data_of(t, t->result));
    return HEED_OK;
}

/* ---- tokens that halt ---- */

int64_t tape_ponder(const tape *t, double *steps, double *rest)
{
    int64_t tokens = 0;
    *steps = *rest = 0;
    for (uint32_t h = 0; h < t->n_halting; h++) {
        const tape_halting *at = &t->halting[h];
        const float *before = data_of(t, at->before);
        for (int64_t r = 0; r < rows_of(t, t->values[at->before].rows); r++) {
            if (!is_text(t, at->text, r) || !runs(t, at->before, r) || runs(t, at->after, r))
                continue;
            tokens++;
            *steps += (double)at->layer + 1;
            *rest += 1 - (double)before[r];
        }
    }
    return tokens;
}

int tape_halts(const tape *t) { return t->n_halting > 0; }

/* ---- backwards ---- */

/* to += from, gradients of a value; by rows, which lanes share. */
static int32_t add_blocks(tape *t, uint32_t value, tape_block *to, tape_block *from,
                          heed_error *error)
{
    const int64_t dim[] = {rows_of(t, t->values[value].rows), t->values[value].span};
    heed_tensor x = heed_tensor_of(to->memory.data, HEED_F32, 2, dim),
                y = heed_tensor_of(from->memory.data, HEED_F32, 2, dim);
    const heed_binding in[] = {{"x", &x}, {"y", &y}}, out = {"out", &x};
    return heed_run(t->add, in, 2, &out, 1, NULL, error);
}

/* Adds a gradient to that of a value. The block is the value's from now on, also after a failure. */
static int32_t hand_back(tape *t, uint32_t value, tape_block *more, heed_error *error)
{
    tape_value *v = &t->values[value];
    tape_block *old = v->gradient;
    int32_t failed = HEED_OK;
    if (!v->learns) return give_block(more), HEED_OK;
    v->gradient = more;
    if (!old) return HEED_OK;
    if (more->owners > 1 && old->owners == 1)
        v->gradient = old, old = more; /* a sum's terms in either order have the same bits */
    if (v->gradient->owners > 1) {
        tape_block *own = take_block(t, floats_of(t, value), error);
        failed = own ? HEED_OK : HEED_E_MEMORY;
        if (own) {
            memcpy(own->memory.data, v->gradient->memory.data,
                   (size_t)floats_of(t, value) * sizeof(float));
            give_block(v->gradient);
            v->gradient = own;
        }
    }
    if (!failed) failed = add_blocks(t, value, v->gradient, old, error);
    give_block(old);
    return failed;
}

/* Of a sum the gradient goes to both terms as it is. */
static int32_t sum_backward(tape *t, const tape_step *s, tape_block *d, heed_error *error)
{
    for (uint32_t k = 0; k < 2; k++) {
        d->owners++;
        TRY(hand_back(t, t->use[s->of->first + k], d, error));
    }
    return HEED_OK;
}

static int32_t drop_backward(tape *t, const tape_step *s, const dropout *drop, tape_block *d,
                             heed_error *error)
{
    const int64_t n = floats_of(t, s->to);
    tape_block *to = d;
    if (drop && d->owners > 1) to = take_block(t, n, error);
    else d->owners++;
    if (!to) return HEED_E_MEMORY;
    if (drop) {
        const int32_t failed = dropout_again(t->stack->engine, drop, s->keep.data, to->memory.data,
                                             d->memory.data, n, error);
        if (failed) return give_block(to), failed;
    }
    return hand_back(t, s->from, to, error);
}

/* Each row's gradient goes to where its numbers came from. */
static int32_t select_backward(tape *t, const tape_step *s, tape_block *d, heed_error *error)
{
    const int64_t span = t->values[s->to].span, rows = rows_of(t, t->values[s->to].rows);
    for (int halted = 0; halted < 2; halted++) {
        const uint32_t value = halted ? s->other : s->from;
        if (!t->values[value].learns) continue;
        tape_block *to = take_block(t, rows * span, error);
        if (!to) return HEED_E_MEMORY;
        memcpy(to->memory.data, d->memory.data, (size_t)(rows * span) * sizeof(float));
        for (int64_t r = 0; r < rows; r++)
            if (runs(t, s->before, r) == halted)
                memset((float *)to->memory.data + r * span, 0, (size_t)span * sizeof(float));
        TRY(hand_back(t, value, to, error));
    }
    return HEED_OK;
}

/* The gradients of weights that a step's own backward gives; `own` has room for their tensors. */
static int32_t bind_weights(tape *t, const tape_call *c, int apart, heed_binding *bound,
                            uint32_t *n, heed_tensor *own, heed_error *error)
{
    const int shared = tape_ranks_share(t);
    for (uint32_t k = 0; k < c->n_weights && !apart; k++) {
        tape_weight *w = &t->weights[c->weights[k].weight];
        if (w->frozen) continue;
        if (shared) TRY(tape_ranks_gradient(t, c, k, &own[k], error));
        bound[(*n)++] = (heed_binding){c->weights[k].port, shared ? &own[k] : &w->gradient};
    }
    return HEED_OK;
}

static int32_t op_backward(tape *t, const tape_step *s, tape_block *d, heed_error *error)
{
    const stack_step *of = s->of;
    const uint32_t last = of->first + of->n_in;
    heed_binding in[PORT_MAX], out[PORT_MAX], bound[2 * PORT_MAX];
    heed_tensor gradient[PORT_MAX + 1], own[PORT_MAX];
    tape_block *block[PORT_MAX] = {NULL};
    const uint32_t n_in = inputs_of(t, s, in);
    uint32_t n_out = 0, n = 0;
    tape_recall *r = s->recall && t->follows ? &t->recalls[s->recall - 1] : NULL;
    const heed_instance *run = r ? r->later : of->instance;
    int32_t failed = HEED_OK;
    for (int w = 0; w < 2 && r; w++) in[r->at[w]].tensor = &r->tensor[w];
    for (uint32_t k = 0; k < of->n_in && !failed; k++) {
        const int64_t floats = heed_tensor_elements(in[k].tensor);
        if (!t->values[t->use[of->first + k]].learns) continue;
        if (!(block[k] = take_block(t, floats, error))) failed = HEED_E_MEMORY;
        else {
            gradient[k] = heed_tensor_of(block[k]->memory.data, HEED_F32, in[k].tensor->rank,
                                         in[k].tensor->dim);
            bound[n++] = (heed_binding){in[k].port, &gradient[k]};
        }
    }
    if (s->reads_out) out[n_out++] = (heed_binding){t->stack->uses[last].port, &t->tensors[last]};
    for (uint32_t k = 0; k < s->n_kept; k++)
        out[n_out++] = (heed_binding){s->kept[k].port, (heed_tensor *)&s->kept[k].tensor};
    gradient[PORT_MAX] = view_of(t, last, d->memory.data);
    bound[n++] = (heed_binding){t->stack->uses[last].port, &gradient[PORT_MAX]};
    const tape_call call = {run, in, out, n_in, n_out, bound[n - 1], s->weights, s->n_weights};
    heed_tensor *reach = tape_reach_cost(t, s);
    if (reach) bound[n++] = (heed_binding){"reach", reach};
    const int apart = tape_ranks_share(t) && !tape_ranks_inside(t, &call);
    if (!failed) failed = bind_weights(t, &call, apart, bound, &n, own, error);
    if (!failed && (n > 1 || !apart))
        failed = heed_backward(run, in, n_in, out, n_out, bound, n, error);
    if (!failed && apart) failed = tape_ranks_weights(t, &call, error);
    for (int w = 0; w < 2 && r && !failed; w++)
        if (block[r->at[w]]) tape_recall_cut(t, &gradient[r->at[w]]);
    for (uint32_t k = 0; k < of->n_in; k++)
        if (failed) give_block(block[k]);
        else if (block[k]) failed = hand_back(t, t->use[of->first + k], block[k], error);
    return failed;
}

int32_t tape_gradient(tape *t, heed_tensor *gradient, heed_error *error)
{
    tape_value *v = &t->values[t->result];
    drop_gradients(t);
    if (!(v->gradient = take_block(t, floats_of(t, t->result), error))) return HEED_E_MEMORY;
    *gradient = results_of(t, v->gradient->memory.data);
    return HEED_OK;
}

/* How many layers a token runs through is a constant; of what is left for the last one each share
 * that it has given before takes away (arXiv 1603.08983, section 2.1). */
int32_t tape_ponder_backward(tape *t, double factor, heed_error *error)
{
    for (uint32_t h = 0; h < t->n_halting; h++) {
        const tape_halting *at = &t->halting[h];
        const int64_t rows = rows_of(t, t->values[at->before].rows);
        if (!t->values[at->before].learns) continue;
        tape_block *d = take_block(t, rows, error);
        if (!d) return HEED_E_MEMORY;
        for (int64_t r = 0; r < rows; r++) {
            const int here =
                is_text(t, at->text, r) && runs(t, at->before, r) && !runs(t, at->after, r);
            ((float *)d->memory.data)[r] = here ? (float)-factor : 0.0f;
        }
        TRY(hand_back(t, at->before, d, error));
    }
    return HEED_OK;
}

/* ---- classifiers beside the network ---- */

int32_t tape_add_head(tape *t, int64_t layer, const heed_instance *projection, uint32_t weight,
                      uint32_t *head, heed_error *error)
{
    tape_head *h = grow_append(&t->heads, &t->n_heads, sizeof *h);
    if (!h) return error_memory(error);
    *h = (tape_head){projection, t->flow[layer], weight};
    *head = t->n_heads - 1;
    return HEED_OK;
}

static void end_head(tape *t)
{
    give_block(t->head_results), give_block(t->head_gradient);
    t->head_results = t->head_gradient = NULL;
}

/* What flows there, as rows. */
static heed_tensor flow_of(const tape *t, const tape_head *h, void *data)
{
    return heed_tensor_of(data, HEED_F32, 3,
                          (int64_t[]){t->batch, t->length[TAPE_TEXT], t->values[h->value].span});
}

static heed_tensor scores_of(const tape *t, const tape_head *h, void *data)
{
    return heed_tensor_of(
        data, HEED_F32, 3,
        (int64_t[]){t->batch, t->length[TAPE_TEXT], t->weights[h->weight].weight->dim[0]});
}

int32_t tape_head_forward(tape *t, uint32_t head, heed_tensor *results, heed_tensor *gradient,
                          heed_error *error)
{
    const tape_head *h = &t->heads[head];
    const int64_t begin = trace_now(),
                  n = t->batch * t->length[TAPE_TEXT] * t->weights[h->weight].weight->dim[0];
    end_head(t);
    t->head_results = take_block(t, n, error);
    t->head_gradient = t->head_results ? take_block(t, n, error) : NULL;
    if (!t->head_gradient) return end_head(t), HEED_E_MEMORY;
    *results = scores_of(t, h, t->head_results->memory.data);
    *gradient = scores_of(t, h, t->head_gradient->memory.data);
    heed_tensor x = flow_of(t, h, data_of(t, h->value));
    const heed_binding in = {"x", &x}, out = {"out", results};
    const int32_t failed = heed_run(h->projection, &in, 1, &out, 1, NULL, error);
    if (failed) end_head(t);
    t->seconds[TAPE_PRODUCTS] += 1e-9 * (double)(trace_now() - begin);
    return failed;
}

int32_t tape_head_backward(tape *t, uint32_t head, heed_error *error)
{
    const tape_head *h = &t->heads[head];
    tape_weight *w = &t->weights[h->weight];
    const int64_t begin = trace_now();
    const int learns = t->values[h->value].learns;
    tape_block *to = learns ? take_block(t, floats_of(t, h->value), error) : NULL;
    if (learns && !to) return end_head(t), HEED_E_MEMORY;
    heed_tensor x = flow_of(t, h, data_of(t, h->value)),
                d = scores_of(t, h, t->head_gradient->memory.data),
                d_x = flow_of(t, h, to ? to->memory.data : NULL);
    const heed_binding in = {"x", &x};
    heed_binding bound[3] = {{"out", &d}};
    const tape_bound weight = {"weight", h->weight};
    const tape_call call = {h->projection, &in, NULL, 1, 0, bound[0], &weight, 1};
    uint32_t n = 1;
    if (to) bound[n++] = (heed_binding){"x", &d_x};
    if (!w->frozen && !tape_ranks_share(t)) bound[n++] = (heed_binding){"weight", &w->gradient};
    int32_t failed =
        n > 1 ? heed_backward(h->projection, &in, 1, NULL, 0, bound, n, error) : HEED_OK;
    if (!failed && tape_ranks_share(t)) failed = tape_ranks_weights(t, &call, error);
    end_head(t);
    if (failed) give_block(to);
    else if (to) failed = hand_back(t, h->value, to, error);
    t->seconds[TAPE_PRODUCTS] += 1e-9 * (double)(trace_now() - begin);
    return failed;
}

void tape_watch(tape *t, tape_see *see, void *to) { t->see = see, t->see_to = to; }

int32_t tape_backward(tape *t, const dropout *drop, heed_error *error)
{
    int32_t failed = HEED_OK;
    for (uint32_t k = t->n_steps; k-- > 0 && !failed;) {
        const tape_step *s = &t->steps[k];
        tape_value *v = &t->values[s->to];
        const int64_t begin = trace_now();
        tape_block *d = v->gradient;
        if (!d) continue; /* nothing has read it */
        v->gradient = NULL;
        if (t->see && t->into && s->to == t->into) t->see(t->see_to, d->memory.data);
        failed = !v->learns               ? HEED_OK
                 : s->kind == TAPE_SELECT ? select_backward(t, s, d, error)
                 : s->kind == TAPE_DROP   ? drop_backward(t, s, drop, d, error)
                 : s->kind == TAPE_SUM    ? sum_backward(t, s, d, error)
                                          : op_backward(t, s, d, error);
        give_block(d);
        count_time(t, s, begin);
    }
    drop_gradients(t);
    if (!failed) failed = tape_ranks_end(t, error);
    if (!failed && t->memory > 0) failed = tape_recall_keep(t, error);
    return failed;
}
