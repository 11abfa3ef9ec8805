/* SPDX-License-Identifier: MIT
 *
 * train_data.c: the text that heed train learns: bytes, or tokens by number; its windows, and how
 * well it is predicted.
 *
 * The part that is held out is the end of it, so that no window reaches into both. Invariant: the
 * windows follow from seed, step and sizes alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/saved.h"
#include "command/file.h"
#include "command/train.h"
#include "train/philox.h"

/* ---- reading it ---- */

int train_data_is_npy(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".npy");
}

static int32_t read_ids(train_data *d, heed_error *error)
{
    heed_tensor t;
    TRY(heed_npy_read(d->path, &t, error));
    d->n = heed_tensor_elements(&t);
    int32_t failed = HEED_OK;
    if (t.dtype != HEED_I32 && t.dtype != HEED_I64)
        failed =
            error_set(error, HEED_E_DATA, "%s: is of the type %s, but tokens are int32 or int64",
                      d->path, heed_dtype_name(t.dtype));
    else if (!(d->ids = calloc((size_t)d->n + 1, sizeof *d->ids))) failed = error_memory(error);
    for (int64_t i = 0; i < d->n && !failed; i++) {
        const int64_t id = t.dtype == HEED_I32 ? ((int32_t *)t.data)[i] : ((int64_t *)t.data)[i];
        d->ids[i] = id < INT32_MIN || id > INT32_MAX ? -1 : (int32_t)id;
    }
    free(t.data);
    return failed;
}

static int32_t token_at(const train_data *d, int64_t i) { return d->ids ? d->ids[i] : d->bytes[i]; }

/* A file of one text, as tokens. */
static int32_t encode(train_data *d, heed_error *error)
{
    id_list ids = {0};
    const int32_t failed = train_tokens_encode(d->tokens, d->path, d->bytes, (size_t)d->n, 0,
                                               d->vocab, 0, &ids, error);
    d->ids = ids.at, d->n = (int64_t)ids.n;
    free(d->bytes);
    d->bytes = NULL;
    return failed;
}

static int32_t read_bytes(train_data *d, heed_error *error)
{
    size_t n = 0;
    TRY(file_read(d->path, &d->bytes, &n, error));
    d->n = (int64_t)n;
    return d->tokens ? encode(d, error) : HEED_OK;
}

int32_t train_data_open(train_data *d, const char *path, const train_tokens *tokens, int64_t vocab,
                        int64_t bos, heed_error *error)
{
    const int npy = train_data_is_npy(path);
    *d = (train_data){
        .path = path, .tokens = tokens && tokens->tokenizer ? tokens : NULL, .vocab = vocab};
    d->numbers = npy || d->tokens;
    if (npy) TRY(read_ids(d, error));
    else TRY(train_text_read(d, bos, error));
    if (!npy && !d->documents) TRY(read_bytes(d, error));
    for (int64_t i = 0; i < d->n; i++)
        if (token_at(d, i) < 0 || token_at(d, i) >= vocab)
            return error_set(error, HEED_E_DATA,
                             "%s: %s %lld is %d, but the network has those from 0 to %lld (vocab)",
                             path, d->numbers ? "token" : "byte", (long long)i, token_at(d, i),
                             (long long)vocab - 1);
    d->hash = d->ids ? saved_checksum(d->ids, (uint64_t)d->n * sizeof *d->ids, 0)
                     : saved_checksum(d->bytes, (uint64_t)d->n, 0);
    return HEED_OK;
}

void train_data_close(train_data *d)
{
    free(d->bytes);
    free(d->ids);
    free(d->documents);
    train_examples_free(&d->examples);
}

/* The beginning of a document that is nearest to a place. */
static int64_t nearest_document(const train_data *d, int64_t place)
{
    int64_t best = 0;
    for (int64_t i = 0; i < d->n_documents; i++)
        if (llabs(d->documents[i] - place) < llabs(d->documents[best] - place)) best = i;
    return d->documents[best];
}

int64_t train_data_nearest(const train_data *d, int64_t place)
{
    return d->n_documents > 1 ? nearest_document(d, place) : place;
}

int32_t train_data_split(train_data *d, double share, double test, int64_t context,
                         heed_error *error)
{
    d->cut = d->n - (int64_t)((double)d->n * share);
    d->test = d->n - (int64_t)((double)d->n * test);
    if (share > 0) d->cut = train_data_nearest(d, d->cut);
    if (test > 0) d->test = train_data_nearest(d, d->test);
    const int64_t parts[] = {d->cut, d->test - d->cut, d->n - d->test};
    const int asked[] = {1, share > 0, test > 0};
    static const char *const what[] = {"to be learned", "held out", "the test"};
    for (int i = 0; i < 3; i++)
        if (asked[i] && parts[i] <= context)
            return error_set(
                error, HEED_E_DATA,
                "%s: %lld %s are %s, but a context of %lld needs %lld: a longer text is "
                "right, or a shorter --context%s",
                d->path, (long long)parts[i], d->numbers ? "tokens" : "bytes", what[i],
                (long long)context, (long long)context + 1, i ? ", or --valid 0" : "");
    return HEED_OK;
}

/* ---- windows ---- */

void train_data_windows(const train_data *d, uint64_t seed, int64_t step, int64_t number,
                        int64_t batch, int64_t context, int32_t *tokens, int32_t *targets)
{
    const int64_t places = d->cut - context; /* one token more than the context is needed */
    for (int64_t row = 0; row < batch; row++) {
        const philox p =
            philox_at(seed, (philox){{(uint32_t)(number * batch + row), (uint32_t)step,
                                      (uint32_t)((uint64_t)step >> 32), PHILOX_WINDOWS}});
        const uint64_t bits = (uint64_t)p.word[1] << 32 | p.word[0];
        int64_t from = (int64_t)((double)(bits >> 11) * 0x1p-53 * (double)places);
        if (from >= places) from = places - 1;
        for (int64_t i = 0; i < context; i++) {
            tokens[row * context + i] = token_at(d, from + i);
            targets[row * context + i] = token_at(d, from + i + 1);
        }
    }
}

int train_data_segments(const train_data *d, int64_t step, int64_t batch, int64_t context,
                        int32_t *tokens, int32_t *targets)
{
    const int64_t part = (d->cut - 1) / batch, segments = part / context, now = step % segments;
    for (int64_t row = 0; row < batch; row++)
        for (int64_t i = 0; i < context; i++) {
            const int64_t at = row * part + now * context + i;
            tokens[row * context + i] = token_at(d, at);
            targets[row * context + i] = token_at(d, at + 1);
        }
    return now > 0;
}

/* ---- measuring ---- */

/* A row of a batch: tokens [start, end) are predicted, and those from `count` on are counted. */
typedef struct window {
    int64_t start, count, end;
} window;

static void fill_row(const train_measure *m, int64_t from, const window *w, int64_t row,
                     int64_t length)
{
    const train_data *d = m->data;
    for (int64_t i = 0; i < length; i++) {
        const int64_t at = w->start + i;
        m->tokens[row * length + i] = at > from || (m->bos < 0 && from > 0) ? token_at(d, at - 1)
                                      : m->bos >= 0                         ? (int32_t)m->bos
                                                                            : token_at(d, at);
        m->targets[row * length + i] = token_at(d, at);
    }
}

/* Some windows of one length. */
static int32_t measure(train_measure *m, int64_t from, const window *w, int64_t rows, double *nats,
                       heed_error *error)
{
    const int64_t length = w->end - w->start;
    for (int64_t r = 0; r < rows; r++) fill_row(m, from, &w[r], r, length);
    TRY(heed_trainer_loss(m->trainer, m->tokens, m->targets, rows, length, m->nll, error));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = w[r].count - w[r].start; i < length; i++)
            *nats += (double)m->nll[r * length + i];
    return HEED_OK;
}

/* The window after `last`; 0: there is none. */
static int next_window(const train_measure *m, int64_t from, int64_t to, int64_t windows,
                       int64_t number, const window *last, window *next)
{
    const int64_t stride = m->context > 1 ? m->context / 2 : 1;
    if (windows) {
        const int64_t start = from + number * ((to - from) / windows);
        *next = (window){start, start, start + m->context};
        return number < windows;
    }
    if (number && last->end == to) return 0;
    next->start = from + number * stride;
    next->end = next->start + m->context < to ? next->start + m->context : to;
    next->count = number ? last->end : from;
    return 1;
}

int32_t train_measure_bits(train_measure *m, int64_t from, int64_t to, int64_t windows,
                           double *bits, heed_error *error)
{
    window *all = calloc((size_t)m->batch, sizeof *all), next = {0}, last = {0};
    int64_t rows = 0, counted = 0;
    double nats = 0;
    int32_t failed = all ? HEED_OK : error_memory(error);
    for (int64_t number = 0; !failed; number++) {
        const int more = next_window(m, from, to, windows, number, &last, &next);
        const int full = rows && (!more || rows == m->batch ||
                                  next.end - next.start != all[0].end - all[0].start);
        if (full) failed = measure(m, from, all, rows, &nats, error), rows = 0;
        if (!more) break;
        all[rows++] = last = next;
        counted += next.end - next.count;
    }
    free(all);
    *bits = nats / log(2) / (double)counted;
    return failed;
}
