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
    void *memory, *next; /* next: its memory once a rebind has succeeded */
    /* [ports] the weights as they are bound, and those that `memory` was built from */
    const heed_tensor **weight, **built;
    heed_value *value;
    heed_child *child;
    heed_instance **children; /* [params], NULL where there is none */
    heed_mask mask;
    uint32_t letters;         /* of the axes that it, or an op inside it that it calls, has; bit 0 is A */
    int64_t axis[HEED_AXES];  /* known when opened; -1 where the letter is not among them */
    char *spec;
    char *part; /* where a network has it, "layers.3.q"; NULL: in none */
};

/* From a resolved op; children are opened with the same axes. */
HEED_LOCAL heed_instance *instance_make(heed_engine *engine, const resolved *op, const heed_opening *opening,
                                        heed_error *error);

/* Makes the axes that the op does not have unknown to it (-1). A network names all of its sizes to
 * every op, and without this an op whose values have H heads would take the network's number of
 * key heads, G, for its own. An op that is only a setting of others, such as a position op on
 * scores, has no call of its own and keeps the axes of the op that it is inside. */
HEED_LOCAL void instance_own_axes(const heed_instance *i, int64_t *axis);

/* Measures and builds it from its values, children and weights, in memory of its own. */
HEED_LOCAL int32_t instance_build(const heed_instance *i, void **memory, heed_error *error);

/* Bytes that it takes, weights that it has laid out anew among them. */
HEED_LOCAL uint64_t instance_bytes(const heed_instance *i);

/* Weights of the op inside that is this param whose gradients a backward of this one has, as a set
 * of its ports. */
HEED_LOCAL uint32_t instance_gives(const heed_instance *i, uint32_t param);

HEED_LOCAL heed_open instance_opening(const heed_instance *i, const heed_tensor *const *weight, heed_sink *sink);

#endif
