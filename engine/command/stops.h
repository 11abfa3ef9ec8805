/* SPDX-License-Identifier: MIT
 *
 * stops.h: texts that end what a model writes: nothing from the first of them on is printed.
 */
#ifndef HEED_COMMAND_STOPS_H
#define HEED_COMMAND_STOPS_H

#include "text/bytes.h"

#define STOPS_MOST 16

typedef struct stops {
    const char *word[STOPS_MOST];
    int n;
    bytes held; /* what may be the beginning of one */
} stops;

/* Appends to `to` what of the text, behind what is held, is certain to be printed; 1: one was found.
 * `all`: nothing follows, so nothing is held. */
int stops_put(stops *s, const char *text, size_t n, int all, bytes *to);

#endif
