/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/field.h: what an op writes that tells which keys a query can depend on
 * (heed.field/1). Include it where the op's tables are.
 */
#ifndef HEED_KIT_CORE_FIELD_H
#define HEED_KIT_CORE_FIELD_H
#include <string.h>

#include <heed/abi/cost.h>
#include <heed/abi/field.h>

/* All keys from first to last - 1. */
static inline void kit_field_add(heed_field *f, int64_t first, int64_t last)
{
    if (last > first) f->run[f->runs++] = (heed_field_run){sizeof *f->run, 0, first, last, 0, 1, 1};
}

/* An op's get_extension that has heed.cost/1, heed.field/1 and nothing else. */
#define KIT_COST_FIELD(name, cost, field)                                                          \
    static const void *name(const char *id)                                                        \
    {                                                                                              \
        static const heed_coster coster = {sizeof coster, 0, cost};                                \
        static const heed_fielder fielder = {sizeof fielder, 0, field};                            \
        if (strcmp(id, HEED_FIELD_ID) == 0) return &fielder;                                       \
        return strcmp(id, HEED_COST_ID) == 0 ? &coster : NULL;                                     \
    }

#endif
