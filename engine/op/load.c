/* SPDX-License-Identifier: MIT
 *
 * load.c: from a file to ops in the registry: open, trust, look at the ELF headers, dlopen,
 * negotiate, vet, add. It searches folders too, whose files wait until an op is looked for that may
 * be in them: what nobody needs is not run. It does not judge descriptors: vet.c does.
 *
 * Invariants: a plugin gives all of its ops or none; one that is refused leaves a sentence and
 * stops no other; nothing of a file is mapped before trust_check has seen it. A plugin is never
 * unloaded: registries and instances hold its functions, and a leak checker wants its symbols.
 */
#include "base/error.h"
#include "base/grow.h"
#include "base/place.h"
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

/* The header of the module that this code is in, put there by the linker: what a plugin must
 * match. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static int within(uint64_t at, uint64_t bytes, uint64_t file)
{
    return bytes <= file && at <= file - bytes;
}

/* What dlopen takes from the program headers without a look: it maps from the first PT_LOAD to the
 * last, so that one out of order lands on memory of others, and reads the dynamic section where
 * PT_DYNAMIC points. */
static int32_t check_segments(int fd, const ElfW(Ehdr) *h, uint64_t file, heed_error *error)
{
    /* bytes of address space */
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), most = (uint64_t)1 << 40;
    uint64_t end = 0, dynamic[2] = {0}, loads = 0;
    int inside = 0;
    for (int turn = 0; turn < 2; turn++)
        for (uint32_t i = 0; i < h->e_phnum; i++) {
            ElfW(Phdr) p;
            if (pread(fd, &p, sizeof p, (off_t)(h->e_phoff + i * sizeof p)) != (ssize_t)sizeof p)
                FAIL(HEED_E_SYSTEM, "it cannot be read: %s", strerror(errno));
            if (turn) { /* the segment that the dynamic section is in */
                inside |= p.p_type == PT_LOAD && dynamic[1] && dynamic[0] >= p.p_vaddr &&
                          within(dynamic[0] - p.p_vaddr, dynamic[1], p.p_memsz);
                continue;
            }
            if (!within(p.p_offset, p.p_filesz, file))
                FAIL(HEED_E_DATA, "it is cut short: its ELF segment %u is not within its %ju bytes",
                     i, (uintmax_t)file);
            if (p.p_type == PT_DYNAMIC) dynamic[0] = p.p_vaddr, dynamic[1] = p.p_memsz;
            if (p.p_type != PT_LOAD) continue;
            if (p.p_filesz > p.p_memsz || !within(p.p_vaddr, p.p_memsz, most) ||
                (p.p_vaddr - p.p_offset) % page || (p.p_align & (p.p_align - 1)) ||
                p.p_align > (uint64_t)1 << 30)
                FAIL(HEED_E_DATA, "its ELF segment %u is malformed", i);
            if (loads++ && p.p_vaddr / page * page < end)
                FAIL(HEED_E_DATA, "its ELF segment %u begins before the one in front of it ends",
                     i);
            end = (p.p_vaddr + p.p_memsz + page - 1) / page * page;
        }
    if (!loads || !inside) FAIL(HEED_E_DATA, "its ELF segments do not hold its dynamic section");
    return HEED_OK;
}

/* That the file is a whole shared object for this machine. dlopen finds most faults itself, but
 * maps a file that was cut short without a word, and dies of SIGBUS when it touches the missing
 * pages. */
static int32_t check_elf(int fd, heed_error *error)
{
    const ElfW(Ehdr) *here = &__ehdr_start;
    ElfW(Ehdr) h = {0};
    struct stat s;
    if (fstat(fd, &s) || pread(fd, &h, sizeof h, 0) < 0)
        FAIL(HEED_E_SYSTEM, "it cannot be read: %s", strerror(errno));
    uint64_t file = (uint64_t)s.st_size;
    if (memcmp(h.e_ident, ELFMAG, SELFMAG)) FAIL(HEED_E_DATA, "it is no ELF file");
    if (file < sizeof h) FAIL(HEED_E_DATA, "it is cut short within the ELF header");
    if (memcmp(h.e_ident + EI_CLASS, here->e_ident + EI_CLASS, 2) || h.e_machine != here->e_machine)
        FAIL(HEED_E_DATA, "it is for another machine: ELF class %u, machine %u; here it is %u, %u",
             h.e_ident[EI_CLASS], h.e_machine, here->e_ident[EI_CLASS], here->e_machine);
    if (h.e_type != ET_DYN) FAIL(HEED_E_DATA, "it is no shared object (ELF type %u)", h.e_type);
    if (h.e_phentsize != sizeof(ElfW(Phdr)) || !h.e_phnum || h.e_phnum == PN_XNUM)
        FAIL(HEED_E_DATA, "its ELF program headers are malformed");
    if (!within(h.e_phoff, (uint64_t)h.e_phnum * h.e_phentsize, file) ||
        (h.e_shoff && !within(h.e_shoff, (uint64_t)h.e_shnum * h.e_shentsize, file)))
        FAIL(HEED_E_DATA, "it is cut short: its ELF headers are not within its %ju bytes",
             (uintmax_t)file);
    return check_segments(fd, &h, file, error);
}

/* dlopen by the real path, not by /proc/self/fd/N: dlopen compares names before it opens anything,
 * and a number that was used again would give the plugin that had it before. The path leads to the
 * file that was checked, since nobody else can change it (trust_check). A constructor, such as gcc
 * -ffast-math links in, may switch off subnormals: the floating-point mode is put back. */
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
    if (code == HEED_E_ABI)
        FAIL(HEED_E_ABI, "it does not speak the ABI version %d.%d", HEED_ABI_MAJOR, HEED_ABI_MINOR);
    if (code) FAIL(HEED_E_DATA, "its entry failed with the code %d", code);
    if (reply->abi < offer.abi_min || reply->abi > offer.abi_max)
        FAIL(HEED_E_ABI, "it answers with the ABI version %u.%u; %d.%d was offered",
             reply->abi >> 16, reply->abi & 0xffff, HEED_ABI_MAJOR, HEED_ABI_MINOR);
    return HEED_OK;
}

/* Where a file stands among all, and the id that it is named after; NULL: none. */
typedef struct place {
    uint64_t rank;
    const char *named;
} place;

/* Ranks of ops: the number of the folder, whether the file is named after the op, the number of the
 * file. A file that is named after another op comes behind all folders. */
#define RANK(folder, unnamed, file) ((uint64_t)(folder) << 33 | (uint64_t)(unnamed) << 32 | (file))
#define OTHER ((uint64_t)1 << 63)

static int32_t add_ops(heed_engine *engine, heed_reply *reply, const char *path, place at,
                       heed_error *error)
{
    registry *r = &engine->registry;
    int32_t code = vet_text(r, &reply->name, 64, "name", error);
    if (!code) code = vet_text(r, &reply->licence, 64, "licence", error);
    if (!code) code = vet_ops(&reply->ops, error);
    if (code) return code;
    entry **all = calloc(reply->ops.count, sizeof(entry *));
    if (!all) return error_memory(error);
    for (uint32_t i = 0; i < reply->ops.count && !code; i++) {
        const void *op = (const char *)reply->ops.data + (size_t)i * reply->ops.stride;
        if (!(all[i] = vet_op(r, op, path, error))) {
            code = error->code;
            break;
        }
        all[i]->path = registry_path(all[i], engine->features, engine->isa, 0);
        all[i]->rank = at.rank + (at.named && strcmp(at.named, all[i]->op.id) ? OTHER : 0);
    }
    if (!code) code = registry_add_all(r, all, reply->ops.count, error);
    free(all);
    return code;
}

/* The module of a file that may be trusted. O_NONBLOCK: a FIFO must not stop us; O_NOFOLLOW: the
 * path is real already. */
static int32_t open_file(const char *real, void **module, heed_error *error)
{
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0) FAIL(HEED_E_SYSTEM, "it cannot be opened: %s", strerror(errno));
    int32_t code = trust_check(fd, real, error);
    if (!code) code = check_elf(fd, error);
    if (!code) code = open_module(real, module, error);
    close(fd);
    return code;
}

static int32_t load_open(heed_engine *engine, const char *path, place at, heed_error *error)
{
    registry *r = &engine->registry;
    uint32_t blocks = r->block_count;
    void *module;
    heed_reply reply;
    int32_t code = open_file(path, &module, error);
    if (!code) code = negotiate(engine, module, &reply, error);
    if (code) return code;
    char *own = registry_alloc(r, strlen(path) + 1);
    if (!own) return error_memory(error);
    code = add_ops(engine, &reply, strcpy(own, path), at, error);
    if (code) registry_forget(r, own, blocks);
    return code;
}

static int32_t load_real(heed_engine *engine, const char *path, place at, heed_error *error)
{
    if (path[0] != '/') FAIL(HEED_E_ARGUMENT, "the path is relative; an absolute one is needed");
    char *real = realpath(path, NULL);
    if (!real)
        FAIL(errno == ENOMEM ? HEED_E_MEMORY : HEED_E_SYSTEM, "it cannot be found: %s",
             strerror(errno));
    int32_t code = load_open(engine, real, at, error);
    free(real);
    return code;
}

static int32_t load_placed(heed_engine *engine, const char *path, place at, heed_error *error)
{
    heed_error why = {0};
    const load_care *care = engine->care;
    int32_t code = HEED_OK;
    for (uint32_t i = 0; care && i < care->n_refused; i++)
        if (!strcmp(care->refused[i].path, path))
            code = error_set(&why, HEED_E_DATA, "%s", care->refused[i].reason);
    if (care && care->about) care->about(care->arg, path);
    if (!code) code = load_real(engine, path, at, &why);
    if (care && care->about) care->about(care->arg, NULL);
    if (!code) return HEED_OK;
    if (code == HEED_E_MEMORY || registry_refuse(&engine->registry, path, why.text))
        return error_memory(error);
    FAIL(code, "plugin %s is refused: %s", path, why.text);
}

int32_t load_plugin(heed_engine *engine, const char *path, heed_error *error)
{
    return load_placed(engine, path, (place){OTHER - 1, NULL}, error);
}

/* ---- transports ---- */

#define TRANSPORT "transport_"

static int is_transport(const char *path)
{
    return !strncmp(strrchr(path, '/') + 1, TRANSPORT, strlen(TRANSPORT));
}

int32_t load_transport(heed_engine *engine, const char *name, heed_transport *to, heed_error *error)
{
    char file[80], text[400] = "";
    const heed_sink sink = {sizeof sink, sizeof text, text};
    const load_candidate *f = engine->files.file, *end = f + engine->files.count;
    heed_error why = {0};
    void *module;
    snprintf(file, sizeof file, TRANSPORT "%.40s.so", name);
    while (f < end && strcmp(strrchr(f->path, '/') + 1, file)) f++;
    if (f == end)
        FAIL(HEED_E_UNSUPPORTED,
             "there is no %s beside the plugins: this heed was built without it (configure "
             "--with-%s)",
             file, name);
    char *real = realpath(f->path, NULL);
    int32_t code = real ? open_file(real, &module, &why) : error_memory(&why);
    free(real);
    if (code) FAIL(code, "transport %s is refused: %s", f->path, why.text);
    heed_transport_fn *entry = (heed_transport_fn *)dlsym(module, HEED_TRANSPORT_ENTRY_NAME);
    if (!entry)
        FAIL(HEED_E_DATA, "transport %s is refused: it has no symbol %s", f->path,
             HEED_TRANSPORT_ENTRY_NAME);
    *to = (heed_transport){.size = sizeof *to};
    code = entry(HEED_ABI_VERSION, to, &sink);
    if (code == HEED_E_ABI)
        FAIL(code, "transport %s does not speak the ABI version %d.%d", f->path, HEED_ABI_MAJOR,
             HEED_ABI_MINOR);
    if (code) FAIL(code, "transport %s: %s", f->path, *text ? text : "it does not say why it failed");
    if (!to->send || !to->receive || !to->wait || !to->abandon || !to->close || !to->ranks ||
        to->rank >= to->ranks)
        FAIL(HEED_E_DATA, "transport %s is refused: it is rank %u of %u, or lacks a function",
             f->path, to->rank, to->ranks);
    return HEED_OK;
}

/* ---- files that are loaded when an op is looked for ---- */

/* Kinds of which ops come one a file, KIND_NAME.so. Any other file may have any op. */
static const char *const kinds[] = {"attention", "embed", "feedforward", "linear",   "loss",
                                    "merge",     "norm",  "position",    "residual", "sample"};

/* The id after which a file is named: "norm/rms" for norm_rms.so; 0 if it is named after none. */
static int named_after(const char *path, char id[128])
{
    const char *name = strrchr(path, '/') + 1, *cut = strchr(name, '_');
    for (size_t i = 0; cut && i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i]) != (size_t)(cut - name) || strncmp(kinds[i], name, strlen(kinds[i])))
            continue;
        int n = snprintf(id, 128, "%s/%s", kinds[i], cut + 1);
        if (n >= 128) return 0;
        id[n - 3] = 0; /* ".so" */
        return 1;
    }
    return 0;
}

static int32_t load_file(heed_engine *engine, load_candidate *f, heed_error *error)
{
    char id[128];
    uint32_t number = (uint32_t)(f - engine->files.file);
    const char *named = !f->asked && named_after(f->path, id) ? id : NULL;
    if (f->tried) return HEED_OK;
    place at = {RANK(f->folder, !named && !f->asked, number), named};
    if (load_placed(engine, f->path, at, NULL) == HEED_E_MEMORY) return error_memory(error);
    f->tried = 1;
    engine->registry.pending--;
    return HEED_OK;
}

/* Of one folder the files that are named after the op, or those that are named after none. */
static int32_t load_some(heed_engine *engine, uint32_t folder, const char *id, int unnamed,
                         heed_error *error)
{
    char own[128];
    int32_t code = HEED_OK;
    for (load_candidate *f = engine->files.file, *end = f + engine->files.count; f < end && !code;
         f++) {
        if (f->folder != folder) continue;
        int named = named_after(f->path, own);
        if (unnamed ? !named : named && !strcmp(own, id)) code = load_file(engine, f, error);
    }
    return code;
}

/* Notes of ops that have taken the place of one in a file that is named after it, which need not be
 * loaded. */
static void tell_places(heed_engine *engine)
{
    char id[128];
    for (uint32_t i = 0; i < engine->files.count; i++)
        if (named_after(engine->files.file[i].path, id) &&
            (uint32_t)registry_rank(&engine->registry, id) != i)
            registry_note(&engine->registry, id, engine->files.file[i].path);
}

/* Folder by folder: first the file whose name says that it has the op, then those whose name says
 * nothing; only if it is in none of these, all others. What is behind the op's place is left alone,
 * and it does not matter in which order ops are asked for. A plugin that does not get its memory is
 * tried again next time. */
static int32_t bring(void *source, const char *id, heed_error *error)
{
    heed_engine *engine = source;
    registry *r = &engine->registry;
    int32_t code = HEED_OK;
    int found = 0;
    pthread_mutex_lock(&r->lock);
    for (uint32_t folder = 0; id && folder < engine->files.folders && !code && !found; folder++)
        for (int unnamed = 0; unnamed < 2 && !code && !found; unnamed++) {
            code = load_some(engine, folder, id, unnamed, error);
            found = registry_rank(r, id) < RANK(folder, unnamed + 1, 0);
        }
    for (uint32_t i = 0; !found && !code && i < engine->files.count; i++)
        code = load_file(engine, &engine->files.file[i], error);
    tell_places(engine);
    pthread_mutex_unlock(&r->lock);
    return code;
}

static void drop(void *source)
{
    heed_engine *engine = source;
    for (uint32_t i = 0; i < engine->files.count; i++) free(engine->files.file[i].path);
    free(engine->files.file);
    engine->files = (load_files){0};
}

/* ---- folders ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A file that was found, and its number: a second name of one is passed over. `s` NULL: a link that
 * leads nowhere, which is told when it is tried. */
static int32_t walk_file(heed_engine *engine, const char *path, const struct stat *s,
                         uint32_t *number, heed_error *error)
{
    load_files *files = &engine->files;
    for (*number = 0; *number < files->count; ++*number)
        if (s && files->file[*number].device == s->st_dev &&
            files->file[*number].inode == s->st_ino)
            return HEED_OK;
    char *own = strdup(path);
    load_candidate *f = own ? grow_append(&files->file, &files->count, sizeof *f) : NULL;
    if (!f) return free(own), error_memory(error);
    *f = (load_candidate){.path = own, .folder = files->folders};
    if (s) f->device = s->st_dev, f->inode = s->st_ino;
    if (is_transport(own)) f->tried = 1; /* it has no ops: load_transport looks for it */
    else engine->registry.pending++;
    return HEED_OK;
}

/* `depth` 1: subfolders are entered, each with its .libs (libtool's, in a build tree); 0: only
 * .libs; -1: none. */
static int32_t walk_folder(heed_engine *engine, const char *folder, int depth, heed_error *error)
{
    struct dirent **list;
    int n = scandir(folder, &list, NULL, by_name);
    if (n < 0)
        FAIL(errno == ENOMEM ? HEED_E_MEMORY : HEED_E_SYSTEM,
             "the plugin folder %s cannot be read: %s", folder, strerror(errno));
    int32_t code = HEED_OK;
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name, *end = strrchr(name, '.');
        int hidden = name[0] == '.', libs = !strcmp(name, ".libs"),
            module = !hidden && end && !strcmp(end, ".so");
        int enter = libs ? depth >= 0 : !hidden && depth > 0;
        char *path = NULL;
        struct stat s;
        uint32_t number;
        if (!code && (module || enter)) {
            if (asprintf(&path, "%s/%s", folder, name) < 0) path = NULL, code = error_memory(error);
            else if (stat(path, &s))
                code = module ? walk_file(engine, path, NULL, &number, error) : HEED_OK;
            else if (module) code = walk_file(engine, path, &s, &number, error);
            else if (S_ISDIR(s.st_mode)) {
                heed_error why = {0};
                code = walk_folder(engine, path, libs ? -1 : depth - 1, &why);
                /* A subfolder that cannot be read stops nothing, like a plugin. */
                if (code == HEED_E_SYSTEM)
                    code = registry_refuse(&engine->registry, path, why.text);
                if (code) error_memory(error);
            }
        }
        free(path);
        free(list[i]);
    }
    free(list);
    return code;
}

/* A folder, or a plugin by itself, which is loaded at once: it was asked for. */
static int32_t walk_entry(heed_engine *engine, const char *real, heed_error *error)
{
    struct stat s;
    uint32_t number;
    if (stat(real, &s) || !S_ISREG(s.st_mode)) return walk_folder(engine, real, 1, error);
    int32_t code = walk_file(engine, real, &s, &number, error);
    if (code) return code;
    engine->files.file[number].asked = 1;
    return load_file(engine, &engine->files.file[number], error);
}

/* Nothing behind the last ':' stands for the installed ones. */
int32_t load_find(heed_engine *engine, const char *folders, heed_error *error)
{
    char *copy = strdup(folders ? folders : ":"), *rest = copy, *one;
    char *home = NULL;
    if (!copy) return error_memory(error);
    int32_t code = HEED_OK;
    engine->registry.bring = bring;
    engine->registry.drop = drop;
    engine->registry.source = engine;
    while (!code && (one = strsep(&rest, ":"))) {
        const int installed = !*one && !rest && one > copy;
        if (installed && !(one = home = place_of(HEED_PLUGINDIR))) {
            code = error_memory(error);
            break;
        }
        if (!*one) continue;
        char *real = realpath(one, NULL);
        if (real) code = walk_entry(engine, real, error);
        else if (errno == ENOMEM) code = error_memory(error);
        else if (!installed)
            code = error_set(error, HEED_E_SYSTEM, "the plugin folder %s cannot be read: %s", one,
                             strerror(errno));
        free(real);
        engine->files.folders++;
    }
    free(home);
    free(copy);
    return code;
}

int32_t load_folders(heed_engine *engine, const char *folders, heed_error *error)
{
    int32_t code = load_find(engine, folders, error);
    return code ? code : registry_all(&engine->registry, error);
}
