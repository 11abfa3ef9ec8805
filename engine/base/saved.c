/* SPDX-License-Identifier: MIT
 *
 * saved.c: the frame around what is saved, a sequence or a session:
 *
 *     8 bytes: which of them | u32: its schema | u32: 0 | u64: all bytes | ... | u64: XXH64 of all that is before it
 *
 * Numbers are little-endian, as in the memory of every machine that there is a path for. The checksum finds accidents,
 * not intent: behind it everything is hostile still.
 */
#include <string.h>

#include "base/error.h"
#include "base/saved.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are saved as they lie in memory");

/* ---- XXH64, as https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md has it ---- */

static const uint64_t prime[] = {0x9e3779b185ebca87u, 0xc2b2ae3d27d4eb4fu, 0x165667b19e3779f9u, 0x85ebca77c2b2ae63u,
                                 0x27d4eb2f165667c5u};

static uint64_t turn(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }
static uint64_t mix(uint64_t lane, uint64_t word) { return turn(lane + word * prime[1], 31) * prime[0]; }

static uint64_t word(const unsigned char *p, size_t bytes)
{
    uint64_t x = 0;
    memcpy(&x, p, bytes);
    return x;
}

uint64_t saved_checksum(const void *from, uint64_t bytes, uint64_t seed)
{
    const unsigned char *p = from, *end = p + bytes;
    uint64_t hash = seed + prime[4];
    if (bytes >= 32) {
        uint64_t lane[4] = {seed + prime[0] + prime[1], seed + prime[1], seed, seed - prime[0]};
        for (; end - p >= 32; p += 32)
            for (int l = 0; l < 4; l++) lane[l] = mix(lane[l], word(p + 8 * l, 8));
        hash = turn(lane[0], 1) + turn(lane[1], 7) + turn(lane[2], 12) + turn(lane[3], 18);
        for (int l = 0; l < 4; l++) hash = (hash ^ mix(0, lane[l])) * prime[0] + prime[3];
    }
    hash += bytes;
    for (; end - p >= 8; p += 8) hash = turn(hash ^ mix(0, word(p, 8)), 27) * prime[0] + prime[3];
    if (end - p >= 4) hash = turn(hash ^ word(p, 4) * prime[0], 23) * prime[1] + prime[2], p += 4;
    for (; p < end; p++) hash = turn(hash ^ *p * prime[4], 11) * prime[0];
    hash = (hash ^ hash >> 33) * prime[1];
    hash = (hash ^ hash >> 29) * prime[2];
    return hash ^ hash >> 32;
}

/* ---- the frame ---- */

void saved_seal(void *to, uint64_t bytes)
{
    const uint64_t sum = saved_checksum(to, bytes - sizeof sum, 0);
    memcpy((char *)to + bytes - sizeof sum, &sum, sizeof sum);
}

int32_t saved_fits(const saved_kind *kind, uint64_t bytes, const void *to, uint64_t room, heed_error *error)
{
    if (!to || bytes <= room) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT, "the saved %s has %llu bytes, and there is room for %llu", kind->name,
                     (unsigned long long)bytes, (unsigned long long)room);
}

int32_t saved_open(const saved_kind *kind, void *head, size_t head_bytes, const void *from, uint64_t bytes,
                   heed_error *error)
{
    saved_frame frame;
    uint64_t sum;
    if (bytes < head_bytes + sizeof sum)
        return error_set(error, HEED_E_DATA, "the saved %s has %llu bytes, but the shortest has %zu", kind->name,
                         (unsigned long long)bytes, head_bytes + sizeof sum);
    memcpy(&frame, from, sizeof frame);
    if (memcmp(frame.magic, kind->magic, sizeof frame.magic))
        return error_set(error, HEED_E_DATA, "this is no saved %s: it does not begin with \"%.8s\"", kind->name,
                         kind->magic);
    if (frame.schema != kind->schema || frame.reserved)
        return error_set(error, HEED_E_DATA, "the saved %s is of schema %u.%u, but this engine reads %u.0", kind->name,
                         frame.schema, frame.reserved, kind->schema);
    if (frame.bytes != bytes)
        return error_set(error, HEED_E_DATA, "the saved %s has %llu bytes, but says that it has %llu", kind->name,
                         (unsigned long long)bytes, (unsigned long long)frame.bytes);
    memcpy(&sum, (const char *)from + bytes - sizeof sum, sizeof sum);
    const uint64_t right = saved_checksum(from, bytes - sizeof sum, 0);
    if (sum != right)
        return error_set(error, HEED_E_DATA,
                         "the saved %s has the checksum %016llx, but that of its bytes is %016llx: some changed",
                         kind->name, (unsigned long long)sum, (unsigned long long)right);
    memcpy(head, from, head_bytes);
    return HEED_OK;
}
