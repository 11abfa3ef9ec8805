/* SPDX-License-Identifier: MIT
 *
 * npy.h: .npy files, several of which are written together or none.
 */
#ifndef HEED_IO_NPY_H
#define HEED_IO_NPY_H

#include "io/replace.h"

/* replace_begin of a tensor's file; replace_end must follow in any case. `path` and `tensor` live
 * until then. */
HEED_LOCAL int32_t npy_begin(replacement *r, const char *path, const heed_tensor *tensor,
                             heed_error *error);

#endif
