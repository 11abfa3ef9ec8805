/* SPDX-License-Identifier: MIT
 *
 * heed/abi/axes.h: what the letters of axes mean, everywhere. A letter that is not here is an op's
 * own: it means what the param that fixes it says. For who describes ops or measures them; abi.h leaves
 * it out.
 */
#ifndef HEED_ABI_AXES_H
#define HEED_ABI_AXES_H

/* ROW(letter, name, factor, axes, parts). The last three say how long an axis is where nobody says
 * it, for a benchmark or a description: `factor` times the sizes of other axes, '.' being the tokens
 * of the text, by that of `parts` if it is not 0, rounded up. Factor 0: nobody can guess it. Rows come
 * behind those that they follow from. */
#define HEED_AXES_TABLE(ROW)                                                                       \
    ROW('B', "batch", 1, "", 0)                                                                    \
    ROW('T', "queries", 2048, "", 0)                                                               \
    ROW('S', "keys", 1, "T", 0)                                                                    \
    ROW('H', "query heads", 8, "", 0)                                                              \
    ROW('G', "key/value heads", 1, "H", 0)                                                         \
    ROW('D', "head width", 64, "", 0)                                                              \
    ROW('E', "value width", 1, "D", 0)                                                             \
    ROW('M', "model width", 1, "HD", 0)                                                            \
    ROW('N', "output width", 1, "M", 0)                                                            \
    ROW('F', "hidden width", 4, "M", 0)                                                            \
    ROW('V', "vocabulary", 256, "", 0)                                                             \
    ROW('C', "longest sequence", 1, ".", 0)                                                        \
    ROW('W', "heads of the weights", 1, "H", 0)                                                    \
    ROW('J', "rank", 16, "", 0)                                                                    \
    ROW('A', "positions of a run", 64, "", 0)                                                      \
    ROW('U', "runs", 1, ".", 'A')                                                                  \
    ROW('K', "buckets or taps", 0, "", 0)                                                          \
    ROW('P', "distances", 0, "", 0)                                                                \
    ROW('Q', "heads of the shares", 0, "", 0)                                                      \
    ROW('I', "blocks of queries", 0, "", 0)                                                        \
    ROW('Y', "blocks in a list", 0, "", 0)

#endif
