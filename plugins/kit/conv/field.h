/* SPDX-License-Identifier: MIT
 *
 * heed/kit/conv/field.h: heed.field/1 of the ops of kit/conv/conv.h: the rows under the taps of a token.
 */
#ifndef HEED_KIT_CONV_FIELD_H
#define HEED_KIT_CONV_FIELD_H
#include <heed/kit/core/field.h>
#include <heed/kit/core/plugin.h>

static int32_t kit_conv_field(const heed_open *open, const heed_mask *mask, int64_t begin,
                              int64_t at, heed_field *f)
{
    const int64_t K = HEED_AXIS(open->axis, 'K'),
                  pad = mask->kinds & HEED_MASK_CAUSAL ? K - 1 : (K - 1) / 2;
    (void)begin;
    if (K < 1)
        return kit_fail(open->sink, HEED_E_SHAPE,
                        "the number of taps is not known, which kernel=N would give");
    f->flags = HEED_FIELD_MOVES;
    f->loose = K;
    kit_field_add(f, at - pad, at - pad + K);
    return HEED_OK;
}
#endif
