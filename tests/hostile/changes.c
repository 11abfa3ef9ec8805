/* SPDX-License-Identifier: MIT
 *
 * Changes its tables after it was vetted: its function measure does. The engine has copies.
 */
#include "hostile.h"

static char id[] = "norm/hostile", axes[] = "... M";

static int32_t spoil(const heed_open *open, uint64_t *bytes)
{
    id[0] = axes[0] = 0;
    ops[0].paths.data = 0;
    ports[0].role = 77;
    params[0].key = 0;
    return measure(open, bytes);
}

HOSTILE(ops[0].id = id; ports[0].axes = axes; ops[0].measure = spoil)
