/* SPDX-License-Identifier: MIT
 *
 * qemu_count.c: a plugin for qemu's user-mode emulators (TCG) that counts executed instructions into a file that the
 * emulated process may map: heed bench --count reads it between two calls.
 *
 *     qemu-x86_64 -cpu Haswell -plugin ./qemu_count.so,to=/tmp/count heed bench --suite --tiny --count /tmp/count
 *
 * Not thread-safe, and exact for one thread: each translated block adds its length when it is entered. Distributions
 * ship qemu-plugin.h with no package, so the few prototypes that are used stand here, from version 1 of that interface
 * (qemu 4.2 to 9.0). Invariant: the layout of the file is that of bench_counter in bench/bench.h.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_info { /* what is used of qemu_info_t: its first field */
    const char *target;
};
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *number, uint64_t add);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);

EXPORT int qemu_plugin_version = 1;

static struct counter {
    char magic[16], target[40];
    uint64_t instructions;
} *counter;

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &counter->instructions, qemu_plugin_tb_n_insns(tb));
}

EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
    const char *path = argc == 1 && !strncmp(argv[0], "to=", 3) ? argv[0] + 3 : NULL;
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    void *map = fd >= 0 && !ftruncate(fd, sizeof *counter)
                    ? mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0) close(fd);
    if (map == MAP_FAILED) return fprintf(stderr, "qemu_count: it takes to=PATH, and writes there\n"), -1;
    counter = map;
    snprintf(counter->magic, sizeof counter->magic, "heed.count/1");
    snprintf(counter->target, sizeof counter->target, "%s", info->target);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
