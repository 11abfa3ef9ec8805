/* SPDX-License-Identifier: MIT
 *
 * trust.c: may this file be loaded into the process? It may if nobody but root and the effective user could have
 * written it or put it where it is. What the file contains is load.c's business.
 *
 * Invariant: after HEED_OK nobody else can change the file, or make its path lead to another one.
 */
#include "base/error.h"
#include "base/trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITABLE (S_IWGRP | S_IWOTH)

/* A user's private group (the same number as the user's own, as Debian and Ubuntu make it) is the user: with umask 002
 * everything there is writable by that group. */
static int private_group(const struct stat *s)
{
    return s->st_uid == geteuid() && s->st_gid == s->st_uid && s->st_uid != 0;
}

/* The owner and the mode of one file or folder. In a sticky folder (/tmp) only the owner of an entry can rename or
 * remove it, and that owner is checked too. */
static int32_t check_owner(const char *name, const struct stat *s, heed_error *error)
{
    unsigned mode = s->st_mode & 07777u;
    if (s->st_uid != 0 && s->st_uid != geteuid())
        return error_set(error, HEED_E_DATA, "%s belongs to user %u; it must belong to root or to user %u", name,
                         (unsigned)s->st_uid, (unsigned)geteuid());
    if (private_group(s)) mode &= ~(unsigned)S_IWGRP;
    if ((mode & WRITABLE) && !(S_ISDIR(s->st_mode) && (mode & S_ISVTX)))
        return error_set(error, HEED_E_DATA, "%s has mode %04o, so %s can write it; it must be %04o (chmod go-w)", name,
                         mode, mode & S_IWOTH ? "anybody" : "its group", mode & ~(unsigned)WRITABLE);
    return HEED_OK;
}

/* One folder of the path. lstat, not stat: a link would lead around the folders that are checked. */
static int32_t check_folder(const char *name, heed_error *error)
{
    struct stat s;
    if (lstat(name, &s)) return error_set(error, HEED_E_SYSTEM, "%s cannot be examined: %s", name, strerror(errno));
    if (!S_ISDIR(s.st_mode)) return error_set(error, HEED_E_DATA, "%s is a link or file, not a folder", name);
    return check_owner(name, &s, error);
}

/* `path` is absolute and free of links (realpath). */
int32_t trust_check(int fd, const char *path, heed_error *error)
{
    struct stat file, named;
    if (path[0] != '/') return error_set(error, HEED_E_ARGUMENT, "%s is a relative path, not an absolute one", path);
    if (fstat(fd, &file)) return error_set(error, HEED_E_SYSTEM, "%s cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(file.st_mode)) return error_set(error, HEED_E_DATA, "%s is not a regular file", path);
    int32_t code = check_owner(path, &file, error);
    if (code) return code;

    char *folder = strdup(path);
    if (!folder) return error_memory(error);
    code = check_folder("/", error);
    for (char *cut = strchr(folder + 1, '/'); cut && !code; cut = strchr(cut + 1, '/')) {
        *cut = 0;
        code = check_folder(folder, error);
        *cut = '/';
    }
    free(folder);
    if (code) return code;

    /* Only now, behind folders that nobody else can change, does the name's answer stay true. */
    if (lstat(path, &named) || named.st_dev != file.st_dev || named.st_ino != file.st_ino)
        return error_set(error, HEED_E_DATA, "%s is a link, or was replaced while it was opened", path);
    return HEED_OK;
}
