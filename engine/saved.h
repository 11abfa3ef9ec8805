/* SPDX-License-Identifier: MIT
 *
 * saved.h: sequences and sessions as bytes: the frame of both (saved.c), and what stands in them.
 */
#ifndef HEED_SAVED_H
#define HEED_SAVED_H

#include "engine.h"

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

/* ---- sequence_saved.c: a head, then the pages that are there, in order, then the checksum ---- */

#define SAVED_TEXT 72            /* bytes of a text with its NUL; zeros behind */
#define SAVED_GONE_MAX (1 << 20) /* pages that are not there: of each a place is kept in memory */

typedef struct saved_sequence {
    saved_frame frame;
    char op[SAVED_TEXT], format[SAVED_TEXT]; /* printable ASCII */
    uint32_t version;                        /* of the format */
    uint32_t gone, gone_to;                  /* pages [gone, gone_to) are not there */
    uint32_t reserved;
    int64_t length, page_tokens;
    uint64_t page_bytes;
    int64_t axis[HEED_AXES];                 /* -1: not known, or no sequence depends on it */
} saved_sequence;
_Static_assert(sizeof(saved_sequence) == 24 + 2 * SAVED_TEXT + 16 + 24 + 8 * HEED_AXES, "there is no padding to save");

#endif
