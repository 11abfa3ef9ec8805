/* SPDX-License-Identifier: MIT
 *
 * test_load.c: plugins that must be refused, each with its own sentence, beside a good one that must load all the same:
 * modules with one sin each (tests/hostile/), files that are no whole plugin or are not trusted, and descriptors
 * spoiled field by field. HEED_HOSTILE is the folder of the hostile modules, HEED_PLUGINS that of the good ones.
 */
#include "base/place.h"
#include "base/trust.h"
#include "op/engine.h"
#include "op/load.h"
#include "op/registry.h"
#include "op/vet.h"

#include <ctype.h>
#include <elf.h>
#include <fcntl.h>
#include <fenv.h>
#include <ftw.h>
#include <grp.h>
#include <math.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64], good[4096], libs[4096]; /* scratch; a copy of norm_rms.so; HEED_HOSTILE, made absolute */

/* ---- files ---- */

/* Valid until 32 calls later. */
static const char *join(const char *folder, const char *name)
{
    static char *ring[32];
    static unsigned next;
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) abort();
    unsigned i = next++ % 32;
    free(ring[i]);
    return ring[i] = path;
}

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*n + 1);
    assert_int_equal(fread(data, 1, *n, f), *n);
    fclose(f);
    return data;
}

static void spill(const char *path, const char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("%s cannot be written", path);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

/* The first n bytes; SIZE_MAX = all. */
static void copy_file(const char *from, const char *to, size_t n)
{
    size_t all;
    char *data = slurp(from, &all);
    spill(to, data, n < all ? n : all);
    free(data);
}

static const char *new_folder(const char *parent, const char *name)
{
    const char *path = join(parent, name);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s, (void)type, (void)ftw;
    return remove(path);
}
static void remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* ---- what must be refused ---- */

static int is_plain(const char *text)
{
    for (; *text; text++)
        if (iscntrl((unsigned char)*text)) return 0;
    return 1;
}

/* Loads `folder`, in which bad.so must be refused with a sentence that has the keyword, and good.so must load. */
static void refuse(const char *folder, const char *what, const char *keyword)
{
    heed_engine engine = {0};
    heed_error error = {0};
    const char *bad = join(folder, "bad.so"), *link = join(folder, "good.so");
    if (access(link, F_OK)) assert_int_equal(symlink(good, link), 0);
    if (load_folders(&engine, folder, &error)) fail_msg("%s: %s", what, error.text);
    if (engine.registry.refusal_count != 1) fail_msg("%s: %u refused", what, engine.registry.refusal_count);
    const refusal *r = engine.registry.refusals;
    assert_string_equal(r->path, bad);
    if (!strstr(r->reason, keyword) || !is_plain(r->reason))
        fail_msg("%s: not \"%s\" in: %s", what, keyword, r->reason);
    if (engine.registry.count != 1 || !registry_find(&engine.registry, "norm/rms"))
        fail_msg("%s: %u ops are left, not norm/rms alone", what, engine.registry.count);
    registry_free(&engine.registry);
}

static const struct { const char *module, *keyword; } modules[] = {
    {"abi", "ABI version 9.9"},
    {"declines", "does not speak the ABI version"},
    {"error", "failed with the code -4"},
    {"nonsense", "failed with the code 42"},
    {"silent", "ABI version 0.0"},
    {"name", "name is not printable"},
    {"licence", "licence is missing"},
    {"no_entry", "no symbol heed_plugin_v0"},
    {"unresolved", "hostile_missing_function"},
    {"ops_null", "table of ops is missing"},
    {"ops_huge", "count of 4294967295"},
    {"ops_none", "count of 0"},
    {"stride", "stride of 0"},
    {"stride_huge", "stride of 2147483640"},
    {"size", "size of 4000 in element 1"},
    {"size_zero", "size of 0 in element 1"},
    {"misaligned", "misaligned"},
    {"id", "kind/name"},
    {"id_long", "id is longer than 64"},
    {"duplicate", "norm/hostile is already there"},
    {"null_function", "init is missing"},
    {"null_path", "path 0 (scalar): it has no function"},
    {"null_table", "table of paths is missing"},
    {"null_text", "port 1 (?): its name is missing"},
    {"ports_huge", "table of ports has a count of 4294967295"},
    {"no_paths", "table of paths has a count of 0"},
    {"orphan", "axis N, which no input"},
};

static const char *module(const char *name)
{
    char file[128];
    snprintf(file, sizeof file, "%s.so", name);
    return join(libs, file);
}

static void test_hostile_modules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        const char *folder = new_folder(root, modules[i].module);
        copy_file(module(modules[i].module), join(folder, "bad.so"), SIZE_MAX);
        refuse(folder, modules[i].module, modules[i].keyword);
    }
}

/* A good plugin, cut short or with some bytes changed. */
static void test_broken_files(void **state)
{
    static const struct { const char *what; size_t keep; const char *keyword; } cuts[] = {
        {"empty", 0, "no ELF file"},
        {"3 bytes", 3, "no ELF file"},
        {"4 bytes", 4, "cut short"},
        {"63 bytes", 63, "cut short"},
        {"64 bytes", 64, "cut short"},
        {"100 bytes", 100, "cut short"},
        {"1000 bytes", 1000, "cut short"},
        {"4096 bytes", 4096, "cut short"},
        {"10000 bytes", 10000, "cut short"},
        {"all but 1", SIZE_MAX, "cut short"},
    };
    static const struct { const char *what; size_t at, bytes; uint64_t value; const char *keyword; } changes[] = {
        {"machine", offsetof(Elf64_Ehdr, e_machine), 2, EM_S390, "another machine"},
        {"class", EI_CLASS, 1, ELFCLASS32, "another machine"},
        {"endian", EI_DATA, 1, ELFDATA2MSB, "another machine"},
        {"type", offsetof(Elf64_Ehdr, e_type), 2, ET_REL, "no shared object"},
        {"phoff", offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX - 8, "cut short"},
        {"shoff", offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_MAX - 8, "cut short"},
        {"phentsize", offsetof(Elf64_Ehdr, e_phentsize), 2, 1, "malformed"},
        {"phnum", offsetof(Elf64_Ehdr, e_phnum), 2, 0, "malformed"},
        {"segment", sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX, "ELF segment 0"},
        {"offset", sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX, "ELF segment 0"},
    };
    (void)state;
    size_t n;
    char *data = slurp(good, &n);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        const char *folder = new_folder(root, cuts[i].what);
        spill(join(folder, "bad.so"), data, cuts[i].keep < n ? cuts[i].keep : n - 1);
        refuse(folder, cuts[i].what, cuts[i].keyword);
    }
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *folder = new_folder(root, changes[i].what);
        char *changed = malloc(n);
        memcpy(changed, data, n);
        memcpy(changed + changes[i].at, &changes[i].value, changes[i].bytes); /* little-endian, like all our machines */
        spill(join(folder, "bad.so"), changed, n);
        refuse(folder, changes[i].what, changes[i].keyword);
        free(changed);
    }
    const char *folder = new_folder(root, "text");
    spill(join(folder, "bad.so"), "INPUT(libc.so.6)\n", 17); /* what a linker would take */
    refuse(folder, "text", "no ELF file");
    free(data);
}

/* The k-th program header of a type, in a file in memory. */
static Elf64_Phdr *header(char *data, uint32_t type, int k)
{
    const Elf64_Ehdr *h = (const void *)data;
    Elf64_Phdr *p = (void *)(data + h->e_phoff), *end = p + h->e_phnum;
    while (p < end && (p->p_type != type || k--)) p++;
    assert_true(p < end);
    return p;
}

static Elf64_Phdr *last_header(char *data, uint32_t type)
{
    const Elf64_Ehdr *h = (const void *)data;
    Elf64_Phdr *p = (void *)(data + h->e_phoff + h->e_phnum * sizeof *p);
    do p--;
    while (p->p_type != type);
    return p;
}

/* Segments that the dynamic linker would map over what belongs to others, or read where nothing is. */
static void test_segments(void **state)
{
    static const struct { const char *what, *keyword; } cases[] = {
        {"swapped", "begins before the one in front of it ends"},
        {"overlapping", "begins before the one in front of it ends"},
        {"unaligned", "is malformed"},
        {"bad_alignment", "is malformed"},
        {"far_away", "is malformed"},
        {"no_dynamic", "do not hold its dynamic section"},
        {"dynamic_elsewhere", "do not hold its dynamic section"},
        {"no_segments", "do not hold its dynamic section"},
    };
    (void)state;
    size_t n;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *data = slurp(good, &n);
        Elf64_Phdr *first = header(data, PT_LOAD, 0), *second = header(data, PT_LOAD, 1), kept = *first;
        Elf64_Phdr *dynamic = header(data, PT_DYNAMIC, 0);
        switch (i) {
        case 0: *first = *second, *second = kept; break;
        case 1: second->p_vaddr = first->p_vaddr + (second->p_vaddr - first->p_vaddr) % 4096; break;
        case 2: second->p_vaddr += 8; break;
        case 3: second->p_align = 3; break;
        case 4: last_header(data, PT_LOAD)->p_vaddr += (uint64_t)1 << 50; break;
        case 5: dynamic->p_type = PT_NULL; break;
        case 6: dynamic->p_vaddr = (uint64_t)1 << 39; break;
        case 7: /* how many there are depends on the linker */
            for (Elf64_Phdr *p = first, *last = last_header(data, PT_LOAD); p <= last; p++) p->p_type = PT_NULL;
            break;
        }
        const char *folder = new_folder(root, cases[i].what);
        spill(join(folder, "bad.so"), data, n);
        refuse(folder, cases[i].what, cases[i].keyword);
        free(data);
    }
}

/* Each makes folder/bad.so from a copy of the good one, in a way that another user could have had a hand in. */
static void test_trust(void **state)
{
    static const struct { const char *what; unsigned file, folder; const char *keyword; } modes[] = {
        {"world_file", 0757, 0755, "bad.so has mode 0757, so anybody can write it; it must be 0755"},
        {"group_file", 0775, 0755, "bad.so has mode 0775, so its group can write it"},
        {"world_folder", 0755, 0777, "world_folder has mode 0777, so anybody can write it"},
        {"group_folder", 0755, 0770, "group_folder has mode 0770, so its group can write it"},
        {"set_bits", 0755, 02777, "set_bits has mode 2777"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *folder = new_folder(root, modes[i].what), *bad = join(folder, "bad.so");
        copy_file(good, bad, SIZE_MAX);
        assert_int_equal(chmod(bad, modes[i].file) || chmod(folder, modes[i].folder), 0);
        refuse(folder, modes[i].what, modes[i].keyword);
    }

    const char *outer = new_folder(root, "outer"), *folder = new_folder(outer, "inner");
    copy_file(good, join(folder, "bad.so"), SIZE_MAX);
    assert_int_equal(chmod(outer, 0777), 0);
    refuse(folder, "a folder above", "outer has mode 0777");

    folder = new_folder(root, "link");
    assert_int_equal(symlink(join(join(outer, "inner"), "bad.so"), join(folder, "bad.so")), 0);
    refuse(folder, "link into a folder of others", "outer has mode 0777");

    folder = new_folder(root, "dangling");
    assert_int_equal(symlink("/nowhere/at/all.so", join(folder, "bad.so")), 0);
    refuse(folder, "dangling link", "cannot be found");

    folder = new_folder(root, "fifo");
    assert_int_equal(mkfifo(join(folder, "bad.so"), 0600), 0);
    refuse(folder, "fifo", "not a regular file");

    folder = new_folder(root, "directory");
    new_folder(folder, "bad.so");
    refuse(folder, "directory", "not a regular file");

    if (geteuid() == 0) {
        folder = new_folder(root, "owner");
        copy_file(good, join(folder, "bad.so"), SIZE_MAX);
        assert_int_equal(chown(join(folder, "bad.so"), 12345, 12345), 0);
        refuse(folder, "owner", "belongs to user 12345");
    }
}

/* A sticky folder that all may write, such as /tmp, is no fault: the scratch folder itself is in one. */
static void test_sticky(void **state)
{
    (void)state;
    heed_engine engine = {0};
    const char *folder = new_folder(root, "sticky");
    copy_file(good, join(folder, "good.so"), SIZE_MAX);
    assert_int_equal(chmod(folder, 01777), 0);
    assert_int_equal(load_folders(&engine, folder, NULL), HEED_OK);
    assert_int_equal(engine.registry.refusal_count, 0);
    assert_int_equal(engine.registry.count, 1);
    registry_free(&engine.registry);
}

static void test_trust_check(void **state)
{
    (void)state;
    heed_error error = {0};
    const char *link = join(root, "trust_link");
    int fd = open(good, O_RDONLY), self = open(libs, O_RDONLY);
    assert_int_equal(symlink(good, link), 0);
    assert_int_equal(trust_check(fd, good, &error), HEED_OK);
    assert_int_equal(trust_check(fd, "good.so", &error), HEED_E_ARGUMENT);
    assert_non_null(strstr(error.text, "relative"));
    assert_int_equal(trust_check(fd, link, &error), HEED_E_DATA);
    assert_non_null(strstr(error.text, "is a link"));
    assert_int_equal(trust_check(self, libs, &error), HEED_E_DATA);
    close(fd);
    close(self);
}

/* As user and group `id`, a file of theirs that the group may write; with `list`, user 12345 may write it too. What
 * trust_check says, or 1 where that cannot be tried. */
static int trust_as(unsigned id, int list)
{
    static const struct { uint16_t tag, may; uint32_t id; } entries[] = {
        {1, 7, UINT32_MAX}, {2, 6, 12345}, {4, 5, UINT32_MAX}, {16, 7, UINT32_MAX}, {32, 5, UINT32_MAX},
    };
    char acl[4 + sizeof entries] = {2};
    const char *folder = join(root, "as"), *file = join(folder, "file.so");
    heed_error error = {0};
    memcpy(acl + 4, entries, sizeof entries);
    if (mkdir(folder, 0755)) return 1;
    copy_file(good, file, SIZE_MAX);
    int failed = chown(folder, id, id) || chown(file, id, id) || chmod(file, 0775) ||
                 (list && setxattr(file, "system.posix_acl_access", acl, sizeof acl, 0));
    pid_t child = failed ? -1 : fork();
    if (!child) {
        int fd = open(file, O_RDONLY);
        if (setegid(id) || seteuid(id)) _exit(1);
        int32_t code = trust_check(fd, file, &error);
        const char *word = list ? "access control list" : "its group can write it";
        _exit(code && !strstr(error.text, word) ? 2 : -code);
    }
    int status = 1 << 8;
    if (child > 0) waitpid(child, &status, 0);
    remove_tree(folder);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : 2;
}

/* The first user who is alone in a group of the same number, such as Debian's daemon; 0 if there is none. */
static unsigned alone(void)
{
    unsigned id = 0;
    struct passwd *one;
    setpwent();
    while (!id && (one = getpwent())) {
        struct group *group = one->pw_uid && one->pw_uid == one->pw_gid ? getgrgid(one->pw_gid) : NULL;
        if (group && !group->gr_mem[0]) id = one->pw_uid;
    }
    endpwent();
    return id;
}

static void test_groups(void **state)
{
    (void)state;
    unsigned id = alone();
    if (geteuid() || !id) skip();
    assert_int_equal(trust_as(id, 0), HEED_OK);
    assert_int_equal(trust_as(12345, 0), HEED_E_DATA); /* nobody knows who is in that group */
    int listed = trust_as(id, 1);
    if (listed == -1) skip(); /* the file system has no such lists */
    assert_int_equal(listed, HEED_E_DATA);
}

/* ---- what must load ---- */

static void test_folders(void **state)
{
    (void)state;
    heed_engine engine = {0};
    heed_error error = {0};
    registry *r = &engine.registry;
    const char *tree = new_folder(root, "tree"), *built = new_folder(tree, ".libs"), *sub = new_folder(tree, "sub");
    const char *sub_built = new_folder(sub, ".libs"), *deep = new_folder(new_folder(sub, "deep"), ".libs");
    copy_file(good, join(built, "rms.so"), SIZE_MAX);
    copy_file(module("none"), join(sub_built, "none.so"), SIZE_MAX);
    copy_file(module("abi"), join(deep, "too_deep.so"), SIZE_MAX);
    copy_file(module("abi"), join(tree, "no_module.so.1"), SIZE_MAX);
    copy_file(module("abi"), join(tree, ".hidden.so"), SIZE_MAX);
    assert_int_equal(symlink(join(built, "rms.so"), join(tree, "again.so")), 0);

    char twice[16384];
    snprintf(twice, sizeof twice, "%s:%s::%s", tree, tree, built);
    if (load_folders(&engine, twice, &error)) fail_msg("%s", error.text);
    if (r->refusal_count) fail_msg("%s: %s", r->refusals->path, r->refusals->reason);
    assert_int_equal(r->count, 3);
    assert_string_equal(r->entries[0]->op.id, "norm/hostile");
    assert_string_equal(r->entries[1]->op.id, "norm/hostile2");
    assert_string_equal(r->entries[2]->op.id, "norm/rms");
    assert_string_equal(r->entries[0]->plugin, join(sub_built, "none.so"));
    assert_string_equal(r->entries[2]->plugin, join(built, "rms.so")); /* the real file, not the link */
    assert_null(registry_find(r, "norm/rm"));
    assert_null(registry_find(r, "norm/rmss"));

    assert_int_equal(load_folders(&engine, join(root, "absent"), &error), HEED_E_SYSTEM);
    assert_non_null(strstr(error.text, "absent cannot be read: No such file"));
    assert_int_equal(load_folders(&engine, join(good, "x"), &error), HEED_E_SYSTEM);
    assert_non_null(strstr(error.text, "Not a directory"));
    assert_int_equal(load_folders(&engine, "", &error), HEED_OK);
    assert_int_equal(r->count, 3);
    heed_engine one = {0}; /* an entry may be a plugin */
    assert_int_equal(load_folders(&one, good, &error), HEED_OK);
    assert_int_equal(one.registry.count, 1);
    assert_int_equal(one.registry.refusal_count, 0);
    registry_free(&one.registry);

    assert_int_equal(load_plugin(&engine, "plugins/rms.so", &error), HEED_E_ARGUMENT);
    assert_non_null(strstr(error.text, "plugins/rms.so is refused: the path is relative"));
    assert_int_equal(load_plugin(&engine, join(built, "rms.so"), &error), HEED_E_DATA); /* the same one again */
    assert_non_null(strstr(error.text, "norm/rms is already there"));
    assert_int_equal(load_plugin(&engine, good, &error), HEED_OK); /* another with the same op, which comes too late */
    assert_string_equal(registry_find(r, "norm/rms")->plugin, join(built, "rms.so"));
    assert_int_equal(r->refusal_count, 2);
    assert_int_equal(r->count, 3);
    registry_free(r);
}

/* What nobody asks for is not loaded: two of these would end the test. */
static void test_lazy(void **state)
{
    (void)state;
    heed_engine engine = {0};
    registry *r = &engine.registry;
    const char *folder = new_folder(root, "lazy"), *later = new_folder(root, "later");
    copy_file(good, join(folder, "norm_rms.so"), SIZE_MAX);
    copy_file(module("loading_crashes"), join(folder, "norm_hostile.so"), SIZE_MAX);
    copy_file(module("loading_hangs"), join(folder, "a.so"), SIZE_MAX);
    copy_file(module("loading_hangs"), join(later, "norm_rms.so"), SIZE_MAX);
    assert_int_equal(load_find(&engine, join(folder, ""), NULL), HEED_OK);
    assert_int_equal(load_find(&engine, join(later, ""), NULL), HEED_OK);
    assert_int_equal(r->count, 0);
    assert_string_equal(registry_find(r, "norm/rms")->plugin, join(folder, "norm_rms.so"));
    assert_string_equal(heed_op_find(&engine, "norm/rms")->id, "norm/rms");
    assert_int_equal(r->count, 1);
    assert_int_equal(r->pending, 3);
    assert_int_equal(r->refusal_count, 0);
    registry_free(r);
}

/* Of files with one op: those of an earlier folder, in it the one that is named after the op, then those named after
 * none; last those named after another. It does not matter what has been asked for before. `taken` has norm/rms too. */
static void test_places(void **state)
{
    static const struct { const char *good, *taken, *list, *from, *over; } cases[] = {
        {"p0/norm_rms.so", "p0/a.so", "p0", "p0/norm_rms.so", NULL},
        {"p1/z.so", "p1/norm_hostile9.so", "p1", "p1/z.so", NULL},
        {"p2/norm_rms.so", "q2/a.so", "q2:p2", "q2/a.so", "p2/norm_rms.so"},
        {"p3/norm_rms.so", "q3/norm_hostile9.so", "q3:p3", "p3/norm_rms.so", NULL},
        {"p4/norm_rms.so", "q4/norm_hostile9.so", "q4/norm_hostile9.so:p4", "q4/norm_hostile9.so", "p4/norm_rms.so"},
    };
    static const char *const questions[] = {"norm/hostile2", "norm/rms", "norm/nothing"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char list[8192] = "", name[16];
        for (int k = 0; k < 2; k++) snprintf(name, sizeof name, "%c%zu", "pq"[k], i), new_folder(root, name);
        copy_file(good, join(root, cases[i].good), SIZE_MAX);
        copy_file(module("taken"), join(root, cases[i].taken), SIZE_MAX);
        for (const char *p = cases[i].list; *p; p += strcspn(p, ":"), p += *p == ':')
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s/%.*s:", root, (int)strcspn(p, ":"), p);
        list[strlen(list) - 1] = 0;
        for (size_t first = 0; first < 3; first++) {
            heed_engine engine = {0};
            heed_error error = {0};
            if (load_find(&engine, list, &error)) fail_msg("%s", error.text);
            registry_find(&engine.registry, questions[first]);
            const entry *e = registry_find(&engine.registry, "norm/rms");
            assert_non_null(e);
            assert_string_equal(e->plugin, join(root, cases[i].from));
            if (cases[i].over) assert_string_equal(e->over, join(root, cases[i].over));
            assert_non_null(registry_find(&engine.registry, "norm/hostile")); /* the loser keeps its other op */
            assert_int_equal(engine.registry.refusal_count, 0);
            registry_free(&engine.registry);
        }
    }
}

static void test_environment(void **state)
{
    (void)state;
    setenv("HEED_TEST_WORD", "word", 1);
    assert_string_equal(trust_environment("HEED_TEST_WORD"), "word");
    unsetenv("HEED_TEST_WORD");
    assert_null(trust_environment("HEED_TEST_WORD"));
}

static void test_rounding(void **state)
{
    (void)state;
    heed_engine engine = {0};
    const char *path = join(root, "rounding.so");
    copy_file(module("rounding"), path, SIZE_MAX);
    assert_int_equal(load_plugin(&engine, path, NULL), HEED_OK);
    assert_int_equal(fegetround(), FE_TONEAREST);
    registry_free(&engine.registry);
}

static void test_copies(void **state)
{
    (void)state;
    heed_engine engine = {0};
    const char *path = join(root, "changes.so");
    uint64_t bytes;
    copy_file(module("changes"), path, SIZE_MAX);
    assert_int_equal(load_plugin(&engine, path, NULL), HEED_OK);
    const entry *e = registry_find(&engine.registry, "norm/hostile");
    assert_non_null(e);
    assert_int_equal(e->op.measure(NULL, &bytes), HEED_OK);
    assert_string_equal(e->op.id, "norm/hostile");
    assert_string_equal(entry_port(e, 0)->axes, "... M");
    assert_int_equal(entry_port(e, 0)->role, HEED_INPUT);
    assert_string_equal(entry_param(e, 0)->key, "eps");
    assert_string_equal(entry_path(e, 0)->name, "scalar");
    registry_free(&engine.registry);
}

/* ---- descriptors, field by field ---- */

static int32_t measure(const heed_open *open, uint64_t *bytes) { (void)open, (void)bytes; return HEED_OK; }
static int32_t init(void *memory, const heed_open *open) { (void)memory, (void)open; return HEED_OK; }
static int32_t forward(const void *instance, const heed_call *call) { (void)instance, (void)call; return HEED_OK; }
static const void *extension(const char *id) { (void)id; return NULL; }

/* An op that uses every kind of port and param; a path and a port more than is declared are at hand. */
typedef struct sample {
    heed_op op;
    heed_port port[5];
    heed_param param[6];
    heed_path path[3];
    char text[2048];
} sample;

enum { X, W, BIAS, OUT, PORTS };
enum { WIDTH, EPS, CENTRE, MODE, INNER, PARAMS };

static void fill_sample(sample *s)
{
    const uint32_t f32 = HEED_BIT(HEED_F32);
    *s = (sample){
        .port = {
            [X] = {sizeof(heed_port), HEED_INPUT, 0, f32, 0, 0, "x", "... M", "the input"},
            [W] = {sizeof(heed_port), HEED_WEIGHT, 0, f32, HEED_SCOPE_STACK, HEED_INIT_ONES, "w", "N M", "a weight"},
            [BIAS] = {sizeof(heed_port), HEED_WEIGHT, HEED_PORT_OPTIONAL, f32, 0, 0, "bias", "N", "another"},
            [OUT] = {sizeof(heed_port), HEED_OUTPUT, HEED_PORT_IN_PLACE, f32, 0, 0, "out", "... N F", "the output"},
        },
        .param = {
            [WIDTH] = {sizeof(heed_param), HEED_PARAM_INT, HEED_PARAM_REQUIRED, 'F', 1, 64, NAN, "width", NULL, "F"},
            [EPS] = {sizeof(heed_param), HEED_PARAM_FLOAT, 0, 0, 0, 1, 1e-6, "eps", NULL, "a number, such as ½ε"},
            [CENTRE] = {sizeof(heed_param), HEED_PARAM_BOOL, HEED_PARAM_RUNTIME, 0, 0, 1, 1, "centre", NULL, "or not"},
            [MODE] = {sizeof(heed_param), HEED_PARAM_CHOICE, 0, 0, 0, 0, 2, "mode", "a|ab|b", "a word"},
            [INNER] = {sizeof(heed_param), HEED_PARAM_OP, HEED_PARAM_AUTO, 0, 0, 0, 0, "inner", "position", "an op"},
        },
        .path = {
            {sizeof(heed_path), 0, 0, "scalar", forward, extension},
            {sizeof(heed_path), 0, HEED_CPU_AVX2, "avx2", forward, NULL},
            {sizeof(heed_path), 0, 1ull << 63, "future", forward, NULL},
        },
    };
    s->op = (heed_op){
        .size = sizeof(heed_op), .masks = HEED_MASK_CAUSAL, .id = "norm/sample", .version = "1.0",
        .summary = "a sample", .formula = "a = b\nc = d", .ports = {s->port, PORTS, sizeof *s->port},
        .params = {s->param, PARAMS, sizeof *s->param}, .paths = {s->path, 3, sizeof *s->path}, .measure = measure,
        .init = init,
    };
    memset(s->text, 'a', sizeof s->text - 1);
}

/* name, what is done to the sample s, a part of the sentence ("" = it must pass) */
#define SINS(SIN)                                                                                                     \
    SIN(nothing, (void)s, "")                                                                                         \
    SIN(version, s->op.version = "", "version is empty")                                                              \
    SIN(summary, s->op.summary = NULL, "summary is missing")                                                          \
    SIN(lines, s->op.summary = "a\nb", "summary is not printable")                                                    \
    SIN(long_text, s->op.formula = s->text, "formula is longer than 1000")                                            \
    SIN(no_reference, s->op.reference = NULL, "")                                                                     \
    SIN(umlaut, s->op.reference = "Schölkopf – §3, 漢字 𝔸", "")                                                        \
    SIN(overlong, s->op.reference = "\xc0\x80", "reference is not printable")                                         \
    SIN(half, s->op.reference = "\xe2\x82", "reference is not printable")                                             \
    SIN(stray, s->op.reference = "\x80", "reference is not printable")                                                \
    SIN(surrogate, s->op.reference = "\xed\xa0\x80", "reference is not printable")                                    \
    SIN(beyond, s->op.reference = "\xf4\x90\x80\x80", "reference is not printable")                                   \
    SIN(csi, s->op.reference = "\xc2\x9b", "reference is not printable")                                              \
    SIN(direction, s->op.reference = "\xe2\x80\xae", "reference is not printable")                                    \
    SIN(acts, s->op.acts = 4, "acts is 4")                                                                            \
    SIN(masks, s->op.masks = 1u << HEED_MASK_KINDS, "masks 0x")                                                       \
    SIN(reserved, s->op.reserved = 1, "reserved")                                                                     \
    SIN(measure, s->op.measure = NULL, "measure is missing")                                                          \
    SIN(id_no_kind, s->op.id = "sample", "kind/name")                                                                 \
    SIN(id_deep, s->op.id = "a/b/c", "kind/name")                                                                     \
    SIN(id_empty, s->op.id = "/", "kind/name")                                                                        \
    SIN(id_null, s->op.id = NULL, "id is missing")                                                                    \
    SIN(ports_stride, s->op.ports.stride -= 8, "table of ports has a stride")                                         \
    SIN(ports_odd, s->op.ports.stride = 4096 - 4, "misaligned")                                                       \
    SIN(ports_size, s->port[1].size = 8, "size of 8 in element 1")                                                    \
    SIN(params_count, s->op.params.count = 65, "table of params has a count of 65")                                   \
    SIN(no_params, (s->op.params = (heed_table){0}, s->port[OUT].axes = "... N"), "")                                 \
    SIN(role, s->port[X].role = 3, "port 0 (x): its role 3")                                                          \
    SIN(port_flags, s->port[X].flags = 8, "flags 0x8")                                                                \
    SIN(repeats, s->port[W].flags = HEED_PORT_REPEATS, "REPEATS is for inputs")                                       \
    SIN(repeats_dots, s->port[X].flags = HEED_PORT_REPEATS, "REPEATS, but has the axes \"...\"")                      \
    SIN(repeats_alone, (s->port[X].flags = HEED_PORT_REPEATS, s->port[X].axes = "M", s->port[OUT].axes = "N"),        \
        "port x is REPEATS, but no input that is always there has its axis M")                                        \
    SIN(repeats_right, (s->port[BIAS].role = HEED_INPUT, s->port[BIAS].flags |= HEED_PORT_REPEATS,                    \
                        s->port[BIAS].axes = "M M"), "")                                                              \
    SIN(repeats_weight, (s->port[BIAS].role = HEED_INPUT, s->port[BIAS].flags |= HEED_PORT_REPEATS),                  \
        "port bias is REPEATS, but no input that is always there has its axis N")                                     \
    SIN(in_place, s->port[W].flags = HEED_PORT_IN_PLACE, "IN_PLACE is for outputs")                                   \
    SIN(no_input, (s->port[X].role = HEED_WEIGHT, s->port[OUT].axes = "M"), "there is no input")                      \
    SIN(no_dtype, s->port[X].dtypes = 0, "dtypes 0x0")                                                                \
    SIN(dtypes, s->port[X].dtypes = 0x101, "dtypes 0x101")                                                            \
    SIN(scope, s->port[W].scope = 2, "scope 2")                                                                       \
    SIN(start, s->port[W].init = 3, "init 3")                                                                         \
    SIN(port_name, s->port[W].name = "W", "port 1 (?): its name is not a word")                                       \
    SIN(port_twice, s->port[W].name = "x", "ports 0 and 1 are both named x")                                          \
    SIN(port_doc, s->port[W].doc = "", "port 1 (w): its doc is empty")                                                \
    SIN(axes_case, s->port[W].axes = "N m", "axes \"N m\"")                                                           \
    SIN(axes_dense, s->port[W].axes = "NM", "axes \"NM\"")                                                            \
    SIN(axes_dots, s->port[W].axes = "M ...", "axes \"M ...\"")                                                       \
    SIN(axes_dots2, s->port[X].axes = "... ... M", "axes \"... ... M\"")                                              \
    SIN(axes_many, s->port[W].axes = "A B C D E F G H I", "more than 8")                                              \
    SIN(axes_same, s->port[W].axes = "N N", "")                                                                       \
    SIN(axes_blanks, s->port[W].axes = "  N  M ", "")                                                                 \
    SIN(orphan, s->port[OUT].axes = "... Z", "axis Z, which no input")                                                \
    SIN(orphan_dots, s->port[X].axes = "M", "\"...\", which no input has")                                            \
    SIN(key, s->param[EPS].key = "Eps", "key is not a word")                                                          \
    SIN(key_long, s->param[EPS].key = s->text, "key is longer than 64")                                               \
    SIN(key_twice, s->param[CENTRE].key = "eps", "params 1 and 2 are both named eps")                                 \
    SIN(param_doc, s->param[EPS].doc = NULL, "param 1 (eps): its doc is missing")                                     \
    SIN(type, s->param[EPS].type = 5, "type 5")                                                                       \
    SIN(param_flags, s->param[EPS].flags = 16, "flags 0x10")                                                          \
    SIN(both, s->param[EPS].flags = HEED_PARAM_AUTO | HEED_PARAM_REQUIRED, "exclude")                                 \
    SIN(axis, s->param[WIDTH].axis = 'f', "axis 102")                                                                 \
    SIN(axis_float, s->param[EPS].axis = 'E', "axis E needs")                                                         \
    SIN(axis_range, s->param[WIDTH].min = -1, "axis F needs")                                                         \
    SIN(range, s->param[EPS].min = 2, "range 2 to 1")                                                                 \
    SIN(range_nan, s->param[EPS].min = NAN, "range")                                                                  \
    SIN(range_inf, s->param[EPS].max = INFINITY, "range")                                                             \
    SIN(range_int, s->param[WIDTH].max = 0x1p63, "beyond 2^62")                                                       \
    SIN(range_half, s->param[WIDTH].max = 1.5, "whole numbers")                                                       \
    SIN(standard, s->param[EPS].standard = 2, "default 2")                                                            \
    SIN(standard_nan, s->param[EPS].standard = NAN, "default")                                                        \
    SIN(truth, s->param[CENTRE].standard = 0.5, "whole numbers")                                                      \
    SIN(no_choices, s->param[MODE].choices = NULL, "choices is missing")                                              \
    SIN(choices_empty, s->param[MODE].choices = "a||b", "choices are not different words")                            \
    SIN(choices_end, s->param[MODE].choices = "a|b|", "choices are not different words")                              \
    SIN(choices_case, s->param[MODE].choices = "a|B|c", "choices are not different words")                            \
    SIN(choices_twice, s->param[MODE].choices = "a|b|a", "choices are not different words")                           \
    SIN(choice, s->param[MODE].standard = 3, "default 3 is outside its range 0 to 2")                                 \
    SIN(no_kind, s->param[INNER].choices = NULL, "kind of op is missing")                                             \
    SIN(op_standard, s->param[INNER].flags = 0, "has no default")                                                     \
    SIN(op_runtime, s->param[INNER].flags |= HEED_PARAM_RUNTIME, "cannot be RUNTIME")                                 \
    SIN(first_path, s->path[0].needs = HEED_CPU_NEON, "does not run everywhere")                                      \
    SIN(path_twice, s->path[1].name = "scalar", "paths 0 and 1 are both named scalar")                                \
    SIN(path_name, s->path[1].name = "AVX2", "path 1 (?): its name is not a word")                                    \
    SIN(path_flags, s->path[1].flags = 2, "path 1 (avx2): its flags 0x2 are unknown")                                 \
    SIN(path_inexact, s->path[1].flags = HEED_PATH_INEXACT, "")                                                       \
    SIN(first_inexact, s->path[0].flags = HEED_PATH_INEXACT, "path scalar, the first, is INEXACT")                    \
    SIN(path_hole, s->path[1].forward = NULL, "path 1 (avx2): it has no function")                                    \
    SIN(path_mixed, s->path[0].forward = NULL, "only 2 of its 3 paths")                                               \
    SIN(no_output, s->op.ports.count = 3, "no port is an output")

#define SIN_FUNCTION(name, deed, keyword) static void sin_##name(sample *s) { (void)(deed); }
#define SIN_ROW(name, deed, keyword) {#name, sin_##name, keyword},
SINS(SIN_FUNCTION)
static const struct { const char *name; void (*commit)(sample *s); const char *keyword; } sins[] = {SINS(SIN_ROW)};

static void test_descriptors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sins / sizeof *sins; i++) {
        registry r = {0};
        heed_error error = {0};
        sample *s = malloc(sizeof *s);
        fill_sample(s);
        sins[i].commit(s);
        const entry *e = vet_op(&r, &s->op, "/plugin.so", &error);
        if (!*sins[i].keyword != (e != NULL)) fail_msg("%s: %s", sins[i].name, e ? "passed" : error.text);
        if (!e && (!strstr(error.text, sins[i].keyword) || !is_plain(error.text)))
            fail_msg("%s: not \"%s\" in: %s", sins[i].name, sins[i].keyword, error.text);
        free(s);
        registry_free(&r);
    }
}

/* A newer plugin's structs are longer, in the table and in what they state: what we do not know is passed over. */
static void test_growth(void **state)
{
    (void)state;
    registry r = {0};
    heed_error error = {0};
    sample s;
    struct { heed_port port; uint64_t newer[3]; } ports[PORTS];
    struct { heed_op op; uint64_t newer[5]; } op;
    fill_sample(&s);
    memset(&ports, 0xee, sizeof ports);
    memset(&op, 0xee, sizeof op);
    for (int i = 0; i < PORTS; i++) {
        ports[i].port = s.port[i];
        ports[i].port.size = sizeof *ports;
    }
    op.op = s.op;
    op.op.size = sizeof op;
    op.op.ports = (heed_table){ports, PORTS, sizeof *ports};
    const entry *e = vet_op(&r, &op.op, "/plugin.so", &error);
    if (!e) fail_msg("%s", error.text);
    assert_int_equal(e->op.size, sizeof(heed_op));
    assert_int_equal(e->op.ports.stride, sizeof(heed_port));
    assert_int_equal(entry_port(e, 1)->size, sizeof(heed_port));
    assert_string_equal(entry_port(e, OUT)->name, "out");
    assert_int_equal(e->axes[OUT].leading, 1);
    assert_int_equal(e->axes[OUT].count, 2);
    assert_memory_equal(e->axes[OUT].letter, "NF", 2);
    assert_true(entry_param(e, WIDTH)->standard == 0); /* was a NaN that nobody reads */
    assert_true(entry_param(e, MODE)->max == 2);
    assert_string_equal(e->op.reference, "");
    registry_free(&r);
}

/* An inexact path runs for who asks for it, by its very name or by fast, and for nobody else. */
static void test_inexact_path(void **state)
{
    (void)state;
    static const struct { uint64_t features; const char *isa; int fast; const char *path; } cases[] = {
        {HEED_CPU_AVX2, NULL, 0, "avx2"},      {HEED_CPU_AVX2, "", 0, "avx2"},     {HEED_CPU_AVX2, "rough", 0, "rough"},
        {HEED_CPU_AVX2, "roughly", 0, "avx2"}, {HEED_CPU_AVX2, NULL, 1, "rough"},  {HEED_CPU_AVX2, "avx2", 1, "rough"},
        {0, NULL, 1, "scalar"},                {0, "rough", 0, "scalar"},          {0, NULL, 0, "scalar"},
    };
    registry r = {0};
    sample s;
    fill_sample(&s);
    s.path[2] = (heed_path){sizeof(heed_path), HEED_PATH_INEXACT, HEED_CPU_AVX2, "rough", forward, NULL};
    const entry *e = vet_op(&r, &s.op, "/plugin.so", NULL);
    assert_non_null(e);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(registry_path(e, cases[i].features, cases[i].isa, cases[i].fast)->name, cases[i].path);
    registry_free(&r);
}

static void test_registry(void **state)
{
    (void)state;
    registry r = {0};
    char ids[100][16];
    const char *plugin = "/a.so", *other = "/b.so";
    for (int i = 0; i < 100; i++) {
        entry *e = registry_alloc(&r, sizeof *e);
        snprintf(ids[i], sizeof *ids, "a/%02d", i * 37 % 100);
        e->op.id = ids[i];
        e->plugin = i < 50 ? plugin : other;
        assert_int_equal(registry_add(&r, e, NULL), HEED_OK);
        assert_int_equal(registry_add(&r, e, NULL), HEED_E_DATA);
    }
    for (uint32_t i = 1; i < r.count; i++) assert_true(strcmp(r.entries[i - 1]->op.id, r.entries[i]->op.id) < 0);
    for (int i = 0; i < 100; i++) assert_ptr_equal(registry_find(&r, ids[i])->op.id, ids[i]);
    registry_forget(&r, other, 50);
    assert_int_equal(r.count, 50);
    for (int i = 0; i < 100; i++) assert_int_equal(registry_find(&r, ids[i]) != NULL, i < 50);
    for (int i = 0; i < 100; i++) assert_int_equal(registry_refuse(&r, "path", "reason"), HEED_OK);
    registry_free(&r);
    assert_null(registry_find(&r, "a/01"));
}

/* An installation that was moved as a whole: its folders stand to each other as before. */
static void test_place(void **state)
{
    static const char *const homes[] = {"/usr/lib/x86_64-linux-gnu", "/usr/bin"};
    static const char plugins[] = "/usr/lib/x86_64-linux-gnu/heed";
    static const struct {
        const char *file;
        int moved; /* else where the build said */
    } rows[] = {
        {"/opt/lib/x86_64-linux-gnu/libheed.so.0", 1},
        {"/opt/bin/heed", 1},
        {"/opt/sbin/heed", 0},
        {"/elsewhere/bin/heed", 0}, /* no plugins there */
        {"/usr-bin/heed", 0},
        {"/bin", 0},
    };
    char opt[200];
    (void)state;
    snprintf(opt, sizeof opt, "mkdir -p '%s/opt/lib/x86_64-linux-gnu/heed'", root);
    assert_int_equal(system(opt), 0);
    snprintf(opt, sizeof opt, "%s/opt/lib/x86_64-linux-gnu/heed", root);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char file[200];
        snprintf(file, sizeof file, "%s%s", root, rows[i].file);
        char *place = place_beside(file, homes, plugins);
        assert_string_equal(place, rows[i].moved ? opt : plugins);
        free(place);
    }
    char *place = place_beside("/usr/bin/heed", homes, plugins); /* where it was installed */
    assert_string_equal(place, plugins);
    free(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_modules), cmocka_unit_test(test_broken_files), cmocka_unit_test(test_segments), cmocka_unit_test(test_trust),
        cmocka_unit_test(test_sticky), cmocka_unit_test(test_trust_check), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_folders), cmocka_unit_test(test_place), cmocka_unit_test(test_lazy),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_rounding), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_growth), cmocka_unit_test(test_inexact_path),
        cmocka_unit_test(test_registry),
    };
    const char *modules_folder = getenv("HEED_HOSTILE"), *plugins = getenv("HEED_PLUGINS");
    if (!modules_folder || !plugins || !realpath(modules_folder, libs)) {
        printf("skipped: HEED_HOSTILE and HEED_PLUGINS must name the folders of the modules\n");
        return 77;
    }
    /* Whatever the umask and the place of the build tree are, the tests are about what they set themselves. */
    umask(022);
    strcpy(root, "/tmp/heed_load_XXXXXX");
    if (!mkdtemp(root) || chmod(root, 0755)) {
        printf("skipped: no scratch folder in /tmp\n");
        return 77;
    }

    heed_engine engine = {0};
    heed_error error = {0};
    int failed = 1, n = sizeof tests / sizeof *tests;
    int32_t code = load_folders(&engine, plugins, &error);
    const entry *rms = registry_find(&engine.registry, "norm/rms");
    if (rms) {
        strcpy(good, join(root, "good.so"));
        copy_file(rms->plugin, good, SIZE_MAX);
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        printf("%d passed, %d failed\n", n - failed, failed);
    } else {
        printf("norm/rms was not loaded from %s: %s\n", plugins, code ? error.text : "not there, or refused:");
        for (uint32_t i = 0; i < engine.registry.refusal_count; i++)
            printf("  %s\n", engine.registry.refusals[i].reason);
    }
    registry_free(&engine.registry);
    remove_tree(root);
    return failed != 0;
}
