/* SPDX-License-Identifier: MIT
 *
 * cmd_common.h: what the commands share: reading options, making an engine from them, files, and how a failure is told.
 *
 * Nothing here is part of the library. Invariant: a function that returns an int returns 0, or an exit status after it
 * has told why on standard error.
 */
#ifndef HEED_CMD_COMMON_H
#define HEED_CMD_COMMON_H

#include <jansson.h>

#include "op/spec.h"

/* argv[0] is the command's own name. They return the exit status. */
int cmd_list(int argc, char **argv);
int cmd_new(int argc, char **argv);
int cmd_describe(int argc, char **argv);
int cmd_describe_network(const heed_options *options, const char *path, const char *spec, int json); /* status */
int cmd_run(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_topo(int argc, char **argv);

/* ---- the command line ---- */

/* What --isa, --threads and --pin say. */
#define CMD_ENGINE_USAGE                                                                                              \
    "  --isa PATH        use no more than scalar, avx2, avx512 or neon, which give the same bits; or avx512_bf16\n"    \
    "                    or neon_bf16, which do not; HEED_ISA says the same\n"                                         \
    "  --threads N       threads; 0, the default, is one a core\n"                                                    \
    "  --pin HOW         compact (the default), scatter or none: where the threads go\n"

/* One word of the command line. A table of them ends with a row of zeros. */
typedef struct cmd_option {
    const char *name;   /* "-o", "--json"; "": a word that is no option */
    int has_value;      /* --option VALUE or --option=VALUE; always for "" */
    int (*read)(void *command, const char *value); /* 0, or what cmd_usage returned; value NULL without has_value */
} cmd_option;

/* Reads all words; "-h" and "--help" print `usage` and exit. 0, or 2 after the sentence was printed. --isa, --threads
 * and --pin are read into `engine` if it is not NULL. Behind "--" no word is an option. */
int cmd_parse(int argc, char **argv, const char *usage, const cmd_option *options, void *command, heed_options *engine);
/* A number on the command line; `option` names it in the sentence. */
int cmd_int(const char *option, const char *value, int64_t min, int64_t max, int64_t *out);
int cmd_float(const char *option, const char *value, double min, double max, double *out);

/* ---- the engine ---- */

heed_engine *cmd_engine(const heed_options *options, heed_error *error);
/* The highest path that the engine may use here: "avx512". */
const char *cmd_path(const heed_engine *engine);

/* A network and its file. */
typedef struct cmd_model {
    heed_engine *engine;
    heed_weights *weights;
    heed_stack *stack;
    heed_session *session;
} cmd_model;

/* Engine, weights, stack and a session; spec NULL = the file's own; path NULL = weights of chance, from the seed. The
 * calling thread is pinned as the plan says, for it is the command's own. cmd_model_close also after a failure. */
int32_t cmd_model_open(cmd_model *m, const heed_options *options, const char *path, const char *spec, uint64_t seed,
                       heed_error *error);
void cmd_model_close(cmd_model *m);

/* ---- files, time, chance ---- */

/* A whole file; free(*bytes). */
int32_t cmd_read_file(const char *path, unsigned char **bytes, size_t *n, heed_error *error);
double cmd_seconds(void); /* of a clock that never goes back */
/* The next number in [0, 1): the top 24 bits of splitmix64's next output, divided by 2^24, so that it is exact in
 * float32. The state starts as the seed. https://prng.di.unimi.it/splitmix64.c */
double cmd_draw(uint64_t *state);

/* ---- how a command ends ---- */

/* Prints "heed: <text>" to standard error; returns 1. */
int cmd_fail(const heed_error *error);
/* Prints "heed: <sentence>" and where to find help; returns 2. */
int cmd_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints and frees; NULL means that memory ran out. Returns the exit status. */
int cmd_json(json_t *json);

#endif
