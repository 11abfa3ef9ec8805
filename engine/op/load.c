/* SPDX-License-Identifier: MIT
 *
 * load.c: from a file to ops in the registry: open, trust, look at the ELF headers, dlopen, negotiate, vet, add. It
 * searches folders too. It does not judge descriptors: vet.c does.
 *
 * Invariants: a plugin gives all of its ops or none; one that is refused leaves a sentence and stops no other; nothing
 * of a file is mapped before trust_check has seen it. A plugin is never unloaded: registries and instances hold its
 * functions, and a leak checker wants its symbols.
 */
#include "base/error.h"
#include "base/grow.h"
#include "base/trust.h"
#include "op/engine.h"
#include "op/load.h"
#include "op/registry.h"
#include "op/vet.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef HEED_PLUGINDIR /* set by the build: where plugins are installed */
#define HEED_PLUGINDIR "/usr/local/lib/heed"
#endif

#define FAIL(code, ...) return error_set(error, code, __VA_ARGS__)

/* ---- the file ---- */

/* The header of the module that this code is in, put there by the linker: what a plugin must match. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static int within(uint64_t at, uint64_t bytes, uint64_t file) { return bytes <= file && at <= file - bytes; }

/* That the file is a whole shared object for this machine. dlopen finds most faults itself, but maps a file that was
 * cut short without a word, and dies of SIGBUS when it touches the missing pages. */
static int32_t check_elf(int fd, heed_error *error)
{
    const ElfW(Ehdr) *here = &__ehdr_start;
    ElfW(Ehdr) h = {0};
    struct stat s;
    if (fstat(fd, &s) || pread(fd, &h, sizeof h, 0) < 0) FAIL(HEED_E_SYSTEM, "it cannot be read: %s", strerror(errno));
    uint64_t file = (uint64_t)s.st_size;
    if (memcmp(h.e_ident, ELFMAG, SELFMAG)) FAIL(HEED_E_DATA, "it is no ELF file");
    if (file < sizeof h) FAIL(HEED_E_DATA, "it is cut short within the ELF header");
    if (memcmp(h.e_ident + EI_CLASS, here->e_ident + EI_CLASS, 2) || h.e_machine != here->e_machine)
        FAIL(HEED_E_DATA, "it is for another machine: ELF class %u, machine %u; here it is %u, %u", h.e_ident[EI_CLASS],
             h.e_machine, here->e_ident[EI_CLASS], here->e_machine);
    if (h.e_type != ET_DYN) FAIL(HEED_E_DATA, "it is no shared object (ELF type %u)", h.e_type);
    if (h.e_phentsize != sizeof(ElfW(Phdr)) || !h.e_phnum || h.e_phnum == PN_XNUM)
        FAIL(HEED_E_DATA, "its ELF program headers are malformed");
    if (!within(h.e_phoff, (uint64_t)h.e_phnum * h.e_phentsize, file) ||
        (h.e_shoff && !within(h.e_shoff, (uint64_t)h.e_shnum * h.e_shentsize, file)))
        FAIL(HEED_E_DATA, "it is cut short: its ELF headers are not within its %ju bytes", (uintmax_t)file);
    for (uint32_t i = 0; i < h.e_phnum; i++) {
        ElfW(Phdr) p;
        if (pread(fd, &p, sizeof p, (off_t)(h.e_phoff + i * sizeof p)) != (ssize_t)sizeof p)
            FAIL(HEED_E_SYSTEM, "it cannot be read: %s", strerror(errno));
        if (p.p_type == PT_LOAD && p.p_filesz > p.p_memsz) FAIL(HEED_E_DATA, "its ELF segment %u is malformed", i);
        if (!within(p.p_offset, p.p_filesz, file))
            FAIL(HEED_E_DATA, "it is cut short: its ELF segment %u is not within its %ju bytes", i, (uintmax_t)file);
    }
    return HEED_OK;
}

/* dlopen by the real path, not by /proc/self/fd/N: dlopen compares names before it opens anything, and a number that
 * was used again would give the plugin that had it before. The path leads to the file that was checked, since nobody
 * else can change it (trust_check). A constructor, such as gcc -ffast-math links in, may switch off subnormals: the
 * floating-point mode is put back. */
static int32_t open_module(const char *path, void **module, heed_error *error)
{
    fenv_t mode;
    fegetenv(&mode);
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    fesetenv(&mode);
    if (*module) return HEED_OK;
    const char *why = dlerror();
    size_t n = strlen(path);
    if (why && !strncmp(why, path, n) && !strncmp(why + n, ": ", 2)) why += n + 2;
    FAIL(HEED_E_DATA, "the dynamic linker says: %s", why ? why : "no reason");
}

/* ---- the entry ---- */

static int32_t negotiate(heed_engine *engine, void *module, heed_reply *reply, heed_error *error)
{
    heed_plugin_fn *plugin = (heed_plugin_fn *)dlsym(module, HEED_ENTRY_NAME);
    if (!plugin) FAIL(HEED_E_DATA, "it is no plugin: it has no symbol %s", HEED_ENTRY_NAME);
    const heed_offer offer = {sizeof offer, HEED_ABI_VERSION, HEED_ABI_VERSION, 0, engine->host};
    *reply = (heed_reply){.size = sizeof *reply};
    int32_t code = plugin(&offer, reply);
    if (code == HEED_E_ABI) FAIL(HEED_E_ABI, "it does not speak the ABI version %d.%d", HEED_ABI_MAJOR, HEED_ABI_MINOR);
    if (code) FAIL(HEED_E_DATA, "its entry failed with the code %d", code);
    if (reply->abi < offer.abi_min || reply->abi > offer.abi_max)
        FAIL(HEED_E_ABI, "it answers with the ABI version %u.%u; %d.%d was offered", reply->abi >> 16,
             reply->abi & 0xffff, HEED_ABI_MAJOR, HEED_ABI_MINOR);
    return HEED_OK;
}

static int32_t add_ops(heed_engine *engine, heed_reply *reply, const char *path, heed_error *error)
{
    registry *r = &engine->registry;
    int32_t code = vet_text(r, &reply->name, 64, "name", error);
    if (!code) code = vet_text(r, &reply->licence, 64, "licence", error);
    if (!code) code = vet_ops(&reply->ops, error);
    for (uint32_t i = 0; i < reply->ops.count && !code; i++) {
        const void *op = (const char *)reply->ops.data + (size_t)i * reply->ops.stride;
        entry *e = vet_op(r, op, path, error);
        if (!e) return error->code;
        code = registry_add(r, e, error);
    }
    return code;
}

static int32_t load_open(heed_engine *engine, int fd, const char *path, heed_error *error)
{
    registry *r = &engine->registry;
    uint32_t blocks = r->block_count;
    void *module;
    heed_reply reply;
    int32_t code = trust_check(fd, path, error);
    if (!code) code = check_elf(fd, error);
    if (!code) code = open_module(path, &module, error);
    if (!code) code = negotiate(engine, module, &reply, error);
    if (code) return code;
    char *own = registry_alloc(r, strlen(path) + 1);
    if (!own) return error_memory(error);
    code = add_ops(engine, &reply, strcpy(own, path), error);
    if (code) registry_forget(r, own, blocks);
    return code;
}

/* O_NONBLOCK: a FIFO must not stop us; O_NOFOLLOW: the path is real already. */
static int32_t load_real(heed_engine *engine, const char *path, heed_error *error)
{
    if (path[0] != '/') FAIL(HEED_E_ARGUMENT, "the path is relative; an absolute one is needed");
    char *real = realpath(path, NULL);
    if (!real) FAIL(errno == ENOMEM ? HEED_E_MEMORY : HEED_E_SYSTEM, "it cannot be found: %s", strerror(errno));
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    int32_t code = fd < 0 ? error_set(error, HEED_E_SYSTEM, "it cannot be opened: %s", strerror(errno))
                          : load_open(engine, fd, real, error);
    if (fd >= 0) close(fd);
    free(real);
    return code;
}

int32_t load_plugin(heed_engine *engine, const char *path, heed_error *error)
{
    heed_error why = {0};
    int32_t code = load_real(engine, path, &why);
    if (!code) return HEED_OK;
    if (code == HEED_E_MEMORY || registry_refuse(&engine->registry, path, why.text)) return error_memory(error);
    FAIL(code, "plugin %s is refused: %s", path, why.text);
}

/* ---- folders ---- */

typedef struct walk {
    heed_engine *engine;
    struct { dev_t dev; ino_t ino; } *seen; /* files that were tried: a second name of one is passed over */
    uint32_t count;
} walk;

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int32_t walk_file(walk *w, const char *path, const struct stat *s, heed_error *error)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->seen[i].dev == s->st_dev && w->seen[i].ino == s->st_ino) return HEED_OK;
    if (!grow_room(&w->seen, w->count, sizeof *w->seen)) return error_memory(error);
    w->seen[w->count].dev = s->st_dev;
    w->seen[w->count++].ino = s->st_ino;
    return load_plugin(w->engine, path, NULL) == HEED_E_MEMORY ? error_memory(error) : HEED_OK;
}

/* `depth` 1: subfolders are entered, each with its .libs (libtool's, in a build tree); 0: only .libs; -1: none. */
static int32_t walk_folder(walk *w, const char *folder, int depth, heed_error *error)
{
    struct dirent **list;
    int n = scandir(folder, &list, NULL, by_name);
    if (n < 0)
        FAIL(errno == ENOMEM ? HEED_E_MEMORY : HEED_E_SYSTEM, "the plugin folder %s cannot be read: %s", folder,
             strerror(errno));
    int32_t code = HEED_OK;
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name, *end = strrchr(name, '.');
        int hidden = name[0] == '.', libs = !strcmp(name, ".libs"), module = !hidden && end && !strcmp(end, ".so");
        int enter = libs ? depth >= 0 : !hidden && depth > 0;
        char *path = NULL;
        struct stat s;
        if (!code && (module || enter)) {
            if (asprintf(&path, "%s/%s", folder, name) < 0) path = NULL, code = error_memory(error);
            else if (stat(path, &s)) {
                /* A link that leads nowhere: load_plugin says so. */
                if (module && load_plugin(w->engine, path, NULL) == HEED_E_MEMORY) code = error_memory(error);
            } else if (module) code = walk_file(w, path, &s, error);
            else if (S_ISDIR(s.st_mode)) {
                heed_error why = {0};
                code = walk_folder(w, path, libs ? -1 : depth - 1, &why);
                /* A subfolder that cannot be read stops nothing, like a plugin. */
                if (code == HEED_E_SYSTEM) code = registry_refuse(&w->engine->registry, path, why.text);
                if (code) error_memory(error);
            }
        }
        free(path);
        free(list[i]);
    }
    free(list);
    return code;
}

/* A folder, or a plugin by itself. */
static int32_t walk_entry(walk *w, const char *real, heed_error *error)
{
    struct stat s;
    return stat(real, &s) == 0 && S_ISREG(s.st_mode) ? walk_file(w, real, &s, error) : walk_folder(w, real, 1, error);
}

/* Nothing behind the last ':' stands for the installed ones. */
int32_t load_folders(heed_engine *engine, const char *folders, heed_error *error)
{
    char *copy = strdup(folders ? folders : ":"), *rest = copy, *one;
    if (!copy) return error_memory(error);
    walk w = {.engine = engine};
    int32_t code = HEED_OK;
    while (!code && (one = strsep(&rest, ":"))) {
        const int installed = !*one && !rest && one > copy;
        if (installed) one = HEED_PLUGINDIR;
        if (!*one) continue;
        char *real = realpath(one, NULL);
        if (real) code = walk_entry(&w, real, error);
        else if (errno == ENOMEM) code = error_memory(error);
        else if (!installed)
            code = error_set(error, HEED_E_SYSTEM, "the plugin folder %s cannot be read: %s", one, strerror(errno));
        free(real);
    }
    free(w.seen);
    free(copy);
    return code;
}
