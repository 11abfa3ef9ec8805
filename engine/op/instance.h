/* SPDX-License-Identifier: MIT
 *
 * instance.h: an op with its params fixed, from inside.
 */
#ifndef HEED_OP_INSTANCE_H
#define HEED_OP_INSTANCE_H

#include "op/registry.h"
#include "op/resolve.h"

struct heed_instance {
    heed_engine *engine;
    const entry *entry;
    const heed_path *path;
    void *memory;
    heed_value *value;
    heed_child *child;
    heed_instance **children; /* [params], NULL where there is none */
    heed_mask mask;
    int64_t axis[HEED_AXES];  /* known when opened */
    char *spec;
};

/* From a resolved op; children are opened with the same axes. */
HEED_LOCAL heed_instance *instance_make(heed_engine *engine, const resolved *op, const heed_opening *opening,
                                        heed_error *error);

HEED_LOCAL heed_open instance_opening(const heed_instance *i, const heed_tensor *const *weight, heed_sink *sink);

#endif
