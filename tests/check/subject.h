/* SPDX-License-Identifier: MIT
 *
 * subject.h: what a check looks at: a call that the op has run once.
 */
#ifndef HEED_CHECK_SUBJECT_H
#define HEED_CHECK_SUBJECT_H

#include "check/cases.h"
#include "inspect.h"
#include "lib/call.h"

/* What a check looks at: a call that the op has run once, on its first path. */
typedef struct subject {
    call c;
    call_case how;
    /* of the op that is called: for a score op the attention around it */
    const entry *entry;
    const char *paths[8];            /* exact ones that run here */
    int n_paths;
    heed_tensor first[ORACLE_PORTS]; /* its outputs on paths[0], one thread */
    uint64_t seed;                   /* for choices of a check's own */
} subject;

/* Opens and calls, which fills `s`: 1, or 0 where the op refuses the case, with a sentence. */
int subject_make(subject *s, const check_case *how, heed_error *refusal);
void subject_free(subject *s);

static inline const heed_port *subject_port(const subject *s, uint32_t i)
{
    return entry_port(s->entry, i);
}
/* Which axis of the port has this letter, counted in its tensor; -1: none. 'x' is the first leading
 * one. */
int subject_axis(const subject *s, uint32_t port, char letter);
/* Rows of the batch may depend on one another here, and a param of the op says so. */
int subject_couples(const subject *s);

#endif
