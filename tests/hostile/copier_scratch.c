/* SPDX-License-Identifier: MIT
 *
 * Uses a byte of scratch more than it measured.
 */
#define SCRATCH 256
#define SIN(c) ((c)->call->scratch[(c)->lane * (c)->call->scratch_stride + 256] = 1)
#include "copier.h"
