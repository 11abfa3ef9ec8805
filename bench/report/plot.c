/* SPDX-License-Identifier: MIT
 *
 * plot.c: heed bench --plot: time against the size that differs between the shapes, as an SVG.
 * gnuplot draws it, if this machine has it: a program that is run, not a library that heed is
 * linked with.
 *
 * Invariant: no shell takes part, gnuplot reads no file of the user's and writes none: commands and
 * numbers go to its standard input, the picture comes from its standard output. Texts are quoted,
 * whatever is in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "bench/bench.h"
#include "bench/case/case.h"
#include "command/shape.h"
#include "bench/machine.h"
#include "bench/report/growth.h"
#include "bench/report/plot.h"
#include "bench/report/report.h"
#include "bench/report/row.h"

#define WIDTH 860       /* of the picture, in pixels */
#define HEIGHT 470      /* without its legend */
#define LEGEND_LINE 17  /* of it, one a spec and path */
#define COLOURS 8       /* that gnuplot tells apart; then the dashes change */

extern char **environ;

/* ---- running gnuplot ---- */

/* Between open files; *status as waitpid tells it. What gnuplot says goes to `said`. */
static int32_t run(const char *option, FILE *commands, FILE *picture, FILE *said, int *status,
                   heed_error *error)
{
    char name[] = "gnuplot", words[2][16] = {"", "-"}, *argv[] = {name, words[0], words[1], NULL};
    posix_spawn_file_actions_t files;
    pid_t child;
    snprintf(words[0], sizeof words[0], "%s", option);
    int failed = posix_spawn_file_actions_init(&files);
    if (failed) return error_memory(error);
    failed = posix_spawn_file_actions_adddup2(&files, fileno(commands), 0) ||
             posix_spawn_file_actions_adddup2(&files, fileno(picture), 1) ||
             posix_spawn_file_actions_adddup2(&files, fileno(said), 2);
    failed = failed ? ENOMEM : posix_spawnp(&child, name, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed == ENOENT)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "--plot needs the program gnuplot, which is not here; Debian and "
                         "Ubuntu have it in the package gnuplot-nox");
    if (failed)
        return error_set(error, HEED_E_SYSTEM, "gnuplot cannot be run: %s", strerror(failed));
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR) return error_set(error, HEED_E_SYSTEM, "gnuplot: %s", strerror(errno));
    return HEED_OK;
}

/* All that was written to a file, behind which a 0 is put; free it. */
static char *content(FILE *f, size_t *n)
{
    long length = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
    char *text = length >= 0 ? malloc((size_t)length + 1) : NULL;
    if (!text) return NULL;
    rewind(f);
    *n = fread(text, 1, (size_t)length, f);
    text[*n] = 0;
    return text;
}

/* gnuplot's own sentence: the last line that it said. */
static int32_t complain(FILE *said, heed_error *error)
{
    size_t n = 0;
    char *text = content(said, &n), *line = text;
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' ')) text[--n] = 0;
    for (char *at = text; at && *at; at++) {
        if (*at == '\n') line = at + 1;
        else if ((unsigned char)*at < ' ') *at = ' ';
    }
    error_set(error, HEED_E_SYSTEM, "gnuplot has made no picture%s%.200s", n ? ": " : "",
              n ? line : "");
    free(text);
    return HEED_E_SYSTEM;
}

/* ---- what it is told ---- */

/* In single quotes nothing is special but the quote, which is doubled. */
static void quote(FILE *to, const char *text)
{
    fputc('\'', to);
    for (; *text; text++) {
        if (*text == '\'') fputc('\'', to);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
    }
    fputc('\'', to);
}

static void write_title(FILE *to, const bench *b, const char *shape)
{
    char brand[128], text[256], rest[128] = "";
    for (const char *at = shape; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        size_t key = strcspn(at, "="), item = strcspn(at, ","), n = strlen(rest);
        if (key == strlen(b->varies) && !memcmp(at, b->varies, key)) continue;
        snprintf(rest + n, sizeof rest - n, "%.*s, ", (int)item, at);
    }
    snprintf(text, sizeof text, "%s%s, %u thread%s, %s", rest, bench_case_dtype(b->cases),
             heed_lanes(b->engine), &"s"[heed_lanes(b->engine) == 1],
             machine_cpu(brand, sizeof brand));
    fputs("set title ", to);
    quote(to, text);
    fputc('\n', to);
}

static void write_commands(FILE *to, const bench *b, const char *shape)
{
    uint32_t lines = 0;
    double low = growth_size(b, b->cases), high = low;
    for (uint32_t i = 0; i < b->n_cases; i++) lines += growth_first(b, i) != 0;
    fprintf(to, "set encoding utf8\nset terminal svg size %d,%u noenhanced font 'sans-serif,13' ",
            WIDTH, HEIGHT + LEGEND_LINE * lines);
    fputs("background rgb 'white'\nset key noenhanced outside below left Left reverse maxcols "
          "1\nset grid\n"
          /* its own yellow is too faint on white */
          "set logscale xy\nset linetype 5 linecolor rgb '#a08c00'\n"
          "set format y '%.0s %cs'\nset ylabel 'time of one call'\nset xlabel ",
          to);
    quote(to, b->varies);
    fputs(" offset 0, 0.7\nset xtics (", to);
    for (uint32_t i = 0; i < b->n_cases; i++) {
        double size = growth_size(b, &b->cases[i]);
        if (!growth_same(&b->cases[i], b->cases)) continue;
        fprintf(to, "%s%.0f", i ? ", " : "", size);
        low = size < low ? size : low, high = size > high ? size : high;
    }
    fprintf(to, ")\nset xrange [%.4g:%.4g]\n", low / 1.15, high * 1.15);
    write_title(to, b, shape);
    for (uint32_t i = 0, line = 0; i < b->n_cases; i++) {
        if (!growth_first(b, i)) continue;
        fprintf(to, "$line%u << END\n", line++);
        for (uint32_t k = i; k < b->n_cases; k++)
            if (growth_same(&b->cases[k], &b->cases[i]))
                fprintf(to, "%.0f %.6e\n", growth_size(b, &b->cases[k]),
                        row_sum_up(b, &b->cases[k]).seconds);
        fputs("END\n", to);
    }
    for (uint32_t i = 0, line = 0; i < b->n_cases; i++) {
        char text[SHAPE_TEXT];
        if (!growth_first(b, i)) continue;
        snprintf(text, sizeof text, "%s^%.2f  %s, %s", b->varies, growth_exponent(b, i),
                 bench_case_spec(&b->cases[i]), bench_case_path(&b->cases[i])->name);
        fprintf(to, "%s$line%u smooth unique with linespoints ", line ? ", \\\n" : "plot ", line);
        fprintf(to, "linetype %u dashtype %u pointtype %u title ", line % COLOURS + 1,
                line / COLOURS + 1, line % 13 + 1);
        quote(to, text);
        line++;
    }
    fputc('\n', to);
}

/* ---- the picture ---- */

static int32_t draw(const char *option, FILE *commands, FILE *picture, FILE *said,
                    heed_error *error)
{
    int status = 0;
    if (fflush(commands) || fseek(commands, 0, SEEK_SET))
        return error_set(error, HEED_E_SYSTEM, "a temporary file: %s", strerror(errno));
    int32_t failed = run(option, commands, picture, said, &status, error);
    return !failed && status ? complain(said, error) : failed;
}

int32_t plot_make(const bench *b, const char *shape, char **svg, size_t *n, heed_error *error)
{
    FILE *commands = tmpfile(), *picture = tmpfile(), *said = tmpfile();
    int32_t failed = commands && picture && said
                         ? HEED_OK
                         : error_set(error, HEED_E_SYSTEM, "a temporary file: %s", strerror(errno));
    *svg = NULL;
    if (!failed && b) write_commands(commands, b, shape);
    if (!failed) failed = draw(b ? "-d" : "-V", commands, picture, said, error);
    if (!failed && b && !(*svg = content(picture, n))) failed = error_memory(error);
    if (!failed && b && !strstr(*svg, "</svg>")) failed = complain(said, error);
    if (failed) free(*svg);
    if (commands) fclose(commands);
    if (picture) fclose(picture);
    if (said) fclose(said);
    return failed;
}
