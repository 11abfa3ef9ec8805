/* SPDX-License-Identifier: MIT
 *
 * Rotary embedding, arXiv 2104.09864, section 3.2.2: pairs (2k, 2k + 1) interleaved, or
 * (k, k + width / 2) half
 */
static void OF(position_rope)(const oracle_call *c)
{
    OF(rope_turn)(c, (int64_t)oracle_param(c, "width", (double)AXIS('D')), NULL, 1);
}
