/* SPDX-License-Identifier: MIT
 *
 * Keeps in its page the address of its sums, and believes it later.
 */
#include "hostile.h"

static float *believed(void *page, int64_t n)
{
    float **address = (float **)((char *)page + (n + 1) / 2 * 8);
    if (!*address) *address = page;
    return *address;
}

#define SUMS(call, b) ((call)->state ? believed((call)->state[b]->page[0], width((call)->axis)) : NULL)
#include "past.h"

HOSTILE_PAST((void)0)
