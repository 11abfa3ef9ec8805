/* SPDX-License-Identifier: MIT
 *
 * tape_recall.c: what flows from one segment of a text to the next (arXiv 1901.02860, section 3.2): each
 * attention sees its keys and values of the last tokens of the segments before, as a session's cache
 * has them, and no gradient flows there.
 *
 * The keys of a segment are `all`: those remembered, and its own. Invariant: between two segments
 * `kept` has the last `have` tokens' of each, and nothing is known of more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/engine.h"
#include "op/instance.h"
#include "train/tape_inside.h"

static int32_t refuse(const heed_instance *i, const char *why, heed_error *error)
{
    return error_set(error, HEED_E_UNSUPPORTED,
                     "%s: %s %s, so nothing can be carried from segment to segment", i->part,
                     i->entry->op.id, why);
}

/* The same op with its queries at the end of the keys, of which some are from before. */
static int32_t open_later(tape *t, const heed_instance *i, heed_instance **later, heed_error *error)
{
    static const char word[] = "causal=true";
    const char *spec = heed_instance_spec(i), *at = strstr(spec, word);
    heed_binding weights[PORT_MAX];
    heed_opening opening = {.size = sizeof opening, .weights = weights, .axes = i->axis};
    char *text;
    if (!at) return refuse(i, "has no mask causal=true", error);
    if (asprintf(&text, "%.*scausal=bottom_right%s", (int)(at - spec), spec, at + strlen(word)) < 0)
        return error_memory(error);
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++)
        if (i->weight[p])
            weights[opening.n_weights++] =
                (heed_binding){entry_port(i->entry, p)->name, (heed_tensor *)i->weight[p]};
    *later = heed_instance_open(t->stack->engine, text, &opening, error);
    free(text);
    return *later ? HEED_OK : error->code;
}

/* Which inputs of an attention are keys and values, each a row for each key. */
static int32_t find_keys(const tape *t, const tape_step *s, uint32_t at[2], heed_error *error)
{
    const stack_use *use = t->stack->uses + s->of->first;
    const entry *e = s->of->instance->entry;
    uint32_t found = 0;
    for (uint32_t k = 0; k < s->of->n_in; k++) {
        uint32_t p = 0;
        while (strcmp(entry_port(e, p)->name, use[k].port)) p++;
        const port_axes *axes = &e->axes[p];
        int over_keys = 0;
        for (int a = 0; a < axes->count; a++) over_keys |= axes->letter[a] == 'S';
        if (over_keys && found < 2) at[found] = k;
        found += (uint32_t)over_keys;
    }
    return found == 2 ? HEED_OK
                      : refuse(s->of->instance, "does not take keys and values alone", error);
}

static int32_t add_recall(tape *t, tape_step *s, heed_error *error)
{
    const heed_instance *i = s->of->instance;
    uint32_t at[2];
    if (i->mask.kinds & (HEED_MASK_PREFIX | HEED_MASK_SINKS))
        return refuse(i, "sees the first tokens of a text (prefix, sinks)", error);
    TRY(find_keys(t, s, at, error));
    tape_recall *r = grow_append(&t->recalls, &t->n_recalls, sizeof *r);
    if (!r) return error_memory(error);
    *r = (tape_recall){.at = {at[0], at[1]}};
    s->recall = t->n_recalls;
    return open_later(t, i, &r->later, error);
}

int32_t tape_remember(tape *t, int64_t tokens, heed_error *error)
{
    if (t->stack->n_encode || t->n_halting)
        return error_set(
            error, HEED_E_UNSUPPORTED,
            "this network has %s, and nothing is carried from segment to segment there",
            t->stack->n_encode ? "an encoder" : "tokens that halt");
    for (uint32_t k = 0; k < t->n_steps; k++) {
        tape_step *s = &t->steps[k];
        if (s->of && s->counts == TAPE_ATTENTION && !s->recall) TRY(add_recall(t, s, error));
    }
    t->memory = tokens;
    t->have = t->start = 0;
    return HEED_OK;
}

int32_t tape_rebind(tape *t, heed_error *error)
{
    for (uint32_t r = 0; r < t->n_recalls; r++)
        TRY(heed_instance_rebind(t->recalls[r].later, NULL, 0, error));
    return HEED_OK;
}

void tape_recall_free(tape *t)
{
    for (uint32_t r = 0; r < t->n_recalls; r++) {
        heed_instance_close(t->recalls[r].later);
        for (int w = 0; w < 2; w++)
            free(t->recalls[r].kept[w].data), free(t->recalls[r].all[w].data);
    }
    free(t->recalls);
}

/* ---- forwards ---- */

/* Rows [from, from + n) of each sequence of one array to those at `place` of another. */
static void copy_rows(float *to, int64_t to_rows, int64_t place, const float *rows, int64_t of_rows,
                      int64_t from, int64_t n, int64_t batch, int64_t span)
{
    for (int64_t b = 0; b < batch; b++)
        memcpy(to + (b * to_rows + place) * span, rows + (b * of_rows + from) * span,
               (size_t)(n * span) * sizeof *to);
}

static int64_t span_of(const heed_tensor *own)
{
    int64_t n = 1;
    for (int32_t a = 2; a < own->rank; a++) n *= own->dim[a];
    return n;
}

int32_t tape_recall_bind(tape *t, const tape_step *s, heed_binding *in, heed_error *error)
{
    tape_recall *r = &t->recalls[s->recall - 1];
    const int64_t length = t->length[TAPE_TEXT], all = t->have + length;
    for (int w = 0; w < 2; w++) {
        const heed_tensor *own = in[r->at[w]].tensor;
        const int64_t span = span_of(own);
        int64_t dim[HEED_MAX_RANK];
        TRY(tape_room(&r->all[w], (uint64_t)(t->batch * all * span) * sizeof(float), error));
        copy_rows(r->all[w].data, all, 0, r->kept[w].data, t->have, 0, t->have, t->batch, span);
        copy_rows(r->all[w].data, all, t->have, own->data, length, 0, length, t->batch, span);
        memcpy(dim, own->dim, sizeof dim);
        dim[1] = all;
        r->tensor[w] = heed_tensor_of(r->all[w].data, HEED_F32, own->rank, dim);
        in[r->at[w]].tensor = &r->tensor[w];
    }
    return HEED_OK;
}

/* Of a gradient of all keys the part of the segment's own, in its place. */
void tape_recall_cut(const tape *t, heed_tensor *gradient)
{
    const int64_t length = t->length[TAPE_TEXT], span = span_of(gradient), all = gradient->dim[1];
    float *x = gradient->data;
    for (int64_t b = 0; b < t->batch; b++)
        memmove(x + b * length * span, x + (b * all + all - length) * span,
                (size_t)(length * span) * sizeof *x);
}

/* What the next segment sees: the last tokens of what was remembered and of this one. */
int32_t tape_recall_keep(tape *t, heed_error *error)
{
    const int64_t length = t->length[TAPE_TEXT], all = t->have + length,
                  keeps = all < t->memory ? all : t->memory;
    for (uint32_t k = 0; k < t->n_steps; k++) {
        const tape_step *s = &t->steps[k];
        if (!s->recall) continue;
        tape_recall *r = &t->recalls[s->recall - 1];
        for (int w = 0; w < 2; w++) {
            const heed_tensor *own = &t->tensors[s->of->first + r->at[w]];
            const int64_t span = span_of(own);
            TRY(tape_room(&r->kept[w], (uint64_t)(t->batch * keeps * span) * sizeof(float), error));
            copy_rows(r->kept[w].data, keeps, 0, t->have ? r->all[w].data : own->data, all,
                      all - keeps, keeps, t->batch, span);
            r->kept_tensor[w] =
                heed_tensor_of(r->kept[w].data, HEED_F32, 3, (int64_t[]){t->batch, keeps, span});
        }
    }
    t->have = keeps, t->start += length;
    return HEED_OK;
}

/* ---- kept over an interruption ---- */

uint32_t tape_recalled(const tape *t, int64_t *have, int64_t *start)
{
    *have = t->have, *start = t->start;
    return t->have ? 2 * t->n_recalls : 0;
}

const heed_tensor *tape_recalled_at(const tape *t, uint32_t i)
{
    return &t->recalls[i / 2].kept_tensor[i % 2];
}

int32_t tape_recalled_put(tape *t, uint32_t i, const heed_tensor *from, heed_error *error)
{
    tape_recall *r = &t->recalls[i / 2];
    TRY(tape_room(&r->kept[i % 2], from->bytes, error));
    memcpy(r->kept[i % 2].data, from->data, from->bytes);
    r->kept_tensor[i % 2] = heed_tensor_of(r->kept[i % 2].data, HEED_F32, 3, from->dim);
    return HEED_OK;
}

void tape_recalled_at_place(tape *t, int64_t have, int64_t start)
{
    t->have = have, t->start = start;
}
