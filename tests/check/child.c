/* SPDX-License-Identifier: MIT
 *
 * child.c: plugin code runs in a child, which writes what it finds to memory that it shares with
 * its parent. A crash, a hang or a touch of memory that is watched is a finding for the case that
 * was running; the parent goes on behind it.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/child.h"
#include "command/interrupt.h"

enum { CRASHED = 3, HUNG = 4 }; /* exit statuses of a child */

static board *shared;      /* in a child: its board */
static unsigned limit;     /* seconds of one check */

board *board_make(void)
{
    board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return b == MAP_FAILED ? NULL : b;
}

void board_find(board *b, uint32_t check, const char *line, const char *sentence)
{
    if (b->findings >= FINDINGS_MAX) return;
    finding *f = &b->finding[b->findings];
    f->check = check;
    snprintf(f->line, sizeof f->line, "%s", line);
    snprintf(f->sentence, sizeof f->sentence, "%s", sentence);
    for (char *p = f->sentence; *p; p++) /* one line; a spec's error has a caret under the place */
        if (*p == '\n') *p = ' ';
    b->findings++;
}

/* ---- memory with ends ---- */

static struct watched {
    const char *name;
    const char *from;
    size_t bytes, guard;
} watched[128];

int child_watch(const char *name, const void *from, size_t bytes, size_t guard)
{
    for (int i = 0; i < (int)(sizeof watched / sizeof *watched); i++) {
        if (watched[i].name) continue;
        watched[i] = (struct watched){name, from, bytes, guard};
        return i;
    }
    return -1;
}

void child_unwatch(int handle)
{
    if (handle >= 0) watched[handle].name = NULL;
}

void child_unwatch_all(void) { memset(watched, 0, sizeof watched); }

/* ---- the child ---- */

static const char *signal_name(int number)
{
    return number == SIGSEGV  ? "a segmentation fault"
           : number == SIGBUS ? "a bus error"
           : number == SIGILL ? "an illegal instruction"
           : number == SIGFPE ? "an arithmetic exception"
                              : "an abort";
}

/* In the thread that crashed. What it formats are numbers and names, on a stack of its own. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    char text[400];
    const char *at = info->si_addr;
    snprintf(text, sizeof text, "%s", signal_name(number));
    for (size_t i = 0; number == SIGSEGV && i < sizeof watched / sizeof *watched; i++) {
        const struct watched *w = &watched[i];
        if (!w->name || at < w->from - w->guard || at >= w->from + w->bytes + w->guard) continue;
        if (at >= w->from + w->bytes)
            snprintf(text, sizeof text, "touches byte %zu of %s, which has %zu",
                     (size_t)(at - w->from), w->name, w->bytes);
        else if (at < w->from)
            snprintf(text, sizeof text, "touches %s %zu bytes in front of it", w->name,
                     (size_t)(w->from - at));
        else snprintf(text, sizeof text, "writes to %s, which it may only read", w->name);
        break;
    }
    board_find(shared, shared->check, shared->line, text);
    _exit(CRASHED);
}

static void on_alarm(int number)
{
    (void)number;
    char text[100];
    snprintf(text, sizeof text, "does not end within %u seconds", limit);
    board_find(shared, shared->check, shared->line, text);
    _exit(HUNG);
}

static void catch_signals(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static char stack[64 << 10];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction crash = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigaction(crashes[i], &crash, NULL);
    signal(SIGALRM, on_alarm);
}

void child_doing(board *b, uint32_t at, uint32_t check, const char *line)
{
    b->at = at;
    b->check = check;
    if (line != b->line) snprintf(b->line, sizeof b->line, "%s", line);
    alarm(limit);
}

/* ---- the parent ---- */

#define A_SECOND 5 /* so often it is looked after */

void (*child_waiting)(const board *b);

/* Until the child's end of the pipe is closed. A child that has its alarm switched off and does not
 * go on is killed. */
static int wait_for(board *b, int fd, pid_t child, unsigned seconds)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    uint32_t at = b->at, check = b->check;
    unsigned idle = 0;
    int hung = 0;
    while (poll(&end, 1, 1000 / A_SECOND) <= 0) {
        if (child_waiting) child_waiting(b);
        idle = at == b->at && check == b->check ? idle + 1 : 0;
        at = b->at, check = b->check;
        hung |= idle >= (2 * seconds + 5) * A_SECOND;
        if (hung || interrupt_seen) kill(child, SIGKILL);
    }
    return hung;
}

int child_run(board *b, void (*work)(board *b, void *arg), void *arg, unsigned seconds)
{
    int ends[2], status;
    uint32_t before = b->findings;
    b->ended = 0;
    fflush(NULL);
    if (pipe(ends)) return board_find(b, 0, b->line, "no pipe can be had"), 1;
    pid_t child = fork();
    if (child < 0) return board_find(b, 0, b->line, "no child process can be had"), 1;
    if (!child) {
        close(ends[0]);
        shared = b;
        limit = seconds;
        catch_signals();
        alarm(seconds);
        work(b, arg);
        b->ended = 1;
        _exit(0);
    }
    close(ends[1]);
    int hung = wait_for(b, ends[0], child, seconds);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0) continue;
    if (b->ended && WIFEXITED(status) && !WEXITSTATUS(status)) return 0;
    if (interrupt_seen) return 3;
    char text[100];
    if (hung) snprintf(text, sizeof text, "does not end within %u seconds", seconds);
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "ends the process: %s", strsignal(WTERMSIG(status)));
    else snprintf(text, sizeof text, "ends the process, with the status %d", WEXITSTATUS(status));
    if (b->findings == before) board_find(b, b->check, b->line, text);
    return hung || (WIFEXITED(status) && WEXITSTATUS(status) == HUNG) ? 2 : 1;
}
