/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/flash.h: tiled attention of the softmax family, exact, with the scores in cache
 * (online softmax, arXiv 2205.14135). Include it in a kernel file; a variant sets hooks before
 * (flash/hooks.h).
 *
 *     for each tile of 48 rows, for each block of 96 keys:
 *                                               S = Q K^T    P = exp2(S - max)    O = alpha O + P V
 *
 * A row is one query of one head; the heads that share keys and values lie side by side. Two
 * algorithms give the same bits, and which one takes a tile follows from its number of rows alone:
 *
 *     many rows (flash/many.h)
 *                          rows in the lanes; K and V are broadcast element by element, as they lie
 *     few rows (flash/few.h)
 *                        keys, then channels, in the lanes; rows are broadcast, and none are padded
 *
 * (flash/bf16.h is a third, for many rows on a path that gives other bits.)
 *
 * For in both a row's arithmetic is one sequence, whatever the vector width, the tile it is in, or
 * its neighbours: a score is one chain of fma over d, an output one chain over the keys of a span of
 * 1536, and a block's weights are summed as 16 chains (key modulo 16), then by halves. Spans are
 * merged by a tree over their index (flash/spans.h). A path only chooses what it holds in registers.
 *
 * What the equality of bits rests on besides: a masked score never enters a maximum; a masked
 * weight is left out of the sum, and its value is skipped by select, so that a NaN behind the mask
 * stays there; exp2(0) is exactly 1 and maxima start at -FLT_MAX, so that a block in which a row
 * has no key changes no bit of that row.
 *
 * Masks are live ranges of keys per row (flash/mask.h). Work is cut into cells of 16 rows x 16
 * keys: a dead cell costs nothing, and only a cell that is live in part is looked at key by key.
 *
 * Error against exact attention: that of float32 products of length D and sums of length S, plus 2
 * ulp of each weight.
 */
#include <heed/kit/flash/hooks.h>
#include <heed/kit/flash/mask.h>
#include <heed/kit/flash/block.h>
#include <heed/kit/flash/scores.h>
#include <heed/kit/flash/many.h>
#include <heed/kit/flash/few.h>
#if FLASH_RELATIVES
#include <heed/kit/flash/relative.h>
#endif
#if FLASH_RELATIVES_OF_VALUES
#include <heed/kit/flash/relative_values.h>
#endif
#include <heed/kit/flash/bf16.h>
#include <heed/kit/flash/spans.h>
#include <heed/kit/flash/task.h>
#include <heed/kit/flash/shared.h>
#include <heed/kit/flash/cost.h>
#include <heed/kit/flash/op.h>
#undef FLASH_RANGE
#undef FLASH_COST
#undef FLASH_FILLS
#undef FLASH_FILL
#undef FLASH_SQUARED_RELU
#undef FLASH_FACTORS
#undef FLASH_OUTPUT
#undef FLASH_PER_HEAD
#undef FLASH_JOINS
#undef FLASH_SCORES
#undef FLASH_CHANGES
#undef FLASH_BEGIN
#undef FLASH_RELATIVES
#undef FLASH_RELATIVE
#undef FLASH_RELATIVE_QUERY
#undef FLASH_RELATE
#undef FLASH_RELATIVES_OF_VALUES
#undef FLASH_RELATIVE_VALUES
#undef FLASH_RELATE_VALUES
