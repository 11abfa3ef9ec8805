/* SPDX-License-Identifier: MIT
 *
 * mutate.h: texts with faults by chance, for tests of who reads files.
 */
#ifndef HEED_TESTS_MUTATE_H
#define HEED_TESTS_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t mutate_chance(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Changes a text of n bytes, in memory for n + 64: one to four times a byte becomes another, some
 * bytes go or come twice, or it ends. The length that it has then. */
static inline size_t mutate(char *text, size_t n, uint64_t *state)
{
    static const char others[] = {'0', '9', '"', '{', '}', '[', ']', '-', 'e', ',', ':', '\\', '.',
                                  0,   1,   0x7F, (char)0xC3, (char)0xFF};
    for (uint64_t left = 1 + mutate_chance(state) % 4; left && n; left--) {
        const size_t at = mutate_chance(state) % n, most = n - at < 16 ? n - at : 16,
                     some = 1 + mutate_chance(state) % most;
        switch (mutate_chance(state) % 16) {
        case 0: n = at; break;
        case 1:
        case 2:
        case 3: memmove(text + at, text + at + some, n - at - some), n -= some; break;
        case 4:
        case 5: memmove(text + at + some, text + at, n - at), n += some; break;
        case 6: text[at] = (char)(mutate_chance(state) % 256); break;
        case 7: text[at] ^= (char)(1 << mutate_chance(state) % 8); break;
        default: text[at] = others[mutate_chance(state) % sizeof others];
        }
    }
    return n;
}

#endif
