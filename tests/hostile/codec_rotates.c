/* SPDX-License-Identifier: MIT
 *
 * A codec rotates queries, but not keys.
 */
#define CODEC_ROTATE codec_rotate
#include <heed/abi/kv.h>

static void codec_rotate(const void *instance, int64_t width, float *queries, int64_t count,
                         int64_t step)
{
    (void)instance;
    for (int64_t c = 0; c < width; c++)
        for (int64_t i = 0; i < count; i++) queries[c * step + i] = -queries[c * step + i];
}

#include "codec.h"

HOSTILE_CODEC
