/* SPDX-License-Identifier: MIT
 *
 * tensor.h: what heed.h does not have of dtypes.
 */
#ifndef HEED_BASE_TENSOR_H
#define HEED_BASE_TENSOR_H

#include "base/local.h"

/* Bytes of a block of HEED_BLOCK elements; 0: a dtype has elements of whole bytes, or is none. */
HEED_LOCAL uint32_t tensor_block_bytes(uint32_t dtype);

#endif
