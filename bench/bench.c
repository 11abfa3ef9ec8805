/* SPDX-License-Identifier: MIT
 *
 * bench.c: heed bench: options, rounds, statistics. In each round the machine's peaks are taken, then every case; a
 * number is the median over the rounds of the round's best, so that a neighbour who comes and goes moves it little, and
 * a case is put beside the peaks of its own round.
 *
 * Invariant: nothing is printed on standard output, and no file is touched, before all has been measured.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static const char usage[] =
    "usage: heed bench SPEC ... [--shape AXIS=N,...] ... [OPTION ...]\n"
    "Measures each op on each shape, and puts its speed beside the peaks of this machine.\n"
    "\n"
    "  SPEC            an op with its settings, such as 'attention/softmax(causal=true)'\n"
    "  --shape SIZES   sizes of axes, such as B=1,H=8,T=2048,D=64. Those left out: B=1, T=2048, S=T, H=8, G=H, D=64,\n"
    "                  E=D, M=H*D, N=M, F=4M, V=256. The leading axes of a port such as \"... M\" are T rows, or\n"
    "                  those of x=3x5. decode=N is --decode for this shape alone. L=N gives attention its\n"
    "                  key_lengths, documents=N its documents, N of one length. with=residual+sum binds optional\n"
    "                  ports. pitch=BYTES from row to row of an input; shift=BYTES that addresses are off 64\n"
    "  --decode N      an op that remembers: one call appends the N-th key, and one query (T=1) sees all of them;\n"
    "                  any other op: T=1, S=N\n"
    "  --dtype TYPE    of inputs and weights: f32 (the default), f16 or bf16; outputs are f32\n"
    "  --isa PATH      a path of the op, such as avx2; all = each that it has here; default: the fastest\n"
    "  --threads N     threads; 0, the default, is one a core\n"
    "  --pin HOW       compact (the default), scatter or none: where the threads go\n"
    "  --rounds N      how often all is measured, 7 by default; with --explain 3\n"
    "  --json FILE     the record heed.bench/1, besides the table; - prints it in the table's place\n"
    "  --explain       no case is run: the algorithm that each op chooses, and the time that the peaks predict\n"
    "  --peaks-only    no cases\n"
    "  --overhead      what the engine adds to the smallest call\n"
    "\n"
    "docs/benchmark.md tells how it is measured and how to read it.\n";

#define ROUNDS_MAX 1000
#define PATHS_MAX 8      /* of one op */
#define RUNS_MIN 5       /* of a case in a round */
#define SECONDS 0.2      /* and so long at least, */
#define SECONDS_LONG 2.0 /* unless its runs take longer than this */
#define BATCH 50e-6      /* seconds that are timed at once: the clock costs some 20 ns */

typedef struct options {
    heed_options engine;
    const char **specs, **shape_texts;
    uint32_t n_specs, n_shapes;
    const char *isa, *json;
    int64_t rounds, decode;
    uint32_t dtype;
    int peaks_only, overhead, explain;
} options;

/* ---- statistics ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, uint32_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- interruption and progress ---- */

static volatile sig_atomic_t interrupted;
static void interrupt(int signal) { interrupted = signal; }

/* The first signal ends the work in order, a second one at once. */
static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static int32_t check_interrupted(heed_error *error)
{
    return interrupted ? error_set(error, HEED_E_CANCELLED, "interrupted; nothing was written") : HEED_OK;
}

static void progress(const char *doing, uint32_t at, uint32_t of)
{
    if (!isatty(STDERR_FILENO)) return;
    if (doing) fprintf(stderr, "\r\033[K%s %u of %u", doing, at, of);
    else fputs("\r\033[K", stderr);
}

/* ---- one case in one round ---- */

static int32_t time_batch(const bench_case *c, int64_t runs, double *seconds, heed_error *error)
{
    int32_t failed = HEED_OK;
    double start = cmd_seconds();
    for (int64_t i = 0; i < runs && !failed; i++) failed = bench_case_run(c, error);
    *seconds = (cmd_seconds() - start) / (double)runs;
    return failed ? failed : check_interrupted(error);
}

/* As many calls at once as the clock needs. */
static int32_t choose_batch(bench_case *c, heed_error *error)
{
    double seconds = 0;
    int32_t failed = HEED_OK;
    for (c->batch = 1; !failed && c->batch < 1 << 20; c->batch *= 2) {
        failed = time_batch(c, c->batch, &seconds, error);
        if (seconds * (double)c->batch >= BATCH) break;
    }
    return failed;
}

static int32_t measure_case(bench_case *c, uint32_t round, heed_error *error)
{
    double best = INFINITY, seconds, start = cmd_seconds(), spent = 0;
    int32_t failed = c->batch ? HEED_OK : choose_batch(c, error);
    for (int runs = 0; !failed && (runs < RUNS_MIN || spent < SECONDS) && (runs == 0 || spent < SECONDS_LONG); runs++) {
        failed = time_batch(c, c->batch, &seconds, error);
        if (seconds < best) best = seconds;
        spent = cmd_seconds() - start;
    }
    c->seconds[round] = best;
    return failed;
}

static int32_t measure(bench *b, peaks_meter *meter, heed_error *error)
{
    int32_t failed = HEED_OK;
    for (uint32_t r = 0; r < b->rounds && !failed; r++) {
        progress("round", r + 1, b->rounds);
        peaks_measure(meter, &b->peaks[r]);
        failed = check_interrupted(error);
        for (uint32_t i = 0; i < b->n_cases && !failed; i++) {
            bench_case *c = &b->cases[i];
            c->memory[r] = peaks_memory(meter, c->bytes, c->copies);
            failed = c->seconds ? measure_case(c, r, error) : check_interrupted(error);
        }
    }
    progress(NULL, 0, 0);
    return failed;
}

/* ---- the engine's own share ---- */

#define OVERHEAD_SAMPLES 401
#define OVERHEAD_CALLS 500 /* of a sample: some 50 us */

static int32_t time_overhead(const bench_case *c, bench_overhead *out, heed_error *error)
{
    double engine[OVERHEAD_SAMPLES], kernel[OVERHEAD_SAMPLES];
    const heed_instance *i = c->instance;
    bench_direct d;
    int32_t failed = bench_direct_make(&d, c, error);
    for (int s = 0; s < OVERHEAD_SAMPLES && !failed; s++) {
        failed = time_batch(c, OVERHEAD_CALLS, &engine[s], error);
        double start = cmd_seconds();
        for (int n = 0; n < OVERHEAD_CALLS && !failed; n++) failed = i->path->forward(i->memory, &d.call);
        kernel[s] = (cmd_seconds() - start) / OVERHEAD_CALLS;
    }
    bench_direct_free(&d);
    if (failed) return failed;
    out->engine_ns = 1e9 * bench_median(engine, OVERHEAD_SAMPLES);
    out->kernel_ns = 1e9 * bench_median(kernel, OVERHEAD_SAMPLES);
    return HEED_OK;
}

/* ---- cases ---- */

/* A spec as the engine resolves it. */
static resolved *resolve_text(heed_engine *engine, const char *text, spec **tree, heed_error *error)
{
    *tree = spec_parse(text, 0, error);
    return *tree ? resolve(&engine->registry, *tree, (*tree)->op, NULL, error) : NULL;
}

static int32_t measure_overhead(heed_engine *engine, bench_overhead *out, heed_error *error)
{
    spec *tree = NULL;
    bench_shape shape;
    bench_call call = {.entry = NULL};
    bench_case c = {.call = NULL};
    bench_shape_read("x=1,M=16", &shape);
    resolved *op = resolve_text(engine, "norm/rms", &tree, error);
    int32_t failed = op ? bench_call_make(&call, op, &shape, HEED_F32, 1, error) : error->code;
    if (!failed) failed = bench_case_open(&c, engine, op, &call, NULL, error);
    if (!failed) failed = time_overhead(&c, out, error);
    if (c.call) bench_case_close(&c);
    bench_call_free(&call);
    resolve_free(op);
    spec_free(tree);
    return failed;
}

/* The paths to measure, NULL = the engine's choice. A path that the op lacks stands for the best below it. */
static uint32_t choose_paths(const options *o, const heed_engine *engine, const entry *e, const char *paths[PATHS_MAX])
{
    uint32_t n = 0;
    paths[n++] = o->isa;
    if (!o->isa || strcmp(o->isa, "all")) return n;
    n = 0;
    for (uint32_t p = 0; p < e->op.paths.count && n < PATHS_MAX; p++)
        if (!(entry_path(e, p)->needs & ~engine->features)) paths[n++] = entry_path(e, p)->name;
    return n;
}

static int32_t open_spec(bench *b, const options *o, const resolved *op, const bench_shape *shapes, bench_call *calls,
                         heed_error *error)
{
    const char *paths[PATHS_MAX];
    uint32_t n_paths = choose_paths(o, b->engine, op->entry, paths);
    int32_t failed = HEED_OK;
    for (uint32_t s = 0; s < o->n_shapes && !failed; s++) {
        failed = bench_call_make(&calls[s], op, &shapes[s], o->dtype, !o->explain, error);
        for (uint32_t p = 0; p < n_paths && !failed; p++) {
            bench_case *c = &b->cases[b->n_cases++];
            progress("case", b->n_cases, o->n_specs * o->n_shapes * n_paths);
            failed = (o->explain ? bench_case_plan : bench_case_open)(c, b->engine, op, &calls[s], paths[p], error);
            if (!o->explain) c->seconds = calloc(b->rounds, sizeof *c->seconds);
            c->memory = calloc(b->rounds, sizeof *c->memory);
            if (!failed && ((!o->explain && !c->seconds) || !c->memory)) failed = error_memory(error);
            if (!failed) failed = check_interrupted(error);
        }
    }
    return failed;
}

static int32_t open_cases(bench *b, const options *o, const bench_shape *shapes, bench_call *calls, heed_error *error)
{
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < o->n_specs && !failed; i++) {
        spec *tree = NULL;
        resolved *op = resolve_text(b->engine, o->specs[i], &tree, error);
        failed = op ? open_spec(b, o, op, shapes, calls + i * o->n_shapes, error) : error->code;
        resolve_free(op);
        spec_free(tree);
    }
    progress(NULL, 0, 0);
    return failed;
}

/* ---- the command ---- */

static int read_spec(void *to, const char *value)
{
    options *o = to;
    o->specs[o->n_specs++] = value;
    return 0;
}

static int read_shape(void *to, const char *value)
{
    options *o = to;
    o->shape_texts[o->n_shapes++] = value;
    return 0;
}

static int read_isa(void *to, const char *value)
{
    ((options *)to)->isa = value;
    return 0;
}

static int read_json(void *to, const char *value)
{
    ((options *)to)->json = value;
    return 0;
}

static int read_dtype(void *to, const char *value)
{
    static const uint32_t known[] = {HEED_F32, HEED_F16, HEED_BF16};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(value, heed_dtype_name(known[i]))) continue;
        ((options *)to)->dtype = known[i];
        return 0;
    }
    return cmd_usage("--dtype takes f32, f16 or bf16, not " SPEC_QUOTE, SPEC_QUOTED(value));
}

static int read_rounds(void *to, const char *value)
{
    return cmd_int("--rounds", value, 1, ROUNDS_MAX, &((options *)to)->rounds);
}

static int read_decode(void *to, const char *value)
{
    return cmd_int("--decode", value, 1, INT32_MAX, &((options *)to)->decode);
}

static int read_peaks_only(void *to, const char *value)
{
    (void)value;
    ((options *)to)->peaks_only = 1;
    return 0;
}

static int read_explain(void *to, const char *value)
{
    (void)value;
    ((options *)to)->explain = 1;
    return 0;
}

static int read_overhead(void *to, const char *value)
{
    (void)value;
    ((options *)to)->overhead = 1;
    return 0;
}

static int read_options(options *o, int argc, char **argv)
{
    static const cmd_option table[] = {
        {"", 1, read_spec},
        {"--shape", 1, read_shape},
        {"--decode", 1, read_decode},
        {"--dtype", 1, read_dtype},
        {"--isa", 1, read_isa}, /* a path for the cases, not for the engine: the scalar one is needed too */
        {"--rounds", 1, read_rounds},
        {"--json", 1, read_json},
        {"--explain", 0, read_explain},
        {"--peaks-only", 0, read_peaks_only},
        {"--overhead", 0, read_overhead},
        {0},
    };
    int status = cmd_parse(argc, argv, usage, table, o, &o->engine);
    if (status) return status;
    if (o->explain && (o->peaks_only || o->overhead || !o->n_specs))
        return cmd_usage("--explain takes specs and shapes, and measures nothing of them");
    if (!o->rounds) o->rounds = o->explain ? 3 : 7;
    if (o->peaks_only && o->n_specs) return cmd_usage("--peaks-only takes no spec");
    if (!o->peaks_only && !o->overhead && !o->n_specs) return cmd_usage("bench needs the spec of an op");
    return 0;
}

static int32_t measure_all(bench *b, const options *o, const bench_shape *shapes, bench_call *calls, heed_error *error)
{
    static bench_overhead overhead;
    peaks_meter *meter = NULL;
    int32_t failed = HEED_OK;
    if (o->overhead) {
        failed = measure_overhead(b->engine, &overhead, error);
        b->overhead = &overhead;
    }
    if (failed || (!o->n_specs && !o->peaks_only)) return failed;
    failed = open_cases(b, o, shapes, calls, error);
    if (!failed && !(meter = peaks_open(b->engine, report_cache_bytes(), error))) failed = error->code;
    if (!failed && !(b->peaks = calloc(b->rounds, sizeof *b->peaks))) failed = error_memory(error);
    if (!failed) {
        b->buffer = peaks_buffer(meter);
        failed = measure(b, meter, error);
    }
    peaks_close(meter);
    return failed;
}

static int run(const options *o, bench_shape *shapes)
{
    heed_error error = {0};
    bench b = {.rounds = (uint32_t)o->rounds};
    size_t n_calls = (size_t)o->n_specs * o->n_shapes;
    bench_call *calls = calloc(n_calls + 1, sizeof *calls);
    b.cases = calloc(n_calls * PATHS_MAX + 1, sizeof *b.cases);
    int32_t failed = calls && b.cases ? HEED_OK : error_memory(&error);
    if (!failed && o->json) failed = report_check(o->json, &error);
    if (!failed && !(b.engine = cmd_engine(&o->engine, &error))) failed = error.code;
    if (!failed && heed_lanes(b.engine) > 1) pool_pin_caller(b.engine->pool);
    catch_signals();
    if (!failed) failed = measure_all(&b, o, shapes, calls, &error);
    if (!failed && (!o->json || strcmp(o->json, "-"))) (o->explain ? explain_table : report_table)(&b);
    if (!failed && o->json) failed = report_write(&b, o->json, &error);

    for (uint32_t i = 0; i < b.n_cases; i++)
        if (b.cases[i].call) bench_case_close(&b.cases[i]);
    for (size_t i = 0; calls && i < n_calls; i++) bench_call_free(&calls[i]);
    free(calls);
    free(b.cases);
    free(b.peaks);
    heed_engine_free(b.engine);
    return failed ? cmd_fail(&error) : 0;
}

int cmd_bench(int argc, char **argv)
{
    options o = {.engine.size = sizeof o.engine, .dtype = HEED_F32};
    o.specs = calloc(2 * (size_t)argc + 1, sizeof *o.specs);
    bench_shape *shapes = calloc((size_t)argc + 1, sizeof *shapes);
    if (!o.specs || !shapes) {
        free(o.specs);
        free(shapes);
        return cmd_fail(&(heed_error){HEED_E_MEMORY, "out of memory"});
    }
    o.shape_texts = o.specs + argc;
    int status = read_options(&o, argc, argv);
    if (!o.n_shapes) o.shape_texts[o.n_shapes++] = "T=2048";
    for (uint32_t i = 0; i < o.n_shapes && !status; i++) {
        status = bench_shape_read(o.shape_texts[i], &shapes[i]);
        if (!shapes[i].decode) shapes[i].decode = o.decode;
    }
    if (!status) status = run(&o, shapes);
    free(o.specs);
    free(shapes);
    return status;
}
