/* SPDX-License-Identifier: MIT
 *
 * elements.c: work on the elements of long arrays, on the lanes of an engine.
 */
#include "base/cpu.h"
#include "base/error.h"
#include "op/engine.h"
#include "train/elements.h"

typedef struct job {
    elements_fn fn;
    void *arg;
    int64_t n;
} job;

static void tile(void *arg, int64_t piece, uint32_t lane)
{
    const job *j = arg;
    const int64_t from = piece * ELEMENTS_PIECE, end = from + ELEMENTS_PIECE;
    (void)lane;
    j->fn(j->arg, from, end < j->n ? end : j->n, piece);
}

int32_t elements_run(heed_engine *engine, int64_t n, elements_fn fn, void *arg, heed_error *error)
{
    const uint64_t mode = cpu_float_plain();
    const int32_t failed =
        engine->host->parallel_for(engine->host, elements_pieces(n), tile, &(job){fn, arg, n});
    cpu_float_restore(mode);
    return failed ? error_set(error, failed, "training: cancelled") : HEED_OK;
}
