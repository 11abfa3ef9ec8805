/* SPDX-License-Identifier: MIT
 *
 * random.h: numbers of chance that are the same on every machine: whole-number arithmetic alone,
 * and no function of the C library. A state starts as its seed.
 */
#ifndef HEED_BASE_RANDOM_H
#define HEED_BASE_RANDOM_H

#include <stdint.h>

/* splitmix64, https://prng.di.unimi.it/splitmix64.c */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In [0, 1): the top 24 bits, divided by 2^24, so that the number is exact in float32. */
static inline double random_unit(uint64_t *state)
{
    return (double)(random_next(state) >> 40) * 0x1p-24;
}

/* Mean 0, variance 1, nearly normal: the sum of twelve uniform numbers of 16 bits, which is
 * exact. */
static inline float random_normal(uint64_t *state)
{
    int64_t sum = -6 * 0xffff;
    for (int i = 0; i < 3; i++) {
        uint64_t z = random_next(state);
        sum += (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
    }
    return (float)sum * 0x1p-16f;
}

/* FNV-1a, 64 bits: goes on with `hash` over n bytes. A new one begins with RANDOM_HASH, or a
 * seed. */
#define RANDOM_HASH 0xcbf29ce484222325u
static inline uint64_t random_hash(uint64_t hash, const void *bytes, uint64_t n)
{
    const unsigned char *b = bytes;
    for (; n > 0; n--, b++) hash = (hash ^ *b) * 0x100000001b3u;
    return hash;
}

#endif
