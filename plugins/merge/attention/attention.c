/* SPDX-License-Identifier: MIT
 *
 * merge/attention: two attentions of the same queries, over two sets of keys, to the one over all
 * these keys
 *
 * This is exact: each result says by its log-sum-exp how much of the whole it is. So keys may be
 * split over calls (a prefix that many sequences share, and each one's own end), over sequences, or
 * over machines, and merged in any order. The maths is in attention_kernel.h.
 */
#include "attention_kernel.h"

#define LSE_OF(name, doc)                                                                          \
    {                                                                                              \
        sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, name, "B T H", doc             \
    }
static const heed_port ports[] = {
    [A] = KIT_IN("a", "B T H E", "what attention over some keys gave"),
    [LSE_A] = LSE_OF("lse_a", "its log-sum-exp; -inf where it had no key"),
    [OTHER] = KIT_IN("b", "B T H E", "what attention over other keys gave"),
    [LSE_B] = LSE_OF("lse_b", "its log-sum-exp"),
    [OUT] = KIT_OUT_IN_PLACE("out", "B T H E", "what attention over all these keys gives"),
    [LSE] = {sizeof(heed_port), HEED_OUTPUT, HEED_PORT_OPTIONAL | HEED_PORT_IN_PLACE,
             HEED_BIT(HEED_F32), 0, 0, "lse", "B T H",
             "its log-sum-exp; -inf where no key was left on either side"},
};

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "merge/attention",
    .version = "1.0",
    .summary = "two attentions over different keys to the one over all of them, exactly",
    .formula = "lse = ln(e^lse_a + e^lse_b)\nout = e^(lse_a - lse) a + e^(lse_b - lse) b",
    .reference = "arXiv 2205.14135, section 3.1; arXiv 2402.05099, section 3.1; arXiv 2501.01005",
    .ports = KIT_TABLE(ports),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("merge_attention", "MIT", ops)
