/* SPDX-License-Identifier: MIT
 *
 * cached.h: a network's spec with other caches.
 */
#ifndef HEED_COMMAND_CACHED_H
#define HEED_COMMAND_CACHED_H

#include "heed.h"

/* The spec with the codecs `cache` and `value_cache` in every attention of the decoder, in the place of
 * those that it had; one that is NULL is left as it was. malloc'ed. NULL and a sentence for a spec that is
 * none; whether an attention takes a codec is found out when the network is opened. [any] */
char *cached_spec(const char *spec, const char *cache, const char *value_cache, heed_error *error);

#endif
