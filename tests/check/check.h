/* SPDX-License-Identifier: MIT
 *
 * check.h: the parts of heed check. It judges whether a plugin keeps its contract, from its descriptors alone: nothing
 * in this folder knows an op by its name.
 *
 *   check     the command, and its report             exact   a call in memory that is exactly what was asked for
 *   cases     from a table of ports to calls          rows    who sees whom: NaNs, causality, a row alone
 *   child     crashes, hangs and wild writes          state   whole, in chunks, token by token; forks and cuts
 *   checks    the table of what is verified           kept    states as bytes, and behind calls that fail
 *                                                     score   tiles of scores
 *
 * A finding is a sentence and a line that repeats it. Whatever runs plugin code runs in a child process, so that a
 * crash is a finding like others.
 */
#ifndef HEED_CHECK_H
#define HEED_CHECK_H

#include <stdarg.h>

#include "op/registry.h"
#include "op/spec.h"
#include "lib/call.h"

/* ---- cases.c ---- */

/* One call, as text: "norm/rms(eps=0.01) x=2x3,M=17 ports=gain dtype=f16 size=4 seed=7". */
typedef struct check_case {
    char spec[256];
    char axes[128];
    char ports[160]; /* as call_case.without has them */
    uint32_t dtype;
    float size;
    uint64_t seed;
} check_case;

/* Case n of the sweep of an op: the first ones go through the sizes that hurt with the op as it is, those that follow
 * through its params, masks and optional ports too. 0: there is no way to call this op. */
int case_make(const registry *r, const entry *e, uint32_t n, check_case *to);
/* A case that op refuses, changed as some ops need it: even widths, keys for every head, optional weights, axes of its
 * own as large as others. n counts the ways; 0: there are no more, -1: this one changes nothing. */
int case_change(const entry *e, const check_case *c, uint32_t n, check_case *to);
void case_print(const check_case *c, char *text, size_t n);
int case_parse(const char *text, check_case *to); /* 0, or -1: it is malformed */

/* ---- checks.c ---- */

/* What a check looks at: a call that the op has run once, on its first path. */
typedef struct subject {
    call c;
    call_case how;
    const entry *entry;              /* of the op that is called: for a score op the attention around it */
    const char *paths[8];            /* exact ones that run here */
    int n_paths;
    heed_tensor first[ORACLE_PORTS]; /* its outputs on paths[0], one thread */
    uint64_t seed;                   /* for choices of a check's own */
} subject;

typedef struct check {
    const char *name, *says;
    uint32_t every;                     /* of so many cases one is looked at */
    int (*applies)(const subject *s);   /* NULL: to all */
    void (*run)(subject *s);            /* harness_fail is a finding */
} check;

extern const check checks[]; /* [0] is the call itself */
extern const uint32_t check_count;

/* Opens and calls, which fills `s`: 1, or 0 where the op refuses the case, with a sentence. */
int subject_make(subject *s, const check_case *how, heed_error *refusal);
void subject_free(subject *s);

static inline const heed_port *subject_port(const subject *s, uint32_t i) { return entry_port(s->entry, i); }
/* Which axis of the port has this letter, counted in its tensor; -1: none. 'x' is the first leading one. */
int subject_axis(const subject *s, uint32_t port, char letter);
/* Rows of the batch may depend on one another here, and a param of the op says so. */
int subject_couples(const subject *s);

/* The checks of other files. */
void check_exact(subject *s);
void check_stack(subject *s);
void check_tiles(subject *s);
void check_alone(subject *s);
void check_nan(subject *s);
void check_causal(subject *s);
void check_masked(subject *s);
void check_forms(subject *s);
void check_history(subject *s);
void check_saved(subject *s);
void check_failure(subject *s);
void check_score(subject *s);
int has_stack(const subject *s);
int has_row_alone(const subject *s);
int has_causality(const subject *s);
int has_mask(const subject *s);
int has_forms(const subject *s);
int has_state(const subject *s);
int has_score(const subject *s);

/* ---- state.c: a text that is fed to sequences ---- */

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

/* ---- child.c ---- */

#define FINDINGS_MAX 48
#define CHECKS_MAX 32
#define OPS_MAX 64

typedef struct finding {
    uint32_t check;
    char sentence[512], line[640]; /* line: what --only takes */
} finding;

/* What a child writes and its parent reads, whatever becomes of the child. */
typedef struct board {
    volatile uint32_t at, check;     /* the case and the check that are running */
    volatile uint32_t ended;         /* by itself, with nothing left to do */
    uint32_t cases, refused;
    char refusal[256];               /* the last one */
    char note[512];
    uint32_t runs[CHECKS_MAX];       /* cases that a check looked at */
    uint32_t findings;
    finding finding[FINDINGS_MAX];
    uint32_t ops;                    /* of the plugin */
    char op[OPS_MAX][HEED_MAX_RANK * 16];
    char line[640];                  /* the case that is running, for who reads it after a crash */
} board;

board *board_make(void);
/* Runs work(arg) in a child, and tells what became of it: 0; or, after it has put a finding for the check and case that
 * were running on the board, 1, and 2 where it did not end. No check of a case may take more than `seconds`. */
int child_run(board *b, void (*work)(board *b, void *arg), void *arg, unsigned seconds);
/* [child] Before each check of a case: what would be said of a crash, and time starts anew. */
void child_doing(board *b, uint32_t at, uint32_t check, const char *line);
void board_find(board *b, uint32_t check, const char *line, const char *sentence);
/* [child] Names memory, so that a touch of its ends is told as such. Returns a handle. */
int child_watch(const char *name, const void *from, size_t bytes, size_t guard);
void child_unwatch(int handle);
void child_unwatch_all(void);

/* ---- check.c ---- */

typedef struct check_options {
    const char *plugin, *oracle, *only;
    uint32_t cases, json;
} check_options;

/* Checks one plugin and reports to standard output. 0; 1: there are findings, or it is no plugin. */
int check_plugin(const check_options *o);

#endif
