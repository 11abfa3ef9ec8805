/* SPDX-License-Identifier: MIT
 *
 * Scaled dot-product attention, arXiv 1706.03762, equation 1
 */
static void OF(attention_softmax)(const oracle_call *c) { OF(attention)(c, NULL); }
