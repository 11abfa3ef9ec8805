/* SPDX-License-Identifier: MIT
 *
 * trust.c: may this file be loaded into the process? It may if nobody but root and the effective
 * user could have written it or put it where it is. What the file contains is load.c's business.
 *
 * Who owns the engine's own file can make this process do anything, so that in the folders that
 * belong to the engine its owner is as good as root. That is also how a user namespace works in
 * which the owner of the system's files is not mapped and shows as nobody.
 *
 * Invariant: after HEED_OK nobody else can change the file, or make its path lead to another one.
 */
#include "base/error.h"
#include "base/trust.h"

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <link.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef HEED_PLUGINDIR /* set by the build: where plugins are installed */
#define HEED_PLUGINDIR "/usr/local/lib/heed"
#endif

#define WRITABLE (S_IWGRP | S_IWOTH)

const char *trust_environment(const char *name) { return secure_getenv(name); }

/* ---- users that the namespace does not know ---- */

/* Whether this number is the one that stands for all owners without a number here. The file of a
 * user whose own number it is cannot be told from theirs where some are not mapped: then nobody is
 * that user. */
static int is_unmapped(uid_t uid)
{
    unsigned overflow = 65534, inside, outside, count, mapped = 0;
    FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");
    if (f) {
        if (fscanf(f, "%u", &overflow) != 1) overflow = 65534;
        fclose(f);
    }
    if (uid != overflow || !(f = fopen("/proc/self/uid_map", "re"))) return 0;
    while (fscanf(f, "%u %u %u", &inside, &outside, &count) == 3)
        mapped |= uid >= inside && uid - inside < count;
    fclose(f);
    return !mapped;
}

/* ---- the engine's own folders ---- */

/* The file that this code is in, and its owner; free() it. NULL if that cannot be told. The linker
 * knows the program itself by a name that its caller chose; the kernel knows better. */
static char *own_file(uid_t *owner)
{
    static const char here = 0;
    Dl_info info;
    struct link_map *map = NULL;
    struct stat s;
    if (!dladdr1(&here, &info, (void **)&map, RTLD_DL_LINKMAP) || !map) return NULL;
    char *path = realpath(map->l_name[0] ? map->l_name : "/proc/self/exe", NULL);
    if (!path || stat(path, &s)) return free(path), NULL;
    *owner = s.st_uid;
    return path;
}

/* Whether `name` is `folder`, in it, or one of the folders that lead to it. */
static int on_the_way(const char *name, const char *folder)
{
    size_t n = strlen(name), m = strlen(folder), least = n < m ? n : m;
    if (!strcmp(name, "/")) return 1;
    return !memcmp(name, folder, least) && (n == m || (n < m ? folder : name)[least] == '/');
}

/* Whether the owner of the engine is to be trusted with `name`: in the folder where its plugins are
 * installed, and in that of its own file. */
static int engine_owns(const char *name, uid_t uid)
{
    uid_t owner;
    char *own = own_file(&owner);
    if (!own || owner != uid) return free(own), 0;
    *strrchr(own, '/') = 0;
    const int on = on_the_way(name, HEED_PLUGINDIR) || on_the_way(name, own);
    free(own);
    return on;
}

/* ---- one file or folder ---- */

/* Whether a file has entries of an access control list besides owner, group and others. Its mode
 * then shows the most that all of these may do as what the group may. */
static int has_list(const char *name, int fd)
{
    static const char list[] = "system.posix_acl_access";
    return (fd >= 0 ? fgetxattr(fd, list, NULL, 0) : lgetxattr(name, list, NULL, 0)) > 0;
}

/* Whether the user is the only one of the user's group, so that who may write as the group is the
 * user: with umask 002, as Ubuntu has it, all that the user makes is writable by that group. It has
 * the user's own number, no members but the user, and nobody else has it for a first group. What
 * cannot be read is no such group. */
static int alone_in_group(uid_t uid, gid_t gid)
{
    enum { LINE = 16384 };
    char name[256] = "", *text;
    struct group group, *found = NULL;
    struct passwd user, *one;
    int others = 0;
    if (uid == 0 || gid != uid || !(text = malloc(LINE))) return 0;
    FILE *file = fopen("/etc/passwd", "re");
    while (file && !fgetpwent_r(file, &user, text, LINE, &one)) {
        if (user.pw_uid == uid && user.pw_gid == gid)
            snprintf(name, sizeof name, "%s", user.pw_name);
        else others |= user.pw_gid == gid;
    }
    if (file) fclose(file);
    others |= !name[0] || getgrgid_r(gid, &group, text, LINE, &found) || !found;
    for (char **member = others ? NULL : group.gr_mem; member && *member; member++)
        others |= strcmp(*member, name) != 0;
    free(text);
    return !others;
}

static int32_t check_user(const char *name, uid_t uid, heed_error *error)
{
    int unmapped = is_unmapped(uid);
    const char *trust = unmapped ? trust_environment("HEED_TRUST") : NULL;
    if (uid == 0 || (uid == geteuid() && !unmapped) || (trust && !strcmp(trust, "unmapped")))
        return HEED_OK;
    if (engine_owns(name, uid)) return HEED_OK;
    if (unmapped)
        return error_set(
            error, HEED_E_DATA,
            "%s belongs to a user that this user namespace does not map: root, or anybody; "
            "HEED_TRUST=unmapped takes all such users for root",
            name);
    return error_set(error, HEED_E_DATA,
                     "%s belongs to user %u; it must belong to root or to user %u", name,
                     (unsigned)uid, (unsigned)geteuid());
}

/* The owner and the mode of one file or folder; fd -1: by its name. In a sticky folder (/tmp) only
 * the owner of an entry can rename or remove it, and that owner is checked too. */
static int32_t check_owner(const char *name, int fd, const struct stat *s, heed_error *error)
{
    unsigned mode = s->st_mode & 07777u;
    int32_t code = check_user(name, s->st_uid, error);
    if (code) return code;
    if (!(mode & WRITABLE) || (S_ISDIR(s->st_mode) && (mode & S_ISVTX))) return HEED_OK;
    if ((mode & S_IWGRP) && has_list(name, fd))
        return error_set(error, HEED_E_DATA,
                         "%s has an access control list, by which others than its owner can write "
                         "it; it must have none (setfacl -b, chmod go-w)",
                         name);
    if (s->st_uid == geteuid() && alone_in_group(s->st_uid, s->st_gid)) mode &= ~(unsigned)S_IWGRP;
    if (mode & WRITABLE)
        return error_set(error, HEED_E_DATA,
                         "%s has mode %04o, so %s can write it; it must be %04o (chmod go-w)", name,
                         mode, mode & S_IWOTH ? "anybody" : "its group",
                         mode & ~(unsigned)WRITABLE);
    return HEED_OK;
}

/* One folder of the path. lstat, not stat: a link would lead around the folders that are
 * checked. */
static int32_t check_folder(const char *name, heed_error *error)
{
    struct stat s;
    if (lstat(name, &s))
        return error_set(error, HEED_E_SYSTEM, "%s cannot be examined: %s", name, strerror(errno));
    if (!S_ISDIR(s.st_mode))
        return error_set(error, HEED_E_DATA, "%s is a link or file, not a folder", name);
    return check_owner(name, -1, &s, error);
}

/* `path` is absolute and free of links (realpath). */
int32_t trust_check(int fd, const char *path, heed_error *error)
{
    struct stat file, named;
    if (path[0] != '/')
        return error_set(error, HEED_E_ARGUMENT, "%s is a relative path, not an absolute one",
                         path);
    if (fstat(fd, &file))
        return error_set(error, HEED_E_SYSTEM, "%s cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(file.st_mode))
        return error_set(error, HEED_E_DATA, "%s is not a regular file", path);
    int32_t code = check_owner(path, fd, &file, error);
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
        return error_set(error, HEED_E_DATA, "%s is a link, or was replaced while it was opened",
                         path);
    return HEED_OK;
}
