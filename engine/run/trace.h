/* SPDX-License-Identifier: MIT
 *
 * trace.h: what ran when: the calls of ops, and each tile on its lane. For a command that wants to
 * show it (--trace) or to sum it up (heed bench of a network); a library's user has none.
 *
 * An engine without a trace pays for it one test of a pointer a call.
 */
#ifndef HEED_RUN_TRACE_H
#define HEED_RUN_TRACE_H

#include <signal.h>

#include "base/local.h"

#define TRACE_MOST (1u << 22) /* events that are kept; those behind them are only counted */

typedef struct trace trace;

/* One call of an op. */
typedef struct trace_call {
    const char *op, *part; /* its id; where a network has it, or NULL. Not the trace's */
    int64_t layer;         /* -1: in none */
    int64_t begin, end;    /* ns of a clock that never goes back */
    double flops, bytes;   /* flops -1 = not known */
} trace_call;

/* One tile of a call. */
typedef struct trace_tile {
    int64_t begin, end;
    int64_t tile;
    uint32_t call; /* the index of its call */
} trace_tile;

/* `host` runs the tiles, on so many lanes; once *stop is not 0 calls are cancelled (NULL: never).
 * NULL and a sentence if there is no memory. */
HEED_LOCAL trace *trace_new(const heed_host *host, uint32_t lanes,
                            const volatile sig_atomic_t *stop, heed_error *error);
HEED_LOCAL void trace_free(trace *t);
/* The table that calls must use, so that their tiles are seen. It lives as long as the trace. */
HEED_LOCAL const heed_host *trace_host(const trace *t);
HEED_LOCAL const heed_host *trace_former(const trace *t); /* that of trace_new */
HEED_LOCAL void trace_clear(trace *t);                    /* forgets what it has seen */

/* ---- who runs a call tells of it; one call at a time ---- */

HEED_LOCAL void trace_layer(trace *t, int64_t layer); /* of the calls from now on */
HEED_LOCAL int64_t trace_now(void);
HEED_LOCAL void trace_add(trace *t, trace_call call); /* its layer is filled in */

/* ---- what was seen ---- */

HEED_LOCAL const trace_call *trace_calls(const trace *t, uint32_t *n);
HEED_LOCAL const trace_tile *trace_tiles(const trace *t, uint32_t lane, uint32_t *n);
HEED_LOCAL uint32_t trace_lanes(const trace *t);
HEED_LOCAL uint64_t trace_lost(const trace *t); /* events that were too many */

#endif
