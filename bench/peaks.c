/* SPDX-License-Identifier: MIT
 *
 * peaks.c: what this machine can do at best: multiply-adds of each path, reading and copying of
 * memory. Results are put beside these numbers, taken in the same round on the same threads, since
 * the clock and the neighbours change.
 *
 * Invariant: instructions that a machine may lack are inside functions with a target attribute,
 * called only if the engine may use that path.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/peaks.h"
#include "command/clock.h"
#include "inspect.h"

#if defined __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

/* ---- multiply-adds: many independent sums, so that not their latency counts but how many units
 * there are ---- */

#define EACH12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define EACH24(X) EACH12(X) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#define START(i) __typeof__(c) a##i = c;
/* The asm keeps each sum in a register of its own, and from being dropped, reordered or
 * vectorised. */
#define STEP(i) a##i = FMA(a##i, b, c); __asm__ volatile("" : KEEP(a##i));
#define LOOP(V, SET, EACH)                                                                         \
    V b = SET(0.999f), c = SET(1e-7f); /* sums go to 1e-4: no subnormals on the way */             \
    EACH(START)                                                                                    \
    for (; n > 0; n--) { EACH(STEP) }

/* x86-64 alone has no fused operation: a product and a sum count for one. */
#if defined __aarch64__
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#define KEEP(a) "+w"(a)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#if defined __x86_64__
#define KEEP(a) "+x"(a)
#else
#define KEEP(a) "+m"(a)
#endif
#endif
#define SAME(x) (x)
static void fma_scalar(int64_t n) { LOOP(float, SAME, EACH12) }
#undef FMA
#undef KEEP

#if defined __x86_64__
#define KEEP(a) "+v"(a)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
__attribute__((target("avx2,fma"))) static void fma_avx2(int64_t n)
{
    LOOP(__m256, _mm256_set1_ps, EACH12)
}
#undef FMA
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
__attribute__((target("avx512f"))) static void fma_avx512(int64_t n)
{
    LOOP(__m512, _mm512_set1_ps, EACH24)
}
#undef FMA
/* two products of bf16 to each float32 sum */
#define FMA(a, b, c) _mm512_dpbf16_ps(a, (__m512bh)(b), (__m512bh)(c))
__attribute__((target("avx512f,avx512bf16"))) static void fma_avx512_bf16(int64_t n)
{
    LOOP(__m512, _mm512_set1_ps, EACH24)
}
#elif defined __aarch64__
#define KEEP(a) "+w"(a)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
static void fma_neon(int64_t n) { LOOP(float32x4_t, vdupq_n_f32, EACH24) }
#if !defined __clang__
#undef FMA
#define FMA(a, b, c) vbfdotq_f32(a, vreinterpretq_bf16_f32(b), vreinterpretq_bf16_f32(c))
__attribute__((target("arch=armv8.2-a+bf16"))) static void fma_neon_bf16(int64_t n)
{
    LOOP(float32x4_t, vdupq_n_f32, EACH24)
}
#endif
#endif

/* ---- reading: loads and nothing else; `bytes` is a multiple of 256 ---- */

#define READ(V, LOAD, KEEP_IN)                                                                     \
    for (const char *end = p + bytes; p < end; p += 4 * sizeof(V)) {                               \
        V x0 = LOAD(p), x1 = LOAD(p + sizeof(V));                                                  \
        V x2 = LOAD(p + 2 * sizeof(V)), x3 = LOAD(p + 3 * sizeof(V));                              \
        __asm__ volatile("" : : KEEP_IN(x0), KEEP_IN(x1), KEEP_IN(x2), KEEP_IN(x3));               \
    }

#define LOAD_WORD(p) (*(const uint64_t *)(const void *)(p))
static void read_scalar(const char *p, size_t bytes) { READ(uint64_t, LOAD_WORD, "r") }

#if defined __x86_64__
#define LOAD_256(p) _mm256_load_ps((const float *)(const void *)(p))
#define LOAD_512(p) _mm512_load_ps((const void *)(p))
__attribute__((target("avx2"))) static void read_avx2(const char *p, size_t bytes)
{
    READ(__m256, LOAD_256, "v")
}
__attribute__((target("avx512f"))) static void read_avx512(const char *p, size_t bytes)
{
    READ(__m512, LOAD_512, "v")
}
#elif defined __aarch64__
#define LOAD_128(p) vld1q_f32((const float *)(const void *)(p))
static void read_neon(const char *p, size_t bytes) { READ(float32x4_t, LOAD_128, "w") }
#endif

/* ---- the paths, slowest first ---- */

static const struct row {
    const char *name;
    uint64_t needs;
    double flops; /* of one iteration of `fma`; 0: another architecture's */
    void (*fma)(int64_t n);
    void (*read)(const char *p, size_t bytes);
} rows[PEAKS_PATHS] = {
    {"scalar", 0, 2 * 12, fma_scalar, read_scalar},
#if defined __x86_64__
    {"avx2", HEED_CPU_AVX2, 2 * 12 * 8, fma_avx2, read_avx2},
    {"avx512", HEED_CPU_AVX2 | HEED_CPU_AVX512, 2 * 24 * 16, fma_avx512, read_avx512},
    {"avx512_bf16", HEED_CPU_AVX2 | HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16, 2 * 24 * 32,
     fma_avx512_bf16, read_avx512},
#elif defined __aarch64__
    {"neon", HEED_CPU_NEON, 2 * 24 * 4, fma_neon, read_neon},
#if !defined __clang__
    {"neon_bf16", HEED_CPU_NEON | HEED_CPU_NEON_BF16, 2 * 24 * 8, fma_neon_bf16, read_neon},
#endif
#endif
};

static int runs_with(uint32_t i, uint64_t features)
{
    return rows[i].name && !(rows[i].needs & ~features);
}

const char *peaks_path(uint32_t index) { return rows[index].name; }

uint32_t peaks_of(uint64_t needs)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < PEAKS_PATHS; i++)
        if (runs_with(i, needs)) best = i;
    return best;
}

/* ---- measuring ---- */

#define SPAN ((size_t)256 << 10) /* bytes of one tile */
/* a lane, of some microseconds: a lane that comes late leaves its tiles to others */
#define FMA_TILES 256
#define FMA_STEPS 1000           /* of a tile */
#define SECONDS 0.05             /* for one peak in one round, and at least 5 runs */
#define KNOWN 64                 /* different sizes that are remembered */

struct peaks_meter {
    heed_engine *engine;
    char *buffer;
    size_t bytes;            /* a multiple of two tiles */
    size_t half;             /* bytes that are copied */
    const struct row *row;   /* of the kernel that runs */
    struct {
        int64_t tiles;
        double gbps;
    } known[2][KNOWN];       /* of this round: read, copied */
    uint32_t n_known[2];
};

static void tile_fma(void *arg, int64_t tile, uint32_t lane)
{
    (void)tile, (void)lane;
    ((peaks_meter *)arg)->row->fma(FMA_STEPS);
}

static void tile_read(void *arg, int64_t tile, uint32_t lane)
{
    (void)lane;
    const peaks_meter *m = arg;
    m->row->read(m->buffer + (size_t)tile * SPAN, SPAN);
}

/* One half to the other, with the C library's memcpy. */
static void tile_copy(void *arg, int64_t tile, uint32_t lane)
{
    (void)lane;
    const peaks_meter *m = arg;
    memcpy(m->buffer + m->half + (size_t)tile * SPAN, m->buffer + (size_t)tile * SPAN, SPAN);
}

static void tile_touch(void *arg, int64_t tile, uint32_t lane)
{
    (void)lane;
    memset(((peaks_meter *)arg)->buffer + (size_t)tile * SPAN, 1, SPAN);
}

/* Seconds of the fastest run. */
static double best(peaks_meter *m, int64_t tiles, heed_tile_fn fn)
{
    const heed_host *host = inspect_host(m->engine);
    double fastest = INFINITY;
    host->parallel_for(host, tiles, fn, m); /* wakes the threads, and the units that sleep */
    double start = clock_seconds(), end = start;
    for (int i = 0; i < 5 || end - start < SECONDS; i++) {
        double from = clock_seconds();
        host->parallel_for(host, tiles, fn, m);
        end = clock_seconds();
        if (end - from < fastest) fastest = end - from;
    }
    return fastest;
}

void peaks_measure(peaks_meter *m, peaks *out)
{
    uint64_t features = inspect_features(m->engine);
    int64_t lanes = heed_lanes(m->engine);
    *out = (peaks){.read = 0};
    m->n_known[0] = m->n_known[1] = 0;
    for (uint32_t i = 0; i < PEAKS_PATHS; i++) {
        if (!runs_with(i, features)) continue;
        m->row = &rows[i];
        double flops = rows[i].flops * FMA_STEPS * FMA_TILES * (double)lanes;
        out->fma[i] = flops / best(m, FMA_TILES * lanes, tile_fma) * 1e-9;
    }
    out->read = peaks_memory(m, (double)m->bytes, 0);
    out->copy = peaks_memory(m, (double)m->bytes, 1);
}

double peaks_memory(peaks_meter *m, double bytes, int copies)
{
    /* tiles of each half */
    int64_t least = heed_lanes(m->engine), most = (int64_t)(m->bytes / (2 * SPAN));
    int64_t tiles = bytes < (double)m->bytes ? (int64_t)(bytes / (2 * SPAN)) : most;
    tiles = tiles < least ? least : tiles;
    tiles = tiles > most ? most : tiles;
    copies = !!copies;
    uint32_t *n = &m->n_known[copies];
    for (uint32_t i = 0; i < *n; i++)
        if (m->known[copies][i].tiles == tiles) return m->known[copies][i].gbps;
    m->row = &rows[peaks_of(inspect_features(m->engine))];
    m->half = (size_t)tiles * SPAN;
    double gbps = 2e-9 * (double)m->half /
                  (copies ? best(m, tiles, tile_copy) : best(m, 2 * tiles, tile_read));
    if (*n < KNOWN) m->known[copies][*n].tiles = tiles, m->known[copies][(*n)++].gbps = gbps;
    return gbps;
}

/* The buffer is 8 times the last-level caches, at least 64 and at most 256 MiB, so that little of
 * it stays in them. A case that touches less is held against as many bytes as it touches
 * (peaks_memory). */
peaks_meter *peaks_open(heed_engine *engine, uint64_t cache_bytes, heed_error *error)
{
    const uint64_t least = (uint64_t)64 << 20, most = (uint64_t)256 << 20;
    uint64_t bytes = cache_bytes > most ? most : 8 * cache_bytes;
    bytes = bytes < least ? least : bytes > most ? most : bytes;
    peaks_meter *m = calloc(1, sizeof *m);
    if (m) *m = (peaks_meter){.engine = engine, .bytes = bytes / (2 * SPAN) * (2 * SPAN)};
    if (!m || !(m->buffer = aligned_alloc(64, m->bytes))) {
        free(m);
        error_memory(error);
        return NULL;
    }
    const heed_host *host = inspect_host(engine);
    host->parallel_for(host, (int64_t)(m->bytes / SPAN), tile_touch, m);
    return m;
}

void peaks_close(peaks_meter *m)
{
    if (m) free(m->buffer);
    free(m);
}

uint64_t peaks_buffer(const peaks_meter *m) { return m->bytes; }
