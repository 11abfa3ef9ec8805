/* SPDX-License-Identifier: MIT
 *
 * Believes a number in its page, which may come from anybody.
 */
#include "hostile.h"

/* How many sums there are is written behind them. */
static float *believed(void *page, int64_t n)
{
    int64_t *known = (int64_t *)(void *)((char *)page + (n + 1) / 2 * 8);
    if (!*known) *known = n;
    return (float *)page + (*known - n);
}

#define SUMS(call, b) ((call)->state ? believed((call)->state[b]->page[0], width((call)->axis)) : NULL)
#include "past.h"

HOSTILE_PAST((void)0)
