/* SPDX-License-Identifier: MIT
 *
 * codec.c: heed.kv/1 by itself: blocks that end at a page that can not be read, rows that come in any
 * order and any parts, on every path; and what attention sees through a codec.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <heed/abi/kv.h>

#include "check/codec.h"
#include "inspect.h"

enum { ROWS = 96, WIDTH_MAX = 512, PADDED = WIDTH_MAX + 16 };

/* The codec inside an instance of keys (0) or values (1), on its path; NULL: they are float32. */
static const heed_kv *codec_of(const heed_instance *i, int of_values, const void **instance)
{
    const heed_kv *found = NULL;
    for (uint32_t p = 0; p < heed_instance_op(i)->params.count; p++) {
        const heed_param *param = (const heed_param *)heed_instance_op(i)->params.data + p;
        const heed_child *child = inspect_child(i, p);
        if (!child->instance || strcmp(param->choices, "cache") ||
            (strcmp(param->key, "cache") && !of_values))
            continue;
        if (!child->path->get_extension || !child->path->get_extension(HEED_KV_ID)) continue;
        *instance = child->instance, found = child->path->get_extension(HEED_KV_ID);
        if (strcmp(param->key, "cache")) break; /* it is of values alone */
    }
    return found;
}

/* ---- blocks ---- */

/* Memory for a block, and a side that is float32; both end where nothing can be read. */
typedef struct area {
    placed data, side;
    heed_kv_block block;
    int64_t step;
} area;

static placed floats(int64_t n)
{
    const int64_t dim[] = {n};
    const heed_tensor shape = heed_tensor_of(NULL, HEED_F32, 1, dim);
    return place(&shape, PLAIN);
}

static area make_area(const heed_kv *kv, const void *instance, int of_values, int64_t width)
{
    const uint64_t bytes = kv->bytes(instance, ROWS, width, !of_values);
    if (bytes == 0 || bytes > 1 << 24)
        harness_fail("it asks for %llu bytes for 96 rows of %lld", (unsigned long long)bytes,
                     (long long)width);
    area a = {.data = floats((int64_t)((bytes + 63) / 64) * 16),
              .step = of_values ? (width + 15) / 16 * 16 : ROWS};
    a.side = floats(a.step * (of_values ? ROWS : width));
    a.block = (heed_kv_block){sizeof a.block, !of_values, a.data.view.data, ROWS, width};
    memset(a.data.view.data, 0, (bytes + 63) / 64 * 64);
    return a;
}

static void free_area(area *a) { unplace(&a->data), unplace(&a->side); }

/* What is in the block is lost by it. */
static void must_have_stayed_inside(area *a, const char *path)
{
    if (placed_stray(&a->data) >= 0 || placed_stray(&a->side) >= 0)
        harness_fail("%s: it writes beside the block, or beside what it decodes", path);
}

static float decoded(const area *a, int64_t row, int64_t channel)
{
    const float *x = a->side.view.data;
    return a->block.by_channels ? x[channel * a->step + row] : x[row * a->step + channel];
}

/* ---- queries that are rotated ---- */

static int rotates(const heed_kv *kv) { return HEED_HAS(kv, rotate) && kv->rotate; }

/* What the codec makes of the unit vectors: channel c of that of i is at [c * padded + i]. NULL: it
 * leaves queries as they are. */
static float *rotated_units(const heed_kv *kv, const void *instance, int64_t width)
{
    const int64_t step = (width + 15) / 16 * 16;
    if (!rotates(kv)) return NULL;
    float *x = aligned_alloc(64, (size_t)(step * step) * sizeof *x);
    if (!x) harness_fail("no memory");
    for (int64_t i = 0; i < step * step; i++) x[i] = i % step == i / step ? 1 : 0;
    kv->rotate(instance, width, x, step, step);
    return x;
}

/* A decoded key becomes one that has the same scores with queries as they were. */
static void rotate_back(const float *units, int64_t width, double *row)
{
    const int64_t step = (width + 15) / 16 * 16;
    double was[WIDTH_MAX];
    memcpy(was, row, sizeof *was * (size_t)width);
    for (int64_t i = 0; i < width; i++) {
        row[i] = 0;
        for (int64_t c = 0; c < width; c++) row[i] += was[c] * (double)units[c * step + i];
    }
}

/* ---- what attention sees ---- */

void codec_tell_oracle(subject *s, const heed_instance *instance)
{
    static const char *const names[] = {"k", "v"};
    float row[PADDED];
    for (int v = 0; v < 2; v++) {
        const void *own = NULL;
        const heed_kv *kv = codec_of(instance, v, &own);
        const int port = call_port(&s->c, names[v]);
        if (!kv || port < 0) continue;
        const int64_t width = s->c.plain[port].dim[3],
                      n = heed_tensor_elements(&s->c.plain[port]) / width;
        area a = make_area(kv, own, v, width);
        float *units = v || width > WIDTH_MAX ? NULL : rotated_units(kv, own, width);
        for (int64_t r = 0; r < n && width <= WIDTH_MAX; r++) {
            double *is = &s->c.d[port][r * width];
            for (int64_t c = 0; c < width; c++) row[c] = s->c.f[port][r * width + c];
            kv->encode(own, &a.block, r % ROWS, 1, row, width);
            kv->decode(own, &a.block, ROWS, a.side.view.data, a.step);
            for (int64_t c = 0; c < width; c++) is[c] = decoded(&a, r % ROWS, c);
            if (units) rotate_back(units, width, is);
            for (int64_t c = 0; c < width; c++) s->c.f[port][r * width + c] = (float)is[c];
        }
        free(units);
        free_area(&a);
    }
}

/* ---- the check ---- */

int has_codec(const subject *s)
{
    if (!s->c.coded || s->c.oracle.axis['D' - 'A'] < 1 || s->c.oracle.axis['D' - 'A'] > WIDTH_MAX ||
        s->c.oracle.axis['E' - 'A'] < 1 || s->c.oracle.axis['E' - 'A'] > WIDTH_MAX)
        return 0;
    return 1;
}

/* Rows of many sizes, up to the largest numbers. */
static void make_rows(float *rows, int64_t width, uint64_t *seed)
{
    static const float sizes[] = {1, 0, 1e-3f, 1e30f, 1e-30f, 1e-44f, 300, 3e38f};
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < width; c++)
            rows[r * width + c] = fminf(fmaxf(harness_normal(seed), -1), 1) * sizes[r % 8];
}

/* All rows at once, or backwards in parts. */
static void encode_all(const heed_kv *kv, const void *instance, const area *a, const float *rows,
                       int parts)
{
    static const int64_t part[] = {1, 16, 5, 31, 2};
    const int64_t width = a->block.width;
    if (!parts) kv->encode(instance, &a->block, 0, ROWS, rows, width);
    for (int64_t end = ROWS, i = 0, n; parts && end > 0; end -= n, i++) {
        n = part[i % 5] < end ? part[i % 5] : end;
        kv->encode(instance, &a->block, end - n, n, rows + (end - n) * width, width);
    }
}

/* The two products against chains of fma over what is decoded. */
static void check_products(const heed_kv *kv, const void *instance, const area *a, int of_values,
                           const char *path, uint64_t *seed)
{
    static float in[PADDED * HEED_KV_ROWS], out[HEED_KV_ROWS * PADDED],
        before[HEED_KV_ROWS * PADDED];
    const float alpha[HEED_KV_ROWS] = {1, 0.5f, 0, 0.25f};
    const int64_t width = a->block.width, results = of_values ? width : ROWS;
    for (int i = 0; i < PADDED * HEED_KV_ROWS; i++)
        in[i] = harness_normal(seed), before[i] = harness_normal(seed);
    for (int i = 0; i < PADDED * HEED_KV_ROWS && of_values; i++) in[i] = i % 7 ? fabsf(in[i]) : -1;
    for (int64_t rows = 1; rows <= HEED_KV_ROWS; rows++) {
        const heed_kv_rows x = {.size = sizeof x,
                                .masked = of_values,
                                .block = &a->block,
                                .rows = rows,
                                .first = 16,
                                .count = ROWS - 16,
                                .input = in,
                                .input_step = of_values ? ROWS : HEED_KV_ROWS,
                                .alpha = alpha,
                                .out = out,
                                .out_step = PADDED};
        memcpy(out, before, sizeof out);
        (of_values ? kv->values : kv->scores)(instance, &x);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = of_values ? 0 : 16; j < results; j++) {
                float sum = of_values ? alpha[r] * before[r * PADDED + j] : 0;
                for (int64_t i = of_values ? 16 : 0; i < (of_values ? ROWS : width); i++) {
                    const float w = of_values ? in[r * ROWS + i] : in[i * HEED_KV_ROWS + r];
                    if (!of_values || !(w < 0))
                        sum = fmaf(w, of_values ? decoded(a, i, j) : decoded(a, j, i), sum);
                }
                const float is = out[r * PADDED + j];
                if (memcmp(&is, &sum, sizeof is) && !(isnan(is) && isnan(sum)))
                    harness_fail("%s, %s of %lld rows: %s %lld of row %lld is %.9g, not %.9g, as "
                                 "of its decoded numbers",
                                 path, of_values ? "values" : "scores", (long long)rows,
                                 of_values ? "channel" : "key", (long long)j, (long long)r,
                                 (double)is, (double)sum);
            }
    }
}

/* Queries are rotated alike on every path, and as keys were: a key has its own square as its score,
 * about. */
static void check_rotation(const heed_kv *kv, const void *instance, const area *a, const char *path,
                           float **first, uint64_t *seed)
{
    enum { QUERIES = 16 };
    const int64_t width = a->block.width;
    static float rows[QUERIES * WIDTH_MAX];
    placed at = floats(width * QUERIES);
    float *q = at.view.data;
    for (int64_t r = 0; r < QUERIES; r++)
        for (int64_t c = 0; c < width; c++)
            rows[r * width + c] = q[c * QUERIES + r] = harness_normal(seed);
    kv->encode(instance, &a->block, 0, QUERIES, rows, width);
    kv->decode(instance, &a->block, QUERIES, a->side.view.data, a->step);
    kv->rotate(instance, width, q, QUERIES, QUERIES);
    for (int64_t r = 0; r < QUERIES; r++) {
        double square = 0, score = 0;
        for (int64_t c = 0; c < width; c++) {
            square += (double)rows[r * width + c] * (double)rows[r * width + c];
            score += (double)q[c * QUERIES + r] * (double)decoded(a, r, c);
        }
        if (!(fabs(score - square) <= square / 2))
            harness_fail("%s: a key and a query that are equal have a score of %.9g and not %.9g: "
                         "queries are rotated otherwise than keys",
                         path, score, square);
    }
    const size_t bytes = (size_t)(width * QUERIES) * sizeof *q;
    if (*first && memcmp(*first, q, bytes))
        harness_fail("%s: queries are rotated to other bits", path);
    if (!*first && !(*first = malloc(bytes))) harness_fail("no memory");
    memcpy(*first, q, bytes);
    if (placed_stray(&at) >= 0) harness_fail("%s: rotate writes beside the queries", path);
    unplace(&at);
}

/* What the first path has made. */
typedef struct first_made {
    unsigned char *bytes;
    float *rotated;
} first_made;

static void check_side(subject *s, int p, int of_values, first_made *first, uint64_t seed)
{
    static float rows[ROWS * WIDTH_MAX];
    const int64_t width = s->c.oracle.axis[of_values ? 'E' - 'A' : 'D' - 'A'];
    const void *instance = NULL;
    heed_instance *i = call_open(&s->c, s->paths[p], 1);
    const heed_kv *kv = codec_of(i, of_values, &instance);
    if (!kv) {
        heed_instance_close(i);
        return;
    }
    area a = make_area(kv, instance, of_values, width);
    const size_t bytes = (size_t)heed_tensor_elements(&a.data.view) * sizeof(float);
    make_rows(rows, width, &seed);
    encode_all(kv, instance, &a, rows, p > 0);
    if (!first->bytes) {
        first->bytes = malloc(bytes);
        if (!first->bytes) harness_fail("no memory");
        memcpy(first->bytes, a.data.view.data, bytes);
        encode_all(kv, instance, &a, rows, 1);
    }
    if (memcmp(first->bytes, a.data.view.data, bytes))
        harness_fail("%s: rows that come in parts leave other bytes than all at once", s->paths[p]);
    kv->decode(instance, &a.block, ROWS, a.side.view.data, a.step);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < width; c++)
            if (!isfinite(decoded(&a, r, c)))
                harness_fail("%s: row %lld has %.9g at channel %lld, and is decoded as %.9g",
                             s->paths[p], (long long)r, (double)rows[r * width + c], (long long)c,
                             (double)decoded(&a, r, c));
    if (kv->scores && kv->values) check_products(kv, instance, &a, of_values, s->paths[p], &seed);
    if (rotates(kv) && !of_values)
        check_rotation(kv, instance, &a, s->paths[p], &first->rotated, &seed);
    for (size_t b = 0; b < bytes; b++)
        ((unsigned char *)a.data.view.data)[b] = (unsigned char)harness_random(&seed);
    kv->decode(instance, &a.block, ROWS, a.side.view.data, a.step);
    must_have_stayed_inside(&a, s->paths[p]);
    free_area(&a);
    heed_instance_close(i);
}

void check_codec(subject *s)
{
    for (int of_values = 0; of_values < 2; of_values++) {
        first_made first = {NULL, NULL};
        for (int p = 0; p < s->n_paths; p++) check_side(s, p, of_values, &first, s->seed);
        free(first.bytes), free(first.rotated);
    }
}
