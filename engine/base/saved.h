/* SPDX-License-Identifier: MIT
 *
 * saved.h: sequences and sessions as bytes: the frame of both (saved.c), and what stands in them.
 */
#ifndef HEED_BASE_SAVED_H
#define HEED_BASE_SAVED_H

#include "base/local.h"

/* ---- saved.c ---- */

typedef struct saved_kind {
    const char *name; /* "sequence" */
    char magic[9];
    uint32_t schema;
} saved_kind;

/* At the beginning; the checksum of all that is before it is at the end. */
typedef struct saved_frame {
    char magic[8];
    uint32_t schema, reserved;
    uint64_t bytes; /* all of them, frame and checksum too */
} saved_frame;

/* XXH64. Of several pieces: each one's seed is the checksum of the one before. */
HEED_LOCAL uint64_t saved_checksum(const void *from, uint64_t bytes, uint64_t seed);
/* Writes the checksum into the last 8 of so many bytes. */
HEED_LOCAL void saved_seal(void *to, uint64_t bytes);
/* Whether what has `bytes` fits in `room`; `to` NULL: nothing is to be written. */
HEED_LOCAL int32_t saved_fits(const saved_kind *kind, uint64_t bytes, const void *to, uint64_t room, heed_error *error);
/* Checks the frame and copies the head, which begins with it. */
HEED_LOCAL int32_t saved_open(const saved_kind *kind, void *head, size_t head_bytes, const void *from, uint64_t bytes,
                              heed_error *error);

#endif
