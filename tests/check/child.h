/* SPDX-License-Identifier: MIT
 *
 * child.h: crashes, hangs and wild writes: plugin code runs in a child process.
 */
#ifndef HEED_CHECK_CHILD_H
#define HEED_CHECK_CHILD_H

#include <stddef.h>
#include <stdint.h>

#include "base/local.h"

#define FINDINGS_MAX 48
#define CHECKS_MAX 32
#define OPS_MAX 64

typedef struct finding {
    uint32_t check;
    char sentence[512], line[640]; /* line: what --only takes */
} finding;

/* What a child writes and its parent reads, whatever becomes of the child. */
typedef struct board {
    volatile uint32_t at, check;     /* the case and the check that are running */
    volatile uint32_t ended;         /* by itself, with nothing left to do */
    uint32_t cases, refused;
    char refusal[256];               /* the last one */
    char note[512];
    uint32_t runs[CHECKS_MAX];       /* cases that a check looked at */
    uint32_t findings;
    finding finding[FINDINGS_MAX];
    uint32_t ops;                    /* of the plugin */
    char op[OPS_MAX][HEED_MAX_RANK * 16];
    char line[640];                  /* the case that is running, for who reads it after a crash */
} board;

board *board_make(void);
/* Runs work(arg) in a child, and tells what became of it: 0; or, after it has put a finding for the
 * check and case that were running on the board, 1, and 2 where it did not end; 3 where Ctrl-C ended
 * it, and the board has what was found until then. No check of a case may take more than `seconds`. */
int child_run(board *b, void (*work)(board *b, void *arg), void *arg, unsigned seconds);
/* Called some times a second while a child runs, or NULL. */
extern void (*child_waiting)(const board *b);
/* [child] Before each check of a case: what would be said of a crash, and time starts anew. */
void child_doing(board *b, uint32_t at, uint32_t check, const char *line);
void board_find(board *b, uint32_t check, const char *line, const char *sentence);
/* [child] Names memory, so that a touch of its ends is told as such. Returns a handle. */
int child_watch(const char *name, const void *from, size_t bytes, size_t guard);
void child_unwatch(int handle);
void child_unwatch_all(void);

#endif
