/* SPDX-License-Identifier: MIT
 *
 * Sliding window: W keys back (W + 1 if inclusive), arXiv 2310.06825, section 2; to both sides, and
 * global tokens, arXiv 2004.05150, section 3.1; sinks, arXiv 2309.17453
 */
static REAL OF(window_score)(const oracle_call *c, int64_t h, int64_t at, int64_t j, REAL s)
{
    (void)h;
    const int64_t left = (int64_t)oracle_param(c, "left", 0),
                  right = (int64_t)oracle_param(c, "right", 0);
    const int64_t sinks = (int64_t)oracle_param(c, "sinks", 0),
                  global = (int64_t)oracle_param(c, "global", 0);
    const int64_t back = at - j;
    const int near =
        (oracle_param(c, "inclusive", 0) != 0 ? back <= left : back < left) && -back <= right;
    return near || (j < sinks && -back <= right) || at < global || j < global ? s : -INFINITY;
}
static void OF(attention_window)(const oracle_call *c) { OF(attention)(c, OF(window_score)); }
