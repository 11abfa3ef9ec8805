/* SPDX-License-Identifier: MIT
 *
 * place.c: see place.h. A path is not judged here: what is loaded from it is (trust.c).
 *
 * Invariant: where privileges are raised, what the build said holds: whoever can put a second name
 * of the program elsewhere must not choose its plugins.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/place.h"

#ifndef HEED_LIBDIR /* set by the build */
#define HEED_LIBDIR "/usr/local/lib"
#define HEED_BINDIR "/usr/local/bin"
#endif

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* of this module */

/* The file of the module that this code is in; free() it. A program's name as the loader tells it
 * is whatever its caller says. */
static char *this_file(void)
{
    const uintptr_t here = (uintptr_t)&__ehdr_start;
    Dl_info info;
    if (here + __ehdr_start.e_phoff == getauxval(AT_PHDR)) return realpath("/proc/self/exe", NULL);
    return dladdr(&__ehdr_start, &info) && info.dli_fname ? realpath(info.dli_fname, NULL) : NULL;
}

/* How many bytes in front of what both end with, from a '/' on, are of `a`; its length: nothing. */
static size_t before_common_end(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), cut = n;
    while (n && m && a[n - 1] == b[m - 1]) {
        n--, m--;
        if (a[n] == '/') cut = n;
    }
    return cut;
}

char *place_beside(const char *file, const char *const homes[2], const char *folder)
{
    const char *slash = strrchr(file, '/');
    char *dir = slash ? strndup(file, (size_t)(slash - file)) : strdup(""), *moved = NULL;
    for (int i = 0; i < 2 && dir && !moved; i++) {
        const size_t now = before_common_end(dir, homes[i]),
                     then = before_common_end(homes[i], dir);
        if (now == strlen(dir) || strncmp(folder, homes[i], then) || folder[then] != '/') continue;
        moved = malloc(now + strlen(folder + then) + 1);
        if (!moved) {
            free(dir);
            return NULL;
        }
        memcpy(moved, dir, now);
        strcpy(moved + now, folder + then);
        if (access(moved, X_OK)) free(moved), moved = NULL;
    }
    if (dir && !moved) moved = strdup(folder);
    free(dir);
    return moved;
}

char *place_of(const char *folder)
{
    static const char *const homes[2] = {HEED_LIBDIR, HEED_BINDIR};
    errno = 0;
    char *file = getauxval(AT_SECURE) ? NULL : this_file();
    if (!file && errno == ENOMEM) return NULL;
    char *place = file ? place_beside(file, homes, folder) : strdup(folder);
    free(file);
    return place;
}
