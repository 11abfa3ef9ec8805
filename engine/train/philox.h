/* SPDX-License-Identifier: MIT
 *
 * philox.h: Philox 4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
 * section 3: numbers of chance that follow from a place and a seed, and not from those drawn before.
 * So lanes need no order, and what a forward has drawn a backward draws again.
 */
#ifndef HEED_TRAIN_PHILOX_H
#define HEED_TRAIN_PHILOX_H

#include <stdint.h>

#define PHILOX_ROUNDS 10

/* What the numbers are for: the highest word of the counter. */
enum { PHILOX_DROPOUT = 1, PHILOX_WINDOWS, PHILOX_ORDER };

typedef struct philox {
    uint32_t word[4];
} philox;

/* Four numbers of 32 bits for a counter of 128 bits, the lowest word first. */
static inline philox philox_at(uint64_t seed, philox counter)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t *c = counter.word;
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t even = 0xd2511f53u * (uint64_t)c[0], odd = 0xcd9e8d57u * (uint64_t)c[2];
        const uint32_t first = (uint32_t)(odd >> 32) ^ c[1] ^ key0,
                       third = (uint32_t)(even >> 32) ^ c[3] ^ key1;
        c[0] = first, c[1] = (uint32_t)odd, c[2] = third, c[3] = (uint32_t)even;
        key0 += 0x9e3779b9u, key1 += 0xbb67ae85u;
    }
    return counter;
}

#endif
