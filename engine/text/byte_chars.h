/* SPDX-License-Identifier: MIT
 *
 * byte_chars.h: the characters that stand for bytes in byte-level BPE: those of Latin-1 that are
 * seen stand for themselves, and the others are the characters from U+0100 on, in order.
 */
#ifndef HEED_TEXT_BYTE_CHARS_H
#define HEED_TEXT_BYTE_CHARS_H

#include "text/bytes.h"

static inline int byte_char_is_seen(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

static inline uint32_t byte_char(unsigned byte)
{
    if (byte_char_is_seen(byte)) return byte;
    if (byte <= ' ') return 256 + byte;
    return byte == 0xAD ? 256 + 67 : 256 + 33 + byte - 0x7F;
}

/* The byte of a character, or -1. */
static inline int byte_char_back(uint32_t c)
{
    if (c < 256) return byte_char_is_seen(c) ? (int)c : -1;
    if (c <= 256 + 32) return (int)c - 256;
    if (c == 256 + 67) return 0xAD;
    return c <= 256 + 66 ? (int)(c - 256 - 33 + 0x7F) : -1;
}

static inline void byte_chars_put(bytes *to, const char *text, size_t n)
{
    if (!bytes_room(to, 2 * n)) return;
    char *at = to->at + to->n;
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = byte_char((unsigned char)text[i]);
        if (c < 0x80) *at++ = (char)c;
        else *at++ = (char)(0xC0 | c >> 6), *at++ = (char)(0x80 | (c & 63));
    }
    to->n = (size_t)(at - to->at);
}

#endif
