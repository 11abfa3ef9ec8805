/* SPDX-License-Identifier: MIT
 *
 * sequence_saved.h: a sequence as bytes: a head, then the pages that are there, in order, then the
 * checksum.
 */
#ifndef HEED_OP_SEQUENCE_SAVED_H
#define HEED_OP_SEQUENCE_SAVED_H

#include "base/saved.h"

#define SAVED_TEXT 72            /* bytes of a text with its NUL; zeros behind */
#define SAVED_GONE_MAX (1 << 20) /* pages that are not there: of each a place is kept in memory */

typedef struct saved_sequence {
    saved_frame frame;
    char op[SAVED_TEXT], format[SAVED_TEXT]; /* printable ASCII */
    uint32_t version;                        /* of the format */
    uint32_t gone, gone_to; /* pages [gone, gone_to) are not there; of a recurrent state, which has
                             * one: it can be cut to gone_to times its `recent` */
    uint32_t reserved;
    int64_t length, page_tokens;
    uint64_t page_bytes;
    int64_t axis[HEED_AXES];                 /* -1: not known, or no sequence depends on it */
} saved_sequence;
_Static_assert(sizeof(saved_sequence) == 24 + 2 * SAVED_TEXT + 16 + 24 + 8 * HEED_AXES,
               "there is no padding to save");

#endif
