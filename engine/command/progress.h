/* SPDX-License-Identifier: MIT
 *
 * progress.h: what a command is at, and the time that is left: one line, where standard error is a
 * terminal, and gone when it ends.
 */
#ifndef HEED_COMMAND_PROGRESS_H
#define HEED_COMMAND_PROGRESS_H

#include "base/local.h"

/* `share` of the work is done, 0 to 1; less than 0: nobody knows. */
void progress_show(double share, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes the line away. What is shown next begins to count its time. */
void progress_end(void);

#endif
