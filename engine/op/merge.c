/* SPDX-License-Identifier: MIT
 *
 * merge.c: heed_merge, the op merge/attention as a function. No element is touched here.
 *
 * The op has no settings, so an engine opens it once, at the first call of any thread, and keeps it.
 */
#include <stdatomic.h>

#include "base/local.h"
#include "op/engine.h"
#include "op/instance.h"

static heed_instance *merger(heed_engine *engine, heed_error *error)
{
    heed_instance *kept = atomic_load(&engine->merge);
    if (kept) return kept;
    heed_instance *made = heed_instance_open(engine, "merge/attention", NULL, error);
    if (!made || atomic_compare_exchange_strong(&engine->merge, &kept, made)) return made;
    heed_instance_close(made); /* another thread was faster */
    return kept;
}

int32_t heed_merge(heed_engine *engine, const heed_tensor *a, const heed_tensor *lse_a, const heed_tensor *b,
                   const heed_tensor *lse_b, heed_tensor *out, heed_tensor *lse, heed_error *error)
{
    heed_error own; /* the code is needed even where the caller wants no sentence */
    heed_error *told = error ? error : &own;
    const heed_instance *merge = merger(engine, told);
    if (!merge) return told->code;
    heed_binding in[] = {{"a", (heed_tensor *)a}, /* inputs are only read */
                         {"lse_a", (heed_tensor *)lse_a},
                         {"b", (heed_tensor *)b},
                         {"lse_b", (heed_tensor *)lse_b}};
    heed_binding to[] = {{"out", out}, {"lse", lse}}; /* NULL: left out */
    return heed_run(merge, in, 4, to, 2, NULL, told);
}
