/* SPDX-License-Identifier: MIT
 *
 * attention/adaptive_span, the maths: kit/flash/flash.h with the soft mask of kit/flash/span.h;
 * each head has its own reach.
 */
#include <heed/kit.h>
#include <heed/kit/flash/span.h>

#ifdef KIT_FIRST
typedef struct adaptive_span {
    kit_flash_soft soft; /* first: what the hooks see */
    int64_t most;        /* keys before its own that the head with the longest reach sees */
    kit_flash_table table;
    float z[];           /* [H], and behind them the table's */
} adaptive_span;
#endif
#include <heed/kit/flash/flash.h>
#include <heed/kit/flash/partial.h>

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
