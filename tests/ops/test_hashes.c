/* SPDX-License-Identifier: MIT
 *
 * test_hashes.c: the same bits on every machine. The hashes below were computed once; each path of each CPU must give
 * them: scalar, AVX2, AVX-512 and NEON. A change of an op's arithmetic changes them, on purpose or not: the test prints
 * the line that it would expect.
 */
#include <stdlib.h>
#include <string.h>

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

static int teardown(void **state)
{
    (void)state;
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
