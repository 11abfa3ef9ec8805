/* SPDX-License-Identifier: MIT
 *
 * interrupt.h: Ctrl-C in a command that has something to tell before it ends.
 */
#ifndef HEED_COMMAND_INTERRUPT_H
#define HEED_COMMAND_INTERRUPT_H

#include <signal.h>

#include "base/local.h"

/* The first SIGINT or SIGTERM sets interrupt_seen, a second one ends the process. */
void interrupt_catch(void);
extern volatile sig_atomic_t interrupt_seen; /* the signal, or 0 */
/* The exit status of a command that it ended: of Ctrl-C 130, as a shell has it, else 1. */
int interrupt_status(void);

#endif
