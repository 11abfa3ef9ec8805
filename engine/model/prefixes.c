/* SPDX-License-Identifier: MIT
 *
 * prefixes.c: texts that were read already, for those that begin alike.
 *
 * A text is kept as its tokens and a fork of the session that read it. Forks share pages, so what
 * several texts begin with takes memory once. Texts are found by comparing their tokens, not by a
 * hash: to compare some hundred texts of some thousand tokens takes less time than one token takes
 * through a network, and two texts with the same hash can not be mistaken for each other.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/session.h"

typedef struct kept {
    heed_session *session;
    int32_t *tokens;
    int64_t n;
    uint64_t asked; /* when it was asked for last */
    uint64_t tried; /* in which take its state could not go back far enough */
} kept;

struct heed_prefixes {
    heed_stack *stack;
    kept *texts; /* [most] */
    uint32_t most, count;
    uint64_t now;
};

heed_prefixes *heed_prefixes_new(heed_stack *stack, uint32_t most, heed_error *error)
{
    if (error) *error = (heed_error){0};
    heed_prefixes *p = most ? calloc(1, sizeof *p) : NULL;
    kept *texts = p ? calloc(most, sizeof *texts) : NULL;
    if (!texts) {
        free(p);
        if (most) error_memory(error);
        else error_set(error, HEED_E_ARGUMENT, "0 texts are to be kept; at least 1 is right");
        return NULL;
    }
    *p = (heed_prefixes){.stack = stack, .texts = texts, .most = most};
    return p;
}

static void remove_text(heed_prefixes *p, uint32_t i)
{
    heed_session_free(p->texts[i].session);
    free(p->texts[i].tokens);
    p->texts[i] = p->texts[--p->count];
}

void heed_prefixes_free(heed_prefixes *p)
{
    if (!p) return;
    while (p->count) remove_text(p, p->count - 1);
    free(p->texts);
    free(p);
}

int32_t heed_prefixes_drop(heed_prefixes *p)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < p->count; i++)
        if (p->texts[i].asked < p->texts[oldest].asked) oldest = i;
    if (!p->count) return 0;
    remove_text(p, oldest);
    return 1;
}

static int64_t common(const kept *k, const int32_t *tokens, int64_t n)
{
    int64_t i = 0;
    while (i < n && i < k->n && k->tokens[i] == tokens[i]) i++;
    return i;
}

/* A fork of the text cut to `length` tokens, or NULL if its state can not go back so far. */
static heed_session *cut(const kept *k, int64_t length, heed_error *error)
{
    heed_session *s = heed_session_fork(k->session, error);
    if (s && !heed_session_truncate(s, length, error)) return s;
    heed_session_free(s);
    return NULL;
}

/* Texts that the new one begins with go, if it can be cut to them. */
static void remove_beginnings(heed_prefixes *p, const kept *made)
{
    heed_error none;
    for (uint32_t i = p->count; i-- > 0;) {
        const kept *k = &p->texts[i];
        heed_session *s = common(k, made->tokens, made->n) == k->n ? cut(made, k->n, &none) : NULL;
        if (s) remove_text(p, i);
        heed_session_free(s);
    }
}

int32_t heed_prefixes_put(heed_prefixes *p, heed_session *session, const int32_t *tokens, int64_t n,
                          heed_error *error)
{
    if (error) *error = (heed_error){0};
    heed_error own, *e = error ? error : &own;
    if (!session || session->stack != p->stack)
        return error_set(e, HEED_E_ARGUMENT, "the session is %s",
                         session ? "of another stack" : "NULL");
    if (n < 1 || !tokens || session->length != n)
        return error_set(e, HEED_E_ARGUMENT,
                         "the session has read %lld tokens; all of them are right here, not %lld%s",
                         (long long)session->length, (long long)n, tokens ? "" : " at NULL");
    kept made = {.session = heed_session_fork(session, e),
                 .tokens = reallocarray(NULL, (size_t)n, sizeof *tokens),
                 .n = n,
                 .asked = ++p->now};
    if (!made.session || !made.tokens) {
        if (made.session) error_memory(e);
        heed_session_free(made.session);
        free(made.tokens);
        return e->code;
    }
    memcpy(made.tokens, tokens, (size_t)n * sizeof *tokens);
    remove_beginnings(p, &made);
    if (p->count == p->most) heed_prefixes_drop(p);
    p->texts[p->count++] = made;
    return HEED_OK;
}

heed_session *heed_prefixes_take(heed_prefixes *p, const int32_t *tokens, int64_t n, int64_t *known,
                                 heed_error *error)
{
    heed_error none;
    if (error) *error = (heed_error){0};
    p->now++;
    for (;;) {
        kept *best = NULL;
        int64_t most = 0;
        for (uint32_t i = 0; i < p->count; i++) {
            kept *k = &p->texts[i];
            const int64_t alike = k->tried == p->now ? 0 : common(k, tokens, n - 1);
            if (alike > most) most = alike, best = k;
        }
        *known = most;
        if (!best) return heed_session_new(p->stack, error);
        heed_session *s = cut(best, most, &none);
        if (s) return best->asked = p->now, s;
        best->tried = p->now;
    }
}
