/* SPDX-License-Identifier: MIT
 *
 * field_measure.c: what a network does with another text than the one that is there: one with
 * another token at some distance, one that begins later, and the same one once more, looked at
 * inside.
 *
 * A window with another token differs from the window from there on, so it is read from there on,
 * by a second session that takes what the first one has read before. Invariant: both are cut into
 * calls at the same places, so that what a token can not reach has the same bits in both.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "command/depth.h"
#include "command/field.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "model/session.h"

#define LAST_CALL 32   /* tokens of a window that are always read at once */
#define LOOKED_INTO 16 /* places whose layers are looked into: each gives a number of many tokens */

/* Windows with one token changed each, and what a network makes of them. Row 0 of `logits` and
 * `flow` is the window itself, row k + 1 the one that is changed at distance k. */
typedef struct reader {
    field_network *n;
    const field_text *t;
    int64_t *cut, cuts; /* where calls begin; the last entry is the context */
    int32_t *text;
    float *logits, *nll, *flow, *zeros, *told;
    float *seen; /* where the last token's row of each layer goes now */
    heed_instance *loss, *distance;
} reader;

/* ---- reading ---- */

static int32_t feed(heed_session *s, const int32_t *token, int64_t n, float *logits,
                    heed_error *error)
{
    return heed_session_feed(s, token, n, logits, logits != NULL, error);
}

/* A text in calls that the network can have, and the logits of its last token; NULL: none. */
static int32_t read_text(const reader *r, const int32_t *token, int64_t n, float *logits,
                         heed_error *error)
{
    heed_session *s = r->n->model.session;
    const int64_t call = r->n->longest ? r->n->longest : n;
    TRY(heed_session_reset(s, error));
    for (int64_t at = 0; at < n; at += call)
        TRY(feed(s, token + at, n - at < call ? n - at : call, n - at > call ? NULL : logits,
                 error));
    return HEED_OK;
}

/* Places where a session can be left and another one go on: those of calls, where calls have an
 * end, else the last 32 tokens, 64, 128, ..., so that no token is read more often than a few
 * times its distance. A network whose text can not be read in parts begins anew. */
static int32_t cut_window(reader *r, heed_error *error)
{
    const int64_t context = r->t->context, longest = r->n->longest;
    if (!(r->cut = calloc((size_t)context + 2, sizeof *r->cut))) return error_memory(error);
    if (longest)
        for (int64_t at = longest; at < context; at += longest) r->cut[++r->cuts] = at;
    int64_t last = LAST_CALL;
    while (!longest && !r->n->model.stack->whole && last < context) last *= 2;
    while (!longest && !r->n->model.stack->whole && (last /= 2) >= LAST_CALL)
        r->cut[++r->cuts] = context - last;
    r->cut[++r->cuts] = context;
    return HEED_OK;
}

/* The last token's row of what flows on. */
static int32_t see(void *self, heed_session *s, uint32_t done, heed_error *error)
{
    const reader *r = self;
    const heed_stack *stack = s->stack;
    (void)error;
    for (uint32_t l = 0; l < stack->n_flows; l++) {
        if (stack->flows[l].steps != done) continue;
        const heed_tensor *x = &s->tensors[stack->flows[l].view];
        memcpy(r->seen + l * r->n->width, (const float *)x->data + (x->dim[1] - 1) * r->n->width,
               (size_t)r->n->width * sizeof *r->seen);
    }
    return HEED_OK;
}

/* The calls of the window from number `from` on, with the results of row `row`. */
static int32_t read_on(reader *r, heed_session *s, int64_t from, int64_t to, int64_t row,
                       heed_error *error)
{
    const int64_t outputs = r->n->vocab;
    r->seen = r->flow + row * (r->n->layers + 1) * r->n->width;
    s->watch = (session_watch){see, r};
    int32_t failed = HEED_OK;
    for (int64_t i = from; i < to && !failed; i++)
        failed = feed(s, r->text + r->cut[i], r->cut[i + 1] - r->cut[i],
                      i + 1 == r->cuts && r->n->logits ? r->logits + row * outputs : NULL, error);
    s->watch = (session_watch){0};
    return failed;
}

/* ---- perturbation ---- */

static void reader_close(reader *r)
{
    heed_instance_close(r->loss);
    heed_instance_close(r->distance);
    free(r->cut);
    free(r->text);
    free(r->logits);
    free(r->nll);
    free(r->flow);
    free(r->zeros);
    free(r->told);
}

static int32_t reader_open(reader *r, field_network *n, const field_text *t, int64_t rows,
                           heed_error *error)
{
    const size_t all = (size_t)rows, ends = (size_t)n->layers + 1, width = (size_t)n->width;
    *r = (reader){.n = n, .t = t};
    TRY(cut_window(r, error));
    r->text = calloc((size_t)t->context, sizeof *r->text);
    r->nll = calloc(all, sizeof *r->nll);
    r->flow = reallocarray(NULL, all * ends, width * sizeof *r->flow);
    r->zeros = calloc(width, sizeof *r->zeros);
    r->told = calloc(all * ends, sizeof *r->told);
    r->logits = reallocarray(NULL, all, (size_t)n->vocab * sizeof *r->logits);
    if (!r->text || !r->nll || !r->flow || !r->zeros || !r->told || !r->logits)
        return error_memory(error);
    r->loss = heed_instance_open(n->model.engine, "loss/cross_entropy", NULL, error);
    if (!r->loss) return error->code;
    r->distance = heed_instance_open(n->model.engine, "compare/rows(by=distance)", NULL, error);
    return r->distance ? HEED_OK : error->code;
}

int32_t field_score(const field_network *n, heed_instance *loss, float *logits, int64_t rows,
                    const int32_t *target, int64_t step, float *nll, heed_error *error)
{
    const int64_t dim[] = {rows, n->vocab}, given[] = {step ? rows : 1};
    heed_tensor of = heed_tensor_of(logits, HEED_F32, 2, dim),
                targets = heed_tensor_of((void *)(uintptr_t)target, HEED_I32, 1, given),
                out = heed_tensor_of(nll, HEED_F32, 1, dim);
    targets.dim[0] = rows, targets.stride[0] = step;
    const heed_binding in[] = {{"logits", &of}, {"targets", &targets}}, to = {"nll", &out};
    return heed_run(loss, in, 2, &to, 1, NULL, error);
}

/* The losses of so many rows of logits, which predict the same token. */
static int32_t score(reader *r, int64_t rows, int32_t target, heed_error *error)
{
    return field_score(r->n, r->loss, r->logits, rows, &target, 0, r->nll, error);
}

/* How far the layers' rows are from those of the window, or, in row 0, from zero: into `told`. */
static int32_t tell_apart(reader *r, int64_t rows, heed_error *error)
{
    const int64_t ends = r->n->layers + 1, width = r->n->width;
    int64_t dim[] = {rows - 1, ends, width}, one[] = {1, ends, width}, told[] = {rows - 1, ends};
    heed_tensor base = heed_tensor_of(r->flow, HEED_F32, 3, one), zero = base,
                size = heed_tensor_of(r->told, HEED_F32, 2, (int64_t[]){1, ends}),
                changed = heed_tensor_of(r->flow + ends * width, HEED_F32, 3, dim),
                apart = heed_tensor_of(r->told + ends, HEED_F32, 2, told);
    zero.data = r->zeros, zero.bytes = (uint64_t)width * sizeof *r->zeros, zero.stride[1] = 0;
    heed_binding in[] = {{"x", &base}, {"y", &zero}}, out = {"out", &size};
    TRY(heed_run(r->distance, in, 2, &out, 1, NULL, error));
    base.dim[0] = rows - 1, base.stride[0] = 0;
    in[0] = (heed_binding){"x", &changed}, in[1] = (heed_binding){"y", &base};
    out = (heed_binding){"out", &apart};
    return heed_run(r->distance, in, 2, &out, 1, NULL, error);
}

/* Another token of the text, as often as it is there. */
static int32_t another(const field_network *n, int32_t but, uint64_t *chance)
{
    for (int i = 0; i < 64; i++) {
        const int32_t token = n->token[random_next(chance) % (uint64_t)n->tokens];
        if (token != but) return token;
    }
    return (but + 1) % (int32_t)n->vocab;
}

/* Reads the window and, from each cut on, all windows that are changed between it and the next. */
static int32_t read_changed(reader *r, uint64_t *chance, heed_error *error)
{
    const field_text *t = r->t;
    heed_session *base = r->n->model.session, *twin = r->n->twin;
    TRY(heed_session_reset(base, error));
    for (int64_t i = 0; i < r->cuts; i++) {
        for (int64_t k = t->distances - 1; k >= 0; k--) {
            const int64_t at = t->context - 1 - t->distance[k];
            if (at < r->cut[i] || at >= r->cut[i + 1]) continue;
            if (i) TRY(session_take(twin, base, error));
            else TRY(heed_session_reset(twin, error));
            const int32_t was = r->text[at];
            r->text[at] = another(r->n, was, chance);
            TRY(read_on(r, twin, i, r->cuts, k + 1, error));
            r->text[at] = was;
        }
        TRY(read_on(r, base, i, i + 1, 0, error));
    }
    return HEED_OK;
}

static int32_t perturb_place(reader *r, int64_t place, heed_error *error)
{
    field_network *n = r->n;
    const field_text *t = r->t;
    const int64_t rows = t->distances + 1, ends = n->layers + 1, begin = t->place[place];
    uint64_t chance = random_hash(t->seed, &place, sizeof place);
    memcpy(r->text, n->token + begin, (size_t)t->context * sizeof *r->text);
    TRY(read_changed(r, &chance, error));
    TRY(tell_apart(r, rows, error));
    if (n->logits) TRY(score(r, rows, n->token[begin + t->context], error));
    for (int64_t k = 0; k < t->distances; k++) {
        n->loss_change[k * t->places + place] = fabsf(r->nll[k + 1] - r->nll[0]);
        for (int64_t l = 0; l < ends; l++) {
            const float apart = r->told[(k + 1) * ends + l], size = r->told[l];
            n->layer_change[(k * ends + l) * t->places + place] = size > 0 ? apart / size : apart;
        }
    }
    return HEED_OK;
}

/* One place after the other. */
static int32_t each_place(reader *r, int measure, int64_t places,
                          int32_t (*at)(reader *, int64_t, heed_error *), heed_error *error)
{
    int64_t *done = &r->n->done[measure];
    for (*done = 0; *done < places && !interrupt_seen; ++*done) {
        progress_show((double)*done / (double)places, "%s: %s", r->n->path,
                      field_measures[measure]);
        TRY(at(r, *done, error));
    }
    return HEED_OK;
}

int32_t field_perturb(field_network *n, const field_text *t, heed_error *error)
{
    reader r;
    const size_t all = (size_t)(t->distances * t->places);
    n->loss_change = calloc(all, sizeof *n->loss_change);
    n->layer_change = reallocarray(NULL, all, ((size_t)n->layers + 1) * sizeof *n->layer_change);
    if (!n->loss_change || !n->layer_change) return error_memory(error);
    int32_t failed = reader_open(&r, n, t, t->distances + 1, error);
    if (!failed) failed = each_place(&r, FIELD_PERTURBATION, t->places, perturb_place, error);
    reader_close(&r);
    return failed;
}

/* ---- truncation ---- */

static int32_t truncate_place(reader *r, int64_t place, heed_error *error)
{
    field_network *n = r->n;
    const field_text *t = r->t;
    const int32_t *behind = n->token + t->place[place] + t->context;
    for (int64_t c = 0; c < t->lengths; c++)
        TRY(read_text(r, behind - t->length[c], t->length[c], r->logits + c * n->vocab, error));
    TRY(score(r, t->lengths, *behind, error));
    for (int64_t c = 0; c < t->lengths; c++) n->loss[c * t->places + place] = r->nll[c];
    return HEED_OK;
}

int32_t field_truncate(field_network *n, const field_text *t, heed_error *error)
{
    reader r;
    n->loss = calloc((size_t)(t->lengths * t->places), sizeof *n->loss);
    if (!n->loss) return error_memory(error);
    int32_t failed = reader_open(&r, n, t, t->lengths, error);
    if (!failed) failed = each_place(&r, FIELD_TRUNCATION, t->places, truncate_place, error);
    reader_close(&r);
    return failed;
}

/* ---- similarity ---- */

int32_t field_compare(field_network *n, const field_text *t, heed_error *error)
{
    const int64_t places = t->places < LOOKED_INTO ? t->places : LOOKED_INTO;
    int64_t *done = &n->done[FIELD_SIMILARITY];
    depth d;
    n->size = reallocarray(NULL, (size_t)n->layers + 1, (size_t)t->places * sizeof *n->size);
    n->similarity = reallocarray(NULL, (size_t)n->layers, (size_t)t->places * sizeof *n->size);
    if (!n->size || !n->similarity) return error_memory(error);
    int32_t failed = depth_open(&d, n->model.engine, n->model.stack, error);
    for (*done = 0; *done < places && !failed && !interrupt_seen;) {
        const int64_t place = *done * t->places / places;
        failed = depth_read(&d, n->model.session, n->token + t->place[place], t->context,
                            n->longest, error);
        if (failed) break;
        for (int64_t l = 0; l <= n->layers; l++) n->size[l * t->places + *done] = (float)d.size[l];
        for (int64_t l = 0; l < n->layers; l++)
            n->similarity[l * t->places + *done] = (float)d.similarity[l];
        ++*done;
    }
    depth_close(&d);
    return failed;
}
