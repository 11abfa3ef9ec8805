/* SPDX-License-Identifier: MIT
 *
 * trainer_saved.c: a trainer as a file of safetensors, from which the training goes on to the same
 * bits: the weights, the moments of the optimiser, the step, and of which network and recipe.
 *
 *     weights/NAME  moment/NAME  square/NAME     float32; square only of AdamW
 *     recalled/N                                 what segments remember, if they do
 *     __metadata__: heed.network, heed.recipe, heed.step, heed.recalled, heed.note
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heed/kit/core/half.h>

#include "base/error.h"
#include "io/weights.h"
#include "train/trainer.h"

enum { WEIGHTS, MOMENT, SQUARE, KINDS };

/* How many kinds of numbers a checkpoint has. */
static uint32_t kinds_of(const heed_trainer *t) { return 1 + optimiser_moments(t->optimiser.kind); }

/* The numbers of a tensor of a kind. */
static float *numbers(const heed_trainer *t, int kind, uint32_t i)
{
    const optimiser_tensor *of = &t->optimiser.tensors[i];
    return kind == WEIGHTS  ? of->weight
           : kind == MOMENT ? t->optimiser.moment + of->first
                            : t->optimiser.square + of->first;
}

/* "moment/layers.0.q.weight"; NULL: no memory. */
static char *name_of(const heed_trainer *t, int kind, uint32_t i)
{
    static const char *const folder[KINDS] = {"weights", "moment", "square"};
    char *name;
    return asprintf(&name, "%s/%s", folder[kind], t->weights->items[i].name) < 0 ? NULL : name;
}

/* All that the bits of a run follow from, beside network, rates and data. */
static void print_recipe(const heed_recipe *r, char *text, size_t size)
{
    snprintf(text, size,
             "optimizer=%s; seed=%llu; dropout=%.17g; beta1=%.17g; beta2=%.17g; epsilon=%.17g; "
             "decay=%.17g; clip=%.17g; span=%.17g; ponder=%.17g",
             optimiser_name(r->optimiser), (unsigned long long)r->seed, r->dropout, r->beta1,
             r->beta2, r->epsilon, r->decay, r->clip, r->span, r->ponder);
}

/* What the next segment sees; `text` says of how many tokens, and where it begins. */
static int32_t save_recalled(const heed_trainer *t, heed_weights *all, char *text, size_t size,
                             heed_error *error)
{
    int64_t have, start;
    const uint32_t n = tape_recalled(t->tape, &have, &start);
    snprintf(text, size, "%lld, %lld", (long long)have, (long long)start);
    for (uint32_t i = 0; i < n; i++) {
        const heed_tensor *from = tape_recalled_at(t->tape, i);
        char name[32];
        snprintf(name, sizeof name, "recalled/%u", i);
        heed_tensor *to = weights_add_shape(all, name, from->rank, from->dim, error);
        if (!to) return HEED_E_MEMORY;
        *to = *from;
    }
    return HEED_OK;
}

static int32_t load_recalled(heed_trainer *t, const heed_weights *w, const char *path,
                             heed_error *error)
{
    const char *text = heed_weights_metadata(w, "heed.recalled");
    long long have = 0, start = 0;
    if (!text || sscanf(text, "%lld, %lld", &have, &start) != 2 || have < 0 || start < have)
        return error_set(error, HEED_E_DATA, "%s: does not say what segments remember", path);
    tape_recalled_at_place(t->tape, have, start);
    int64_t same;
    const uint32_t n = tape_recalled(t->tape, &same, &same);
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "recalled/%u", i);
        const heed_tensor *from = heed_weights_find(w, name);
        if (!from || from->dtype != HEED_F32 || from->rank != 3 || from->dim[1] != have)
            return error_set(error, HEED_E_DATA, "%s: lacks what segments remember (%s)", path,
                             name);
        TRY(tape_recalled_put(t->tape, i, from, error));
    }
    return HEED_OK;
}

int32_t heed_trainer_save(const heed_trainer *t, const char *path, const char *note,
                          heed_error *error)
{
    char recipe[400], step[32], recalled[64] = "";
    int32_t failed = HEED_OK;
    if (error) *error = (heed_error){0};
    heed_weights *all = weights_new(error);
    if (!all) return HEED_E_MEMORY;
    const uint32_t kinds = kinds_of(t);
    for (uint32_t i = 0; i < kinds * t->weights->count && !failed; i++) {
        const heed_tensor *w = &t->weights->items[i / kinds].tensor;
        char *name = name_of(t, (int)(i % kinds), i / kinds);
        heed_tensor *to = name ? weights_add_shape(all, name, w->rank, w->dim, error) : NULL;
        if (!to) failed = error_memory(error);
        else to->data = numbers(t, (int)(i % kinds), i / kinds);
        free(name);
    }
    if (!failed) failed = save_recalled(t, all, recalled, sizeof recalled, error);
    print_recipe(&t->recipe, recipe, sizeof recipe);
    snprintf(step, sizeof step, "%lld", (long long)t->steps);
    const weights_note notes[] = {{"heed.network", heed_stack_spec(t->stack)},
                                  {"heed.recipe", recipe},
                                  {"heed.step", step},
                                  {"heed.recalled", recalled},
                                  {"heed.note", note ? note : ""}};
    if (!failed) failed = weights_write_noted(all, notes, 5, path, error);
    heed_weights_close(all);
    return failed;
}

/* Rounded to nearest; HEED_E_DATA if a number is too large. */
static int32_t put_half(uint16_t *to, const heed_tensor *from, uint32_t dtype, const char *name,
                        heed_error *error)
{
    const float *x = from->data;
    for (int64_t i = 0; i < heed_tensor_elements(from); i++) {
        to[i] = dtype == HEED_F16 ? kit_to_f16(x[i]) : kit_to_bf16(x[i]);
        const float back = dtype == HEED_F16 ? kit_from_f16(to[i]) : kit_from_bf16(to[i]);
        if (isfinite(x[i]) && !isfinite(back))
            return error_set(error, HEED_E_DATA, "%s: has %g, which is too large for %s", name,
                             (double)x[i], heed_dtype_name(dtype));
    }
    return HEED_OK;
}

/* A tensor as it is, or as halves, which are the next ones of *halves then. */
static int32_t put_tensor(const weights_item *item, uint32_t dtype, heed_weights *to,
                          uint16_t **halves, heed_error *error)
{
    const heed_tensor *from = &item->tensor;
    heed_tensor *made = weights_add_shape(to, item->name, from->rank, from->dim, error);
    if (!made) return HEED_E_MEMORY;
    uint16_t *at = *halves;
    if (dtype != HEED_F32) *halves += heed_tensor_elements(from);
    *made = heed_tensor_of(dtype == HEED_F32 ? from->data : at, dtype, from->rank, from->dim);
    return dtype == HEED_F32 ? HEED_OK : put_half(at, from, dtype, item->name, error);
}

int32_t trainer_export(const heed_trainer *t, const char *path, uint32_t dtype,
                       const trainer_file *file, heed_error *error)
{
    const heed_weights *from = file->tensors ? file->tensors : t->weights;
    size_t n = 1;
    if (error) *error = (heed_error){0};
    if (dtype != HEED_F32 && dtype != HEED_F16 && dtype != HEED_BF16)
        return error_set(error, HEED_E_ARGUMENT, "weights are written as f32, f16 or bf16, not %s",
                         heed_dtype_name(dtype));
    for (uint32_t i = 0; i < from->count && dtype != HEED_F32; i++)
        n += (size_t)heed_tensor_elements(&from->items[i].tensor);
    uint16_t *halves = calloc(n, sizeof *halves), *at = halves;
    heed_weights *all = halves ? weights_new(error) : NULL;
    int32_t failed = all ? HEED_OK : error_memory(error);
    for (uint32_t i = 0; i < from->count && !failed; i++)
        failed = put_tensor(&from->items[i], dtype, all, &at, error);
    if (!failed) failed = weights_write_noted(all, file->notes, file->n_notes, path, error);
    heed_weights_close(all);
    free(halves);
    return failed;
}

int32_t heed_trainer_export(const heed_trainer *t, const char *path, uint32_t dtype,
                            heed_error *error)
{
    const weights_note spec = {"heed.spec", heed_stack_spec(t->stack)};
    return trainer_export(t, path, dtype, &(trainer_file){NULL, &spec, 1}, error);
}

char *trainer_note(const char *path, heed_error *error)
{
    heed_weights *w = safetensors_open(path, error);
    const char *note = w ? heed_weights_metadata(w, "heed.note") : NULL;
    char *copy = note ? strdup(note) : NULL;
    if (w && !note)
        error_set(error, HEED_E_DATA, "%s: is no checkpoint of a training (it has no heed.note)",
                  path);
    else if (note && !copy) error_memory(error);
    heed_weights_close(w);
    return copy;
}

/* The step that a checkpoint of this network and recipe was saved at. */
static int32_t check_head(const heed_trainer *t, const heed_weights *w, const char *path,
                          int64_t *step, heed_error *error)
{
    char own[400], *end;
    const char *network = heed_weights_metadata(w, "heed.network"),
               *recipe = heed_weights_metadata(w, "heed.recipe"),
               *at = heed_weights_metadata(w, "heed.step");
    if (!network || !recipe || !at)
        return error_set(error, HEED_E_DATA,
                         "%s: is no checkpoint of a training (it has no heed.%s)", path,
                         !network  ? "network"
                         : !recipe ? "recipe"
                                   : "step");
    print_recipe(&t->recipe, own, sizeof own);
    if (strcmp(network, heed_stack_spec(t->stack)))
        return error_set(error, HEED_E_DATA,
                         "%s: is a checkpoint of another network: %.300s; this one is %.300s", path,
                         network, heed_stack_spec(t->stack));
    if (strcmp(recipe, own))
        return error_set(error, HEED_E_DATA,
                         "%s: is a checkpoint of another recipe: %.200s; this one is %.200s", path,
                         recipe, own);
    *step = strtoll(at, &end, 10);
    if (end == at || *end || *step < 0)
        return error_set(error, HEED_E_DATA, "%s: heed.step is \"%.32s\", and no number of steps",
                         path, at);
    return HEED_OK;
}

/* A tensor of it, which must be of the same shape; NULL and a sentence. */
static const heed_tensor *find(const heed_trainer *t, const heed_weights *w, const char *path,
                               int kind, uint32_t i, heed_error *error)
{
    const heed_tensor *own = &t->weights->items[i].tensor;
    char *name = name_of(t, kind, i);
    if (!name) return error_memory(error), NULL;
    const heed_tensor *found = heed_weights_find(w, name);
    if (!found || found->dtype != HEED_F32 || found->rank != own->rank ||
        memcmp(found->dim, own->dim, sizeof *own->dim * (size_t)own->rank)) {
        error_set(error, HEED_E_DATA,
                  "%s: %s the tensor \"%.96s\" of the shape and type that this network has", path,
                  found ? "has not" : "lacks", name);
        found = NULL;
    }
    free(name);
    return found;
}

static int32_t load(heed_trainer *t, const heed_weights *w, const char *path, heed_error *error)
{
    const uint32_t kinds = kinds_of(t);
    int64_t step = 0;
    TRY(check_head(t, w, path, &step, error));
    for (int copies = 0; copies < 2; copies++) /* all is looked at before anything is changed */
        for (uint32_t i = 0; i < kinds * t->weights->count; i++) {
            const int kind = (int)(i % kinds);
            const heed_tensor *from = find(t, w, path, kind, i / kinds, error);
            if (!from) return error->code;
            if (copies)
                memcpy(numbers(t, kind, i / kinds), from->data,
                       (size_t)heed_tensor_elements(from) * sizeof(float));
        }
    t->steps = step;
    TRY(load_recalled(t, w, path, error));
    heed_trainer_forget(t);
    return trainer_rebind(t, error);
}

int32_t heed_trainer_load(heed_trainer *t, const char *path, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    heed_weights *w = safetensors_open(path, error);
    if (!w) return error->code;
    const int32_t failed = load(t, w, path, error);
    heed_weights_close(w);
    return failed;
}
