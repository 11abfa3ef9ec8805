/* SPDX-License-Identifier: MIT
 *
 * file.c: whole files, read and written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "command/file.h"
#include "io/replace.h"

#define FILE_MOST (1 << 30) /* bytes of a file that is read whole */

int32_t file_read(const char *path, unsigned char **bytes, size_t *n, heed_error *error)
{
    int32_t failed = HEED_OK;
    unsigned char *all = NULL;
    size_t room = 0, length = 0;
    const int standard = !strcmp(path, "-");
    FILE *file = standard ? stdin : fopen(path, "rb");
    if (standard) path = "standard input";
    if (!file) return error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    do {
        if (length == room) { /* its size is not asked for: a pipe has none */
            if (length >= FILE_MOST) {
                failed = error_set(error, HEED_E_DATA, "%s: it has more than %d MiB, or no end",
                                   path, FILE_MOST >> 20);
                break;
            }
            unsigned char *larger =
                room <= SIZE_MAX / 4 ? realloc(all, room = room ? 2 * room : 1 << 16) : NULL;
            if (!larger) {
                failed = error_memory(error);
                break;
            }
            all = larger;
        }
        length += fread(all + length, 1, room - length, file);
        if (ferror(file)) failed = error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    } while (!failed && !feof(file));
    if (!standard) fclose(file);
    if (failed) {
        free(all);
        return failed;
    }
    *bytes = all;
    *n = length;
    return HEED_OK;
}

static int32_t cannot(const char *path, heed_error *error)
{
    return error_set(error, HEED_E_SYSTEM, "%s: cannot be written: %s", path, strerror(errno));
}

int32_t file_check(const char *path, heed_error *error)
{
    struct stat s;
    const char *slash = strrchr(path, '/');
    if (!strcmp(path, "-")) return HEED_OK;
    int exists = !stat(path, &s);
    if (exists && S_ISDIR(s.st_mode)) return errno = EISDIR, cannot(path, error);
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder) return error_memory(error);
    int refused = (exists && access(path, W_OK)) ||
                  ((!exists || S_ISREG(s.st_mode)) && access(folder, W_OK | X_OK));
    free(folder);
    return refused ? cannot(path, error) : HEED_OK;
}

typedef struct text {
    const void *bytes;
    size_t n;
} text;

static int put(FILE *to, const void *arg)
{
    const text *t = arg;
    return fwrite(t->bytes, 1, t->n, to) == t->n;
}

int32_t file_write(const char *path, const void *bytes, size_t n, heed_error *error)
{
    const text t = {bytes, n};
    if (strcmp(path, "-")) return replace_file(path, put, &t, error);
    errno = 0;
    return put(stdout, &t) ? HEED_OK : cannot("standard output", error);
}
