/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/names.h: the vector's vocabulary. Each word stands for this path's copy; the bodies
 * are in vec_<path>.h, math.h and load.h.
 */
#ifndef HEED_KIT_NAMES_H
#define HEED_KIT_NAMES_H
#include <heed/kit/core/base.h>

#define vf KIT(vf)                   /* 16 floats                                   */
#define vm KIT(vm)                   /* 16 truth values                             */

#define v_load KIT(v_load)           /* 16 floats from any address                  */
#define v_store KIT(v_store)
#define v_load_n KIT(v_load_n) /* the first n in [0,16], the rest is 0; touches nothing beyond */
#define v_store_n KIT(v_store_n)
#define v_stream KIT(v_stream)       /* store around the cache; 64-byte aligned     */
#define v_drain KIT(v_drain)         /* after the last v_stream of a tile           */
#define v_set KIT(v_set)             /* one float to all lanes                      */
#define v_add KIT(v_add)
#define v_sub KIT(v_sub)
#define v_mul KIT(v_mul)
#define v_div KIT(v_div)
#define v_fma KIT(v_fma)             /* a * b + c, rounded once                     */
#define v_sqrt KIT(v_sqrt)
#define v_abs KIT(v_abs)
#define v_max KIT(v_max)             /* a > b ? a : b, so a NaN in b passes         */
#define v_min KIT(v_min)             /* a < b ? a : b                               */
#define v_lt KIT(v_lt)
#define v_ge KIT(v_ge)
#define v_eq KIT(v_eq)
#define v_and KIT(v_and)
#define v_or KIT(v_or)
#define v_select KIT(v_select)       /* m ? a : b                                   */
#define v_pin KIT(v_pin)             /* keep it in a register                       */
#define v_swap KIT(v_swap)           /* lanes 1 0 3 2 5 4 ...                       */
#define v_scale KIT(v_scale)         /* x * 2^n                                     */
#define v_transpose KIT(v_transpose) /* 16 vectors: rows become lanes               */
#define v_sum KIT(v_sum)             /* of the lanes, by halves                     */
#define v_hmax KIT(v_hmax)

#define vr KIT(vr)                   /* a machine register: VR_LANES floats (vr.h)  */
#define vr_load KIT(vr_load)
#define vr_store KIT(vr_store)
#define vr_set KIT(vr_set)
#define vr_add KIT(vr_add)
#define vr_sub KIT(vr_sub)
#define vr_mul KIT(vr_mul)
#define vr_fma KIT(vr_fma)
#define vr_max KIT(vr_max)
#define vr_pin KIT(vr_pin)
#define vr_below_zero KIT(vr_below_zero)
#define vr_exp2_split KIT(vr_exp2_split) /* x = its nearest integer (in some form) + r */
#define vr_exp2_join KIT(vr_exp2_join)   /* p * 2^that, or 0 for 2^-127 and below      */
#define vr_fma_unless                                                                              \
    KIT(vr_fma_unless) /* w < 0 ? c : a * b + c, rounded once; a NaN in w: either */

#define v_exp2 KIT(v_exp2)
#define vr_exp2_each KIT(vr_exp2_each)   /* of n registers, side by side              */
#define v_exp KIT(v_exp)
#define v_tanh KIT(v_tanh)
#define v_sigmoid KIT(v_sigmoid)
#define v_phi KIT(v_phi)             /* normal distribution function              */
#define v_sincos KIT(v_sincos)
#define v_log KIT(v_log)
#define v_log2 KIT(v_log2)
#define v_in_units KIT(v_in_units)   /* x * unit; of finite x it stays finite */
#define v_out_of_units KIT(v_out_of_units)

#define v_load_f16 KIT(v_load_f16)
#define v_store_f16 KIT(v_store_f16)
#define v_load_bf16 KIT(v_load_bf16)
#define v_store_bf16 KIT(v_store_bf16)
#define v_read KIT(v_read)           /* n elements of any float dtype               */
#define v_write KIT(v_write)
#define v_get KIT(v_get)             /* 16 elements of a tensor, or what is left of a row */
#define v_put KIT(v_put)
#define kit_read_row KIT(kit_read_row)
#define kit_write_row KIT(kit_write_row)
#define kit_add_row KIT(kit_add_row)
#define kit_stream_row KIT(kit_stream_row)
#define kit_put_row KIT(kit_put_row)

#endif
