/* SPDX-License-Identifier: MIT
 *
 * npy.c: tensors as NumPy's .npy files:
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 *
 * Not for .npz, structured types, objects or pickles. A file is hostile until read: its header is
 * one literal dict of three known keys, sizes are checked for overflow and against the file before
 * memory is taken for them.
 */
#include "base/error.h"
#include "io/npy.h"


#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "native order is read and written as little-endian");

#define HEADER_MAX 65536 /* bytes of a header that is read; those of plain arrays have 118 */
#define CHUNK (1u << 20) /* memory taken at first for data from a pipe, whose size nobody knows */
#define SHAPE_TEXT 192   /* "(3, 4)" of eight int64 */

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static const char types[HEED_DTYPES][3] = {
    [HEED_F32] = "f4", [HEED_F16] = "f2", [HEED_BF16] = "V2", [HEED_I8] = "i1",
    [HEED_U8] = "u1",  [HEED_I32] = "i4", [HEED_I64] = "i8",  [HEED_F64] = "f8",
};

/* As Python writes a tuple. */
static const char *shape_text(char text[SHAPE_TEXT], const heed_tensor *t)
{
    int n = snprintf(text, SHAPE_TEXT, "(");
    for (int32_t i = 0; i < t->rank; i++)
        n += snprintf(text + n, (size_t)(SHAPE_TEXT - n), "%s%" PRId64, i ? ", " : "", t->dim[i]);
    snprintf(text + n, (size_t)(SHAPE_TEXT - n), t->rank == 1 ? ",)" : ")");
    return text;
}

/* ---- the header's dict ---- */

enum { DESCR, FORTRAN, SHAPE, KEYS };
static const char *const keys[KEYS] = {
    [DESCR] = "descr", [FORTRAN] = "fortran_order", [SHAPE] = "shape"};

typedef struct header {
    uint32_t dtype;
    int32_t rank;
    int fortran;
    int64_t dim[HEED_MAX_RANK];
} header;

typedef struct cursor {
    const char *start, *at, *end;
    const char *path;
    heed_error *error;
} cursor;

static int32_t expected(const cursor *c, const char *what)
{
    return error_set(c->error, HEED_E_DATA, "%s: byte %d of the .npy header's dict should be %s",
                     c->path, (int)(c->at - c->start), what);
}

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

/* Moves past `word` and the blanks before it; 0 if it is not there. */
static int take(cursor *c, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n)) return 0;
    c->at += n;
    return 1;
}

/* A quoted string of printable ASCII without escapes, shorter than `room`. */
static int take_text(cursor *c, char *text, size_t room)
{
    size_t n = 0;
    skip_blanks(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return 0;
    const char *p = c->at + 1;
    for (; p < c->end && *p != *c->at; p++) {
        if (*p < ' ' || *p > '~' || *p == '\\' || n + 1 == room) return 0;
        text[n++] = *p;
    }
    if (p == c->end) return 0;
    text[n] = '\0';
    c->at = p + 1;
    return 1;
}

static int32_t read_descr(cursor *c, header *h)
{
    char text[32];
    if (take(c, "["))
        return error_set(c->error, HEED_E_UNSUPPORTED,
                         "%s: arrays of structured types are not read", c->path);
    if (!take_text(c, text, sizeof text)) return expected(c, "a dtype in quotes, such as '<f4'");
    const char *type = text + (*text && strchr("<=|>", *text));
    for (h->dtype = 0; h->dtype < HEED_DTYPES; h->dtype++)
        if (!strcmp(type, types[h->dtype])) break;
    if (*text == '>' && h->dtype < HEED_DTYPES)
        return error_set(c->error, HEED_E_UNSUPPORTED,
                         "%s: dtype '%s' is big-endian; little-endian files are read", c->path,
                         text);
    /* '|' says that there is no byte order: of one byte that holds, and NumPy says it of V2 as
     * well */
    if (h->dtype == HEED_DTYPES ||
        (*text == '|' && heed_dtype_bytes(h->dtype) > 1 && h->dtype != HEED_BF16))
        return error_set(
            c->error, HEED_E_UNSUPPORTED,
            "%s: dtype '%s' is not read; <f4, <f2, <f8, <i4, <i8, |i1, |u1 and <V2 (bf16) are",
            c->path, text);
    return HEED_OK;
}

static int32_t read_fortran(cursor *c, header *h)
{
    h->fortran = take(c, "True");
    return h->fortran || take(c, "False") ? HEED_OK : expected(c, "True or False");
}

static int32_t read_shape(cursor *c, header *h)
{
    if (!take(c, "(")) return expected(c, "'(', which starts the shape");
    for (h->rank = 0; !take(c, ")"); h->rank++) {
        int64_t dim = 0;
        if (take(c, "-"))
            return error_set(c->error, HEED_E_DATA, "%s: the shape has a negative size", c->path);
        if (c->at == c->end || *c->at < '0' || *c->at > '9')
            return expected(c, "a size of the shape, or ')'");
        if (h->rank == HEED_MAX_RANK)
            return error_set(c->error, HEED_E_UNSUPPORTED, "%s: the shape has more than %d axes",
                             c->path, HEED_MAX_RANK);
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
            if (__builtin_mul_overflow(dim, 10, &dim) ||
                __builtin_add_overflow(dim, *c->at - '0', &dim))
                return error_set(c->error, HEED_E_DATA,
                                 "%s: a size of the shape does not fit 64 bits", c->path);
        h->dim[h->rank] = dim;
        if (c->at < c->end && *c->at == 'L') c->at++; /* Python 2 wrote its long integers so */
        if (!take(c, ",")) { /* (3) is a number in Python, (3,) a shape */
            if (h->rank == 0) return expected(c, "','");
            if (!take(c, ")")) return expected(c, "',' or ')'");
            h->rank++;
            break;
        }
    }
    return HEED_OK;
}

static int32_t (*const readers[KEYS])(cursor *, header *) = {
    [DESCR] = read_descr, [FORTRAN] = read_fortran, [SHAPE] = read_shape,
};

static int32_t read_dict(cursor *c, header *h)
{
    unsigned seen = 0, k;
    char key[32];
    if (!take(c, "{")) return expected(c, "'{'");
    while (!take(c, "}")) {
        if (!take_text(c, key, sizeof key)) return expected(c, "a key in quotes, or '}'");
        for (k = 0; k < KEYS && strcmp(key, keys[k]); k++) {}
        if (k == KEYS)
            return error_set(c->error, HEED_E_DATA, "%s: the .npy header has an unknown key '%s'",
                             c->path, key);
        if (seen >> k & 1)
            return error_set(c->error, HEED_E_DATA, "%s: the .npy header has '%s' twice", c->path,
                             key);
        seen |= 1u << k;
        if (!take(c, ":")) return expected(c, "':'");
        int32_t failed = readers[k](c, h);
        if (failed) return failed;
        if (take(c, ",")) continue;
        if (!take(c, "}")) return expected(c, "',' or '}'");
        break;
    }
    for (k = 0; k < KEYS; k++)
        if (!(seen >> k & 1))
            return error_set(c->error, HEED_E_DATA, "%s: the .npy header has no '%s'", c->path,
                             keys[k]);
    skip_blanks(c);
    return c->at == c->end ? HEED_OK : expected(c, "the last");
}

/* ---- reading ---- */

typedef struct source {
    int fd;
    int sized;     /* a regular file, of `size` bytes */
    uint64_t size;
    uint64_t at;   /* bytes read so far */
    const char *path;
    heed_error *error;
} source;

/* Bytes that a sized file still has. */
static uint64_t left(const source *s)
{
    return s->size > s->at ? s->size - s->at : 0;
}

/* Reads until `want` bytes are there or the file ends; -1 if the system refuses. */
static int64_t read_some(source *s, void *to, uint64_t want)
{
    uint64_t got = 0;
    while (got < want) {
        ssize_t n =
            read(s->fd, (char *)to + got, want - got < CHUNK ? (size_t)(want - got) : CHUNK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            error_set(s->error, HEED_E_SYSTEM, "%s: cannot be read: %s", s->path, strerror(errno));
            return -1;
        }
        if (n == 0) break;
        got += (uint64_t)n;
    }
    s->at += got;
    return (int64_t)got;
}

static int32_t cut_short(const source *s, const char *what, uint64_t want, uint64_t got)
{
    return error_set(s->error, HEED_E_DATA,
                     "%s: the file is cut short: %s should have %" PRIu64 " bytes, and %" PRIu64
                     " are there",
                     s->path, what, want, got);
}

static int32_t read_whole(source *s, const char *what, void *to, uint64_t want)
{
    int64_t got = read_some(s, to, want);
    if (got < 0) return HEED_E_SYSTEM;
    return (uint64_t)got == want ? HEED_OK : cut_short(s, what, want, (uint64_t)got);
}

static int32_t read_header(source *s, header *h)
{
    unsigned char start[8], length[4] = {0};
    int64_t got = read_some(s, start, sizeof start);
    if (got < 0) return HEED_E_SYSTEM;
    if (memcmp(start, magic, got < (int64_t)sizeof magic ? (size_t)got : sizeof magic))
        return error_set(s->error, HEED_E_DATA,
                         "%s: not a .npy file: it does not start with \\x93NUMPY", s->path);
    if (got < (int64_t)sizeof start)
        return cut_short(s, "magic and version", sizeof start, (uint64_t)got);
    if (start[6] < 1 || start[6] > 3 || start[7] != 0)
        return error_set(s->error, HEED_E_UNSUPPORTED,
                         "%s: .npy format %u.%u is not read; 1.0, 2.0 and 3.0 are", s->path,
                         start[6], start[7]);
    int32_t failed = read_whole(s, "the header's length", length, start[6] == 1 ? 2 : 4);
    if (failed) return failed;
    uint32_t n = length[0] | (uint32_t)length[1] << 8 | (uint32_t)length[2] << 16 |
                 (uint32_t)length[3] << 24;
    if (s->sized && n > left(s)) return cut_short(s, "the header", n, left(s));
    if (n > HEADER_MAX)
        return error_set(s->error, HEED_E_DATA,
                         "%s: a .npy header of %" PRIu32 " bytes is longer than the %d allowed",
                         s->path, n, HEADER_MAX);
    char *text = malloc(n + 1);
    if (!text) return error_memory(s->error);
    failed = read_whole(s, "the header", text, n);
    cursor c = {text, text, text + n, s->path, s->error};
    if (!failed) failed = read_dict(&c, h);
    free(text);
    return failed;
}

/* Reads t->bytes into new memory. That of a pipe grows with what really arrives, whatever its
 * header says. */
static int32_t read_data(source *s, heed_tensor *t)
{
    char what[SHAPE_TEXT + 32], shape[SHAPE_TEXT];
    snprintf(what, sizeof what, "%s data of shape %s", heed_dtype_name(t->dtype),
             shape_text(shape, t));
    if (s->sized && t->bytes > left(s)) return cut_short(s, what, t->bytes, left(s));
    uint64_t have = 0, room = s->sized || t->bytes < CHUNK ? t->bytes : CHUNK;
    char *data = NULL;
    for (;;) {
        uint64_t rounded = (room + !room + 63) & ~(uint64_t)63;
        char *grown = rounded <= SIZE_MAX ? aligned_alloc(64, (size_t)rounded) : NULL;
        if (grown && have) memcpy(grown, data, (size_t)have);
        free(data);
        data = grown;
        if (!data) return error_memory(s->error);
        int64_t got = read_some(s, data + have, room - have);
        if (got >= 0) have += (uint64_t)got;
        if (got >= 0 && have == t->bytes) break;
        if (got < 0 || have < room) {
            free(data);
            return got < 0 ? HEED_E_SYSTEM : cut_short(s, what, t->bytes, have);
        }
        room = room > t->bytes / 2 ? t->bytes : room * 2;
    }
    t->data = data;
    return HEED_OK;
}

static int32_t read_tensor(source *s, heed_tensor *tensor)
{
    header h = {0};
    int32_t failed = read_header(s, &h);
    if (failed) return failed;
    heed_tensor t = heed_tensor_of(NULL, h.dtype, h.rank, h.dim);
    if (heed_tensor_elements(&t) < 0) {
        char shape[SHAPE_TEXT];
        return error_set(s->error, HEED_E_DATA, "%s: no memory can hold the shape %s", s->path,
                         shape_text(shape, &t));
    }
    failed = read_data(s, &t);
    if (failed) return failed;
    int64_t stride = 1;
    /* the first axis is fastest: strides say so, nothing moves */
    for (int32_t i = 0; h.fortran && i < h.rank; i++) {
        t.stride[i] = stride;
        stride *= h.dim[i] ? h.dim[i] : 1;
    }
    *tensor = t;
    return HEED_OK;
}

int32_t heed_npy_read(const char *path, heed_tensor *tensor, heed_error *error)
{
    source s = {.path = path, .error = error};
    struct stat st;
    s.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s.fd < 0)
        return error_set(error, HEED_E_SYSTEM, "%s: cannot be opened: %s", path, strerror(errno));
    int32_t failed;
    if (fstat(s.fd, &st))
        failed = error_set(error, HEED_E_SYSTEM, "%s: cannot be read: %s", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        failed = error_set(error, HEED_E_DATA, "%s: a folder, not a .npy file", path);
    else {
        s.sized = S_ISREG(st.st_mode);
        s.size = (uint64_t)st.st_size;
        failed = read_tensor(&s, tensor);
    }
    close(s.fd);
    return failed;
}

/* ---- writing ---- */

/* That every element lies within the tensor's bytes. */
static int32_t check_extent(const char *path, const heed_tensor *t, heed_error *error)
{
    int64_t elements = heed_tensor_elements(t), last = 0, way;
    if (elements < 0)
        return error_set(error, HEED_E_SHAPE, "%s: the tensor to write has no valid shape or dtype",
                         path);
    if (elements == 0) return HEED_OK;
    if (!t->data)
        return error_set(error, HEED_E_ARGUMENT, "%s: the tensor to write has no data", path);
    for (int32_t i = 0; i < t->rank; i++)
        if (t->stride[i] < 0 || __builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &way) ||
            __builtin_add_overflow(last, way, &last))
            return error_set(error, HEED_E_SHAPE,
                             "%s: axis %d of the tensor to write has stride %" PRId64, path, (int)i,
                             t->stride[i]);
    if ((uint64_t)last >= t->bytes / heed_dtype_bytes(t->dtype))
        return error_set(error, HEED_E_SHAPE,
                         "%s: the tensor to write reaches element %" PRId64 " and has %" PRIu64
                         " bytes",
                         path, last, t->bytes);
    return HEED_OK;
}

/* Magic, version, length and dict, padded so that the data starts on a multiple of 64. */
static int put_header(FILE *to, const heed_tensor *t)
{
    char dict[SHAPE_TEXT + 128], shape[SHAPE_TEXT];
    int n =
        snprintf(dict, sizeof dict, "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }",
                 heed_dtype_bytes(t->dtype) > 1 ? '<' : '|', types[t->dtype], shape_text(shape, t));
    int length = (10 + n + 1 + 63) / 64 * 64 - 10;
    unsigned char start[4] = {1, 0, (unsigned char)length, (unsigned char)(length >> 8)};
    return fwrite(magic, 1, sizeof magic, to) == sizeof magic &&
           fwrite(start, 1, sizeof start, to) == sizeof start &&
           fprintf(to, "%s%*s\n", dict, length - n - 1, "") == length;
}

/* The elements in C order, in runs as long as they lie side by side. */
static int put_data(FILE *to, const heed_tensor *t)
{
    size_t run = heed_dtype_bytes(t->dtype), width = run;
    int32_t outer = t->rank; /* axes that are walked, the others are in the run */
    int64_t index[HEED_MAX_RANK] = {0}, at = 0;
    if (heed_tensor_elements(t) == 0) return 1;
    for (; outer > 0; outer--) {
        int64_t dim = t->dim[outer - 1];
        if (dim != 1 && (uint64_t)t->stride[outer - 1] * width != run) break;
        run *= (size_t)dim;
    }
    for (;;) {
        if (fwrite((const char *)t->data + (size_t)at * width, 1, run, to) != run) return 0;
        int32_t i = outer - 1;
        for (; i >= 0 && ++index[i] == t->dim[i]; i--) {
            index[i] = 0;
            at -= (t->dim[i] - 1) * t->stride[i];
        }
        if (i < 0) return 1;
        at += t->stride[i];
    }
}

static int put(FILE *to, const void *tensor)
{
    return put_header(to, tensor) && put_data(to, tensor);
}

int32_t npy_begin(replacement *r, const char *path, const heed_tensor *tensor, heed_error *error)
{
    *r = (replacement){.path = path, .put = put, .arg = tensor, .fd = -1};
    int32_t failed = check_extent(path, tensor, error);
    return failed ? failed : replace_begin(r, error);
}

int32_t heed_npy_write(const char *path, const heed_tensor *tensor, heed_error *error)
{
    replacement r;
    int32_t failed = npy_begin(&r, path, tensor, error), code = replace_end(&r, failed != 0, error);
    return failed ? failed : code;
}
