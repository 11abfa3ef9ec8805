/* SPDX-License-Identifier: MIT
 *
 * command.c: how a command ends. It prints; the library never does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "command/command.h"
#include "command/interrupt.h"
#include "command/ranks.h"

int command_fail(const heed_error *error)
{
    fflush(stdout);
    ranks_fail(error);
    /* before ranks have met, what is wrong with the command line is told by one of them */
    if (!ranks_is_silent() || error->code != HEED_E_ARGUMENT)
        fprintf(stderr, "heed: %s\n", error->text[0] ? error->text : "failed, and it is not known why");
    return interrupt_seen ? interrupt_status() : 1;
}

int command_json(json_t *json)
{
    heed_error error;
    if (!json) {
        error_memory(&error);
        return command_fail(&error);
    }
    int failed = json_dumpf(json, stdout, JSON_INDENT(2));
    json_decref(json);
    if (failed || putchar('\n') == EOF) {
        error_set(&error, HEED_E_SYSTEM, "standard output: %s", strerror(errno));
        return command_fail(&error);
    }
    return 0;
}
