/* SPDX-License-Identifier: MIT
 *
 * test_topology.c: the plan, on a synthetic machine of 2 x 64 cores whatever this one has, and under a restricted
 * affinity on this one, and quotas of made-up control groups. Also cpu.c: names, masks, float mode. That threads run where the plan says is test_pool.c's.
 */
#include "base/cpu.h"
#include "run/quota.h"
#include "run/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <hwloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIG "pack:2 [numa] l3:8 core:8 pu:2" /* core c = CPUs 2c and 2c+1; 64 cores a package, 8 an L3 */

/* Expected core and hardware thread (-1 = the whole core) of worker i. */
static void expect(uint32_t pinning, uint32_t smt, uint32_t i, int *core, int *thread)
{
    uint32_t slot = i % (smt ? 256 : 128), c = slot % 128;
    *thread = smt ? (int)(slot / 128) : -1;
    /* scatter: the package in turn, then the L3 in turn, then the core */
    *core = (int)(pinning == HEED_PIN_COMPACT ? c : c % 2 * 64 + c / 2 % 8 * 8 + c / 16);
}

static void plans_of_a_big_machine(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 3, 64, 128, 200, 600};
    hwloc_topology_t t = topology_open(BIG, NULL);
    assert_non_null(t);
    hwloc_bitmap_t want = hwloc_bitmap_alloc();
    for (uint32_t pinning = HEED_PIN_COMPACT; pinning <= HEED_PIN_SCATTER; pinning++)
        for (uint32_t smt = 0; smt < 2; smt++)
            for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
                topology_plan *plan = topology_plan_make(t, counts[k], pinning, smt, NULL);
                uint32_t slots = smt ? 256 : 128, workers = counts[k] ? counts[k] : slots;
                assert_non_null(plan);
                assert_int_equal(plan->workers, workers);
                assert_int_equal(plan->slots, slots);
                assert_int_equal(plan->crowd, (workers + slots - 1) / slots);
                for (uint32_t i = 0; i < workers; i++) {
                    int core, thread;
                    expect(pinning, smt, i, &core, &thread);
                    hwloc_bitmap_zero(want);
                    if (thread != 1) hwloc_bitmap_set(want, 2 * (unsigned)core);
                    if (thread != 0) hwloc_bitmap_set(want, 2 * (unsigned)core + 1);
                    assert_true(hwloc_bitmap_isequal(want, plan->place[i].cpus));
                    assert_int_equal(plan->place[i].core, core);
                    assert_int_equal(plan->place[i].package, core / 64);
                    assert_int_equal(plan->place[i].node, core / 64);
                }
                assert_int_equal(topology_try(t, plan), 0);
                topology_plan_free(plan);
            }
    hwloc_bitmap_free(want);
    topology_close(t);
}

static void nothing_is_pinned_with_none_or_without_a_topology(void **state)
{
    (void)state;
    hwloc_topology_t t = topology_open(BIG, NULL);
    for (int known = 0; known < 2; known++) {
        uint32_t pinning = known ? HEED_PIN_NONE : HEED_PIN_COMPACT;
        topology_plan *plan = topology_plan_make(known ? t : NULL, 3, pinning, 0, NULL);
        assert_non_null(plan);
        assert_true(plan->slots >= 1);
        for (uint32_t i = 0; i < 3; i++) assert_null(plan->place[i].cpus);
        topology_plan_free(plan);
    }
    topology_close(t);
}

/* Two nodes a package, packages of unequal size, and no caches at all. */
static void scatter_goes_by_node(void **state)
{
    (void)state;
    hwloc_topology_t t = topology_open("pack:2 group:2 [numa] core:2 pu:1", NULL);
    static const int32_t core[] = {0, 4, 2, 6, 1, 5, 3, 7};
    topology_plan *plan = topology_plan_make(t, 0, HEED_PIN_SCATTER, 0, NULL);
    assert_int_equal(plan->workers, 8);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(plan->place[i].core, core[i]);
        assert_int_equal(plan->place[i].node, core[i] / 2);
    }
    topology_plan_free(plan);

    hwloc_bitmap_t rest = hwloc_bitmap_alloc();
    hwloc_bitmap_sscanf(rest, "0x1f"); /* 4 cores of package 0, one of package 1 */
    assert_int_equal(hwloc_topology_restrict(t, rest, 0), 0);
    static const int32_t package[] = {0, 1, 0, 0, 0};
    plan = topology_plan_make(t, 0, HEED_PIN_SCATTER, 0, NULL);
    assert_int_equal(plan->workers, 5);
    for (uint32_t i = 0; i < 5; i++) assert_int_equal(plan->place[i].package, package[i]);
    topology_plan_free(plan);
    hwloc_bitmap_free(rest);
    topology_close(t);
}

static void a_wrong_synthetic_machine_is_told(void **state)
{
    (void)state;
    heed_error error = {0};
    assert_null(topology_open("pack:two", &error));
    assert_int_equal(error.code, HEED_E_ARGUMENT);
    assert_non_null(strstr(error.text, "pack:two"));
}

/* A plan for a machine that is not this one, bound for real: the system refuses, nothing else happens. */
static void a_bind_that_fails_is_an_errno(void **state)
{
    (void)state;
    cpu_set_t before, after;
    hwloc_topology_t t;
    assert_int_equal(hwloc_topology_init(&t), 0);
    assert_int_equal(hwloc_topology_set_synthetic(t, "core:2048 pu:1"), 0);
    assert_int_equal(hwloc_topology_set_flags(t, HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM), 0);
    assert_int_equal(hwloc_topology_load(t), 0);
    topology_plan *plan = topology_plan_make(t, 2048, HEED_PIN_COMPACT, 0, NULL);
    sched_getaffinity(0, sizeof before, &before);
    assert_int_not_equal(topology_bind(t, plan, 2047), 0);
    assert_int_not_equal(topology_try(t, plan), 0);
    sched_getaffinity(0, sizeof after, &after);
    assert_true(CPU_EQUAL(&before, &after));
    topology_plan_free(plan);
    topology_close(t);
}

#define SKIPPED 77

/* In a child that may use one CPU only, that CPU is the machine. */
static int one_cpu_only(void)
{
    cpu_set_t may, one;
    int cpu = CPU_SETSIZE;
    if (sched_getaffinity(0, sizeof may, &may)) return 1;
    while (--cpu >= 0 && !CPU_ISSET(cpu, &may)) {}
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one)) return 2;
    /* hwloc goes by all threads of the process; an emulator or a sanitizer has one of its own, on all CPUs */
    DIR *tasks = opendir("/proc/self/task");
    int entries = 0;
    while (tasks && readdir(tasks)) entries++;
    if (entries != 3) return SKIPPED;
    closedir(tasks);
    hwloc_topology_t t = topology_open(NULL, NULL);
    topology_plan *plan = t ? topology_plan_make(t, 0, HEED_PIN_SCATTER, 0, NULL) : NULL;
    topology_plan *three = t ? topology_plan_make(t, 3, HEED_PIN_COMPACT, 1, NULL) : NULL;
    if (!plan || !three || plan->workers != 1 || plan->slots != 1 || three->slots != 1 || three->crowd != 3) return 3;
    for (uint32_t i = 0; i < 3; i++) {
        hwloc_const_bitmap_t cpus = three->place[i].cpus;
        if (hwloc_bitmap_weight(cpus) != 1 || !hwloc_bitmap_isset(cpus, (unsigned)cpu)) return 4;
    }
    if (topology_try(t, three)) return 5;
    topology_plan_free(plan);
    topology_plan_free(three);
    topology_close(t);
    return 0;
}

static void a_restricted_process_sees_its_cpus_only(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (!child) _exit(one_cpu_only());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- quota.c ---- */

static void write_below(const char *root, const char *path, const char *text)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", root, path);
    for (char *cut = strchr(name + strlen(root) + 1, '/'); cut; cut = strchr(cut + 1, '/')) {
        *cut = 0;
        mkdir(name, 0755);
        *cut = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#define V1 "40 30 0:40 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define V1_SET "41 30 0:41 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
#define V2 "42 30 0:42 / /sys/fs/cgroup rw shared:1 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V2_OWN "42 30 0:42 /box/me /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"

static void quotas_are_those_of_all_groups_above(void **state)
{
    (void)state;
    static const struct {
        const char *group, *mounts;
        struct { const char *path, *text; } files[6];
        double cpus;
    } cases[] = {
        {"", "", {{0}}, 0},
        {"0::/\n", V2, {{0}}, 0},
        {"0::/\n", V2, {{"cpu.max", "50000 100000\n"}}, 0.5},
        {"0::/\n", V2, {{"cpu.max", "max 100000\n"}}, 0},
        {"0::/\n", V2, {{"cpu.max", "nonsense"}}, 0},
        {"0::/\n", V2, {{"cpu.max", "0 0\n"}}, 0},
        {"0::/a/b\n", V2, {{"a/b/cpu.max", "300000 100000\n"}, {"a/cpu.max", "150000 100000\n"}}, 1.5},
        {"0::/a/b\n", V2, {{"a/b/cpu.max", "max 100000\n"}, {"a/cpu.max", "max 5\n"}, {"cpu.max", "7 2\n"}}, 3.5},
        {"0::/a/b\n", V2, {{"a/c/cpu.max", "1 2\n"}, {"a/b/cpu.max", "4 2\n"}}, 2},
        /* a container: the mount begins at its group, or the group is told as seen from there */
        {"0::/box/me\n", V2_OWN, {{"cpu.max", "200000 100000\n"}}, 2},
        {"0::/box/me/in\n", V2_OWN, {{"cpu.max", "max 1\n"}, {"in/cpu.max", "1 4\n"}}, 0.25},
        {"0::/box/meadow\n", V2_OWN, {{"cpu.max", "5 1\n"}, {"adow/cpu.max", "1 1\n"}}, 5},
        {"0::/../outside\n", V2, {{"cpu.max", "6 1\n"}}, 6},
        /* version 1, alone and beside version 2 */
        {"4:cpu,cpuacct:/a\n", V1_SET V1,
         {{"cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n"}, {"cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}}, 0.5},
        {"4:cpu,cpuacct:/a\n", V1_SET V1,
         {{"cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"}, {"cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}}, 0},
        {"4:cpu,cpuacct:/a\n", V1_SET V1,
         {{"cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"}, {"cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"},
          {"cpu,cpuacct/cpu.cfs_quota_us", "250000\n"}, {"cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}, 2.5},
        {"9:cpuset:/\n4:cpuacct,cpu:/\n0::/b\n", V1 V2,
         {{"cpu,cpuacct/cpu.cfs_quota_us", "30\n"}, {"cpu,cpuacct/cpu.cfs_period_us", "10\n"},
          {"b/cpu.max", "4 1\n"}}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char root[] = "/tmp/heed-quota.XXXXXX", command[64], path[128];
        assert_non_null(mkdtemp(root));
        write_below(root, "proc/self/cgroup", cases[i].group);
        write_below(root, "proc/self/mountinfo", cases[i].mounts);
        for (int f = 0; f < 6 && cases[i].files[f].path; f++) {
            snprintf(path, sizeof path, "sys/fs/cgroup/%s", cases[i].files[f].path);
            write_below(root, path, cases[i].files[f].text);
        }
        double cpus = quota_cpus(root);
        snprintf(command, sizeof command, "rm -rf %s", root);
        assert_int_equal(system(command), 0);
        if (cpus != cases[i].cpus) fail_msg("case %zu: %g CPUs, not %g", i, cpus, cases[i].cpus);
    }
    assert_true(quota_cpus("/nowhere") == 0);
}

static void lanes_are_the_quota_rounded_up(void **state)
{
    (void)state;
    static const struct { double quota; uint32_t slots, lanes; } cases[] = {
        {0, 8, 8}, {0.5, 8, 1}, {0.01, 8, 1}, {1, 8, 1}, {1.01, 8, 2}, {7.5, 8, 8}, {9, 8, 8}, {1e30, 8, 8}, {2, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(quota_lanes(cases[i].quota, cases[i].slots), cases[i].lanes);
}

/* ---- cpu.c ---- */

#define ZEN5 (HEED_CPU_AVX2 | HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16)

static void masks_only_lower(void **state)
{
    (void)state;
    static const struct {
        uint64_t have;
        const char *isa;
        int32_t code;
        uint64_t left;
    } cases[] = {
        {ZEN5, "all", 0, ZEN5},
        {ZEN5, "avx512", 0, HEED_CPU_AVX2 | HEED_CPU_AVX512},
        {ZEN5, "avx512_bf16", 0, ZEN5},
        {HEED_CPU_AVX2 | HEED_CPU_AVX512, "avx512_bf16", HEED_E_UNSUPPORTED, HEED_CPU_AVX2 | HEED_CPU_AVX512},
        {HEED_CPU_AVX2 | HEED_CPU_AVX512, "avx2", 0, HEED_CPU_AVX2},
        {HEED_CPU_AVX2 | HEED_CPU_AVX512, "scalar", 0, 0},
        {HEED_CPU_AVX2 | HEED_CPU_AVX512, "", 0, HEED_CPU_AVX2 | HEED_CPU_AVX512},
        {HEED_CPU_NEON | HEED_CPU_SVE, "neon", 0, HEED_CPU_NEON},
        {HEED_CPU_AVX2, "avx512", HEED_E_UNSUPPORTED, HEED_CPU_AVX2},
        {HEED_CPU_AVX2, "neon", HEED_E_UNSUPPORTED, HEED_CPU_AVX2},
        {HEED_CPU_AVX2, "avx3", HEED_E_ARGUMENT, HEED_CPU_AVX2},
        {0, "avx2", HEED_E_UNSUPPORTED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t features = cases[i].have;
        heed_error error = {0};
        assert_int_equal(cpu_mask(cases[i].isa, &features, &error), cases[i].code);
        assert_int_equal(features, cases[i].left);
        assert_int_equal(error.code, cases[i].code);
        if (cases[i].code) assert_non_null(strstr(error.text, cases[i].isa));
        if (cases[i].code && cases[i].have == HEED_CPU_AVX2) assert_non_null(strstr(error.text, "scalar, avx2"));
    }
    uint64_t features = HEED_CPU_AVX2;
    assert_int_equal(cpu_mask(NULL, &features, NULL), 0);
    assert_int_equal(features, HEED_CPU_AVX2);
}

static void the_processor_is_named_and_consistent(void **state)
{
    (void)state;
    char brand[128] = "", small[4];
    assert_ptr_equal(cpu_brand(brand, sizeof brand), brand);
    assert_true(*brand && *brand != ' ');
    assert_true(strlen(cpu_brand(small, sizeof small)) <= 3);
    uint64_t features = cpu_detect();
    assert_string_equal(cpu_path(features, 0), "scalar");
    if (features & (HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16)) assert_true(features & HEED_CPU_AVX2);
#if defined __x86_64__
    /* the compiler's own idea, where it has one: it looks at XCR0 as well */
    if (features & HEED_CPU_AVX2) assert_true(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    int vl_dq = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    assert_int_equal(vl_dq, (features & HEED_CPU_AVX512) != 0);
#elif defined __aarch64__
    assert_true(features & HEED_CPU_NEON);
#endif
}

#if defined __x86_64__ || defined __aarch64__
static void float_mode_is_set_and_restored(void **state)
{
    (void)state;
#if defined __x86_64__
    uint64_t flush = 0x1f80 | 1u << 15 | 1u << 6; /* FTZ, DAZ */
#else
    uint64_t flush = 1u << 24; /* FZ */
#endif
    volatile float tiny = 1e-39f, two = 2;
    uint64_t former = cpu_float_plain();
    cpu_float_restore(flush);
    if (tiny * two != 0) skip(); /* valgrind never flushes */
    assert_int_equal(cpu_float_plain(), flush);
    assert_true(tiny * two > 0);
    cpu_float_restore(former);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_of_a_big_machine),
        cmocka_unit_test(nothing_is_pinned_with_none_or_without_a_topology),
        cmocka_unit_test(scatter_goes_by_node),
        cmocka_unit_test(a_wrong_synthetic_machine_is_told),
        cmocka_unit_test(a_bind_that_fails_is_an_errno),
        cmocka_unit_test(a_restricted_process_sees_its_cpus_only),
        cmocka_unit_test(quotas_are_those_of_all_groups_above),
        cmocka_unit_test(lanes_are_the_quota_rounded_up),
        cmocka_unit_test(masks_only_lower),
        cmocka_unit_test(the_processor_is_named_and_consistent),
#if defined __x86_64__ || defined __aarch64__
        cmocka_unit_test(float_mode_is_set_and_restored),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
