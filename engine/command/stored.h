/* SPDX-License-Identifier: MIT
 *
 * stored.h: a network's spec with other caches and weights: --cache, --value-cache, --weights.
 */
#ifndef HEED_COMMAND_STORED_H
#define HEED_COMMAND_STORED_H

#include "heed.h"

/* What is asked for; NULL: as it was. */
typedef struct stored_change {
    const char *cache, *value_cache; /* codecs, of every attention of the decoder */
    const char *weights;             /* how projections and feed-forwards store theirs */
} stored_change;

#define STORED_USAGE                                                                               \
    "  --cache CODEC     keys and values are remembered so: f16, bf16 or int8\n"                   \
    "  --value-cache CODEC  values alone\n"                                                        \
    "  --weights HOW     of projections and feed-forwards: given, int8 or int4\n"
#define STORED_OPTIONS(job, field)                                                                 \
    {"--cache", 1, .at = offsetof(job, field.cache)},                                              \
        {"--value-cache", 1, .at = offsetof(job, field.value_cache)},                              \
    {                                                                                              \
        "--weights", 1, .at = offsetof(job, field.weights)                                         \
    }

int stored_is_asked(const stored_change *to);
/* A spec with them; malloc'ed. NULL and a sentence for a spec that is none; whether an attention takes a
 * codec is found out when the network is opened. [any] */
char *stored_spec(const char *spec, const stored_change *to, heed_error *error);
/* The same of the spec `own`, or of the file's at `path`; *text NULL if nothing is asked for. [any] */
int32_t stored_spec_of(const char *path, const char *own, const stored_change *to, char **text,
                       heed_error *error);

#endif
