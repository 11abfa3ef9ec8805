/* SPDX-License-Identifier: MIT
 *
 * test_hashes.c: the same bits on every machine. The hashes below were computed once; each path of each CPU must give
 * them: scalar, AVX2, AVX-512 and NEON. A change of an op's arithmetic changes them, on purpose or not: the test prints
 * the line that it would expect.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/harness.h"

/* Most rows have no last word. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const struct golden {
    const char *spec, *axes;
    uint32_t dtype;
    uint64_t hash;
    const char *without; /* as call_case has it; NULL: nothing */
} golden[] = {
#include "golden_hashes.h"
};

enum { NUMBERED = 40 }; /* rows whose seed is their number */

static call_case case_of(size_t i)
{
    const struct golden *g = &golden[i];
    /* Rows that came later have one seed, so that two that are added apart can be merged. */
    const uint64_t seed = i < NUMBERED ? i : NUMBERED;
    return (call_case){g->spec, g->axes, g->without ? g->without : "", g->dtype, 1, seed};
}

/* Whether the op is in a row: by its id, or as a setting of another one, "position=t5". */
static int is_in_a_row(const char *id)
{
    const char *name = strchr(id, '/') + 1;
    char setting[128];
    snprintf(setting, sizeof setting, "%.*s=%s", (int)(name - 1 - id), id, name);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const size_t n = strlen(id);
        if (!strncmp(golden[i].spec, id, n) && strchr("(", golden[i].spec[n])) return 1;
        if (strstr(golden[i].spec, setting)) return 1;
    }
    return 0;
}

static void test_every_op(void **state)
{
    const heed_engine *engine = harness_engine(1);
    (void)state;
    assert_true(heed_op_count(engine) > 0);
    for (uint32_t i = 0; i < heed_op_count(engine); i++)
        if (!is_in_a_row(heed_op_at(engine, i)->id))
            fail_msg("%s has no row in golden_hashes.h", heed_op_at(engine, i)->id);
}

static uint64_t hash_outputs(const call *c, const heed_tensor *out)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (uint32_t i = 0; i < c->op->ports.count; i++) {
        const unsigned char *p = out[i].data;
        for (uint64_t b = 0; p && b < (uint64_t)heed_tensor_elements(&out[i]) * heed_dtype_bytes(out[i].dtype); b++)
            h = (h ^ p[b]) * 0x100000001b3u;
    }
    return h;
}

static void test_hashes(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        call_case how = case_of(i);
        call c;
        call_make(&c, &how);
        const char *paths[8];
        int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS];
            call_run(&c, paths[p], 2, PLAIN, out);
            uint64_t h = hash_outputs(&c, out);
            outputs_free(out);
            if (h == golden[i].hash) continue;
            printf("    {\"%s\", \"%s\", %u, 0x%016llx", golden[i].spec, golden[i].axes,
                   golden[i].dtype, (unsigned long long)h);
            if (golden[i].without) printf(", \"%s\"", golden[i].without);
            printf("}, on %s\n", paths[p]);
            wrong++;
        }
        call_free(&c);
    }
    assert_int_equal(wrong, 0);
}

/* ---- a small stack ---- */

enum { SMALL = 32 << 10, BELOW = 128 << 10, BOUND = 16 << 10, CANARY = 0xc5 };

typedef struct small_call {
    const heed_instance *instance;
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    uint32_t n_in, n_out;
    int32_t code;
    heed_error error;
} small_call;

static void *run_small(void *arg)
{
    small_call *s = arg;
    s->code = heed_run(s->instance, s->in, s->n_in, s->out, s->n_out, NULL, &s->error);
    return NULL;
}

/* Runs it on a thread with 32 KiB of stack, or the least that the machine allows (aarch64: 128 KiB), whose guard page has
 * canaries behind it: a frame that is not probed may step over the page and crash nothing. Returns how deep the painted
 * stack was used. */
static size_t run_on_small_stack(small_call *s, const char *what, const char *path)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    const size_t stack = least > SMALL && least <= 1 << 20 ? least : SMALL, all = BELOW + page + stack;
    unsigned char *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t with;
    pthread_t thread;
    assert_true(map != MAP_FAILED);
    memset(map, CANARY, all);
    mprotect(map + BELOW, page, PROT_NONE);
    pthread_attr_init(&with);
    assert_int_equal(pthread_attr_setstack(&with, map + BELOW + page, stack), 0);
    assert_int_equal(pthread_create(&thread, &with, run_small, s), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&with);
    if (s->code) fail_msg("%s on %s: %s", what, path, s->error.text);
    for (size_t i = 0; i < BELOW; i++)
        if (map[i] != CANARY) fail_msg("%s on %s writes %zu bytes behind its stack", what, path, BELOW + page - i);
    size_t unused = 0;
    while (map[BELOW + page + unused] == CANARY) unused++;
    munmap(map, all);
    return stack - unused;
}

/* How deep a row of the table goes on a thread with a small stack, on the deepest of its paths; the bits are the same
 * there as anywhere. */
static size_t depth_of(size_t row)
{
    call_case how = case_of(row);
    const char *paths[8];
    size_t deepest = 0;
    call c;
    call_make(&c, &how);
    const int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor out[ORACLE_PORTS], once[ORACLE_PORTS];
        heed_instance *instance = call_open(&c, paths[p], 1);
        small_call s = {.instance = instance};
        outputs_make(&c, out), call_once(&c, c.plain, once);
        s.n_in = call_bindings(&c, HEED_INPUT, once, s.in),
        s.n_out = call_bindings(&c, HEED_OUTPUT, out, s.out);
        const size_t depth = run_on_small_stack(&s, how.spec, paths[p]);
        assert_int_equal(hash_outputs(&c, out), golden[row].hash);
        deepest = depth > deepest ? depth : deepest;
        outputs_free(out), heed_instance_close(instance);
    }
    call_free(&c);
    return deepest;
}

/* As fibers, other C libraries and pools have it. What the call of an op with next to no frames takes
 * is the engine's and the C library's; the rest is the op's, which has a bound (abi/ABI.md, "Stack"). */
static void test_small_stack(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined __OPTIMIZE__
    puts("SKIPPED small stacks: a sanitizer, or a build that does not optimise, makes frames of another size");
#else
    const size_t rows = sizeof golden / sizeof *golden;
    size_t plain = 0, deepest = 0, at = 0;
    while (plain < rows && strcmp(golden[plain].spec, "residual/add")) plain++;
    const size_t least = depth_of(plain);
    for (size_t i = 0; i < rows; i++) {
        const size_t depth = depth_of(i);
        if (depth > least + BOUND)
            fail_msg("%s takes %zu bytes of the stack, %d are allowed", golden[i].spec,
                     depth - least, BOUND);
        if (depth > deepest) deepest = depth, at = i;
    }
    printf("# the deepest is %s, with %zu bytes; what they stand on is %zu\n", golden[at].spec,
           deepest - least, least);
#endif
}

static int teardown(void **state)
{
    (void)state;
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_op),
                                       cmocka_unit_test(test_hashes),
                                       cmocka_unit_test(test_small_stack)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
