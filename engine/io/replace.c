/* SPDX-License-Identifier: MIT
 *
 * replace.c: a file that is written whole or not at all. The new one is made beside its place and
 * renamed when it is whole; until then it has no name, where the file system can do that, so that
 * nothing is left of it if the process is killed.
 *
 * A file that has several names is not renamed over, which would leave the others with what was
 * there before: it is written in its place, after the whole of it could be written beside it. Only
 * that a crash of the machine in between may cut it short.
 */
#include "base/error.h"
#include "io/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes fd. `sync`: the bytes are on the disk when it returns. 0 and errno if not. */
static int put_to(int fd, const replacement *w, int sync)
{
    FILE *to = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!to) {
        int cause = errno;
        if (fd >= 0) close(fd);
        return errno = cause, 0;
    }
    int good = w->put(to, w->arg) && !fflush(to) && (!sync || !fsync(fd));
    int cause = errno;
    if (fclose(to)) return 0;
    errno = cause;
    return good;
}

/* The name that a file will have: that at the end of the links, also where there is nothing yet.
 * NULL and errno. */
static char *end_of_links(const char *path)
{
    char *real = realpath(path, NULL), *at = real ? NULL : strdup(path), link[PATH_MAX];
    if (real || errno != ENOENT) return free(at), real;
    for (int links = 0; at; links++) {
        ssize_t n = readlink(at, link, sizeof link - 1);
        if (n < 0) return at; /* no link: here it will be */
        link[n] = 0;
        const char *slash = strrchr(at, '/');
        char *next = NULL;
        int folder = *link != '/' && slash ? (int)(slash + 1 - at) : 0;
        if (links == 40) errno = ELOOP;
        else if (asprintf(&next, "%.*s%s", folder, at, link) < 0) next = NULL, errno = ENOMEM;
        free(at);
        at = next;
    }
    return NULL;
}

/* A name beside `target` that was not tried before; malloc'ed. */
static char *name_beside(const char *target)
{
    static _Atomic unsigned made;
    char *name;
    const char *slash = strrchr(target, '/');
    int n = asprintf(&name, "%.*s.heed-%ld-%u.tmp", slash ? (int)(slash + 1 - target) : 0, target,
                     (long)getpid(), made++);
    return n < 0 ? errno = ENOMEM, NULL : name;
}

/* Opens a file in target's folder; *name is NULL if it has none yet. -1 and errno. */
static int open_beside(const char *target, mode_t mode, char **name)
{
    const char *slash = strrchr(target, '/');
    char *folder = slash ? strndup(target, (size_t)(slash - target) + 1) : strdup(".");
    int fd = folder ? open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, mode) : -1;
    free(folder);
    *name = NULL;
    for (int tries = 0; fd < 0 && tries < 100; tries++) {
        free(*name);
        if (!(*name = name_beside(target))) return -1;
        fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST) break;
    }
    return fd;
}

/* Gives the open file a name that nobody has: a file without one can not be renamed over
 * another. */
static char *give_name(int fd, const char *target)
{
    char self[64], *name = NULL;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    for (int tries = 0; tries < 100; tries++) {
        free(name);
        if (!(name = name_beside(target))) return NULL;
        if (!linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW)) return name;
        if (errno != EEXIST) break;
    }
    int cause = errno;
    free(name);
    return errno = cause, NULL;
}

/* The whole of it, beside its place. What is replaced goes only when that is on the disk. 0 and
 * errno if not. */
static int make_beside(replacement *r)
{
    const mode_t mode = r->exists ? r->old.st_mode & 0777 : 0666;
    if ((r->fd = open_beside(r->target, mode, &r->name)) < 0) return 0;
    /* the old mode, whatever the umask; may fail, and is not vital */
    if (r->exists) (void)!fchmod(r->fd, mode);
    return put_to(fcntl(r->fd, F_DUPFD_CLOEXEC, 3), r, r->exists);
}

static int32_t tell(const replacement *r, heed_error *error)
{
    return error_set(error, HEED_E_SYSTEM, "%s: cannot be written: %s", r->path,
                     strerror(errno ? errno : EIO));
}

static int is_standard(const replacement *r) { return !strcmp(r->path, "/dev/stdout"); }

int32_t replace_begin(replacement *r, heed_error *error)
{
    r->exists = !stat(r->path, &r->old);
    r->target = r->name = NULL;
    r->fd = -1;
    /* a pipe or device: nothing to rename over */
    r->direct = is_standard(r) || (r->exists && (!S_ISREG(r->old.st_mode) || r->old.st_nlink > 1));
    errno = 0;
    if (r->exists && S_ISDIR(r->old.st_mode)) errno = EISDIR;
    else if (is_standard(r) || (r->exists && !S_ISREG(r->old.st_mode))) return HEED_OK;
    else if ((r->target = end_of_links(r->path)) &&
             /* rename would replace a write-protected file as well */
             (!r->exists || !access(r->target, W_OK)) &&
             make_beside(r))
        return HEED_OK;
    return tell(r, error);
}

/* 0 and errno if it can not be done. */
static int put_in_place(replacement *r)
{
    /* by dup it goes on where it stands, also if it is a socket or a file with text in it */
    if (is_standard(r))
        return put_to(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), r, 0);
    if (r->direct) return put_to(open(r->path, O_WRONLY | O_TRUNC | O_CLOEXEC), r, r->fd >= 0);
    if (!r->name && !(r->name = give_name(r->fd, r->target))) return 0;
    if (rename(r->name, r->target)) return 0;
    free(r->name);
    r->name = NULL; /* it is another file's now */
    return 1;
}

int32_t replace_end(replacement *r, int keep, heed_error *error)
{
    errno = 0;
    int32_t failed = keep || put_in_place(r) ? HEED_OK : tell(r, error);
    if (r->name) unlink(r->name);
    if (r->fd >= 0) close(r->fd);
    free(r->name);
    free(r->target);
    r->name = r->target = NULL;
    r->fd = -1;
    return failed;
}

int32_t replace_file(const char *path, int (*put)(FILE *to, const void *arg), const void *arg,
                     heed_error *error)
{
    replacement r = {.path = path, .put = put, .arg = arg};
    int32_t failed = replace_begin(&r, error);
    int32_t code = replace_end(&r, failed != 0, error);
    return failed ? failed : code;
}
