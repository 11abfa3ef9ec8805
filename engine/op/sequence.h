/* SPDX-License-Identifier: MIT
 *
 * sequence.h: what a call needs of a sequence; and a sequence from inside, for the two files that
 * make one: sequence.c, and sequence_saved.c from bytes.
 */
#ifndef HEED_OP_SEQUENCE_H
#define HEED_OP_SEQUENCE_H

#include "op/instance.h"
#include "op/pages.h"

/* What an instance remembers of a sequence, for the sizes of axes that are known. */
HEED_LOCAL int32_t sequence_measure(const heed_instance *i, const int64_t *axes,
                                    heed_state_size *size, heed_error *error);
/* Makes the pages that a call with n new tokens may write, and fills the view. The sequence's
 * length stays. */
HEED_LOCAL int32_t sequence_prepare(heed_sequence *s, const heed_instance *i, const int64_t *axis,
                                    int64_t n, heed_error *error);
HEED_LOCAL const heed_state *sequence_view(const heed_sequence *s);
/* Whether an op that remembers may be fed a text in parts, as far as it says so itself. */
HEED_LOCAL int sequence_is_causal(const heed_instance *i);
HEED_LOCAL void sequence_advance(heed_sequence *s, int64_t n);
/* After a call that failed: the pages that were made for its tokens go. */
HEED_LOCAL void sequence_undo(heed_sequence *s, int32_t failed);

/* ---- for sequence.c and sequence_saved.c ---- */

struct heed_sequence {
    const entry *entry;
    page_pool *pool; /* of its engine */
    int64_t axis[HEED_AXES]; /* as far as known when it was made */
    heed_state_size size;
    heed_state view;
    page **pages;   /* [room] */
    void **memory;  /* [room], what the op sees */
    uint32_t count, room;
    uint32_t gone, gone_to; /* pages [gone, gone_to) were dropped, and are NULL */
    int64_t floor;          /* of a recurrent state: the least length but 0 that it can be cut to */
    /* of a text that several ranks share: this one, of so many, and keys of a span; ranks 0: of one
     * that is here as a whole. Pages that others have are NULL */
    uint32_t rank, ranks;
    int64_t span;
};

/* The sizes of a batch and of a call: no sequence depends on them. */
#define SEQUENCE_FREE_AXES "BTS"

/* Pages of so many tokens. */
static inline uint64_t sequence_pages(const heed_state_size *size, int64_t length)
{
    const uint64_t tokens = (uint64_t)size->page_tokens;
    return tokens ? ((uint64_t)length + tokens - 1) / tokens : length > 0;
}

/* Appends a page to a sequence that has room for it; content NULL: zeros. */
HEED_LOCAL int32_t sequence_append(heed_sequence *s, const void *content, heed_error *error);
HEED_LOCAL int32_t sequence_make_room(heed_sequence *s, uint64_t count, heed_error *error);
/* What a recurrent state of so many tokens can be cut to, if nothing was cut yet. */
HEED_LOCAL int64_t sequence_floor(const heed_state_size *size, int64_t length);
/* The first token that a call behind so many looks at, those at the beginning excepted. */
HEED_LOCAL int64_t sequence_oldest(const heed_sequence *s, int64_t length);
/* Whether what was made for sizes `axis` and `size` is right for those of an op now: `is_axis`,
 * `is_size`. */
HEED_LOCAL int32_t sequence_check_sizes(const char *id, const int64_t *axis,
                                        const heed_state_size *size, const int64_t *is_axis,
                                        const heed_state_size *is_size, heed_error *error);

#endif
