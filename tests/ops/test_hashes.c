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

static const struct golden {
    const char *spec, *axes;
    uint32_t dtype;
    uint64_t hash;
} golden[] = {
#include "golden_hashes.h"
};

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
        call_case how = {golden[i].spec, golden[i].axes, "", golden[i].dtype, 1, i};
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
            printf("    {\"%s\", \"%s\", %u, 0x%016llx}, on %s\n", golden[i].spec, golden[i].axes, golden[i].dtype,
                   (unsigned long long)h, paths[p]);
            wrong++;
        }
        call_free(&c);
    }
    assert_int_equal(wrong, 0);
}

/* ---- a small stack ---- */

enum { SMALL = 32 << 10, BELOW = 128 << 10, CANARY = 0xc5 };

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

/* Runs it on a thread with 32 KiB of stack, whose guard page has canaries behind it: a frame that is not probed may step
 * over the page and crash nothing. */
static void run_on_small_stack(small_call *s, const char *what, const char *path)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), all = BELOW + page + SMALL;
    unsigned char *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t with;
    pthread_t thread;
    assert_true(map != MAP_FAILED);
    memset(map, CANARY, BELOW);
    mprotect(map + BELOW, page, PROT_NONE);
    pthread_attr_init(&with);
    assert_int_equal(pthread_attr_setstack(&with, map + BELOW + page, SMALL), 0);
    assert_int_equal(pthread_create(&thread, &with, run_small, s), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&with);
    if (s->code) fail_msg("%s on %s: %s", what, path, s->error.text);
    for (size_t i = 0; i < BELOW; i++)
        if (map[i] != CANARY) fail_msg("%s on %s writes %zu bytes behind its stack", what, path, BELOW + page - i);
    munmap(map, all);
}

/* Every op gives its bits on a thread with a small stack, as fibers, other C libraries and pools have it. */
static void test_small_stack(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined __OPTIMIZE__
    puts("SKIPPED small stacks: a sanitizer, or a build that does not optimise, makes frames of another size");
#else
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        call_case how = {golden[i].spec, golden[i].axes, "", golden[i].dtype, 1, i};
        const char *paths[8];
        call c;
        call_make(&c, &how);
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS], once[ORACLE_PORTS];
            heed_instance *instance = call_open(&c, paths[p], 1);
            small_call s = {.instance = instance};
            outputs_make(&c, out), call_once(&c, c.plain, once);
            s.n_in = call_bindings(&c, HEED_INPUT, once, s.in), s.n_out = call_bindings(&c, HEED_OUTPUT, out, s.out);
            run_on_small_stack(&s, golden[i].spec, paths[p]);
            assert_int_equal(hash_outputs(&c, out), golden[i].hash);
            outputs_free(out), heed_instance_close(instance);
        }
        call_free(&c);
    }
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes), cmocka_unit_test(test_small_stack)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
