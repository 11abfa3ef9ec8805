/* SPDX-License-Identifier: MIT
 *
 * pool.c: the engine's threads, as the host service parallel_for. Not where they run: topology.c has the plan.
 *
 * One job at a time; its tiles are handed out by a counter, and whoever is awake takes them. The caller is lane 0 and
 * works too; it never waits for a worker that has not come: a worker enters through the gate, the caller shuts the gate
 * when no tile is left, and then waits only for those inside. Invariant: fn, arg and tiles change only while the gate
 * is shut and nobody is inside.
 */
#include "base/cpu.h"
#include "base/error.h"
#include "run/pool.h"
#include "run/topology.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_NS 20000 /* so long one looks for work, or for its end, before sleeping: the gap between ops is shorter */
#define FAN 4         /* a thread wakes so many others, and they wake on: 128 sleepers are up after 4 generations */

/* The gate: one word, so that entering and shutting exclude each other. */
#define OPEN 1u
#define WAITING 2u /* the caller sleeps on the word */
#define INSIDE 4u  /* one worker; the upper bits count them */

typedef struct worker {
    pool *pool;
    pthread_t thread;
    uint32_t lane;
    atomic_uint ran;
} worker;

struct pool {
    heed_host host;
    uint32_t threads, pinning, smt; /* as asked */
    _Atomic pid_t owner;            /* process that took `turn` first; its children have no use of lock and threads */
    atomic_uint lanes;              /* 0: not known yet */
    atomic_uint ran;                /* lane 0 */
    atomic_int unpinned;            /* errno of the first bind that failed */
    struct hwloc_topology *topology;
    topology_plan *plan;
    worker *workers;                /* lanes 1, 2, ...; NULL: not started */
    atomic_uint started;            /* so many of them exist */
    uint32_t spin_ns;
    pthread_mutex_t turn;           /* one job at a time; also guards planning and starting */

    heed_tile_fn fn;
    void *arg;
    int64_t tiles;

    _Alignas(64) _Atomic int64_t next; /* tile to take */
    _Alignas(64) atomic_uint gate;     /* the caller's futex */
    _Alignas(64) atomic_uint epoch;    /* the workers' futex: one more with every job */
    atomic_uint sleepers;
    atomic_int unwoken;                /* workers that this job still wants woken */
    atomic_int quit;
};

/* The tiles that this thread is in, innermost first. */
typedef struct frame {
    const struct frame *outer;
    const pool *pool;
    uint32_t lane;
} frame;

static _Thread_local const frame *here;

/* ---- waiting ---- */

static void futex_wait(atomic_uint *word, uint32_t while_it_is)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb" : : : "memory"); /* yield is a no-op on most cores */
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* True as soon as the word's bits under `mask` are (want = 1) or are not (want = 0) `value`; false when time is up. */
static int spin(const pool *p, atomic_uint *word, uint32_t mask, uint32_t value, int want)
{
    for (int64_t end = p->spin_ns ? now_ns() + p->spin_ns : 0;;) {
        for (int i = 0; i < 16; i++) {
            if (((atomic_load_explicit(word, memory_order_acquire) & mask) == value) == want) return 1;
            if (!end) return 0;
            relax();
        }
        if (now_ns() > end) return 0;
    }
}

/* Wakes the next few sleepers, if the job wants more. */
static void wake_some(pool *p)
{
    if (!atomic_load(&p->sleepers)) return;
    int n = atomic_fetch_sub(&p->unwoken, FAN);
    if (n > 0) futex_wake(&p->epoch, n < FAN ? n : FAN);
}

/* ---- working ---- */

static void take_tiles(pool *p, uint32_t lane, atomic_uint *ran)
{
    int64_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
    if (i >= p->tiles) return;
    if (!atomic_load_explicit(ran, memory_order_relaxed)) atomic_store_explicit(ran, 1, memory_order_relaxed);
    do p->fn(p->arg, i, lane);
    while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->tiles);
}

static int enter(pool *p)
{
    uint32_t gate = atomic_load_explicit(&p->gate, memory_order_relaxed);
    while (gate & OPEN)
        if (atomic_compare_exchange_weak_explicit(&p->gate, &gate, gate + INSIDE, memory_order_acquire,
                                                  memory_order_relaxed))
            return 1;
    return 0;
}

static void leave(pool *p)
{
    uint32_t gate = atomic_fetch_sub_explicit(&p->gate, INSIDE, memory_order_acq_rel) - INSIDE;
    if (gate == WAITING) futex_wake(&p->gate, 1); /* shut, and the last one out */
}

static void *work(void *arg)
{
    worker *w = arg;
    pool *p = w->pool;
    char name[16];
    snprintf(name, sizeof name, "heed-%u", w->lane);
    pthread_setname_np(pthread_self(), name);
    cpu_float_plain(); /* a new thread has its maker's mode, perhaps one that flushes subnormals */
    int failed = p->plan ? topology_bind(p->topology, p->plan, w->lane) : 0, none = 0;
    if (failed) atomic_compare_exchange_strong(&p->unpinned, &none, failed);
    frame f = {NULL, p, w->lane};
    here = &f;

    for (uint32_t seen = 0;;) {
        int slept = 0;
        while (!spin(p, &p->epoch, UINT32_MAX, seen, 0)) {
            slept = 1;
            atomic_fetch_add(&p->sleepers, 1); /* before the kernel reads epoch: so it or the waker sees the other */
            futex_wait(&p->epoch, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            if (atomic_load(&p->epoch) != seen) break;
        }
        seen = atomic_load(&p->epoch);
        if (atomic_load(&p->quit)) return NULL;
        if (!enter(p)) continue;
        if (slept) wake_some(p);
        take_tiles(p, w->lane, &w->ran);
        leave(p);
    }
}

/* ---- starting ---- */

/* Whether this process may use the pool's lock and threads: not if a parent has used them before the fork. */
static int owned(pool *p)
{
    pid_t me = getpid(), owner = atomic_load_explicit(&p->owner, memory_order_relaxed);
    return owner == me || (owner == 0 && (atomic_compare_exchange_strong(&p->owner, &owner, me) || owner == me));
}

/* With `turn` held. No topology, or no memory for a plan: threads run unpinned. */
static void make_plan(pool *p)
{
    if (p->plan || p->workers) return; /* threads that run without a plan read it unlocked */
    if (!p->topology) p->topology = topology_open(NULL, NULL);
    p->plan = topology_plan_make(p->topology, p->threads, p->pinning, p->smt, NULL);
    if (p->plan && p->plan->crowd == 1) p->spin_ns = SPIN_NS;
    if (!atomic_load(&p->lanes)) atomic_store(&p->lanes, p->plan ? p->plan->workers : 1);
}

/* With `turn` held. Threads that the system refuses are missing, that is all: the others take their tiles. */
static void start(pool *p)
{
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF}; /* for the thread itself */
    make_plan(p);
    uint32_t lanes = atomic_load(&p->lanes);
    if (!(p->workers = calloc(lanes - 1, sizeof *p->workers))) return; /* the next call tries again */
    sigset_t none, former; /* an application's signals go to its own threads */
    sigfillset(&none);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) sigdelset(&none, kept[i]);
    pthread_sigmask(SIG_SETMASK, &none, &former);
    for (uint32_t i = 0; i < lanes - 1; i++) {
        worker *w = &p->workers[i];
        w->pool = p;
        w->lane = i + 1;
        if (pthread_create(&w->thread, NULL, work, w)) break;
        atomic_store(&p->started, i + 1); /* publishes w: pool_ran reads without the lock */
    }
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

/* ---- the host service ---- */

/* All tiles on the calling thread: on its lane of this pool if it is in one, else on lane 0. */
static int32_t run_here(pool *p, int64_t tiles, heed_tile_fn fn, void *arg)
{
    frame f = {here, p, 0};
    for (const frame *o = here; o; o = o->outer)
        if (o->pool == p) {
            f.lane = o->lane;
            break;
        }
    if (!f.lane && tiles > 0 && !atomic_load_explicit(&p->ran, memory_order_relaxed))
        atomic_store_explicit(&p->ran, 1, memory_order_relaxed);
    here = &f;
    for (int64_t i = 0; i < tiles; i++) fn(arg, i, f.lane);
    here = f.outer;
    return HEED_OK;
}

static int32_t parallel_for(const heed_host *host, int64_t tiles, heed_tile_fn fn, void *arg)
{
    pool *p = host->self;
    uint32_t lanes;
    if (tiles <= 1 || here || (lanes = pool_lanes(p)) == 1 || !owned(p)) return run_here(p, tiles, fn, arg);

    pthread_mutex_lock(&p->turn);
    if (!p->workers) start(p);
    p->fn = fn;
    p->arg = arg;
    p->tiles = tiles;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store(&p->unwoken, tiles < lanes ? (int)tiles - 1 : (int)lanes - 1);
    atomic_store_explicit(&p->gate, OPEN, memory_order_release);
    atomic_fetch_add(&p->epoch, 1);
    wake_some(p);

    frame f = {NULL, p, 0};
    here = &f;
    take_tiles(p, 0, &p->ran);
    here = NULL;

    uint32_t gate = atomic_fetch_and_explicit(&p->gate, ~OPEN, memory_order_acq_rel) & ~OPEN;
    if (gate && !spin(p, &p->gate, ~(INSIDE - 1), 0, 1)) {
        gate = atomic_fetch_or_explicit(&p->gate, WAITING, memory_order_acq_rel) | WAITING;
        for (; gate >= INSIDE; gate = atomic_load_explicit(&p->gate, memory_order_acquire)) futex_wait(&p->gate, gate);
    }
    pthread_mutex_unlock(&p->turn);
    return HEED_OK;
}

static void drop(const heed_host *host, uint32_t level, const char *text)
{
    (void)host, (void)level, (void)text; /* the library never prints */
}

static int32_t never(const heed_host *host)
{
    (void)host;
    return 0;
}

static const void *nothing(const heed_host *host, const char *id)
{
    (void)host, (void)id;
    return NULL;
}

/* ---- the pool ---- */

pool *pool_new(uint32_t threads, uint32_t pinning, uint32_t smt, heed_error *error)
{
    if (threads > POOL_LANES_MAX) {
        error_set(error, HEED_E_ARGUMENT, "%u threads are more than heed runs, which is %d", threads, POOL_LANES_MAX);
        return NULL;
    }
    if (pinning > HEED_PIN_NONE) {
        error_set(error, HEED_E_ARGUMENT, "pinning is none of HEED_PIN_* but %u", pinning);
        return NULL;
    }
    pool *p = aligned_alloc(_Alignof(pool), sizeof *p);
    if (p) memset(p, 0, sizeof *p);
    if (!p || pthread_mutex_init(&p->turn, NULL)) {
        free(p);
        error_memory(error);
        return NULL;
    }
    p->host = (heed_host){sizeof p->host, 0, p, parallel_for, drop, never, nothing};
    p->threads = threads;
    p->pinning = pinning;
    p->smt = smt != 0;
    atomic_store(&p->lanes, threads);
    return p;
}

void pool_free(pool *p)
{
    if (!p) return;
    if (owned(p)) { /* in a child of fork the threads do not exist, and the lock may be held for ever */
        uint32_t started = atomic_load(&p->started);
        atomic_store(&p->quit, 1);
        atomic_fetch_add(&p->epoch, 1);
        if (started) futex_wake(&p->epoch, INT_MAX);
        for (uint32_t i = 0; i < started; i++) pthread_join(p->workers[i].thread, NULL);
        pthread_mutex_destroy(&p->turn);
    }
    topology_plan_free(p->plan);
    topology_close(p->topology);
    free(p->workers);
    free(p);
}

/* The plan, made if need be; NULL without memory, or in a child of fork. */
static const topology_plan *planned(pool *p)
{
    if (!owned(p)) return NULL;
    pthread_mutex_lock(&p->turn);
    make_plan(p);
    const topology_plan *plan = p->plan;
    pthread_mutex_unlock(&p->turn);
    return plan;
}

uint32_t pool_lanes(pool *p)
{
    uint32_t lanes = atomic_load_explicit(&p->lanes, memory_order_acquire);
    if (lanes) return lanes;
    planned(p);
    lanes = atomic_load(&p->lanes);
    return lanes ? lanes : 1;
}

const heed_host *pool_host(pool *p)
{
    return &p->host;
}

uint32_t pool_ran(pool *p)
{
    uint32_t n = atomic_load(&p->ran), started = atomic_load(&p->started);
    for (uint32_t i = 0; i < started; i++) n += atomic_load(&p->workers[i].ran);
    return n;
}

int pool_pin_caller(pool *p)
{
    const topology_plan *plan = planned(p);
    return plan ? topology_bind(p->topology, plan, 0) : ENOMEM;
}

const char *pool_unpinned(pool *p, char *buffer, size_t n)
{
    const topology_plan *plan = planned(p);
    int failed = atomic_load(&p->unpinned);
    const char *why = p->pinning == HEED_PIN_NONE     ? "not asked for"
                      : !plan || !plan->place[0].cpus ? "the machine's topology cannot be read"
                      : failed                        ? strerror(failed)
                                                      : NULL;
    if (!why) return NULL;
    snprintf(buffer, n, "not pinned: %s", why);
    return buffer;
}
