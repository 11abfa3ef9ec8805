/* SPDX-License-Identifier: MIT
 *
 * weights.h: tensors that are in no file, and a checksum of all.
 */
#ifndef HEED_IO_WEIGHTS_H
#define HEED_IO_WEIGHTS_H

#include "base/local.h"

HEED_LOCAL heed_weights *weights_new(heed_error *error); /* none yet */
/* One more of float32, zeroed; tensors found before may move. The name must be new. */
HEED_LOCAL heed_tensor *weights_add(heed_weights *w, const char *name, int32_t rank, const int64_t *dim,
                                    heed_error *error);

HEED_LOCAL uint64_t weights_checksum(const heed_weights *w); /* of all of them, those of a file too */

#endif
