/* SPDX-License-Identifier: MIT
 *
 * attention/window, the maths: kit/flash/flash.h with each row's range cut to its neighbourhood.
 * The first tokens that all see are a second range, and a row that sees all is not cut; so nothing
 * is tested key by key.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#ifdef KIT_FIRST
typedef struct window {
    int64_t left, right; /* keys before and after its own that a query sees */
    int64_t sinks;       /* the first keys, seen from behind however far */
    int64_t global;      /* the first tokens, which see all and which all see */
} window;

KIT_INLINE void window_range(const window *w, int64_t at, kit_flash_live *x)
{
    if (at < w->global) return;
    const int64_t end = at + w->right + 1, sinks = w->sinks < end ? w->sinks : end;
    x->sink_last = sinks > w->global ? sinks : w->global;
    if (x->sink_last > x->last) x->sink_last = x->last;
    if (at - w->left > x->first) x->first = at - w->left;
    if (end < x->last) x->last = end;
}
#endif
#define FLASH_RANGE(f, b, t, h, at, x) window_range((f)->variant, at, x)
#include <heed/kit/flash/flash.h>
#include <heed/kit/flash/backward.h>
#include <heed/kit/flash/partial.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(flash_forward)(instance, call);
}

static const void *KIT(extension)(const char *id)
{
    static const heed_grad grad = KIT_FLASH_GRAD;
    static const heed_partial partial = KIT_FLASH_PARTIAL;
    return strcmp(id, HEED_GRAD_ID) == 0      ? (const void *)&grad
           : strcmp(id, HEED_PARTIAL_ID) == 0 ? (const void *)&partial
                                              : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
