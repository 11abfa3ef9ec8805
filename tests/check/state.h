/* SPDX-License-Identifier: MIT
 *
 * state.h: a text that is fed to sequences; and what an op that remembers must hold to.
 */
#ifndef HEED_CHECK_STATE_H
#define HEED_CHECK_STATE_H

#include "check/subject.h"

#define BATCH_MAX 8

typedef struct text {
    subject *s;
    heed_instance *instance;
    int64_t axes[HEED_AXES]; /* for its sequences */
    heed_sequence *sequence[BATCH_MAX];
    heed_tensor out[ORACLE_PORTS];
    int64_t at; /* tokens fed */
} text;

/* A failure of any of these is a finding. */
void text_open(text *t, subject *s, const char *path, uint32_t threads);
void text_feed(text *t, int64_t n);
void text_close(text *t);
int64_t text_length(const subject *s);
/* The sizes that a sequence may depend on. */
void text_axes(const subject *s, int64_t axes[HEED_AXES]);
/* Along which axis a port has tokens, S or T; -1: it has none. */
int text_axis(const subject *s, uint32_t port);
/* Copies the outputs; outputs_free. */
void text_keep(const text *t, heed_tensor to[ORACLE_PORTS]);
/* `what` gave other bits: a finding. */
void text_must_equal(const text *t, const heed_tensor *right, const char *what);

int has_state(const subject *s);
int has_forms(const subject *s);
void check_forms(subject *s);
void check_history(subject *s);

#endif
