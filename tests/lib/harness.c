/* SPDX-License-Identifier: MIT
 *
 * harness.c: one case of an op on every path, at several thread counts and in each layout.
 */
#include "harness.h"

/* `all` thread counts on each path, or one in turn. */
static int sweep(const call_case *how, int all)
{
    static const uint32_t threads[] = {1, 2, 3, 7};
    enum { COUNTS = sizeof threads / sizeof *threads };
    const char *paths[8];
    heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
    call c;
    int runs = 0;
    call_make(&c, how);
    const int n = harness_paths(c.op->id, paths);
    call_run(&c, paths[0], 1, PLAIN, first);
    const double ratio = call_judge(&c, first);
    if (!(ratio <= 1))
        fail_msg("%s [%s] dtype %u: error is %.3g of its bound", how->spec, how->axes, how->dtype, ratio);
    for (int p = 0; p < n; p++)
        for (int t = 0; t < COUNTS; t++)
            for (int layout = 0; layout < LAYOUTS; layout++) {
                const int turn = (int)((uint64_t)(p + layout) + (all ? 0 : how->seed)) % COUNTS;
                if ((!all || layout != PLAIN) && t != turn) continue; /* each layout at one count */
                if (p == 0 && t == 0 && layout == PLAIN) continue;
                call_run(&c, paths[p], threads[t], layout, other);
                if (!outputs_equal(&c, first, other))
                    fail_msg("%s [%s]: %s, %u threads, layout %d: other bits than %s", how->spec, how->axes, paths[p],
                             threads[t], layout, paths[0]);
                outputs_free(other);
                runs++;
            }
    outputs_free(first);
    call_free(&c);
    return runs;
}

int harness_sweep(const call_case *how) { return sweep(how, 1); }
int harness_glance(const call_case *how) { return sweep(how, 0); }
