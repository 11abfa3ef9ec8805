/* SPDX-License-Identifier: MIT
 *
 * cache/bf16, the maths: kit/cache/halves.h with the conversions of this type.
 */
#include <heed/kit.h>
#undef HALVES_LOAD
#undef HALVES_STORE
#undef HALVES_MOST
#define HALVES_LOAD(p) v_load_bf16(p)
#define HALVES_STORE(p, x) v_store_bf16(p, x)
#define HALVES_MOST 0x1.fep127f
#include <heed/kit/cache/halves.h>

static const void *KIT(extension)(const char *id)
{
    static const heed_kv kv = {.size = sizeof kv,
                               .version = 1,
                               .format = "bf16",
                               .bytes = kit_halves_bytes,
                               .encode = KIT(halves_encode),
                               .decode = KIT(halves_decode),
                               .scores = KIT(halves_scores),
                               .values = KIT(halves_values)};
    return strcmp(id, HEED_KV_ID) == 0 ? &kv : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
