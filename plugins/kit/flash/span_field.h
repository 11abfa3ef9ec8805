/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/span_field.h: heed.field/1 of the ops whose params are those of flash/span_op.h: what a
 * query could see if its span were the limit. Include it after that.
 */
#ifndef HEED_KIT_FLASH_SPAN_FIELD_H
#define HEED_KIT_FLASH_SPAN_FIELD_H
#include <heed/kit/core/field.h>
#include <heed/kit/flash/span_op.h>

static int32_t kit_flash_soft_field(const heed_open *open, const heed_mask *mask, int64_t begin,
                                    int64_t at, heed_field *f)
{
    const int64_t limit = open->value[FLASH_LIMIT].i, self = open->value[FLASH_SELF].i;
    (void)mask, (void)begin;
    f->flags = HEED_FIELD_BOUND | HEED_FIELD_MOVES;
    f->loose = limit;
    kit_field_add(f, at - limit, at + self);
    return HEED_OK;
}
#endif
