/* SPDX-License-Identifier: MIT
 *
 * bytes.h: texts and lists of tokens that grow, and UTF-8, for the files of this room.
 *
 * A list that finds no memory keeps what it has and sets `failed`, so that who appends a hundred
 * times looks once.
 */
#ifndef HEED_TEXT_BYTES_H
#define HEED_TEXT_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    char *at;
    size_t n, room;
    int failed;
} bytes;

typedef struct id_list {
    int32_t *at;
    size_t n, room;
    int failed;
} id_list;

/* Room for `more` behind the first n; 0: there is no memory. */
static inline int bytes_room(bytes *b, size_t more)
{
    if (b->room - b->n >= more) return !b->failed;
    size_t room = b->room ? b->room : 64;
    while (room - b->n < more && room <= SIZE_MAX / 4) room *= 2;
    char *larger = room - b->n < more ? NULL : realloc(b->at, room);
    if (!larger) return b->failed = 1, 0;
    b->at = larger, b->room = room;
    return !b->failed;
}

static inline void bytes_put(bytes *b, const char *from, size_t n)
{
    if (!n || !bytes_room(b, n)) return;
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

static inline void id_list_put(id_list *l, int32_t id)
{
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 64;
        int32_t *larger = reallocarray(l->at, room, sizeof *l->at);
        if (!larger) {
            l->failed = 1;
            return;
        }
        l->at = larger, l->room = room;
    }
    l->at[l->n++] = id;
}

/* The character at the head of a valid text that is not empty, and its bytes. */
static inline uint32_t utf8_at(const char *text, size_t *length)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return *length = 1, p[0];
    if (p[0] < 0xE0) return *length = 2, (uint32_t)((p[0] & 31) << 6 | (p[1] & 63));
    if (p[0] < 0xF0)
        return *length = 3, (uint32_t)((p[0] & 15) << 12 | (p[1] & 63) << 6 | (p[2] & 63));
    return *length = 4,
           (uint32_t)((p[0] & 7) << 18 | (p[1] & 63) << 12 | (p[2] & 63) << 6 | (p[3] & 63));
}

/* How many bytes a character that begins so has. */
static inline size_t utf8_length(char first)
{
    const unsigned char c = (unsigned char)first;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static inline void utf8_put(bytes *b, uint32_t c)
{
    const char two[] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 63))},
               three[] = {(char)(0xE0 | c >> 12), (char)(0x80 | (c >> 6 & 63)), two[1]},
               four[] = {(char)(0xF0 | c >> 18), (char)(0x80 | (c >> 12 & 63)), three[1], two[1]},
               one = (char)c;
    if (c < 0x80) bytes_put(b, &one, 1);
    else if (c < 0x800) bytes_put(b, two, 2);
    else if (c < 0x10000) bytes_put(b, three, 3);
    else bytes_put(b, four, 4);
}

/* What stands at the head of any bytes, n of them and at least one: a character (1), what is none
 * (0), or what may become one with more bytes (-1); *length is its bytes, of what is none as many as
 * one replacement character stands for. */
static inline int utf8_check(const char *bytes, size_t n, size_t *length)
{
    const unsigned char *p = (const unsigned char *)bytes;
    const size_t want = utf8_length(bytes[0]);
    *length = 1;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    for (size_t i = 1; i < want; i++) {
        const unsigned low = i > 1          ? 0x80
                             : p[0] == 0xE0 ? 0xA0
                             : p[0] == 0xF0 ? 0x90
                                            : 0x80,
                       high = i > 1          ? 0xBF
                              : p[0] == 0xED ? 0x9F
                              : p[0] == 0xF4 ? 0x8F
                                             : 0xBF;
        *length = i;
        if (i == n) return -1;
        if (p[i] < low || p[i] > high) return 0;
    }
    *length = want;
    return 1;
}

/* The bytes from the head on that are whole characters. */
static inline size_t utf8_valid(const char *text, size_t n)
{
    size_t at = 0, length;
    while (at < n) {
        if ((unsigned char)text[at] < 0x80) length = 1;
        else if (utf8_check(text + at, n - at, &length) != 1) break;
        at += length;
    }
    return at;
}

#endif
