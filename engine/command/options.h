/* SPDX-License-Identifier: MIT
 *
 * options.h: the command line of a command, read by a table; and how wrong usage is told.
 *
 * Invariant: a function that returns an int returns 0, or 2 after it has told why on standard
 * error.
 */
#ifndef HEED_COMMAND_OPTIONS_H
#define HEED_COMMAND_OPTIONS_H

#include <stddef.h>

#include "base/local.h"

/* What --isa, --threads and --pin say. */
#define OPTIONS_ENGINE                                                                             \
    "  --isa PATH        use no more than scalar, avx2, avx512 or neon, which give the same "      \
    "bits; or avx512_bf16\n"                                                                       \
    "                    or neon_bf16, which do not; HEED_ISA says the same\n"                     \
    "  --threads N       threads; 0, the default, is one a core\n"                                 \
    "  --pin HOW         compact (the default), scatter or none: where the threads go\n"

/* The paths that --isa takes, on whatever machine. */
#define OPTIONS_PATHS "scalar avx2 avx512 neon avx512_bf16 neon_bf16"

/* One word of the command line. A table of them ends with a row of zeros. */
typedef struct option {
    const char *name; /* "-o", "--json"; "": a word that is no option */
    int has_value;    /* --option VALUE or --option=VALUE; always for "" */
    /* Returns 0, or what options_usage returned; value NULL without has_value. NULL: the value is
     * kept in the command's `const char *` at `at`, or its `int` there becomes 1 without
     * has_value. */
    int (*read)(void *command, const char *value);
    size_t at;
    /* for completion: the words that it takes, with blanks between them; FILE, OP, SPEC or KIND
     * stand for what is looked up. NULL: nobody knows */
    const char *values;
} option;

/* Reads all words; "-h" and "--help" print `usage` and exit. --isa, --threads and --pin are read
 * into `engine` if it is not NULL. Behind "--" no word is an option. */
int options_parse(int argc, char **argv, const char *usage, const option *options, void *command,
                  heed_options *engine);
/* From now on options_parse only tells `see` of each row, and returns -1: then a command returns at
 * once. NULL ends that. */
void options_watch(void (*see)(void *to, const option *row), void *to);
/* For rows of a command whose struct begins with heed_options: --threads and --pin. */
int options_threads(void *engine, const char *value);
int options_pin(void *engine, const char *value);
/* A number on the command line; `option` names it in the sentence. */
int options_int(const char *option, const char *value, int64_t min, int64_t max, int64_t *out);
int options_float(const char *option, const char *value, double min, double max, double *out);
/* --dtype: f32, f16 or bf16. */
int options_dtype(const char *value, uint32_t *dtype);
/* Prints "heed: <sentence>" and where to find help; returns 2. */
int options_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
