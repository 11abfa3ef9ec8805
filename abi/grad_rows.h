/* SPDX-License-Identifier: MIT
 *
 * heed/abi/grad_rows.h: a flag of heed.grad/1 (grad.h): rows are by themselves, so ranks that have
 * some of them each can sum the gradients of weights to the bits of one.
 */
#ifndef HEED_ABI_GRAD_ROWS_H
#define HEED_ABI_GRAD_ROWS_H

/* Each row of the inputs, which have all the leading axes of the output, gives a row of it, and a
 * gradient of a weight is a sum over them: a chain for each HEED_GRAD_BLOCK rows, and these are added
 * by the binary tree that adds pairs, and then pairs of them; an odd last one goes up as it is. So
 * backward of the rows of one node of that tree gives its sum. Leading axes may be 1 then. */
#define HEED_GRAD_ROWS 4u
#define HEED_GRAD_BLOCK 256

#endif
