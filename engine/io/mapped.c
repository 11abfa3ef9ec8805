/* SPDX-License-Identifier: MIT
 *
 * mapped.c: a file of weights in memory.
 */
#include "io/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int32_t map_file(int fd, const char *path, const char *kind, unsigned char **map,
                        size_t *size, heed_error *error)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return error_set(error, HEED_E_SYSTEM, "%s: cannot be opened: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(error, HEED_E_DATA, "%s: %s, not a %s file", path,
                         S_ISDIR(st.st_mode) ? "a folder" : "a pipe or device", kind);
    if (st.st_size == 0) return error_set(error, HEED_E_DATA, "%s: the file is empty", path);
    if ((uint64_t)st.st_size > SIZE_MAX)
        return error_set(error, HEED_E_MEMORY, "%s: larger than the address space", path);
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return error_set(error, HEED_E_SYSTEM, "%s: cannot be mapped: %s", path, strerror(errno));
    *map = at, *size = (size_t)st.st_size;
    return HEED_OK;
}

int32_t mapped_open(const char *path, const char *kind, unsigned char **map, size_t *size,
                    heed_error *error)
{
    /* NONBLOCK: a pipe is refused, not waited for. The descriptor is not needed afterwards. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const int32_t failed = map_file(fd, path, kind, map, size, error);
    if (fd >= 0) close(fd);
    return failed;
}
