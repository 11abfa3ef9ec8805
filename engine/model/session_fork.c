/* SPDX-License-Identifier: MIT
 *
 * session_fork.c: a second session with what the first one remembers, and a session cut back.
 *
 * Forks share pages until one of them writes, so N texts that begin alike cost their common part
 * once. Invariant: what fails leaves the session as it was.
 */
#include <stdlib.h>

#include "base/error.h"
#include "model/session.h"

int64_t heed_session_length(const heed_session *s) { return s->length; }

static int32_t check_forked(const heed_session *s, heed_error *error)
{
    if (s->broken)
        return error_set(error, HEED_E_ARGUMENT,
                         "an earlier feed failed half-way and this network can not take it back: "
                         "reset the session");
    if (s->stack->n_encode)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this network attends to an encoded text, which a fork would not have: "
                         "encode it in a new session");
    if (s->stack->forgets && s->length)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s remembers nothing of a text, so there is nothing to fork: feed it again",
                         s->stack->forgets);
    return HEED_OK;
}

heed_session *heed_session_fork(heed_session *from, heed_error *error)
{
    if (error) *error = (heed_error){0};
    heed_error own, *e = error ? error : &own;
    if (check_forked(from, e)) return NULL;
    heed_session *s = heed_session_new(from->stack, e);
    if (s && session_take(s, from, e)) heed_session_free(s), s = NULL;
    return s;
}

int32_t heed_session_truncate(heed_session *s, int64_t length, heed_error *error)
{
    const uint32_t n = s->stack->n_memories;
    int32_t failed = HEED_OK;
    if (error) *error = (heed_error){0};
    heed_error own, *e = error ? error : &own;
    if (length < 0 || length > s->length)
        return error_set(e, HEED_E_ARGUMENT,
                         "a session of %lld tokens can not be cut to %lld; 0 to %lld is right",
                         (long long)s->length, (long long)length, (long long)s->length);
    if (length == 0) return heed_session_reset(s, e);
    if (length == s->length) return HEED_OK;
    TRY(check_forked(s, e));
    /* twins first: if one layer can not go back, none does */
    heed_sequence **twins = calloc(n ? n : 1, sizeof *twins);
    if (!twins) return error_memory(e);
    for (uint32_t i = 0; i < n && !failed; i++) {
        twins[i] = heed_sequence_fork(s->sequences[i], e);
        failed = twins[i] ? heed_sequence_truncate(twins[i], length, e) : e->code;
    }
    for (uint32_t i = 0; i < n; i++) {
        heed_sequence *old = failed ? twins[i] : s->sequences[i];
        if (!failed) s->sequences[i] = twins[i];
        heed_sequence_free(old);
    }
    free(twins);
    if (!failed) s->length = length;
    return failed;
}
