/* SPDX-License-Identifier: MIT
 *
 * completion.h: heed completion.
 */
#ifndef HEED_COMMAND_COMPLETION_H
#define HEED_COMMAND_COMPLETION_H

/* A command, as main.c has it. Its options are read off it by options_watch; `run` NULL: it takes
 * the name of a command. */
typedef struct completion_command {
    const char *name;
    int (*run)(int argc, char **argv);
} completion_command;

/* The command; `commands` end with a row of zeros. */
int completion_run(int argc, char **argv, const completion_command *commands);

#endif
