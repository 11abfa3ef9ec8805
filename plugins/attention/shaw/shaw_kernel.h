/* SPDX-License-Identifier: MIT
 *
 * attention/shaw, the maths: kit/flash/flash.h with a table of keys and one of values by distance
 * (kit/flash/relative.h and flash/relative_values.h), which clip where the tables end.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#ifdef KIT_FIRST
typedef struct shaw {
    kit_flash_table keys, values; /* of distances from -k to k; values perhaps without numbers */
    float room[] __attribute__((aligned(64)));
} shaw;
#endif
#define SHAW(f) ((const shaw *)(f)->variant)
#define FLASH_RELATIVE(f) &SHAW(f)->keys
#define FLASH_RELATIVE_VALUES(f) &SHAW(f)->values
#include <heed/kit/flash/flash.h>
#include <heed/kit/flash/partial.h>
#undef SHAW

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(flash_forward)(instance, call);
}

static const void *KIT(extension)(const char *id)
{
    static const heed_partial partial = KIT_FLASH_PARTIAL;
    return strcmp(id, HEED_PARTIAL_ID) == 0 ? &partial : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
