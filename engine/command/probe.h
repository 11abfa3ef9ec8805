/* SPDX-License-Identifier: MIT
 *
 * probe.h: which plugins kill who loads them.
 */
#ifndef HEED_COMMAND_PROBE_H
#define HEED_COMMAND_PROBE_H

#include "op/load.h"

/* For a command that will load every plugin that there is: those that kill who loads them, or never
 * return, are refused in what it gives to engine_make, after a helper has tried them all. */
const load_care *probe_plugins(void);
#define PROBE_WORD "--load-all" /* the helper's first word */
int probe_helper(int argc, char **argv);

#endif
