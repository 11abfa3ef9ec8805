/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/span_op.h: what the ops on kit/flash/span.h have besides what flash/op.h gives
 * all: the port of their table of distances, their params, and what init makes of these. Include it
 * after the kernel.
 */
#ifndef HEED_KIT_FLASH_SPAN_OP_H
#define HEED_KIT_FLASH_SPAN_OP_H
#ifndef HEED_KIT_FLASH_OP_ONCE /* read alone: no kernel stands before */
#include <heed/kit/flash/span.h>
#include <heed/kit/flash/flash.h>
#endif

#define FLASH_SOFT_TABLE                                                                           \
    {                                                                                              \
        sizeof(heed_port), HEED_WEIGHT, HEED_PORT_OPTIONAL, KIT_FLOATS, HEED_SCOPE_STACK,          \
            HEED_INIT_NORMAL, "distance_table", "P D",                                             \
            "p: a vector for each distance, the nearest first; scores get q p more"                \
    }

enum { FLASH_LIMIT = FLASH_PARAM_COUNT, FLASH_RAMP, FLASH_DISTANCE, FLASH_SELF };
#define FLASH_SOFT_PARAMS                                                                          \
    [FLASH_LIMIT] = KIT_INT_REQUIRED("limit", 'P', 1, 1 << 24,                                     \
                                     "the most keys before its own that a query can see"),         \
    [FLASH_RAMP] =                                                                                 \
        KIT_FLOAT("ramp", 32, 1e-3, 1e6, "keys over which the weight falls from 1 to 0"),          \
    [FLASH_DISTANCE] = KIT_CHOICE("distance", 0, "paper|code",                                     \
                                  "of the key before: 1 in the paper, 0 in the authors' code"),    \
    [FLASH_SELF] = KIT_BOOL(                                                                       \
        "self", 0, "true: a query sees its own key too, at distance 0 in the paper's count")

/* Bytes of an instance whose variant keeps that many besides the table, and what a table can not go
 * with. */
KIT_INLINE int32_t kit_flash_soft_measure(const heed_open *open, const heed_tensor *table,
                                          uint64_t variant, uint64_t *bytes)
{
    if (table && open->value[FLASH_SELF].i)
        return kit_fail(
            open->sink, HEED_E_UNSUPPORTED,
            "self=true: distance_table begins at the key before, and has no vector for its own");
    if (table && open->value[FLASH_SOFTCAP].f > 0)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "distance_table can not go with softcap, which would cap q k alone");
    const int64_t floats = table ? kit_flash_table_floats(table->dim[0], table->dim[1]) : 0;
    return kit_flash_measure(open, variant + sizeof(float) * (uint64_t)floats, bytes);
}

/* The mask, without its reaches; the table, if there is one, is packed into `room`. */
KIT_INLINE kit_flash_soft kit_flash_soft_init(const heed_open *open, const heed_tensor *from,
                                              kit_flash_table *table, float *room)
{
    if (from) {
        *table = kit_flash_table_in(room, 1, from->dim[0], from->dim[1]);
        kit_flash_table_pack(table, from, 0);
    }
    return (kit_flash_soft){.limit = open->value[FLASH_LIMIT].i,
                            .ramp = (float)open->value[FLASH_RAMP].f,
                            .nearest = open->value[FLASH_DISTANCE].i == 0,
                            .self = open->value[FLASH_SELF].i,
                            .table = from ? table : NULL};
}
#endif
