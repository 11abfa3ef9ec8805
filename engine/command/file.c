/* SPDX-License-Identifier: MIT
 *
 * file.c: whole files, read and written.
 *
 * Invariant: a file that is written is whole or not there: it is made beside its place, and renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "command/file.h"

int32_t file_read(const char *path, unsigned char **bytes, size_t *n, heed_error *error)
{
    int32_t failed = HEED_OK;
    unsigned char *all = NULL;
    size_t room = 0, length = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    do {
        if (length == room) { /* its size is not asked for: a pipe has none */
            unsigned char *larger = room <= SIZE_MAX / 4 ? realloc(all, room = room ? 2 * room : 1 << 16) : NULL;
            if (!larger) {
                failed = error_memory(error);
                break;
            }
            all = larger;
        }
        length += fread(all + length, 1, room - length, file);
        if (ferror(file)) failed = error_set(error, HEED_E_SYSTEM, "%s: %s", path, strerror(errno));
    } while (!failed && !feof(file));
    fclose(file);
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
    int refused = (exists && access(path, W_OK)) || ((!exists || S_ISREG(s.st_mode)) && access(folder, W_OK | X_OK));
    free(folder);
    return refused ? cannot(path, error) : HEED_OK;
}

/* Takes fd. */
static int put(int fd, const void *bytes, size_t n)
{
    FILE *to = fdopen(fd, "w");
    if (!to) return close(fd), 0;
    errno = 0;
    int bad = fwrite(bytes, 1, n, to) != n, cause = errno;
    if (fclose(to)) return 0;
    errno = cause;
    return !bad;
}

int32_t file_write(const char *path, const void *bytes, size_t n, heed_error *error)
{
    struct stat s;
    errno = 0;
    if (!strcmp(path, "-"))
        return fwrite(bytes, 1, n, stdout) == n ? HEED_OK : cannot("standard output", error);
    int exists = !stat(path, &s), fd;
    if (exists && !S_ISREG(s.st_mode)) { /* a pipe or device: nothing to rename over */
        fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 && put(fd, bytes, n) ? HEED_OK : cannot(path, error);
    }
    char *beside = NULL, *target = exists ? realpath(path, NULL) : strdup(path); /* a link stays */
    if (!target || asprintf(&beside, "%s.heed-%ld.tmp", target, (long)getpid()) < 0) {
        free(target);
        return error_memory(error);
    }
    int32_t failed = HEED_OK;
    unlink(beside); /* of a process that was killed and had this id */
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? s.st_mode & 0777 : 0666);
    if (fd < 0) {
        failed = cannot(path, error);
    } else if (!put(fd, bytes, n) || rename(beside, target)) {
        failed = cannot(path, error);
        unlink(beside);
    }
    free(beside);
    free(target);
    return failed;
}
