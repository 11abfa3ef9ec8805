/* SPDX-License-Identifier: MIT
 *
 * main.c: the command heed: finds the command that is asked for, runs it, and sees to it that its
 * output arrived.
 *
 * What a command does is in <name>.c. Invariant: exit status 0 means that all of the output was
 * written; 1 is bad input or a failure, 2 is wrong usage, and both come with one sentence on
 * standard error.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command/command.h"
#include "command/completion.h"
#include "command/options.h"
#include "command/probe.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

static int command_help(int argc, char **argv);
static int command_completion(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *line;
} commands[] = {
    {"list", command_list, "the ops, their plugins and paths, and the plugins refused with why"},
    {"describe", command_describe,
     "the params, tensors, masks and formula of one op, or the parts of a model"},
    {"run", command_run, "one op on tensors in .npy files"},
    {"generate", command_generate, "text from a model"},
    {"score", command_score, "how well a model predicts a file, in bits per byte"},
    {"classify", command_classify,
     "which class each line of a file is of, by a network of classes"},
    {"embed", command_embed, "a vector for each line of a file, by an encoder"},
    {"train", command_train, "a network learns a text"},
    {"plan", command_plan,
     "how far networks see, what they cost, and what laws say of their sizes"},
    {"field", command_field, "how far a network looks on a text, measured"},
    {"bench", command_bench, "the speed of ops on this machine, against what it can do"},
    {"compare", command_compare, "records of bench side by side, from any machines"},
    {"new", command_new, "the folder of a new plugin, which works, to be changed"},
    {"check", command_check, "whether anybody's plugin keeps its contract"},
    {"matrix", command_matrix, "which ops compose in a network, by running them"},
    {"topo", command_topo, "cores, caches and NUMA nodes, and where the threads would go"},
    {"completion", command_completion, "what has bash or zsh complete all of this"},
    {"help", command_help, "this page, or that of a command"},
};
#define COMMANDS ((uint32_t)(sizeof commands / sizeof *commands))

static void print_help(FILE *to)
{
    fputs("usage: heed COMMAND [ARGUMENT ...]\n"
          "Transformer attention on CPUs, by operators that are plugins.\n\n", to);
    for (uint32_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].line);
    fputs("\nheed COMMAND -h shows how a command is used, heed --version the version.\n", to);
}

static const struct command *find(const char *name)
{
    const char *names[COMMANDS];
    for (uint32_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
        names[i] = commands[i].name;
    }
    const char *near = error_nearest(name, names, COMMANDS);
    fprintf(stderr, "heed: there is no command " QUOTE "%s%s; heed -h lists them\n", QUOTED(name),
            near ? ", the nearest is " : "", near ? near : "");
    return NULL;
}

static int command_help(int argc, char **argv)
{
    if (argc > 2) return options_usage("help takes one command");
    const struct command *c = argc == 2 && argv[1][0] != '-' ? find(argv[1]) : NULL;
    if (argc == 2 && argv[1][0] != '-' && !c) return 2;
    if (!c || c->run == command_help) return print_help(stdout), 0;
    char help[] = "-h", *words[] = {argv[1], help, NULL};
    return c->run(2, words);
}

static int command_completion(int argc, char **argv)
{
    completion_command all[COMMANDS + 1] = {{0}};
    for (uint32_t i = 0; i < COMMANDS; i++)
        all[i] = (completion_command){commands[i].name,
                                      commands[i].run == command_help ? NULL : commands[i].run};
    return completion_run(argc, argv, all);
}

static int status; /* of the command, once it has ended */

/* At exit, however it comes: output that can not be written is a failure like any other. A command
 * that has failed has told why. */
static void close_output(void)
{
    int failed = ferror(stdout);
    errno = 0;
    if (!fclose(stdout) && !failed) return;
    if (!status) fprintf(stderr, "heed: standard output: %s\n", strerror(errno ? errno : EIO));
    _exit(status ? status : 1);
}

/* A file that is opened while 0, 1 or 2 is free would become standard output. What is put there
 * instead refuses. */
static void fill_standard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) continue;
        if (open("/dev/null", fd == 1 ? O_RDONLY : O_WRONLY) != fd) _exit(1);
    }
}

int main(int argc, char **argv)
{
    fill_standard();
    atexit(close_output);
    /* what firmware got wrong is not for standard error; no thread is there yet */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    /* a file beyond the limit is a sentence, not a death with files half written */
    signal(SIGXFSZ, SIG_IGN);
    /* `heed list | head -1` ends without a word, also where the parent ignores it */
    signal(SIGPIPE, SIG_DFL);
    if (argc < 2) return print_help(stderr), 2;
    const char *word = argv[1];
    if (!strcmp(word, "-h") || !strcmp(word, "--help")) return print_help(stdout), 0;
    if (!strcmp(word, "-V") || !strcmp(word, "--version"))
        return printf("heed %s, plugin ABI %d.%d\n", PACKAGE_VERSION, HEED_ABI_MAJOR,
                      HEED_ABI_MINOR),
               0;
    if (!strcmp(word, PROBE_WORD)) return probe_helper(argc, argv);
    if (word[0] == '-') return options_usage("unknown option " QUOTE, QUOTED(word));
    const struct command *c = find(word);
    return status = c ? c->run(argc - 1, argv + 1) : 2;
}
