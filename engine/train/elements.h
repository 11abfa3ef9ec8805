/* SPDX-License-Identifier: MIT
 *
 * elements.h: work on the elements of long arrays, piece by piece, on the lanes of an engine.
 *
 * Training is the one place of the engine that touches elements: an optimiser's step and dropout.
 * Both are elementwise, in additions, multiplications, divisions and square roots of IEEE 754 alone,
 * which every compiler and machine rounds alike as long as none is fused; and pieces are cut by
 * index, so that their number does not depend on the lanes.
 */
#ifndef HEED_TRAIN_ELEMENTS_H
#define HEED_TRAIN_ELEMENTS_H

#include "base/local.h"

#define ELEMENTS_PIECE 8192

/* Work on elements [from, to) of an array; `piece` is its number. */
typedef void (*elements_fn)(void *arg, int64_t from, int64_t to, int64_t piece);

static inline int64_t elements_pieces(int64_t n)
{
    return (n + ELEMENTS_PIECE - 1) / ELEMENTS_PIECE;
}
/* All pieces of n elements. HEED_E_CANCELLED if the host wants no more of it. */
HEED_LOCAL int32_t elements_run(heed_engine *engine, int64_t n, elements_fn fn, void *arg,
                                heed_error *error);

#endif
