/* SPDX-License-Identifier: MIT
 *
 * interrupt.c: the first signal ends the work in order, a second one at once.
 */
#include <stddef.h>

#include "command/interrupt.h"

volatile sig_atomic_t interrupt_seen;

static void interrupt(int signal) { interrupt_seen = signal; }

void interrupt_catch(void)
{
    struct sigaction a = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

int interrupt_status(void) { return interrupt_seen == SIGINT ? 128 + SIGINT : 1; }
