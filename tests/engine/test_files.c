/* SPDX-License-Identifier: MIT
 *
 * test_files: tensors made from shapes, and what is read from and written to .npy and safetensors files.
 *
 * Not for ops. Run it under ASan, UBSan and LSan: the hostile tests ask only that a damaged file is either loaded as
 * something that can be walked from end to end, or refused with a sentence that names the file. All files are made in
 * one folder under TMPDIR, which is gone afterwards.
 */
#include "io/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- helpers ---- */

static char folder[PATH_MAX / 2];

/* A path in the folder; four of them are good at a time. */
static const char *in_folder(const char *name)
{
    static char text[4][PATH_MAX];
    static unsigned next;
    char *to = text[next++ % 4];
    snprintf(to, PATH_MAX, "%s/%s", folder, name);
    return to;
}

static const char *put_file(const char *name, const void *bytes, size_t n)
{
    const char *path = in_folder(name);
    remove(path); /* some file systems wait for the disk when a file is emptied */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (n) assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* The file's content, malloc'ed. */
static unsigned char *get_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

static void empty_folder(void)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) remove(in_folder(e->d_name));
    closedir(d);
}

/* The element of t at an index, found by its strides alone. */
static const char *element(const heed_tensor *t, const int64_t *index)
{
    int64_t at = 0;
    for (int32_t i = 0; i < t->rank; i++) at += index[i] * t->stride[i];
    return (const char *)t->data + at * heed_dtype_bytes(t->dtype);
}

static int step(const heed_tensor *t, int64_t *index)
{
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (++index[i] < t->dim[i]) return 1;
        index[i] = 0;
    }
    return 0;
}

static void assert_same(const heed_tensor *a, const heed_tensor *b)
{
    int64_t index[HEED_MAX_RANK] = {0};
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    for (int32_t i = 0; i < a->rank; i++) assert_int_equal(a->dim[i], b->dim[i]);
    if (heed_tensor_elements(a) == 0) return;
    do assert_memory_equal(element(a, index), element(b, index), heed_dtype_bytes(a->dtype));
    while (step(a, index));
}

static volatile unsigned walked;

/* Touches every element, so that ASan sees one that is not there. */
static void walk(const heed_tensor *t)
{
    int64_t index[HEED_MAX_RANK] = {0};
    assert_true(heed_tensor_elements(t) >= 0);
    assert_non_null(t->data);
    assert_int_equal((uintptr_t)t->data % heed_dtype_bytes(t->dtype), 0);
    if (heed_tensor_elements(t) == 0) return;
    do
        for (uint32_t i = 0; i < heed_dtype_bytes(t->dtype); i++) walked += (unsigned char)element(t, index)[i];
    while (step(t, index));
}

static void assert_sentence(const heed_error *e, int32_t code, const char *path, const char *part)
{
    if (e->code != code || strncmp(e->text, path, strlen(path)) || !strstr(e->text, part))
        fail_msg("code %d, \"%s\"; expected %d, %s: … %s …", (int)e->code, e->text, (int)code, path, part);
}

/* Reads what may be damaged; 1 if it loaded. */
static int try_npy(const char *path)
{
    heed_error e = {0};
    heed_tensor t;
    if (heed_npy_read(path, &t, &e)) {
        assert_true(e.code < 0 && !strncmp(e.text, path, strlen(path)) && strlen(e.text) > strlen(path) + 10);
        return 0;
    }
    walk(&t);
    free(t.data);
    return 1;
}

static int try_weights(const char *path)
{
    heed_error e = {0};
    heed_weights *w = heed_weights_open(path, &e);
    if (!w) {
        assert_true(e.code < 0 && !strncmp(e.text, path, strlen(path)) && strlen(e.text) > strlen(path) + 10);
        return 0;
    }
    for (uint32_t i = 0; i < heed_weights_count(w); i++) walk(heed_weights_find(w, heed_weights_name(w, i)));
    heed_weights_close(w);
    return 1;
}

/* Every value of every one of the first n bytes of a file, put back afterwards; how many still load. */
static int mutate(const char *path, size_t n, int (*attempt)(const char *))
{
    int loaded = 0, fd = open(path, O_RDWR);
    for (size_t at = 0; at < n; at++) {
        unsigned char old, new;
        assert_int_equal(pread(fd, &old, 1, (off_t)at), 1);
        for (int x = 1; x < 256; x++) {
            new = (unsigned char)(old ^ x);
            assert_int_equal(pwrite(fd, &new, 1, (off_t)at), 1);
            loaded += attempt(path);
        }
        assert_int_equal(pwrite(fd, &old, 1, (off_t)at), 1);
    }
    close(fd);
    return loaded;
}

/* ---- tensors ---- */

static const int64_t shapes[][1 + HEED_MAX_RANK] = { /* rank, sizes */
    {0}, {1, 0}, {1, 1}, {1, 7}, {2, 3, 5}, {2, 0, 4}, {2, 4, 0}, {3, 1, 6, 1}, {4, 2, 1, 3, 4}, {5, 2, 2, 2, 2, 2},
    {6, 1, 1, 1, 1, 1, 1}, {7, 2, 1, 2, 1, 2, 1, 3}, {8, 2, 1, 2, 1, 2, 1, 3, 2}, {8, 2, 1, 2, 0, 2, 1, 3, 2},
};

static heed_tensor filled(uint32_t dtype, const int64_t *shape)
{
    heed_tensor t = heed_tensor_of(NULL, dtype, (int32_t)shape[0], shape + 1);
    assert_int_equal(heed_tensor_alloc(&t, NULL), HEED_OK);
    uint32_t x = 1 + dtype;
    for (uint64_t i = 0; i < t.bytes; i++) {
        x = x * 1664525u + 1013904223u;
        ((unsigned char *)t.data)[i] = (unsigned char)(x >> 24);
    }
    return t;
}

static void test_dtypes(void **state)
{
    static const struct { const char *name; uint32_t bytes; } want[HEED_DTYPES] = {
        {"f32", 4}, {"f16", 2}, {"bf16", 2}, {"i8", 1}, {"u8", 1}, {"i32", 4}, {"i64", 8}, {"f64", 8},
    };
    (void)state;
    for (uint32_t i = 0; i < HEED_DTYPES; i++) {
        assert_string_equal(heed_dtype_name(i), want[i].name);
        assert_int_equal(heed_dtype_bytes(i), want[i].bytes);
    }
    assert_string_equal(heed_dtype_name(HEED_DTYPES), "?");
    assert_int_equal(heed_dtype_bytes(UINT32_MAX), 0);
}

static void test_tensor_of(void **state)
{
    int64_t dim[] = {3, 0, 5}, big[] = {INT64_C(1) << 40, INT64_C(1) << 40, 0}, edge[] = {INT64_MAX / 4};
    int64_t less[] = {2, -1};
    int x;
    (void)state;
    heed_tensor t = heed_tensor_of(&x, HEED_F32, 3, dim);
    assert_int_equal(t.size, sizeof t);
    assert_ptr_equal(t.data, &x);
    assert_int_equal(t.bytes, 0);
    assert_int_equal(t.stride[2], 1);
    assert_int_equal(t.stride[1], 5);
    assert_int_equal(t.stride[0], 5);
    assert_int_equal(heed_tensor_elements(&t), 0);
    t = heed_tensor_of(NULL, HEED_F64, 0, NULL);
    assert_int_equal(t.bytes, 8);
    assert_int_equal(heed_tensor_elements(&t), 1);
    t = heed_tensor_of(NULL, HEED_F32, 1, edge);
    assert_int_equal(heed_tensor_elements(&t), INT64_MAX / 4);

    const heed_tensor wrong[] = {
        heed_tensor_of(NULL, HEED_F64, 1, edge),       heed_tensor_of(NULL, HEED_U8, 3, big),
        heed_tensor_of(NULL, HEED_U8, 2, less),        heed_tensor_of(NULL, HEED_DTYPES, 1, dim),
        heed_tensor_of(NULL, HEED_F32, -1, dim),       heed_tensor_of(NULL, HEED_F32, HEED_MAX_RANK + 1, dim),
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        heed_error e = {0};
        heed_tensor copy = wrong[i];
        assert_int_equal(heed_tensor_elements(&copy), -1);
        assert_int_equal(copy.bytes, 0);
        assert_int_equal(heed_tensor_alloc(&copy, &e), HEED_E_SHAPE);
        assert_true(e.text[0]);
        assert_memory_equal(&copy, &wrong[i], sizeof copy);
    }
}

static void test_tensor_alloc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        heed_tensor t = {.dtype = HEED_F16, .rank = (int32_t)shapes[i][0]};
        memcpy(t.dim, shapes[i] + 1, sizeof t.dim);
        assert_int_equal(heed_tensor_alloc(&t, NULL), HEED_OK);
        assert_int_equal((uintptr_t)t.data % 64, 0);
        walk(&t);
        for (uint64_t b = 0; b < t.bytes; b++) assert_int_equal(((char *)t.data)[b], 0);
        free(t.data);
    }
}

/* ---- .npy ---- */

static void test_npy_round_trip(void **state)
{
    const char *path = in_folder("a.npy");
    (void)state;
    for (uint32_t dtype = 0; dtype < HEED_DTYPES; dtype++)
        for (size_t i = 0; i < COUNT(shapes); i++) {
            heed_error e = {0};
            size_t n;
            heed_tensor a = filled(dtype, shapes[i]), b;
            assert_int_equal(heed_npy_write(path, &a, &e), HEED_OK);
            assert_int_equal(heed_npy_read(path, &b, &e), HEED_OK);
            assert_string_equal(e.text, "");
            assert_int_equal(b.size, sizeof b);
            assert_int_equal(b.bytes, a.bytes);
            assert_int_equal((uintptr_t)b.data % 64, 0);
            assert_memory_equal(b.stride, a.stride, sizeof a.stride);
            assert_same(&a, &b);
            unsigned char *bytes = get_file(path, &n);
            assert_int_equal((n - a.bytes) % 64, 0);
            free(bytes);
            free(a.data);
            free(b.data);
            assert_int_equal(files_in_folder(), 1);
            remove(path); /* replacing a file waits for the disk */
        }
}

static void test_npy_strided(void **state)
{
    static const struct { int32_t rank; int64_t dim[4], stride[4]; } views[] = {
        {2, {3, 5}, {1, 3}},                 /* transposed */
        {2, {5, 3}, {7, 2}},                 /* gaps in both */
        {3, {4, 2, 3}, {0, 3, 1}},           /* repeated */
        {3, {2, 3, 4}, {50, 4, 1}},          /* rows side by side, blocks apart */
        {4, {2, 1, 3, 1}, {3, INT64_MAX, 1, INT64_MAX}}, /* a size of 1 has any stride */
        {4, {2, 3, 2, 2}, {1, 2, 12, 6}},
        {1, {6}, {0}},
        {2, {0, 3}, {INT64_MAX, INT64_MAX}},
    };
    static unsigned char memory[1024] __attribute__((aligned(64)));
    const char *path = in_folder("a.npy");
    (void)state;
    for (size_t i = 0; i < sizeof memory; i++) memory[i] = (unsigned char)(i * 37 + (i >> 8));
    for (uint32_t dtype = 0; dtype < HEED_DTYPES; dtype++)
        for (size_t i = 0; i < COUNT(views); i++) {
            heed_error e = {0};
            heed_tensor a = {.size = sizeof a, .dtype = dtype, .rank = views[i].rank}, b;
            a.data = memory;
            a.bytes = sizeof memory;
            memcpy(a.dim, views[i].dim, sizeof views[i].dim);
            memcpy(a.stride, views[i].stride, sizeof views[i].stride);
            assert_int_equal(heed_npy_write(path, &a, &e), HEED_OK);
            assert_int_equal(heed_npy_read(path, &b, &e), HEED_OK);
            assert_same(&a, &b);
            free(b.data);
            remove(path);
        }
}

/* Files as numpy 2.4 saved them; the blanks that pad the header are made here. */
typedef struct saved {
    const char *name, *dict;
    int version, header;     /* header: its length */
    const char *data;
    size_t bytes;
    uint32_t dtype;
    int32_t rank;
    int64_t dim[3], stride[3];
} saved;

static const saved saves[] = {
    {"c", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 1, 118,
     "\0\0\0\0\0\0\x80?\0\0\0@\0\0@@\0\0\x80@\0\0\xa0@", 24, HEED_F32, 2, {2, 3}, {3, 1}},
    {"fortran", "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", 1, 118,
     "\0\0\0\0\3\0\0\0\1\0\0\0\4\0\0\0\2\0\0\0\5\0\0\0", 24, HEED_I32, 2, {2, 3}, {1, 2}},
    {"scalar", "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 1, 118,
     "\0\0\0\0\0\0\xc@", 8, HEED_F64, 0, {0}, {0}},
    {"empty", "{'descr': '<i8', 'fortran_order': False, 'shape': (0, 4), }", 1, 118,
     "", 0, HEED_I64, 2, {0, 4}, {4, 1}},
    {"bytes", "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", 1, 118,
     "\1\2\3", 3, HEED_U8, 1, {3}, {1}},
    {"version 2", "{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }", 2, 116,
     "\xff\2", 2, HEED_I8, 1, {2}, {1}},
    {"version 3", "{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }", 3, 116,
     "\0\x3c\0\x3e", 4, HEED_F16, 1, {2}, {1}},
    {"bf16", "{'descr': '<V2', 'fortran_order': False, 'shape': (1, 2), }", 1, 118,
     "\x80?\0@", 4, HEED_BF16, 2, {1, 2}, {2, 1}},
    {"raw bf16", "{'descr': '|V2', 'fortran_order': True, 'shape': (1, 2, 1), }", 1, 118,
     "\x80?\0@", 4, HEED_BF16, 3, {1, 2, 1}, {1, 1, 2}},
    /* legal, but not as numpy writes it now */
    {"native", "{\"shape\":(1L,),'fortran_order':False ,'descr':'=f4'}", 1, 70,
     "\0\0\0\0", 4, HEED_F32, 1, {1}, {1}},
    {"bare", "{ 'descr' : 'i4' , 'fortran_order':False,'shape':( 1 , 1 ) }", 1, 60,
     "\0\0\0\0", 4, HEED_I32, 2, {1, 1}, {1, 1}},
    {"trailing bytes", "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", 1, 118,
     "\0\0\0\0abc", 7, HEED_I32, 1, {1}, {1}},
};

/* Lays the file out; its size. */
static size_t lay_out(unsigned char *to, int version, size_t header, const char *dict, const void *data, size_t bytes)
{
    size_t start = version == 1 ? 10 : 12;
    memset(to, 0, start);
    memcpy(to, "\x93NUMPY", 6);
    to[6] = (unsigned char)version;
    to[8] = (unsigned char)header;
    to[9] = (unsigned char)(header >> 8);
    memset(to + start, ' ', header);
    memcpy(to + start, dict, strlen(dict));
    if (header > strlen(dict)) to[start + header - 1] = '\n';
    memcpy(to + start + header, data, bytes);
    return start + header + bytes;
}

static void test_npy_as_numpy(void **state)
{
    unsigned char file[512];
    (void)state;
    for (size_t i = 0; i < COUNT(saves); i++) {
        const saved *s = &saves[i];
        heed_error e = {0};
        heed_tensor t;
        size_t n = lay_out(file, s->version, (size_t)s->header, s->dict, s->data, s->bytes);
        if (heed_npy_read(put_file("a.npy", file, n), &t, &e)) fail_msg("%s: %s", s->name, e.text);
        assert_int_equal(t.dtype, s->dtype);
        assert_int_equal(t.rank, s->rank);
        assert_memory_equal(t.dim, s->dim, sizeof *t.dim * (size_t)t.rank);
        assert_memory_equal(t.stride, s->stride, sizeof *t.stride * (size_t)t.rank);
        assert_memory_equal(t.data, s->data, t.bytes);
        walk(&t);
        free(t.data);
    }
}

static void test_npy_written_bytes(void **state)
{
    unsigned char file[512];
    int64_t dim[] = {2, 3};
    float data[] = {0, 1, 2, 3, 4, 5};
    const char *path = in_folder("a.npy");
    size_t n, want = lay_out(file, 1, 118, saves[0].dict, saves[0].data, saves[0].bytes);
    heed_tensor t = heed_tensor_of(data, HEED_F32, 2, dim);
    (void)state;
    assert_int_equal(heed_npy_write(path, &t, NULL), HEED_OK);
    unsigned char *bytes = get_file(path, &n);
    assert_int_equal(n, want);
    assert_memory_equal(bytes, file, n);
    free(bytes);
}

#define DICT(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static void test_npy_refused(void **state)
{
    static const struct { const char *dict; int32_t code; const char *part; } bad[] = {
        {DICT("'>f4'", "False", "(1,)"), HEED_E_UNSUPPORTED, "big-endian"},
        {DICT("'<f3'", "False", "(1,)"), HEED_E_UNSUPPORTED, "'<f3' is not read"},
        {DICT("'|f4'", "False", "(1,)"), HEED_E_UNSUPPORTED, "'|f4' is not read"},
        {DICT("'<V4'", "False", "(1,)"), HEED_E_UNSUPPORTED, "'<V4' is not read"},
        {DICT("'|O'", "False", "(1,)"), HEED_E_UNSUPPORTED, "'|O' is not read"},
        {DICT("''", "False", "(1,)"), HEED_E_UNSUPPORTED, "is not read"},
        {DICT("[('x', '<f4')]", "False", "(1,)"), HEED_E_UNSUPPORTED, "structured"},
        {DICT("3", "False", "(1,)"), HEED_E_DATA, "should be a dtype in quotes"},
        {DICT("'<f\\x34'", "False", "(1,)"), HEED_E_DATA, "should be a dtype in quotes"},
        {DICT("'<f4", "False", "(1,)"), HEED_E_UNSUPPORTED, "is not read"},
        {DICT("'<f4'", "false", "(1,)"), HEED_E_DATA, "True or False"},
        {DICT("'<f4'", "1", "(1,)"), HEED_E_DATA, "True or False"},
        {DICT("'<f4'", "False", "(-1,)"), HEED_E_DATA, "negative size"},
        {DICT("'<f4'", "False", "(1)"), HEED_E_DATA, "should be ','"},
        {DICT("'<f4'", "False", "(,)"), HEED_E_DATA, "a size of the shape"},
        {DICT("'<f4'", "False", "(1 2)"), HEED_E_DATA, "should be ','"},
        {DICT("'<f4'", "False", "(1, 2 3)"), HEED_E_DATA, "',' or ')'"},
        {DICT("'<f4'", "False", "(1.5,)"), HEED_E_DATA, "should be ','"},
        {DICT("'<f4'", "False", "[1]"), HEED_E_DATA, "'('"},
        {DICT("'<f4'", "False", "(1,"), HEED_E_DATA, "a size of the shape"},
        {DICT("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), HEED_E_UNSUPPORTED, "more than 8 axes"},
        {DICT("'<f4'", "False", "(9223372036854775808,)"), HEED_E_DATA, "does not fit 64 bits"},
        {DICT("'<f4'", "False", "(99999999999999999999999,)"), HEED_E_DATA, "does not fit 64 bits"},
        {DICT("'<f4'", "False", "(9223372036854775807,)"), HEED_E_DATA, "can hold the shape (9223372036854775807,)"},
        {DICT("'|u1'", "False", "(4294967296, 4294967296)"), HEED_E_DATA, "no memory can hold"},
        {DICT("'|u1'", "True", "(0, 4294967296, 4294967296)"), HEED_E_DATA, "no memory can hold"},
        {DICT("'|u1'", "False", "(9223372036854775807,)"), HEED_E_DATA,
         "cut short: u8 data of shape (9223372036854775807,) should have 9223372036854775807 bytes, and 8 are there"},
        {DICT("'<f4'", "False", "(3,)"), HEED_E_DATA,
         "cut short: f32 data of shape (3,) should have 12 bytes, and 8 are there"},
        {"{'descr': '<f4', 'fortran_order': False}", HEED_E_DATA, "no 'shape'"},
        {"{}", HEED_E_DATA, "no 'descr'"},
        {"{,}", HEED_E_DATA, "a key in quotes"},
        {"", HEED_E_DATA, "'{'"},
        {"[]", HEED_E_DATA, "'{'"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", HEED_E_DATA, "'descr' twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", HEED_E_DATA, "unknown key 'x'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", HEED_E_DATA, "should be the last"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': ()}", HEED_E_DATA, "',' or '}'"},
        {"{'descr' '<f4', 'fortran_order': False, 'shape': ()}", HEED_E_DATA, "':'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()", HEED_E_DATA, "',' or '}'"},
    };
    unsigned char file[512];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        heed_error e = {0};
        heed_tensor t, before;
        memset(&t, 0x5A, sizeof t);
        before = t;
        const char *path = put_file("a.npy", file, lay_out(file, 1, 118, bad[i].dict, "12345678", 8));
        assert_int_equal(heed_npy_read(path, &t, &e), bad[i].code);
        assert_sentence(&e, bad[i].code, path, bad[i].part);
        assert_memory_equal(&t, &before, sizeof t);
        assert_int_equal(heed_npy_read(path, &t, NULL), bad[i].code);
    }
}

static void test_npy_not_one(void **state)
{
    static const unsigned char wrong[] = "PK\3\4 and so on, for some bytes", format[] = "\x93NUMPY\4\0\0\0{}",
                               minor[] = "\x93NUMPY\1\1\0\0{}", huge[] = "\x93NUMPY\2\0\xff\xff\xff\xff{}";
    const struct { const void *bytes; size_t n; int32_t code; const char *part; } bad[] = {
        {wrong, sizeof wrong, HEED_E_DATA, "not a .npy file"},
        {format, sizeof format, HEED_E_UNSUPPORTED, "format 4.0"},
        {minor, sizeof minor, HEED_E_UNSUPPORTED, "format 1.1"},
        {huge, sizeof huge, HEED_E_DATA, "the header should have 4294967295 bytes, and 3 are there"},
        {"", 0, HEED_E_DATA, "magic and version should have 8 bytes, and 0 are there"},
    };
    heed_error e;
    heed_tensor t;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *path = put_file("a.npy", bad[i].bytes, bad[i].n);
        assert_int_equal(heed_npy_read(path, &t, &e), bad[i].code);
        assert_sentence(&e, bad[i].code, path, bad[i].part);
    }
    unsigned char *large = calloc(1, 100000);
    lay_out(large, 2, 0, "", "", 0);
    large[8] = large[10] = 1; /* a header of 65537 bytes */
    const char *path = put_file("a.npy", large, 100000);
    assert_int_equal(heed_npy_read(path, &t, &e), HEED_E_DATA);
    assert_sentence(&e, HEED_E_DATA, path, "longer than the 65536 allowed");
    free(large);
    assert_int_equal(heed_npy_read(folder, &t, &e), HEED_E_DATA);
    assert_sentence(&e, HEED_E_DATA, folder, "a folder");
    path = in_folder("none.npy");
    assert_int_equal(heed_npy_read(path, &t, &e), HEED_E_SYSTEM);
    assert_sentence(&e, HEED_E_SYSTEM, path, "cannot be opened");
}

static void test_npy_cut_short(void **state)
{
    unsigned char file[512];
    (void)state;
    for (size_t i = 0; i < 9; i++) {
        const saved *s = &saves[i];
        size_t n = lay_out(file, s->version, (size_t)s->header, s->dict, s->data, s->bytes);
        for (size_t cut = 0; cut < n; cut++) {
            heed_error e = {0};
            heed_tensor t;
            const char *path = put_file("a.npy", file, cut);
            assert_int_equal(heed_npy_read(path, &t, &e), HEED_E_DATA);
            assert_sentence(&e, HEED_E_DATA, path, "cut short");
        }
    }
}

static void test_npy_mutated(void **state)
{
    unsigned char file[512];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const saved *s = &saves[i];
        size_t n = lay_out(file, s->version, (size_t)s->header, s->dict, s->data, s->bytes);
        assert_true(mutate(put_file("a.npy", file, n), n, try_npy) > 0);
    }
}

/* Reads from a pipe of unknown size, which a child fills: more than the first chunk, then less than was promised. */
static void test_npy_pipe(void **state)
{
    const int64_t shape[] = {2, 3, 200000};
    heed_tensor a = filled(HEED_F32, shape), b;
    size_t n;
    (void)state;
    const char *path = in_folder("a.npy");
    assert_int_equal(heed_npy_write(path, &a, NULL), HEED_OK);
    unsigned char *bytes = get_file(path, &n);
    for (size_t missing = 0; missing < 2; missing++) {
        heed_error e = {0};
        int ends[2];
        char name[32];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            for (size_t at = 0; at < n - missing;) {
                ssize_t wrote = write(ends[1], bytes + at, n - missing - at);
                if (wrote <= 0) break;
                at += (size_t)wrote;
            }
            _exit(0);
        }
        close(ends[1]);
        snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
        int32_t code = heed_npy_read(name, &b, &e);
        close(ends[0]);
        waitpid(child, NULL, 0);
        assert_int_equal(code, missing ? HEED_E_DATA : HEED_OK);
        if (missing) assert_sentence(&e, HEED_E_DATA, name, "cut short");
        else {
            assert_int_equal((uintptr_t)b.data % 64, 0);
            assert_memory_equal(a.data, b.data, a.bytes);
            free(b.data);
        }
    }
    free(bytes);
    free(a.data);
}

static void test_npy_to_pipe(void **state)
{
    const int64_t shape[] = {1, 5};
    heed_tensor a = filled(HEED_I64, shape), b;
    (void)state;
    for (int standard = 0; standard < 2; standard++) {
        int ends[2], old = dup(STDOUT_FILENO);
        char in[32], out[32];
        assert_int_equal(pipe(ends), 0);
        snprintf(in, sizeof in, "/dev/fd/%d", ends[0]);
        snprintf(out, sizeof out, "/dev/fd/%d", ends[1]);
        fflush(stdout);
        if (standard) dup2(ends[1], STDOUT_FILENO);
        int32_t wrote = heed_npy_write(standard ? "/dev/stdout" : out, &a, NULL);
        dup2(old, STDOUT_FILENO);
        close(old);
        close(ends[1]);
        assert_int_equal(wrote, HEED_OK);
        assert_int_equal(heed_npy_read(in, &b, NULL), HEED_OK);
        close(ends[0]);
        assert_same(&a, &b);
        free(b.data);
    }
    free(a.data);
}

/* Whatever fails, the old file is whole and nothing is left beside it. */
static void test_npy_write_fails(void **state)
{
    const int64_t shape[] = {1, 5000}, no_shape[] = {-1}, five[] = {5};
    static const float data[5];
    heed_error e = {0};
    heed_tensor old = filled(HEED_F32, shape), new = filled(HEED_F64, shape), back;
    const heed_tensor none = heed_tensor_of((void *)data, HEED_F32, 1, no_shape);
    heed_tensor beyond = heed_tensor_of((void *)data, HEED_F32, 1, five), empty = beyond, backwards = beyond;
    (void)state;
    beyond.bytes--;
    empty.data = NULL;
    backwards.stride[0] = -1;
    const char *path = in_folder("a.npy");
    assert_int_equal(heed_npy_write(path, &old, NULL), HEED_OK);
    assert_int_equal(heed_npy_write(path, &none, &e), HEED_E_SHAPE);
    assert_sentence(&e, HEED_E_SHAPE, path, "no valid shape");
    assert_int_equal(heed_npy_write(path, &beyond, &e), HEED_E_SHAPE);
    assert_sentence(&e, HEED_E_SHAPE, path, "reaches element 4 and has 19 bytes");
    assert_int_equal(heed_npy_write(path, &backwards, &e), HEED_E_SHAPE);
    assert_sentence(&e, HEED_E_SHAPE, path, "stride -1");
    assert_int_equal(heed_npy_write(path, &empty, &e), HEED_E_ARGUMENT);
    assert_sentence(&e, HEED_E_ARGUMENT, path, "no data");

    /* a file that may not grow so large stands for a full disk */
    struct rlimit limit, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 30000;
    setrlimit(RLIMIT_FSIZE, &small);
    int32_t code = heed_npy_write(path, &new, &e);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_int_equal(code, HEED_E_SYSTEM);
    assert_sentence(&e, HEED_E_SYSTEM, path, "cannot be written: File too large");

    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(heed_npy_read(path, &back, NULL), HEED_OK);
    assert_same(&old, &back);
    free(back.data);

    const char *nowhere = in_folder("none/a.npy");
    assert_int_equal(heed_npy_write(nowhere, &old, &e), HEED_E_SYSTEM);
    assert_sentence(&e, HEED_E_SYSTEM, nowhere, "cannot be written");
    assert_int_equal(heed_npy_write(folder, &old, &e), HEED_E_SYSTEM);
    assert_sentence(&e, HEED_E_SYSTEM, folder, "Is a directory");
    if (!access("/dev/full", W_OK)) {
        assert_int_equal(heed_npy_write("/dev/full", &old, &e), HEED_E_SYSTEM);
        assert_sentence(&e, HEED_E_SYSTEM, "/dev/full", "No space left");
    }
    free(old.data);
    free(new.data);
}

static void test_npy_replaces(void **state)
{
    const int64_t shape[] = {1, 5};
    heed_tensor a = filled(HEED_F32, shape), b;
    struct stat st;
    (void)state;
    const char *path = put_file("a.npy", "old", 3), *link = in_folder("link.npy");
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(symlink("a.npy", link), 0);
    assert_int_equal(heed_npy_write(link, &a, NULL), HEED_OK);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0604);
    assert_int_equal(heed_npy_read(path, &b, NULL), HEED_OK);
    assert_same(&a, &b);
    assert_int_equal(files_in_folder(), 2);
    free(a.data);
    free(b.data);
}

/* Links that lead nowhere yet, by a name of its own folder and by another link; and a file with two names. */
static void test_npy_links(void **state)
{
    const int64_t shape[] = {1, 5};
    heed_tensor a = filled(HEED_F32, shape), b;
    struct stat st;
    (void)state;
    const char *one = in_folder("one.npy"), *two = in_folder("two.npy"), *target = in_folder("target.npy");
    assert_int_equal(symlink("target.npy", one) || symlink(one, two), 0);
    assert_int_equal(heed_npy_write(two, &a, NULL), HEED_OK);
    assert_true(!lstat(one, &st) && S_ISLNK(st.st_mode) && !lstat(two, &st) && S_ISLNK(st.st_mode));
    assert_true(!lstat(target, &st) && S_ISREG(st.st_mode));
    assert_int_equal(heed_npy_read(two, &b, NULL), HEED_OK);
    assert_same(&a, &b);
    free(b.data);

    const char *path = put_file("a.npy", "old", 3), *other = in_folder("other.npy");
    heed_error e;
    assert_int_equal(link(path, other), 0);
    assert_int_equal(heed_npy_write(other, &a, NULL), HEED_OK);
    assert_true(!lstat(path, &st) && st.st_nlink == 2);
    assert_int_equal(heed_npy_read(path, &b, NULL), HEED_OK);
    assert_same(&a, &b);
    free(b.data);
    assert_int_equal(files_in_folder(), 5);

    const char *loop = in_folder("loop.npy"), *nowhere = in_folder("nowhere.npy");
    assert_int_equal(symlink("loop.npy", loop) || symlink("none/x.npy", nowhere), 0);
    assert_int_equal(heed_npy_write(loop, &a, &e), HEED_E_SYSTEM);
    assert_int_equal(heed_npy_write(nowhere, &a, &e), HEED_E_SYSTEM);
    assert_true(!lstat(nowhere, &st) && S_ISLNK(st.st_mode));
    assert_int_equal(files_in_folder(), 7);
    free(a.data);
}

/* Killed in the middle, by what no program can catch: nothing is left of it, where the file system has files without a
 * name, and what was there is as it was. */
static int killed(FILE *to, const void *arg)
{
    fputs(arg, to);
    fflush(to);
    kill(getpid(), SIGKILL);
    return 0;
}

static void test_killed(void **state)
{
    (void)state;
    char text[4] = "";
    int fd = open(folder, O_WRONLY | O_TMPFILE, 0600), status;
    if (fd < 0) skip();
    close(fd);
    const char *path = put_file("a.npy", "old", 3);
    const char *const paths[] = {path, in_folder("new.npy")};
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (!child) {
            replace_file(paths[i], killed, "half", NULL);
            _exit(0);
        }
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_int_equal(files_in_folder(), 1);
    FILE *old = fopen(path, "r");
    assert_int_equal(fread(text, 1, 3, old), 3);
    fclose(old);
    assert_string_equal(text, "old");
}

/* ---- safetensors ---- */

/* Length, header and data, where the length is `claimed` unless that is 0. */
static const char *put_weights(const char *json, uint64_t claimed, const void *data, size_t bytes)
{
    static unsigned char file[8192];
    size_t n = strlen(json);
    assert_true(8 + n + bytes <= sizeof file);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((claimed ? claimed : n) >> (8 * i));
    memcpy(file + 8, json, n);
    if (bytes) memcpy(file + 8 + n, data, bytes);
    return put_file("a.safetensors", file, 8 + n + bytes);
}

#define INFO(dtype, shape, offsets) "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{\"a\":" INFO(dtype, shape, offsets) "}"

static const char small[] = "{\"__metadata__\":{\"k\":\"v\"},\"a\":" INFO("\"F32\"", "[2]", "[0,8]")
                            ",\"b\":" INFO("\"I8\"", "[4,1]", "[8,12]") "}  ";
static const char twelve[] = "0123456789AB";

static void test_weights_read(void **state)
{
    static const char *const names[HEED_DTYPES] = {"F32", "F16", "BF16", "I8", "U8", "I32", "I64", "F64"};
    char json[4096], data[512];
    int n = snprintf(json, sizeof json, "{\"__metadata__\":{\"heed.spec\":\"layers=1\\nvocab=2\",\"empty\":\"\"}");
    (void)state;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    size_t at = 0;
    for (uint32_t i = HEED_DTYPES; i-- > 0;) { /* names in the reverse of their order */
        size_t bytes = 6 * heed_dtype_bytes(i);
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"w%u ü/\\\"\":" INFO("\"%s\"", "[2,3]", "[%zu,%zu]"),
                      i, names[i], at, at + bytes);
        at += bytes;
    }
    snprintf(json + n, sizeof json - (size_t)n, ",\"zero\":" INFO("\"F64\"", "[0,9]", "[%zu,%zu]") ",\"\":"
             INFO("\"U8\"", "[]", "[%zu,%zu]") "}", at, at, at, at + 1);
    for (int shift = 0; shift < 9; shift++) { /* all alignments of the data */
        heed_error e = {0};
        heed_weights *w = heed_weights_open(put_weights(json, 0, data, at + 1), &e);
        if (!w) fail_msg("%s", e.text);
        assert_int_equal(heed_weights_count(w), HEED_DTYPES + 2);
        assert_string_equal(heed_weights_metadata(w, "heed.spec"), "layers=1\nvocab=2");
        assert_string_equal(heed_weights_metadata(w, "empty"), "");
        assert_null(heed_weights_metadata(w, "none"));
        assert_null(heed_weights_find(w, "none"));
        assert_null(heed_weights_find(w, "__metadata__"));
        assert_null(heed_weights_name(w, HEED_DTYPES + 2));
        assert_int_equal(heed_tensor_elements(heed_weights_find(w, "zero")), 0);
        assert_int_equal(heed_weights_find(w, "")->rank, 0);
        size_t place = at;
        for (uint32_t i = 0; i < HEED_DTYPES; i++) {
            char name[32];
            snprintf(name, sizeof name, "w%u ü/\"", i);
            assert_string_equal(heed_weights_name(w, i + 1), name);
            const heed_tensor *t = heed_weights_find(w, name);
            walk(t);
            assert_int_equal(t->dtype, i);
            assert_int_equal(t->rank, 2);
            assert_int_equal(t->stride[0], 3);
            place -= t->bytes;
            assert_memory_equal(t->data, data + place, t->bytes);
        }
        heed_weights_close(w);
        strcat(json, " "); /* padding */
    }
    heed_weights_close(NULL);
}

static void test_weights_empty(void **state)
{
    heed_error e = {0};
    (void)state;
    heed_weights *w = heed_weights_open(put_weights("{}", 0, "", 0), &e);
    assert_non_null(w);
    assert_int_equal(heed_weights_count(w), 0);
    assert_null(heed_weights_name(w, 0));
    assert_null(heed_weights_find(w, ""));
    assert_null(heed_weights_metadata(w, "x"));
    heed_weights_close(w);
}

static void test_weights_refused(void **state)
{
    static const struct { const char *json; int32_t code; const char *part; } bad[] = {
        {ONE("\"F8_E4M3\"", "[12]", "[0,12]"), HEED_E_UNSUPPORTED, "tensor 'a' has dtype 'F8_E4M3', which is not"},
        {ONE("\"\\u009b\\u001b\"", "[12]", "[0,12]"), HEED_E_UNSUPPORTED, "dtype '?" "?" "?'"},
        {ONE("4", "[12]", "[0,12]"), HEED_E_DATA, "has no dtype"},
        {ONE("\"U8\"", "[-12]", "[0,12]"), HEED_E_DATA, "has no shape"},
        {ONE("\"U8\"", "12", "[0,12]"), HEED_E_DATA, "has no shape"},
        {ONE("\"U8\"", "[12.0]", "[0,12]"), HEED_E_DATA, "has no shape"},
        {ONE("\"U8\"", "[1,1,1,1,1,1,1,1,12]", "[0,12]"), HEED_E_DATA, "up to 8 sizes"},
        {ONE("\"U8\"", "[4294967296,4294967296]", "[0,0]"), HEED_E_DATA, "no memory can hold"},
        {ONE("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), HEED_E_DATA, "no memory can hold"},
        {ONE("\"F64\"", "[2305843009213693952]", "[0,0]"), HEED_E_DATA, "no memory can hold"},
        {ONE("\"U8\"", "[9223372036854775807]", "[0,9223372036854775807]"), HEED_E_DATA, "the file has 12 bytes of"},
        {ONE("\"U8\"", "[9223372036854775808]", "[0,12]"), HEED_E_DATA, "JSON"},
        {ONE("\"U8\"", "[12]", "[0,13]"), HEED_E_DATA, "data_offsets 0 and 13, and the file has 12 bytes"},
        {ONE("\"U8\"", "[0]", "[13,13]"), HEED_E_DATA, "data_offsets 13 and 13"},
        {ONE("\"U8\"", "[1]", "[3,2]"), HEED_E_DATA, "data_offsets 3 and 2"},
        {ONE("\"U8\"", "[1]", "[-1,0]"), HEED_E_DATA, "has no data_offsets"},
        {ONE("\"U8\"", "[1]", "[0]"), HEED_E_DATA, "has no data_offsets"},
        {ONE("\"U8\"", "[1]", "[0,1,2]"), HEED_E_DATA, "has no data_offsets"},
        {ONE("\"F32\"", "[2]", "[0,12]"), HEED_E_DATA, "a shape of 8 bytes, and data_offsets for 12"},
        {ONE("\"F32\"", "[4]", "[0,12]"), HEED_E_DATA, "a shape of 16 bytes, and data_offsets for 12"},
        {"{\"a\":" INFO("\"U8\"", "[8]", "[0,8]") ",\"b\":" INFO("\"U8\"", "[8]", "[4,12]") "}",
         HEED_E_DATA, "tensor 'b' overlaps tensor 'a'"},
        {"{\"a\":" INFO("\"U8\"", "[8]", "[0,8]") ",\"b\":" INFO("\"U8\"", "[8]", "[0,8]") "}",
         HEED_E_DATA, "overlaps"},
        {"{\"a\":" INFO("\"U8\"", "[12]", "[0,12]") ",\"z\":" INFO("\"U8\"", "[0]", "[4,4]") ",\"b\":"
         INFO("\"U8\"", "[2]", "[8,10]") "}", HEED_E_DATA, "tensor 'b' overlaps tensor 'a'"},
        {ONE("\"U8\"", "[8]", "[0,8]"), HEED_E_DATA, "the last 4 of its bytes belong to no tensor"},
        {"{}", HEED_E_DATA, "the last 12 of its bytes belong to no tensor"},
        {ONE("\"U8\"", "[8]", "[4,12]"), HEED_E_DATA, "tensor 'a' begins 4 bytes behind what is before it"},
        {"{\"a\":" INFO("\"U8\"", "[4]", "[0,4]") ",\"b\":" INFO("\"U8\"", "[6]", "[6,12]") "}", HEED_E_DATA,
         "tensor 'b' begins 2 bytes behind what is before it"},
        {"{\"a\":" INFO("\"U8\"", "[4]", "[0,4]") ",\"a\":" INFO("\"U8\"", "[4]", "[4,8]") "}",
         HEED_E_DATA, "duplicate"},
        {"{\"a\\u001b\":" INFO("\"U8\"", "[4]", "[0,4]") "}", HEED_E_DATA, "tensor 'a?' has control characters"},
        {"{\"a\\u0000\":" INFO("\"U8\"", "[4]", "[0,4]") "}", HEED_E_DATA, "JSON"},
        {"{\"a\xff\":" INFO("\"U8\"", "[4]", "[0,4]") "}", HEED_E_DATA, "JSON"},
        {"{\"a\":[]}", HEED_E_DATA, "is no object"},
        {"{\"a\":{}}", HEED_E_DATA, "has no dtype"},
        {"{\"a\":null}", HEED_E_DATA, "is no object"},
        {"{\"__metadata__\":[]}", HEED_E_DATA, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"x\":1}}", HEED_E_DATA, "entry 'x' is no string"},
        {"[]", HEED_E_DATA, "no object"},
        {"3", HEED_E_DATA, "JSON"},
        {"{", HEED_E_DATA, "JSON"},
        {"{} {}", HEED_E_DATA, "JSON"},
        {"    ", HEED_E_DATA, "JSON"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        heed_error e = {0};
        const char *path = put_weights(bad[i].json, 0, twelve, 12);
        assert_null(heed_weights_open(path, &e));
        assert_sentence(&e, bad[i].code, path, bad[i].part);
        assert_null(heed_weights_open(path, NULL));
    }
    char deep[6000] = "{\"a\":";
    heed_error e = {0};
    memset(deep + 5, '[', sizeof deep - 6);
    const char *path = put_weights(deep, 0, "", 0);
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_DATA, path, "JSON");
    snprintf(deep, sizeof deep, "{\"%0200d\":1}", 7); /* a long name does not push the sentence out */
    path = put_weights(deep, 0, "", 0);
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_DATA, path, "000...' is no object");
}

static void test_weights_not_one(void **state)
{
    static const uint64_t lengths[] = {11, 100, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 7,
                                       UINT64_MAX};
    heed_error e;
    const char *path;
    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        path = put_weights("{}", lengths[i], "12345678", 8);
        assert_null(heed_weights_open(path, &e));
        assert_sentence(&e, HEED_E_DATA, path, "the header should have");
    }
    path = put_file("a.safetensors", "", 0);
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_DATA, path, "empty");
    path = put_file("a.safetensors", "\x80\2}q\0(X\5\0\0\0 a pickle", 20);
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_DATA, path, "not a safetensors file");
    assert_null(heed_weights_open(folder, &e));
    assert_sentence(&e, HEED_E_DATA, folder, "a folder");
    path = in_folder("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_DATA, path, "a pipe");
    path = in_folder("none");
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_SYSTEM, path, "cannot be opened");
    if (geteuid()) { /* root may read all */
        path = put_weights("{}", 0, "", 0);
        chmod(path, 0);
        assert_null(heed_weights_open(path, &e));
        assert_sentence(&e, HEED_E_SYSTEM, path, "Permission denied");
    }
    /* a hole of 100 MB and some where the header should be: refused for its length, and not read */
    path = put_weights("{}", 100000001, "", 0);
    assert_int_equal(truncate(path, 100000100), 0);
    assert_null(heed_weights_open(path, &e));
    assert_sentence(&e, HEED_E_DATA, path, "longer than the 100000000 allowed");
}

static void test_weights_cut_short(void **state)
{
    size_t n;
    (void)state;
    unsigned char *bytes = get_file(put_weights(small, 0, twelve, 12), &n);
    assert_true(try_weights(in_folder("a.safetensors")));
    for (size_t cut = 0; cut < n; cut++) assert_false(try_weights(put_file("a.safetensors", bytes, cut)));
    free(bytes);
}

static void test_weights_mutated(void **state)
{
    (void)state;
    const char *path = put_weights(small, 0, twelve, 12);
    assert_true(mutate(path, 8 + strlen(small), try_weights) > 0);
    assert_true(try_weights(path));
}

/* ---- all of them ---- */

static int start(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/heed-files-XXXXXX", base && *base ? base : "/tmp");
    return !mkdtemp(folder);
}

static int clean(void **state)
{
    (void)state;
    empty_folder();
    return 0;
}

static int end(void **state)
{
    (void)state;
    empty_folder();
    return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dtypes), TEST(test_tensor_of), TEST(test_tensor_alloc),
        TEST(test_npy_round_trip), TEST(test_npy_strided), TEST(test_npy_as_numpy), TEST(test_npy_written_bytes),
        TEST(test_npy_refused), TEST(test_npy_not_one), TEST(test_npy_cut_short), TEST(test_npy_mutated),
        TEST(test_npy_pipe), TEST(test_npy_to_pipe), TEST(test_npy_write_fails), TEST(test_npy_replaces),
        TEST(test_npy_links), TEST(test_killed),
        TEST(test_weights_read), TEST(test_weights_empty), TEST(test_weights_refused), TEST(test_weights_not_one),
        TEST(test_weights_cut_short), TEST(test_weights_mutated),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    printf("%d passed, %d failed\n", (int)COUNT(tests) - failed, failed);
    return failed != 0;
}
