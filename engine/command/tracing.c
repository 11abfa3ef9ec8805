/* SPDX-License-Identifier: MIT
 *
 * tracing.c: --trace FILE. The calls are kept in memory while the command runs, since writing would
 * take part in what is timed, and are written when it ends.
 *
 * The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 * Row 0 is the calls, row 1 + i is lane i. Times are microseconds since the first call.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "command/file.h"
#include "command/interrupt.h"
#include "command/tracing.h"
#include "inspect.h"
#include "io/replace.h"

int32_t tracing_begin(tracing *t, heed_engine *engine, heed_error *error)
{
    if (!t->path) return HEED_OK;
    int32_t failed = file_check(t->path, error);
    if (failed) return failed;
    interrupt_catch();
    t->trace = trace_new(inspect_host(engine), heed_lanes(engine), &interrupt_seen, error);
    if (!t->trace) return error->code;
    t->engine = engine;
    inspect_trace(engine, t->trace);
    return HEED_OK;
}

/* ---- the file ---- */

static double us(int64_t ns) { return 1e-3 * (double)ns; }

static void put_row_name(FILE *to, uint32_t row, const char *format, uint32_t lane)
{
    fprintf(to,
            "%s{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"args\":{\"name\":\"",
            row ? ",\n" : "", row);
    fprintf(to, format, lane);
    fprintf(to,
            "\"}},\n{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,"
            "\"args\":{\"sort_index\":%u}}",
            row, row);
}

/* Ids and parts are of [a-z0-9_/.], so they need no escape. */
static void put_call(FILE *to, const trace_call *c, int64_t start)
{
    fprintf(to,
            ",\n{\"name\":\"%s\",\"cat\":\"op\",\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":%.3f,"
            "\"dur\":%.3f,\"args\":{\"op\":\"%s\",\"bytes\":%.0f",
            c->part ? c->part : c->op, us(c->begin - start), us(c->end - c->begin), c->op,
            c->bytes);
    if (c->flops >= 0) fprintf(to, ",\"flops\":%.0f", c->flops);
    if (c->layer >= 0) fprintf(to, ",\"layer\":%" PRId64, c->layer);
    fputs("}}", to);
}

static void put_tile(FILE *to, const trace_tile *tile, const trace_call *c, uint32_t lane,
                     int64_t start)
{
    fprintf(to,
            ",\n{\"name\":\"%s\",\"cat\":\"tile\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,"
            "\"dur\":%.3f,\"args\":{\"tile\":%" PRId64 ",\"lane\":%u",
            c->part ? c->part : c->op, lane + 1, us(tile->begin - start),
            us(tile->end - tile->begin), tile->tile, lane);
    if (c->layer >= 0) fprintf(to, ",\"layer\":%" PRId64, c->layer);
    fputs("}}", to);
}

static int put(FILE *to, const void *arg)
{
    const trace *t = arg;
    uint32_t n_calls, n;
    const trace_call *calls = trace_calls(t, &n_calls);
    int64_t start = n_calls ? calls[0].begin : 0;
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", to);
    put_row_name(to, 0, "calls", 0);
    for (uint32_t lane = 0; lane < trace_lanes(t); lane++)
        put_row_name(to, lane + 1, "lane %u", lane);
    for (uint32_t i = 0; i < n_calls; i++) put_call(to, &calls[i], start);
    for (uint32_t lane = 0; lane < trace_lanes(t); lane++) {
        const trace_tile *tiles = trace_tiles(t, lane, &n);
        for (uint32_t i = 0; i < n; i++)
            if (tiles[i].call < n_calls)
                put_tile(to, &tiles[i], &calls[tiles[i].call], lane, start);
    }
    fputs("\n]}\n", to);
    return !ferror(to);
}

int32_t tracing_end(tracing *t, int32_t failed, heed_error *error)
{
    heed_error own = {0};
    if (!t->trace) return failed;
    inspect_trace(t->engine, NULL);
    if (trace_lost(t->trace))
        fprintf(stderr,
                "heed: the trace has the first events alone; %" PRIu64 " more did not fit\n",
                trace_lost(t->trace));
    int32_t code = strcmp(t->path, "-") ? replace_file(t->path, put, t->trace, &own)
                   : put(stdout, t->trace)
                       ? HEED_OK
                       : error_set(&own, HEED_E_SYSTEM, "standard output: %s", strerror(errno));
    trace_free(t->trace);
    t->trace = NULL;
    if (failed && interrupt_seen && !code)
        error_set(error, HEED_E_CANCELLED, "interrupted; %s has what ran until then", t->path);
    if (failed || !code) return failed;
    *error = own;
    return code;
}
