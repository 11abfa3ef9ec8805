/* SPDX-License-Identifier: MIT
 *
 * origin.c: an op that has taken the place of another one with the same id, which would give other
 * results, is told of by who used it.
 */
#include <stdio.h>

#include "command/origin.h"
#include "op/engine.h"

void origin_tell(const heed_engine *engine)
{
    fflush(stdout);
    for (uint32_t i = 0; engine && i < engine->registry.count; i++) {
        const entry *e = engine->registry.entries[i];
        if (e->used && e->over)
            fprintf(stderr, "heed: %s is that of %s, in place of %s\n", e->op.id, e->plugin,
                    e->over);
    }
}
