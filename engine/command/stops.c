/* SPDX-License-Identifier: MIT
 *
 * stops.c: texts that end what a model writes.
 */
#include "command/stops.h"

/* The first place in the held text where one begins; its length if there is none. */
static size_t first_of(const stops *s)
{
    size_t first = s->held.n;
    for (int i = 0; i < s->n; i++) {
        const char *at = memmem(s->held.at, s->held.n, s->word[i], strlen(s->word[i]));
        if (at && (size_t)(at - s->held.at) < first) first = (size_t)(at - s->held.at);
    }
    return first;
}

/* The most bytes at the end that one may begin with. */
static size_t waiting(const stops *s)
{
    size_t most = 0;
    for (int i = 0; i < s->n; i++) {
        size_t n = strlen(s->word[i]);
        if (n > s->held.n + 1) n = s->held.n + 1;
        for (n--; n > most; n--)
            if (!memcmp(s->held.at + s->held.n - n, s->word[i], n)) most = n;
    }
    return most;
}

int stops_put(stops *s, const char *text, size_t n, int all, bytes *to)
{
    bytes_put(&s->held, text, n);
    if (!s->held.n) return 0;
    const size_t first = first_of(s), end = first < s->held.n ? first
                                            : all             ? s->held.n
                                                              : s->held.n - waiting(s);
    bytes_put(to, s->held.at, end);
    if (first < s->held.n) return s->held.n = 0, 1;
    memmove(s->held.at, s->held.at + end, s->held.n - end);
    s->held.n -= end;
    return 0;
}
