/* SPDX-License-Identifier: MIT
 *
 * test_pool.c: parallel_for. Every tile exactly once, no lane twice at once, all workers take part, wherever it is
 * called from: nested, by several threads at once, in a child of fork. Not speed: bench.
 */
#include "run/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TILES 1000

/* What a job's tiles write down. */
typedef struct job {
    const heed_host *host;
    uint32_t lanes;
    long nap_ns;                /* length of a tile: a sleeping one lets others run on few cores */
    int plain[TILES];           /* not atomic: the sanitizer sees whether parallel_for orders it */
    atomic_int times[TILES];
    atomic_int busy[POOL_LANES_MAX];
    atomic_int wrong, tiles;
} job;

static void check_in(job *j, int64_t tile, uint32_t lane)
{
    if (lane >= j->lanes || tile < 0 || tile >= TILES) {
        atomic_fetch_add(&j->wrong, 1);
        return;
    }
    if (atomic_fetch_add(&j->busy[lane], 1)) atomic_fetch_add(&j->wrong, 1);
    atomic_fetch_add(&j->times[tile], 1);
    j->plain[tile]++;
    atomic_fetch_add(&j->tiles, 1);
    if (j->nap_ns) nanosleep(&(struct timespec){0, j->nap_ns}, NULL);
    atomic_fetch_sub(&j->busy[lane], 1);
}

static void tile(void *arg, int64_t i, uint32_t lane)
{
    check_in(arg, i, lane);
}

static job *job_init(job *j, pool *p, long nap_ns)
{
    memset(j, 0, sizeof *j);
    j->host = pool_host(p);
    j->lanes = pool_lanes(p);
    j->nap_ns = nap_ns;
    return j;
}

static job *job_new(pool *p, long nap_ns)
{
    return job_init(malloc(sizeof(job)), p, nap_ns);
}

/* Tiles [0, n) have run `times` times each, the others never. */
static int job_good(job *j, int n, int times)
{
    int good = !atomic_load(&j->wrong) && atomic_load(&j->tiles) == n * times;
    for (int i = 0; i < TILES; i++) {
        int want = i < n ? times : 0;
        good &= atomic_load(&j->times[i]) == want && j->plain[i] == want;
    }
    return good;
}

static int job_done(job *j, int n, int times)
{
    int good = job_good(j, n, times);
    free(j);
    return good;
}

static int run_job(job *j, int n, int times)
{
    for (int k = 0; k < times; k++)
        if (j->host->parallel_for(j->host, n, tile, j)) return 0;
    return job_good(j, n, times);
}

static int run(pool *p, int n, int times)
{
    job *j = job_new(p, 0);
    int good = run_job(j, n, times);
    free(j);
    return good;
}

static const uint32_t counts[] = {1, 2, 3, 7, 16};
#define EACH_COUNT(i) for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)

/* ---- one caller ---- */

static void every_tile_exactly_once(void **state)
{
    (void)state;
    static const int tiles[] = {0, 1, 2, 3, 15, 16, 17, TILES};
    EACH_COUNT(i)
        for (uint32_t pinning = 0; pinning <= HEED_PIN_NONE; pinning++) {
            pool *p = pool_new(counts[i], pinning, 0, NULL);
            assert_int_equal(pool_lanes(p), counts[i]);
            assert_int_equal(pool_ran(p), 0);
            for (size_t k = 0; k < sizeof tiles / sizeof *tiles; k++) assert_true(run(p, tiles[k], 3));
            assert_true(pool_ran(p) >= 1 && pool_ran(p) <= counts[i]);
            pool_free(p);
        }
}

static void all_workers_run_on_few_cores(void **state)
{
    (void)state;
    EACH_COUNT(i) {
        pool *p = pool_new(counts[i], HEED_PIN_COMPACT, 0, NULL);
        for (int k = 0; k < 50 && pool_ran(p) < counts[i]; k++) { /* once is enough, unless the machine is very busy */
            job *j = job_new(p, 2000000);
            assert_int_equal(j->host->parallel_for(j->host, 4 * counts[i], tile, j), HEED_OK);
            assert_true(job_done(j, 4 * (int)counts[i], 1));
        }
        assert_int_equal(pool_ran(p), counts[i]);
        char why[100];
        assert_null(pool_unpinned(p, why, sizeof why));
        pool_free(p);
    }
}

static void thousands_of_tiny_calls(void **state)
{
    (void)state;
    static const int tiles[] = {2, 3, 5, 40};
    for (size_t k = 0; k < sizeof tiles / sizeof *tiles; k++) {
        pool *p = pool_new(k % 2 ? 5 : 2, HEED_PIN_COMPACT, 0, NULL);
        assert_true(run(p, tiles[k], 5000));
        pool_free(p);
    }
}

static void sleepers_wake_up(void **state)
{
    (void)state;
    pool *p = pool_new(7, HEED_PIN_NONE, 0, NULL);
    for (int k = 0; k < 20; k++) {
        job *j = job_new(p, 200000);
        assert_int_equal(j->host->parallel_for(j->host, 14, tile, j), HEED_OK);
        assert_true(job_done(j, 14, 1));
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    assert_true(pool_ran(p) > 1);
    pool_free(p);
}

static void the_standard_is_one_a_core(void **state)
{
    (void)state;
    pool *p = pool_new(0, HEED_PIN_COMPACT, 0, NULL);
    uint32_t lanes = pool_lanes(p);
    cpu_set_t may;
    sched_getaffinity(0, sizeof may, &may);
    assert_true(lanes >= 1 && lanes <= (uint32_t)CPU_COUNT(&may));
    assert_true(run(p, 100, 2));
    assert_int_equal(pool_lanes(p), lanes);
    pool_free(p);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    heed_error error = {0};
    assert_null(pool_new(POOL_LANES_MAX + 1, 0, 0, &error));
    assert_int_equal(error.code, HEED_E_ARGUMENT);
    assert_null(pool_new(1, 3, 0, &error));
    assert_int_equal(error.code, HEED_E_ARGUMENT);
    pool_free(pool_new(8, 0, 0, NULL)); /* never used */
    pool_free(NULL);
}

static void the_other_services_are_silent(void **state)
{
    (void)state;
    pool *p = pool_new(2, HEED_PIN_NONE, 0, NULL);
    const heed_host *h = pool_host(p);
    assert_int_equal(h->size, sizeof *h);
    h->log(h, 0, "nobody reads this");
    assert_int_equal(h->cancelled(h), 0);
    assert_null(h->get_extension(h, "heed.any/1"));
    char why[100];
    assert_string_equal(pool_unpinned(p, why, sizeof why), "not pinned: not asked for");
    pool_free(p);
}

/* ---- where threads run ---- */

/* The caller keeps its affinity, the others have one core each; a tile a lane tells. */
typedef struct seen {
    cpu_set_t set[POOL_LANES_MAX];
} seen;

static void look(void *arg, int64_t i, uint32_t lane)
{
    (void)i;
    sched_getaffinity(0, sizeof(cpu_set_t), &((seen *)arg)->set[lane]);
    nanosleep(&(struct timespec){0, 2000000}, NULL);
}

static void workers_are_pinned_and_the_caller_is_not(void **state)
{
    (void)state;
    cpu_set_t mine, now;
    sched_getaffinity(0, sizeof mine, &mine);
    seen *s = calloc(1, sizeof *s);
    pool *p = pool_new(3, HEED_PIN_COMPACT, 0, NULL);
    for (int k = 0; k < 50 && pool_ran(p) < 3; k++)
        assert_int_equal(pool_host(p)->parallel_for(pool_host(p), 12, look, s), HEED_OK);
    assert_int_equal(pool_ran(p), 3);
    assert_true(CPU_EQUAL(&s->set[0], &mine));
    pool *machine = pool_new(0, HEED_PIN_COMPACT, 0, NULL);
    uint32_t cores = pool_lanes(machine);
    if (cores > 1) assert_true(CPU_COUNT(&s->set[1]) < CPU_COUNT(&mine));
    if (cores > 2) assert_false(CPU_EQUAL(&s->set[1], &s->set[2]));
    assert_int_equal(pool_pin_caller(p), 0);
    sched_getaffinity(0, sizeof now, &now);
    if (cores > 1) assert_false(CPU_EQUAL(&now, &s->set[1]));
    assert_int_equal(sched_setaffinity(0, sizeof mine, &mine), 0);
    pool_free(machine);
    pool_free(p);
    free(s);
}

/* ---- nested ---- */

typedef struct nest {
    job *outer, *inner;
    pool *other; /* a second pool, used from inside the first one's tiles */
    uint32_t lane; /* the outer tile's, and its thread */
    pthread_t self;
    atomic_int wrong;
} nest;

static void inner_tile(void *arg, int64_t i, uint32_t lane)
{
    const nest *n = arg;
    if (lane != n->lane || !pthread_equal(n->self, pthread_self())) atomic_fetch_add(&((nest *)arg)->wrong, 1);
    atomic_fetch_add(&n->inner->times[i], 1);
}

static void back_again(void *arg, int64_t i, uint32_t lane)
{
    nest *n = arg;
    (void)i;
    if (lane) atomic_fetch_add(&n->wrong, 1); /* of the other pool */
    n->outer->host->parallel_for(n->outer->host, 10, inner_tile, n);
}

static void outer_tile(void *arg, int64_t i, uint32_t lane)
{
    nest *all = arg, here = {all->outer, all->inner, all->other, lane, pthread_self(), 0};
    check_in(all->outer, i, lane);
    all->outer->host->parallel_for(all->outer->host, 10, inner_tile, &here);
    pool_host(all->other)->parallel_for(pool_host(all->other), 3, back_again, &here); /* and the lane is still known */
    if (atomic_load(&here.wrong)) atomic_fetch_add(&all->wrong, 1);
}

static void nested_runs_on_the_same_lane(void **state)
{
    (void)state;
    EACH_COUNT(i)
        for (int tiles = 1; tiles <= 64; tiles += 63) {
            pool *p = pool_new(counts[i], HEED_PIN_COMPACT, 0, NULL), *other = pool_new(4, HEED_PIN_NONE, 0, NULL);
            nest n = {.outer = job_new(p, 50000), .inner = job_new(p, 0), .other = other};
            assert_int_equal(n.outer->host->parallel_for(n.outer->host, tiles, outer_tile, &n), HEED_OK);
            assert_int_equal(atomic_load(&n.wrong), 0);
            for (int k = 0; k < 10; k++) assert_int_equal(atomic_load(&n.inner->times[k]), 4 * tiles);
            free(n.inner);
            assert_true(job_done(n.outer, tiles, 1));
            assert_true(run(p, 50, 1)); /* and the calling thread is outside again */
            pool_free(p);
            pool_free(other);
        }
}

/* ---- several callers ---- */

typedef struct caller {
    pool *pool;
    int good;
} caller;

static void *call_often(void *arg)
{
    caller *c = arg;
    c->good = 1;
    for (int k = 0; k < 300; k++) c->good &= run(c->pool, 1 + k % 37, 1);
    return NULL;
}

static void callers_take_turns(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 4; threads++) {
        pool *p = pool_new(threads == 4 ? 0 : threads, HEED_PIN_SCATTER, 0, NULL);
        caller c[4];
        pthread_t t[4];
        for (int i = 0; i < 4; i++) {
            c[i] = (caller){p, 0};
            assert_int_equal(pthread_create(&t[i], NULL, call_often, &c[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(t[i], NULL);
            assert_true(c[i].good);
        }
        pool_free(p);
    }
}

/* ---- fork ---- */

/* The child allocates nothing if another thread may have been in malloc: the sanitizer's has no care for fork. */
static int in_child(pool *p, int alone)
{
    static job j;
    pid_t child = fork();
    if (!child) {
        alarm(20); /* a hang is a failure */
        int good = run_job(job_init(&j, p, 0), 100, 3);
        if (alone) pool_free(p);
        _exit(good ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void a_child_of_fork_does_not_hang(void **state)
{
    (void)state;
    for (uint32_t threads = 0; threads <= 3; threads++) {
        pool *p = pool_new(threads, HEED_PIN_COMPACT, 0, NULL);
        assert_true(in_child(p, 1)); /* before any thread: the child starts its own */
        assert_true(run(p, 100, 2));
        assert_true(in_child(p, 1));
        assert_true(run(p, 100, 2));
        pool_free(p);
    }
}

/* The lock is held by another thread at the moment of the fork, and stays so in the child. */
static void a_fork_in_the_middle_of_anothers_job(void **state)
{
    (void)state;
    pool *p = pool_new(3, HEED_PIN_COMPACT, 0, NULL);
    static caller c;
    c = (caller){p, 0};
    pthread_t t;
    assert_true(run(p, 100, 1)); /* the threads are there: the child, which has but one, must not wait for them */
    assert_int_equal(pthread_create(&t, NULL, call_often, &c), 0);
    for (int k = 0; k < 10; k++) assert_true(in_child(p, 0));
    pthread_join(t, NULL);
    assert_true(c.good);
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tile_exactly_once),
        cmocka_unit_test(all_workers_run_on_few_cores),
        cmocka_unit_test(thousands_of_tiny_calls),
        cmocka_unit_test(sleepers_wake_up),
        cmocka_unit_test(the_standard_is_one_a_core),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(the_other_services_are_silent),
        cmocka_unit_test(workers_are_pinned_and_the_caller_is_not),
        cmocka_unit_test(nested_runs_on_the_same_lane),
        cmocka_unit_test(callers_take_turns),
        cmocka_unit_test(a_child_of_fork_does_not_hang),
        cmocka_unit_test(a_fork_in_the_middle_of_anothers_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
