/* SPDX-License-Identifier: MIT
 *
 * attention/softmax, the maths: kit/flash.h as it is, with no hook set. A row's live keys follow from the mask alone.
 */
#include <heed/kit.h>
#define FLASH_BF16 /* on avx512_bf16, which has no copy of its own: it is a way through that of avx512 */
#include <heed/kit/flash.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call) { return KIT(flash_forward)(instance, call); }
#if defined KIT_AVX512
static int32_t forward_avx512_bf16(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    f.bf16 = 1;
    int32_t failed = kit_flash_setup(&f);
    return failed ? failed : KIT(flash_run)(&f);
}
#endif

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
