/* SPDX-License-Identifier: MIT
 *
 * tracing.h: --trace FILE: what ran when, as the Trace Event JSON that ui.perfetto.dev opens.
 */
#ifndef HEED_COMMAND_TRACING_H
#define HEED_COMMAND_TRACING_H

#include "base/local.h"

#define TRACING_USAGE                                                                              \
    "  --trace FILE      what ran when, for ui.perfetto.dev: each call of an op, and each tile "   \
    "on "                                                                                          \
    "its lane\n"

struct trace;
typedef struct tracing {
    const char *path; /* NULL: there is none, and the functions do nothing */
    heed_engine *engine;
    struct trace *trace;
} tracing;

/* From now on; refuses a file that could not be written. Ctrl-C then ends the running call, so that
 * the file gets what was seen until then. */
int32_t tracing_begin(tracing *t, heed_engine *engine, heed_error *error);
/* Writes the file, also where the command has failed, and while the network is still open. `failed`
 * is how the command ended; the result is that, or why the file was not written. */
int32_t tracing_end(tracing *t, int32_t failed, heed_error *error);

#endif
