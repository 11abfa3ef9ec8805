/* SPDX-License-Identifier: MIT
 *
 * test_vectors.c: the fused product of the scalar path, which is the definition of every other path's, against fmaf of
 * the C library: random bits, sums that cancel, results that are subnormal or midpoints, and what is not finite.
 */
#include <math.h>

#include <heed/kit.h>

#include "lib/harness.h"

static float any_float(uint64_t *seed)
{
    static const float special[] = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-149f,
                                    0x1p-126f, 0x1.fffffep127f, 0x1.fffffep-1f, 0x1.000002p0f, 0x1p-63f, 0x1p64f};
    const uint64_t r = harness_random(seed);
    uint32_t bits = (uint32_t)(r >> 32);
    switch (r >> 8 & 15) {
    case 0: return special[(r >> 16) % (sizeof special / sizeof *special)];
    case 1: bits = (bits & 0x807fffffu) | (bits % 7) << 23; break;      /* about as small as there are */
    case 2: bits &= 0xfffff000u; break;                                  /* few bits: exact products */
    case 3: bits = (bits & 0x80000007u) | 0x3f800000u; break;            /* near 1 */
    case 4: bits = (bits & 0xff800000u) | 1u << bits % 23; break;        /* two bits */
    case 5: case 6: case 7: bits = (bits & 0x807fffffu) | (120 + bits % 16) << 23; break;
    }
    return kit_float(bits);
}

static void test_fused(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (long n = harness_quick() ? 20000 : 400000; n > 0; n--) {
        vf a, b, c;
        for (int l = 0; l < 16; l++) {
            a.f[l] = any_float(&seed), b.f[l] = any_float(&seed), c.f[l] = any_float(&seed);
            const uint64_t r = harness_random(&seed) >> 20;
            if (r % 4 == 0) c.f[l] = -(a.f[l] * b.f[l]);                               /* what is left is the rounding */
            if (r % 4 == 1) c.f[l] = ldexpf(a.f[l] * b.f[l], (int)(r >> 8 & 63) - 32); /* one tail behind the other */
        }
        const vf got = v_fma(a, b, c);
        for (int l = 0; l < 16; l++) {
            const float right = fmaf(a.f[l], b.f[l], c.f[l]);
            if (kit_bits(got.f[l]) != kit_bits(right) && !(isnan(got.f[l]) && isnan(right)))
                fail_msg("fma(%a, %a, %a) is %a, not %a", (double)a.f[l], (double)b.f[l], (double)c.f[l],
                         (double)got.f[l], (double)right);
        }
    }
}

#include <heed/kit/next.h>

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
