/* SPDX-License-Identifier: MIT
 *
 * test_dlpack.c: a tensor goes out as DLPack and comes back as the same view; what DLPack can say and we can not is
 * refused with a sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <heed/heed.h>

/* DLTensor, as dlpack.h 0.8 has it. */
typedef struct tensor {
    void *data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} tensor;
typedef struct managed {
    tensor t;
    void *context;
    void (*deleter)(struct managed *);
} managed;

static int released;
static void release(void *owner) { released += *(int *)owner; }

static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t dtype = 0; dtype < HEED_DTYPES; dtype++) {
        double data[64];
        int64_t dim[] = {2, 3, 4};
        int one = 1;
        heed_tensor t = heed_tensor_of(data, dtype, 3, dim), back;
        t.stride[0] = 1, t.stride[1] = 2, t.stride[2] = 6; /* Fortran order */
        managed *m = heed_dlpack_export(&t, &one, release, NULL);
        assert_non_null(m);
        assert_int_equal(heed_dlpack_view(&m->t, &back, NULL), HEED_OK);
        assert_ptr_equal(back.data, t.data);
        assert_int_equal(back.dtype, dtype);
        assert_int_equal(back.bytes, t.bytes);
        assert_memory_equal(back.dim, t.dim, sizeof dim);
        assert_memory_equal(back.stride, t.stride, sizeof dim);
        released = 0;
        m->deleter(m);
        assert_int_equal(released, 1);
    }
}

static void test_contiguous_with_offset(void **state)
{
    (void)state;
    float data[16];
    int64_t shape[] = {3, 4};
    tensor d = {.data = data,
                .device_type = 1,
                .ndim = 2,
                .code = 2,
                .bits = 32,
                .lanes = 1,
                .shape = shape,
                .byte_offset = 16};
    heed_tensor t;
    assert_int_equal(heed_dlpack_view(&d, &t, NULL), HEED_OK);
    assert_ptr_equal(t.data, data + 4);
    assert_int_equal(t.stride[0], 4);
    assert_int_equal(t.bytes, 48);
}

static void test_refusals(void **state)
{
    (void)state;
    float data[16];
    int64_t shape[9] = {2, 2, 1, 1, 1, 1, 1, 1, 1}, negative[] = {-2, 1}, huge[] = {INT64_MAX / 2, 8},
            minus[] = {-1, 2};
    const tensor good = {.data = data, .device_type = 1, .ndim = 2, .code = 2, .bits = 32, .lanes = 1, .shape = shape};
    struct { tensor t; const char *word; } bad[7];
    for (int i = 0; i < 7; i++) bad[i].t = good;
    bad[0].t.device_type = 2, bad[0].word = "device";
    bad[1].t.ndim = 9, bad[1].word = "axes";
    bad[2].t.bits = 80, bad[2].word = "dtype";
    bad[3].t.lanes = 4, bad[3].word = "lanes";
    bad[4].t.strides = negative, bad[4].word = "negative";
    bad[5].t.strides = huge, bad[5].t.shape = (int64_t[]){9, 9}, bad[5].word = "overflow";
    bad[6].t.shape = minus, bad[6].word = "negative";
    for (int i = 0; i < 7; i++) {
        heed_error e = {0};
        heed_tensor t;
        assert_true(heed_dlpack_view(&bad[i].t, &t, &e) < 0);
        if (!strstr(e.text, bad[i].word)) fail_msg("%d: %s", i, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_contiguous_with_offset),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
