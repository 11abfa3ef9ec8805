/* SPDX-License-Identifier: MIT
 *
 * residual/add: out = x + y                                           arXiv 1512.03385, section 3.2
 *
 * The work is in add_kernel.h. Pre-norm, post-norm and the rest are wirings of the stack around it.
 */
#include "add_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "the stream"),
    [Y] = KIT_IN("y", "... M", "what a layer adds to it"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the sum"),
};

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "residual/add",
    .version = "1.0",
    .summary = "the sum of a stream and what a layer adds to it",
    .formula = "out = x + y",
    .reference = "arXiv 1512.03385, section 3.2",
    .ports = KIT_TABLE(ports),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("residual_add", "MIT", ops)
