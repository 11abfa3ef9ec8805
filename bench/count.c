/* SPDX-License-Identifier: MIT
 *
 * count.c: executed instructions, where time tells nothing: under an emulator. The emulator counts, by the plugin
 * bench/machines/qemu_count.c, in a file that is mapped here too.
 *
 * Invariant: a count is the difference of two numbers of calls, so that what reading the counter costs is not in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "bench/case/case.h"
#include "bench/count.h"

#if defined __x86_64__
#include <cpuid.h>
#define ARCHITECTURE "x86_64"
#elif defined __aarch64__
#define ARCHITECTURE "aarch64"
#else
#define ARCHITECTURE "another architecture"
#endif

/* By what only an emulator does: on x86 it names itself, TCG, where a hypervisor would; on arm64 it hands on the
 * /proc/cpuinfo of another architecture. */
const char *count_emulator(void)
{
#if defined __x86_64__
    char name[13] = "";
    uint32_t r[4];
    __cpuid(1, r[0], r[1], r[2], r[3]);
    if (!(r[2] >> 31)) return NULL;
    __cpuid(0x40000000u, r[0], r[1], r[2], r[3]);
    memcpy(name, r + 1, 12);
    return strcmp(name, "TCGTCGTCGTCG") ? NULL : "qemu-" ARCHITECTURE;
#elif defined __aarch64__
    char line[256];
    int foreign = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) foreign |= !strncmp(line, "vendor_id", 9);
    if (f) fclose(f);
    return foreign ? "qemu-" ARCHITECTURE : NULL;
#else
    return NULL;
#endif
}

const bench_counter *count_open(const char *path, heed_error *error)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(error, HEED_E_SYSTEM, "--count %s: %s", path, strerror(errno)), NULL;
    bench_counter *c = MAP_FAILED;
    if (!fstat(fd, &s) && S_ISREG(s.st_mode) && s.st_size == (off_t)sizeof *c)
        c = mmap(NULL, sizeof *c, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (c == MAP_FAILED || strncmp(c->magic, "heed.count/1", sizeof c->magic))
        return error_set(error, HEED_E_DATA, "--count %s: this is no counter of bench/machines/qemu_count.c", path),
               NULL;
    if (strncmp(c->target, ARCHITECTURE, sizeof c->target))
        return error_set(error, HEED_E_DATA, "--count %s: the counter is of qemu-%.39s, and this is %s", path,
                         c->target, ARCHITECTURE), NULL;
    uint64_t before = c->instructions;
    getppid(); /* blocks of instructions count when they are entered: one more */
    if (c->instructions == before)
        return error_set(error, HEED_E_DATA, "--count %s: nothing counts here; was qemu run with the plugin?", path),
               NULL;
    return c;
}

int32_t count_measure(bench_case *c, const bench_counter *counter, heed_error *error)
{
    uint64_t at[3];
    int32_t failed = HEED_OK;
    for (int calls = 0; calls < 3; calls++) { /* one call between at[0] and at[1], two between at[1] and at[2] */
        for (int n = 0; n < calls && !failed; n++) failed = bench_case_run(c, error);
        at[calls] = counter->instructions;
    }
    c->instructions = (double)(at[2] - at[1]) - (double)(at[1] - at[0]);
    return failed;
}
