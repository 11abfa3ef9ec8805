/* SPDX-License-Identifier: MIT
 *
 * short_memory.c: a command in which allocation n fails, for every n from 1 until it gets through. Preloaded, it forks
 * before the command's main begins, once for each n; what is linked is linked once, so thousands of runs take seconds.
 *
 *     LD_PRELOAD=short_memory.so HEED_SHORT=list heed list
 *
 * HEED_SHORT names the sweep in what is told. Each run must end by itself, and with status 1 or 2 it must have said why:
 * one line "not ok" for each that did not. Allocations of hwloc fail too if HEED_SHORT_HWLOC is set. Version 2.9 then
 * crashes by itself, which is why the engine asks beforehand for as much as it needs (topology.c); that is counted, and
 * what is verified is that nothing else crashes by what hwloc answers. Those of jansson 2.14 never fail: it drops a
 * character of a text and says nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static struct shared {
    atomic_long count;  /* allocations of the running child so far */
} *shared;
static long failing = -1; /* in a child: the one that fails; 0 = none */

/* Code of a library. */
typedef struct range {
    const char *name;
    uintptr_t from, to;
} range;
static range jansson = {.name = "libjansson"}, hwloc = {.name = "libhwloc"};
static int hwloc_fails;

static int within(const range *r, uintptr_t at) { return at >= r->from && at < r->to; }

static int fails(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    if (failing < 0 || within(&jansson, at) || (!hwloc_fails && within(&hwloc, at))) return 0;
    if (atomic_fetch_add(&shared->count, 1) + 1 != failing) return 0;
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)
#pragma GCC visibility push(default)
void *malloc(size_t n) { return fails(CALLER) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails(CALLER) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return fails(CALLER) ? NULL : __libc_realloc(p, n); }
void *memalign(size_t align, size_t n) { return fails(CALLER) ? NULL : __libc_memalign(align, n); }
void *aligned_alloc(size_t align, size_t n) { return fails(CALLER) ? NULL : __libc_memalign(align, n); }
int posix_memalign(void **p, size_t align, size_t n)
{
    void *memory = fails(CALLER) ? NULL : __libc_memalign(align, n);
    if (!memory) return ENOMEM;
    *p = memory;
    return 0;
}
#pragma GCC visibility pop

static int find(struct dl_phdr_info *info, size_t size, void *arg)
{
    range *r = arg;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum && strstr(info->dlpi_name, r->name); i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        r->from = info->dlpi_addr + p->p_vaddr;
        r->to = r->from + p->p_memsz;
    }
    return 0;
}

enum { OF_HWLOC = 98 };

/* Whether hwloc is what crashed: it is in one of the calls that have not returned. Their addresses are on the stack. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)info;
    const ucontext_t *c = context;
#if defined __x86_64__
    uintptr_t at = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
    const uintptr_t *stack = (const uintptr_t *)c->uc_mcontext.gregs[REG_RSP];
#else
    uintptr_t at = c->uc_mcontext.pc;
    const uintptr_t *stack = (const uintptr_t *)c->uc_mcontext.sp;
#endif
    for (int i = 0; i < 400; i++)
        if (within(&hwloc, at) || within(&hwloc, stack[i])) _exit(OF_HWLOC);
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_hwloc(void)
{
    static char stack[64 << 10];
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM}; /* it hangs, too */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction crash = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) sigaction(crashes[i], &crash, NULL);
}

/* What is at fault, in words; NULL = nothing. */
static const char *fault(int status, int said, char *text, size_t n)
{
    char line[256] = "";
    ssize_t got = pread(said, line, sizeof line - 1, 0);
    line[got > 0 ? strcspn(line, "\n") : 0] = 0;
    if (WIFSIGNALED(status)) snprintf(text, n, "ends by the signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) > 2) snprintf(text, n, "ends with the status %d: %s", WEXITSTATUS(status), line);
    else if (WEXITSTATUS(status) && strncmp(line, "heed: ", 6)) snprintf(text, n, "fails without a word: %s", line);
    else return NULL;
    return text;
}

__attribute__((constructor)) static void sweep(void)
{
    const char *name = getenv("HEED_SHORT");
    char file[] = "/tmp/heed-short.XXXXXX", text[400];
    int bad = 0, own = 0, status, said = mkostemp(file, O_CLOEXEC);
    if (!name || said < 0) return;
    unlink(file);
    hwloc_fails = getenv("HEED_SHORT_HWLOC") != NULL;
    dl_iterate_phdr(find, &jansson);
    dl_iterate_phdr(find, &hwloc);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) _exit(99);
    for (long n = 0; n == 0 || shared->count >= n - 1; n++) {
        if (ftruncate(said, 0) || lseek(said, 0, SEEK_SET)) _exit(99);
        shared->count = 0;
        pid_t child = fork();
        if (child < 0) _exit(99);
        if (!child) {
            int nothing = open("/dev/null", O_WRONLY);
            dup2(nothing, 1), dup2(said, 2), close(nothing);
            unsetenv("LD_PRELOAD"), unsetenv("HEED_SHORT"); /* whoever the command starts has all its memory */
            alarm(hwloc_fails ? 5 : 60);
            if (hwloc_fails) watch_hwloc();
            failing = n;
            return;
        }
        while (waitpid(child, &status, 0) < 0) continue;
        int of_hwloc = hwloc_fails && WIFEXITED(status) && WEXITSTATUS(status) == OF_HWLOC;
        own += of_hwloc;
        const char *what = of_hwloc ? NULL : fault(status, said, text, sizeof text);
        if (what && ++bad <= 10) dprintf(2, "not ok - %s: allocation %ld: %s\n", name, n, what);
        if (n == 0 && (status || !shared->count)) { /* it must work with memory, and take some */
            dprintf(2, "not ok - %s: fails with all its memory, or another malloc is used\n", name);
            _exit(99);
        }
    }
    dprintf(2, "%s - %s: every one of %ld allocations", bad ? "# not" : "ok", name, (long)shared->count);
    dprintf(2, own ? "; %d times hwloc crashed by itself\n" : "\n", own);
    _exit(bad != 0);
}
