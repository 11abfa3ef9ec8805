/* SPDX-License-Identifier: MIT
 *
 * tape_reach.c: how far tokens look, where that follows from each of them: the output `reach` of an
 * attention, [batch, length, heads] in tokens (attention/dynamic_span), its means, and what a penalty
 * on it adds to the gradients (arXiv 1905.07799, section 2).
 */
#include <string.h>

#include "op/entry.h"
#include "op/instance.h"
#include "train/tape_inside.h"

int32_t tape_reach_find(const tape *t, tape_step *s, heed_error *error)
{
    const heed_instance *i = s->of->instance;
    const heed_grad *grad = heed_op_grad(&i->entry->op, i->path);
    (void)t;
    for (uint32_t p = 0; grad && p < i->entry->op.ports.count; p++)
        if ((grad->takes >> p & 1) && !strcmp(entry_port(i->entry, p)->name, "reach"))
            if (!(s->reach = calloc(1, sizeof *s->reach))) return error_memory(error);
    return HEED_OK;
}

int32_t tape_reach_place(tape_step *s, const heed_binding *in, uint32_t n, heed_error *error)
{
    heed_tensor shape;
    if (!s->reach) return HEED_OK;
    TRY(heed_infer(s->of->instance, in, n, "reach", &shape, error));
    const uint64_t bytes = (uint64_t)heed_tensor_elements(&shape) * sizeof(float);
    TRY(tape_room(&s->reach->told, bytes, error));
    TRY(tape_room(&s->reach->costs, bytes, error));
    s->reach->tensor = heed_tensor_of(s->reach->told.data, HEED_F32, shape.rank, shape.dim);
    s->reach->gradient = heed_tensor_of(s->reach->costs.data, HEED_F32, shape.rank, shape.dim);
    return HEED_OK;
}

/* How many tokens a text of the step has. */
static int64_t length_of(const tape *t, const tape_step *s, int64_t text)
{
    const uint32_t side = t->values[s->to].rows == STACK_SOURCE ? TAPE_SOURCE : TAPE_TEXT;
    const int32_t *lengths = t->lengths[side].data;
    return lengths ? lengths[text] : t->length[side];
}

heed_tensor *tape_reach_cost(const tape *t, const tape_step *s)
{
    if (!s->reach || !(t->reach_cost > 0)) return NULL;
    const int64_t *dim = s->reach->gradient.dim;
    const int one = t->values[t->result].rows == STACK_ONE;
    float *d = s->reach->costs.data;
    for (int64_t b = 0; b < dim[0]; b++) {
        const int64_t length = length_of(t, s, b);
        const float each =
            (float)(t->reach_cost / (double)dim[2] / (one ? (double)length : 1.0));
        for (int64_t i = 0; i < dim[1] * dim[2]; i++) *d++ = i < length * dim[2] ? each : 0.0f;
    }
    return &s->reach->gradient;
}

double tape_reach(const tape *t, uint32_t which, const char **part)
{
    uint32_t k = 0;
    while (k < t->n_steps && (!t->steps[k].reach || which--)) k++;
    if (k == t->n_steps) return -1;
    const tape_step *s = &t->steps[k];
    const int64_t *dim = s->reach->tensor.dim;
    double sum = 0, tokens = 0;
    if (part) *part = s->of->instance->part;
    for (int64_t b = 0; b < dim[0] && t->batch; b++) {
        const int64_t length = length_of(t, s, b);
        const float *z = (const float *)s->reach->told.data + b * dim[1] * dim[2];
        for (int64_t i = 0; i < length * dim[2]; i++) sum += (double)z[i];
        tokens += (double)length;
    }
    return tokens > 0 ? sum / tokens / (double)dim[2] : 0;
}

void tape_reach_weigh(tape *t, double factor) { t->reach_cost = factor; }

void tape_reach_free(tape_step *s)
{
    if (s->reach) free(s->reach->told.data), free(s->reach->costs.data);
    free(s->reach);
}
