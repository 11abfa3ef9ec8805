/* SPDX-License-Identifier: MIT
 *
 * field_position.c: the loss at each position of texts that are longer than what a network was made
 * for: FIELD_BEYOND contexts, read from their first token on. Where positions go on, by RoPE, ALiBi
 * or none, the network can read them, but has not learned to.
 *
 * It is the same network with a longer context, opened beside the one that is there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/field.h"
#include "command/interrupt.h"
#include "command/progress.h"

#define CALL 64 /* tokens of a call, all of whose logits are needed */

typedef struct reader {
    field_network *n;
    const field_text *t;
    heed_stack *stack;
    heed_session *session;
    heed_instance *loss;
    float *logits, *nll;
    int64_t call;
} reader;

/* A spec with another context; malloc'ed, NULL: no memory. */
static char *spec_of(const char *spec, int64_t context)
{
    static const char key[] = "; context=";
    const char *at = strstr(spec, key);
    char *text = NULL;
    if (!at) return strdup(spec);
    const char *behind = at + strlen(key) + strspn(at + strlen(key), "0123456789");
    if (asprintf(&text, "%.*s%s%lld%s", (int)(at - spec), spec, key, (long long)context, behind) <
        0)
        return NULL;
    return text;
}

static int32_t open_reader(reader *r, field_network *n, const field_text *t, heed_error *error)
{
    const model *m = &n->model;
    *r = (reader){.n = n, .t = t, .call = n->longest && n->longest < CALL ? n->longest : CALL};
    char *spec = spec_of(heed_stack_spec(m->stack), t->beyond);
    if (!spec) return error_memory(error);
    r->stack = heed_stack_open(m->engine, spec, m->weights, error);
    free(spec);
    if (!r->stack) return error->code;
    r->session = heed_session_new(r->stack, error);
    if (!r->session) return error->code;
    r->loss = heed_instance_open(m->engine, "loss/cross_entropy", NULL, error);
    if (!r->loss) return error->code;
    r->logits = reallocarray(NULL, (size_t)r->call, (size_t)n->vocab * sizeof *r->logits);
    r->nll = calloc((size_t)r->call, sizeof *r->nll);
    return r->logits && r->nll ? HEED_OK : error_memory(error);
}

static void close_reader(reader *r)
{
    heed_instance_close(r->loss);
    heed_session_free(r->session);
    heed_stack_close(r->stack);
    free(r->logits);
    free(r->nll);
}

/* The losses of the tokens behind each of a call's: into r->nll. */
static int32_t read_call(reader *r, const int32_t *token, int64_t count, heed_error *error)
{
    TRY(heed_session_feed(r->session, token, count, r->logits, count, error));
    return field_score(r->n, r->loss, r->logits, count, token + 1, 1, r->nll, error);
}

/* The mean loss of each block of positions of one text. */
static int32_t read_place(reader *r, int64_t place, int64_t begin, heed_error *error)
{
    const field_text *t = r->t;
    double sum[FIELD_BLOCKS] = {0};
    TRY(heed_session_reset(r->session, error));
    for (int64_t at = 0, count; at < t->beyond; at += count) {
        count = t->beyond - at < r->call ? t->beyond - at : r->call;
        TRY(read_call(r, r->n->token + begin + at, count, error));
        for (int64_t i = 0; i < count; i++)
            sum[(at + i) * FIELD_BLOCKS / t->beyond] += (double)r->nll[i];
    }
    for (int64_t b = 0; b < FIELD_BLOCKS; b++) {
        const int64_t count = field_block_end(t, b) - (b ? field_block_end(t, b - 1) : 0);
        r->n->loss_at[b * t->places + place] = (float)(sum[b] / (double)count);
    }
    return HEED_OK;
}

int32_t field_go_beyond(field_network *n, const field_text *t, heed_error *error)
{
    reader r;
    int64_t *done = &n->done[FIELD_POSITION];
    const int64_t last = n->tokens - t->beyond - 1;
    n->loss_at = calloc((size_t)(FIELD_BLOCKS * t->places), sizeof *n->loss_at);
    if (!n->loss_at) return error_memory(error);
    int32_t failed = open_reader(&r, n, t, error);
    for (*done = 0; !failed && *done < t->places && !interrupt_seen;) {
        progress_show((double)*done / (double)t->places, "%s: %s", n->path,
                      field_measures[FIELD_POSITION]);
        const double share = t->places > 1 ? (double)*done / (double)(t->places - 1) : 0;
        failed = read_place(&r, *done, (int64_t)((double)last * share), error);
        if (!failed) ++*done;
    }
    close_reader(&r);
    return failed;
}
