/* SPDX-License-Identifier: MIT
 *
 * grow.h: arrays that grow, without a field for their capacity: there is room up to the next power
 * of two. `array` is the address of the pointer to the first element, NULL while there is none.
 */
#ifndef HEED_BASE_GROW_H
#define HEED_BASE_GROW_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more element behind `count`; 0 if there is no memory, and then all is as before. */
static inline int grow_room(void *array, uint32_t count, size_t size)
{
    void *old, *larger;
    if (count & (count - 1)) return 1;
    memcpy(&old, array, sizeof old);
    if (!(larger = reallocarray(old, count ? 2 * (size_t)count : 1, size))) return 0;
    memcpy(array, &larger, sizeof larger);
    return 1;
}

/* One more element, zeroed; NULL if there is no memory. */
static inline void *grow_append(void *array, uint32_t *count, size_t size)
{
    char *first;
    if (!grow_room(array, *count, size)) return NULL;
    memcpy(&first, array, sizeof first);
    return memset(first + size * (*count)++, 0, size);
}

#endif
