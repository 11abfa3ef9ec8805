/* SPDX-License-Identifier: MIT
 *
 * heed/abi/state.h: what an op remembers of one sequence between calls, seen from inside a call.
 *
 * The engine owns the pages: it makes them (zeroed, 64-byte aligned), shares them between forks by reference count,
 * and makes a private copy of each page that a call may write before the call sees it. The op owns their content.
 * A page holds no pointers: sending a state is sending bytes. They are the same on every path and machine, for the
 * engine saves them and loads them elsewhere; and they may come from anybody: an op that is given others than it wrote
 * may compute anything, but it does not crash.
 *
 * An op with `page_tokens` = n keeps tokens [i n, (i+1) n) in page i. An op with page_tokens = 0 keeps everything in
 * page 0 (a recurrent state), which every call may write. If it sets `recent` = n as well, page 0 has what is needed to
 * go back to the last multiple of n but one, and to all lengths from there on: the engine may then make the length less
 * between two calls, and what was remembered behind it counts no more. After a call that skipped tiles that is the last
 * multiple of n. An op with pages that looks back no further than `recent` tokens, and at
 * the `first` ones, has a state that stops growing: after a call the engine takes back the pages that have neither, and
 * `page` has NULL in their places. An op finds what is wrong with a call before it writes to a page:
 * a call that fails leaves what was remembered as it was, also one whose host skipped tiles.
 */
#ifndef HEED_ABI_STATE_H
#define HEED_ABI_STATE_H

#include "base.h"

typedef struct heed_state_size {
    uint32_t size;
    uint32_t version;    /* of the format below; a saved state of another version is refused */
    const char *format;  /* names the layout of a page: "kv/f32"; static storage; up to 71 printable characters */
    uint64_t page_bytes; /* 0: does not follow from the axes that are known */
    int64_t page_tokens;
    int64_t recent;      /* tokens before the next one that a later call may look at; 0: all of them. Of a recurrent
                          * state: boundaries that it can go back to are at multiples; 0: there are none */
    int64_t first;       /* tokens at the beginning that stay besides */
    uint32_t flags;      /* HEED_STATE_* */
    uint32_t reserved;
} heed_state_size;

/* No query sees a later key, whatever the mask: parts of a text give what the whole gives. */
#define HEED_STATE_CAUSAL 1u

typedef struct heed_state {
    uint32_t size;
    uint32_t pages;      /* entries of `page` */
    int64_t length;      /* tokens remembered before this call */
    uint64_t page_bytes;
    void *const *page;   /* enough for length + new tokens; NULL: taken back */
} heed_state;

#endif
