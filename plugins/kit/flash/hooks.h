/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/hooks.h: where a variant changes kit/flash/flash.h: macros that it defines before
 * it includes that file. What it does not define is here, and does nothing. flash.h ends by
 * undefining them all, for the next path's copy.
 */
#ifndef KIT_HAS_FLASH_HOOKS
#define KIT_HAS_FLASH_HOOKS
#include <heed/kit/flash/type.h>

/* Changes what a row sees, *x (kit_flash_live): the query t of sequence b, head h, at position
 * `at`. What the documents leave of that comes later, and what a pass picks of the keys.
 * FLASH_PER_HEAD 1: heads that share keys may differ. */
#ifndef FLASH_RANGE
#define FLASH_RANGE(f, b, t, h, at, x) ((void)0)
#endif
#ifndef FLASH_PER_HEAD
#define FLASH_PER_HEAD 0
#endif

/* 1: no hook asks of which sequence a row is, so that rows of several may be in one tile
 * (flash/shared.h). */
#ifndef FLASH_JOINS
#define FLASH_JOINS 0
#endif

/* Adds what sequence b and group of heads g have to a kit_flash_tally: where a variant makes several
 * passes, of each. */
#ifndef FLASH_COST
#define FLASH_COST(f, b, g, tally) kit_flash_cost_pass(f, b, g, tally)
#endif

/* Changes the scores of a block, in log2 units, after soft cap and score op and before the mask:
 * score (key, row) is P[key * ks + row * rs], where (ks, rs) is (48, 1) or (1, 96); key 0 has
 * position `start`. Of `keys` keys P has `padded`. FLASH_CHANGES: whether it does so to any of this
 * block; without, the block takes the way without a mask. */
#ifndef FLASH_SCORES
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded) ((void)0)
#ifndef FLASH_CHANGES
#define FLASH_CHANGES(f, r, start, keys) 0
#endif
#endif
#ifndef FLASH_CHANGES
#define FLASH_CHANGES(f, r, start, keys) 1
#endif

/* Writes the scores of keys [from, to) of a block x for rows [row, row + rows), in log2 units,
 * where FLASH_FILLS. Those of masked keys may be anything. */
#ifndef FLASH_FILLS
#define FLASH_FILLS(f) ((f)->k == NULL)
#endif
#ifndef FLASH_FILL
#define FLASH_FILL(f, r, x, P, ks, rs, from, to, row, rows)                                        \
    KIT(flash_fill)(f, r, x, P, ks, rs, from, to, row, rows)
#endif

/* 1: a weight is relu(score)^2, the score in units of 1, not log2; there are no maxima and no sums,
 * and what FLASH_FACTORS writes for each row, inverse[16 r->groups], takes the place of 1 / sum. */
#ifndef FLASH_SQUARED_RELU
#define FLASH_SQUARED_RELU 0
#define FLASH_FACTORS(f, r, inverse) ((void)0)
#endif

/* Changes what comes out: y[l] is row i + l, channels [e, e + n). */
#ifndef FLASH_OUTPUT
#define FLASH_OUTPUT(f, r, i, e, y, n) ((void)0)
#endif

/* A tile of rows begins: r->Q is there, and may be changed; r->own is there, with anything in it.
 * FLASH_BEGIN(f, r). */
#ifndef FLASH_BEGIN
#define FLASH_BEGIN(f, r) ((void)0)
#endif

/* Tables of a vector for each distance from a query back to a key: p of FLASH_RELATIVE, which may
 * be NULL, adds q . p to the scores before FLASH_SCORES does what it does (flash/relative.h), where
 * FLASH_RELATIVE_QUERY is q, [D][48], scaled; p of FLASH_RELATIVE_VALUES is added to the values
 * (flash/relative_values.h). */
#ifdef FLASH_RELATIVE
#define FLASH_RELATIVES 1
static void KIT(flash_relative)(const kit_flash *f, const kit_flash_rows *r, float *P, int rs,
                                int64_t start);
#define FLASH_RELATE(f, r, P, rs, start) KIT(flash_relative)(f, r, P, rs, start)
#else
#define FLASH_RELATIVES 0
#define FLASH_RELATIVE(f) NULL
#define FLASH_RELATE(f, r, P, rs, start) ((void)0)
#endif
#undef FLASH_CARRIED /* floats of a tile for them */
#define FLASH_CARRIED (FLASH_RELATIVES ? kit_lanes(sizeof(kit_flash_carried) / sizeof(float)) : 0)
#ifndef FLASH_RELATIVE_QUERY
#define FLASH_RELATIVE_QUERY(r) (r)->given
#endif
#ifdef FLASH_RELATIVE_VALUES
#define FLASH_RELATIVES_OF_VALUES 1
static void KIT(flash_relative_values)(const kit_flash *f, const kit_flash_rows *r, const float *P,
                                       int rs, int64_t start);
#define FLASH_RELATE_VALUES(f, r, P, rs, start) KIT(flash_relative_values)(f, r, P, rs, start)
#else
#define FLASH_RELATIVES_OF_VALUES 0
#define FLASH_RELATIVE_VALUES(f) NULL
#define FLASH_RELATE_VALUES(f, r, P, rs, start) ((void)0)
#endif
#endif
