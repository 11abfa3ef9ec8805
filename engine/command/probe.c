/* SPDX-License-Identifier: MIT
 *
 * probe.c: which plugins kill who loads them. A command that must load all of them, whatever they
 * are, has a helper load them first: this same program, which says what it is about to load. A
 * plugin in which the helper ends, or stays, is then refused, and the next helper goes on behind
 * it.
 *
 * Not by fork alone: what a plugin does to the process that loads it must not be done to the
 * command's. Where no helper can be had, nothing is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "command/probe.h"
#include "op/engine.h"

#define SECONDS 10 /* for one plugin; under an emulator too */
#define HELPERS 64 /* at most, one more than plugins that are refused */
#define TELL 3     /* the helper's end of the pipe */

static refusal *refused;
static uint32_t n_refused;

/* ---- the helper ---- */

/* One line for a plugin that is about to be loaded, an empty one when that has ended. */
static void tell(void *arg, const char *path)
{
    (void)arg;
    char line[4200];
    int n = snprintf(line, sizeof line, "%s\n", path ? path : "");
    for (int done = 0; done < n;) {
        ssize_t now = write(TELL, line + done, (size_t)(n - done));
        if (now <= 0) _exit(0);
        done += (int)now;
    }
}

int probe_helper(int argc, char **argv)
{
    heed_options o = {.size = sizeof o, .threads = 1, .pinning = HEED_PIN_NONE};
    refusal *known = calloc((size_t)argc, sizeof *known);
    load_care care = {.about = tell, .refused = known};
    if (!known || fcntl(TELL, F_GETFD) < 0) return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 2; i < argc; i++) known[care.n_refused++] = (refusal){argv[i], argv[i]};
    heed_engine *engine = engine_make(&o, &care, NULL);
    if (engine) registry_all(&engine->registry, NULL);
    heed_engine_free(engine);
    free(known);
    return 0;
}

/* ---- the command ---- */

static int start(pid_t *child, int *from)
{
    char name[] = "heed", word[] = PROBE_WORD,
         **words = calloc(n_refused + (size_t)3, sizeof *words);
    posix_spawn_file_actions_t actions;
    int ends[2], failed = !words || pipe2(ends, O_CLOEXEC);
    if (failed) return free(words), 1;
    words[0] = name, words[1] = word;
    for (uint32_t i = 0; i < n_refused; i++) words[2 + i] = refused[i].path;
    failed = posix_spawn_file_actions_init(&actions);
    if (!failed) {
        failed = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) ||
                 posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) ||
                 posix_spawn_file_actions_adddup2(&actions, ends[1], TELL) ||
                 posix_spawn(child, "/proc/self/exe", &actions, NULL, words, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (failed) close(ends[0]);
    *from = ends[0];
    free(words);
    return failed;
}

/* Reads until the helper has ended or hangs; `path` is what it was loading then, "" = nothing.
 * Whether it hangs. */
static int listen_to(int from, char path[4200])
{
    struct pollfd end = {.fd = from, .events = POLLIN};
    size_t n = 0;
    char part[512];
    path[0] = 0;
    for (int whole = 1;;) {
        int ready = poll(&end, 1, SECONDS * 1000);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return 1;
        ssize_t got = read(from, part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        for (ssize_t i = 0; i < got; i++) {
            if (whole) n = 0, path[0] = 0;
            whole = part[i] == '\n';
            if (!whole && n + 1 < 4200) path[n++] = part[i], path[n] = 0;
        }
    }
}

static int refuse(const char *path, const char *reason)
{
    refusal *more = reallocarray(refused, n_refused + (size_t)1, sizeof *more),
            new = {strdup(path), strdup(reason)};
    if (more) refused = more;
    if (!more || !new.path || !new.reason) return free(new.path), free(new.reason), 1;
    refused[n_refused++] = new;
    return 0;
}

const load_care *probe_plugins(void)
{
    static load_care care;
    char path[4200], reason[200];
    for (int helpers = 0; helpers < HELPERS; helpers++) {
        pid_t child;
        int from, status;
        if (start(&child, &from)) break;
        int hangs = listen_to(from, path);
        if (hangs) kill(child, SIGKILL);
        close(from);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
        if (!path[0]) break;
        if (hangs)
            snprintf(reason, sizeof reason, "loading it does not end within %d seconds", SECONDS);
        else if (WIFSIGNALED(status))
            snprintf(reason, sizeof reason, "loading it ends the process: %s",
                     strsignal(WTERMSIG(status)));
        else
            snprintf(reason, sizeof reason, "loading it ends the process, with the status %d",
                     WEXITSTATUS(status));
        if (refuse(path, reason)) break;
    }
    care = (load_care){.refused = refused, .n_refused = n_refused};
    return &care;
}
