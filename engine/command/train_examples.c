/* SPDX-License-Identifier: MIT
 *
 * train_examples.c: batches of examples, as long as the longest text in each, and how well they are
 * told apart or answered.
 *
 *     classify    bos text                       the class
 *     pairs       bos source; begin target       target end
 *
 * Of bytes begin and end are bos; what a tokenizer has put around a text is in the text.
 * Each epoch has all examples once, in an order of its own. Invariant: a batch follows from the seed,
 * its step and the sizes alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/train.h"
#include "train/philox.h"

#define NOTHING (-100) /* a target of which nothing is said */

/* ---- what is held out ---- */

/* Examples of a class, and how many of the last of them are held out. */
static int64_t held_of(const train_examples *x, int64_t label, double share)
{
    int64_t n = 0;
    for (int64_t i = 0; i < x->n; i++) n += x->items[i].label == label;
    const int64_t held = (int64_t)((double)n * share + 0.5);
    return held < n ? held : n - 1;
}

int32_t train_examples_split(train_data *d, uint32_t task, double share, heed_error *error)
{
    train_examples *x = &d->examples;
    const uint32_t classes = task == TRAIN_CLASSIFY ? x->n_classes : 1;
    train_example *all = calloc((size_t)x->n + 1, sizeof *all);
    int64_t *left = calloc(classes, sizeof *left), held = 0;
    int32_t failed = all && left ? HEED_OK : error_memory(error);
    for (uint32_t c = 0; c < classes && !failed; c++) held += left[c] = held_of(x, c, share);
    if (!failed && share > 0 && !held)
        failed =
            error_set(error, HEED_E_DATA,
                      "%s: of %lld examples none would be held out: more of them are right, or "
                      "a larger --valid, or --valid 0",
                      d->path, (long long)x->n);
    if (!failed) {
        x->learned = x->n - held;
        for (int64_t i = x->n, in = x->learned, out = x->n; i-- > 0;)
            if (left[x->items[i].label]-- > 0) all[--out] = x->items[i];
            else all[--in] = x->items[i];
        memcpy(x->items, all, (size_t)x->n * sizeof *all);
        x->epoch = -1;
    }
    free(all), free(left);
    return failed;
}

/* ---- the order of an epoch ---- */

static uint64_t number_of(uint64_t seed, int64_t epoch, int64_t i)
{
    const philox p = philox_at(seed, (philox){{(uint32_t)i, (uint32_t)epoch,
                                               (uint32_t)((uint64_t)i >> 32), PHILOX_ORDER}});
    return (uint64_t)p.word[1] << 32 | p.word[0];
}

/* Each place changes with one of those before it (Knuth, volume 2, section 3.4.2, algorithm P). */
static int32_t shuffle(train_examples *x, uint64_t seed, int64_t epoch, heed_error *error)
{
    if (x->epoch == epoch) return HEED_OK;
    if (!x->order && !(x->order = calloc((size_t)x->learned + 1, sizeof *x->order)))
        return error_memory(error);
    for (int64_t i = 0; i < x->learned; i++) {
        const int64_t with = (int64_t)(number_of(seed, epoch, i) % (uint64_t)(i + 1));
        x->order[i] = x->order[with];
        x->order[with] = i;
    }
    x->epoch = epoch;
    return HEED_OK;
}

int32_t train_examples_draw(train_examples *x, uint64_t seed, int64_t first, int64_t batch,
                            int64_t *which, heed_error *error)
{
    for (int64_t row = 0; row < batch; row++) {
        const int64_t at = first + row;
        TRY(shuffle(x, seed, at / x->learned, error));
        which[row] = x->order[at % x->learned];
    }
    return HEED_OK;
}

/* ---- batches ---- */

int32_t train_rows_new(train_rows *r, heed_error *error)
{
    const size_t n = (size_t)r->batch * (size_t)r->context + 1, rows = (size_t)r->batch + 1;
    r->tokens = calloc(n, sizeof *r->tokens);
    r->targets = calloc(n, sizeof *r->targets);
    r->source = calloc(n, sizeof *r->source);
    r->lengths = calloc(rows, sizeof *r->lengths);
    r->source_lengths = calloc(rows, sizeof *r->source_lengths);
    const int all = r->tokens && r->targets && r->source && r->lengths && r->source_lengths;
    return all ? HEED_OK : error_memory(error);
}

void train_rows_free(train_rows *r)
{
    free(r->tokens), free(r->targets), free(r->source);
    free(r->lengths), free(r->source_lengths);
}

/* Tokens of a text with `front` before it, as many as fit. */
static int32_t length_of(const train_rows *r, const train_bytes *text, int64_t front)
{
    const int64_t n = text->n + (front >= 0);
    return (int32_t)(n < r->context ? n : r->context);
}

/* Token i of that text; behind its end what ends it. */
static int32_t token_of(const train_examples *x, const train_rows *r, const train_bytes *text,
                        int64_t front, int64_t i)
{
    if (front >= 0 && i-- == 0) return (int32_t)front;
    return i >= text->n ? (int32_t)r->end
           : x->ids     ? x->ids[text->from + i]
                        : x->bytes[text->from + i];
}

/* Texts as rows of one length; how long that is. */
static int64_t put_texts(const train_examples *x, const train_rows *r, const int64_t *which,
                         int64_t n, int source, int32_t *tokens, int32_t *lengths)
{
    const int64_t front = source ? r->bos : r->begin;
    int64_t longest = 1;
    for (int64_t row = 0; row < n; row++) {
        const train_example *e = &x->items[which[row]];
        lengths[row] = length_of(r, source ? &e->text : &e->target, front);
        if (lengths[row] > longest) longest = lengths[row];
    }
    for (int64_t row = 0; row < n; row++)
        for (int64_t i = 0; i < longest; i++) {
            const train_example *e = &x->items[which[row]];
            const train_bytes *text = source ? &e->text : &e->target;
            tokens[row * longest + i] = i < lengths[row] ? token_of(x, r, text, front, i) : 0;
        }
    return longest;
}

int64_t train_examples_batch(const train_examples *x, train_rows *r, const int64_t *which,
                             int64_t n, heed_batch *batch)
{
    int64_t counted = n;
    const int pairs = r->task == TRAIN_PAIRS;
    *batch = (heed_batch){.size = sizeof *batch,
                          .texts = n,
                          .tokens = r->tokens,
                          .targets = r->targets,
                          .lengths = r->lengths};
    batch->length = put_texts(x, r, which, n, !pairs, r->tokens, r->lengths);
    for (int64_t row = 0; row < n && !pairs; row++)
        r->targets[row] = (int32_t)x->items[which[row]].label;
    if (!pairs) return counted;
    batch->source = r->source, batch->source_lengths = r->source_lengths;
    batch->source_length = put_texts(x, r, which, n, 1, r->source, r->source_lengths);
    counted = 0;
    for (int64_t row = 0; row < n; row++)
        for (int64_t i = 0; i < batch->length; i++) {
            const int there = i < r->lengths[row];
            r->targets[row * batch->length + i] =
                there ? token_of(x, r, &x->items[which[row]].target, r->begin, i + 1) : NOTHING;
            counted += there;
        }
    return counted;
}

/* ---- measuring ---- */

static int is_right(const float *scores, int64_t classes, int32_t label)
{
    for (int64_t c = 0; c < classes; c++)
        if (c != label && !(scores[label] > scores[c])) return 0;
    return 1;
}

/* What a batch adds: nats, and texts that are told apart. */
static int32_t measure(heed_trainer *t, const train_rows *r, const heed_batch *batch, float *nll,
                       float *scores, double *nats, int64_t *right, heed_error *error)
{
    const int64_t classes = heed_stack_outputs(heed_trainer_stack(t));
    const int pairs = r->task == TRAIN_PAIRS;
    TRY(heed_trainer_loss_batch(t, batch, nll, pairs ? NULL : scores, error));
    for (int64_t i = 0; i < batch->texts * (pairs ? batch->length : 1); i++)
        if (r->targets[i] != NOTHING) *nats += (double)nll[i];
    for (int64_t i = 0; i < batch->texts && !pairs; i++)
        *right += is_right(scores + i * classes, classes, r->targets[i]);
    return HEED_OK;
}

int32_t train_examples_measure(heed_trainer *t, const train_examples *x, train_rows *r,
                               int64_t from, int64_t to, int64_t most, train_score *score,
                               heed_error *error)
{
    const int64_t all = to - from, n = most && most < all ? most : all,
                  classes = heed_stack_outputs(heed_trainer_stack(t));
    int64_t right = 0, counted = 0, *which = calloc((size_t)r->batch, sizeof *which);
    float *nll = calloc((size_t)r->batch * (size_t)r->context, sizeof *nll),
          *scores = calloc((size_t)r->batch * (size_t)classes, sizeof *scores);
    double nats = 0;
    int32_t failed = which && nll && scores ? HEED_OK : error_memory(error);
    for (int64_t done = 0, rows; done < n && !failed; done += rows) {
        heed_batch batch;
        rows = n - done < r->batch ? n - done : r->batch;
        for (int64_t i = 0; i < rows; i++) which[i] = from + (done + i) * all / n;
        counted += train_examples_batch(x, r, which, rows, &batch);
        failed = measure(t, r, &batch, nll, scores, &nats, &right, error);
    }
    free(which), free(nll), free(scores);
    score->bits = nats / log(2) / (double)counted;
    score->right = r->task == TRAIN_PAIRS ? NAN : (double)right / (double)n;
    return failed;
}
