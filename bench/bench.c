/* SPDX-License-Identifier: MIT
 *
 * bench.c: heed bench: its options, and the order of the work.
 *
 * Invariant: nothing is printed on standard output, and no file is touched, before all has been
 * measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/case/judge.h"
#include "bench/case/open.h"
#include "bench/case/suite.h"
#include "bench/count.h"
#include "bench/machine.h"
#include "bench/peaks.h"
#include "bench/ranks.h"
#include "bench/report/explain.h"
#include "bench/report/plot.h"
#include "bench/report/report.h"
#include "bench/rounds.h"
#include "command/command.h"
#include "command/file.h"
#include "command/interrupt.h"
#include "command/model.h"
#include "command/operands.h"
#include "command/options.h"
#include "command/progress.h"
#include "command/ranks.h"
#include "command/shape.h"
#include "inspect.h"
#include "command/origin.h"
#include "command/probe.h"

static const char usage[] =
    "usage: heed bench SPEC|NETWORK ... [--shape AXIS=N,...] ... [OPTION ...]\n"
    "       heed bench --suite [--tiny | --quick | --full] [OP ...] [OPTION ...]\n"
    "Measures each op and network on each shape, and puts its speed beside the peaks of this "
    "machine.\n"
    "\n"
    "  SPEC            an op with its settings, such as 'attention/softmax(causal=true)'\n"
    "  NETWORK         a file of weights, or the spec of a network, which then gets weights of "
    "chance. "
    "--shape T=N reads\n"
    "                  N tokens at once (2048, or its context), decode=N the N-th alone; its ops "
    "follow, with their share\n"
    "                  of the time\n"
    "  --shape SIZES   sizes of axes, such as B=1,H=8,T=2048,D=64. Those left out: B=1, T=2048, "
    "S=T, H=8, G=H, D=64,\n"
    "                  E=D, M=H*D, N=M, F=4M, V=256. The leading axes of a port such as \"... M\" "
    "are T rows, or\n"
    "                  those of x=3x5. decode=N is --decode for this shape alone. L=N gives "
    "attention its\n"
    "                  key_lengths, documents=N its documents, N of one length. with=residual+sum "
    "binds optional\n"
    "                  ports. values=span:0.1+0.5 are a weight's numbers, in turn. pitch=BYTES "
    "from row to row of an\n"
    "                  input; shift=BYTES that addresses are off 64\n"
    "  --decode N      an op that remembers: one call appends the N-th key, and one query (T=1) "
    "sees all of them;\n"
    "                  any other op: T=1, S=N. In a shape new=N makes that N tokens, and forks=1 "
    "has the sequences\n"
    "                  of the batch share what they remember\n"
    "  --dtype TYPE    of inputs and weights: f32 (the default), f16 or bf16; outputs are f32\n"
    "  --isa PATH      a path of the op, such as avx2; all = each that it has here; default: the "
    "fastest\n"
    "  --threads N     threads; 0, the default, is one a core; of --suite the default is 1\n"
    "  --pin HOW       compact (the default), scatter or none: where the threads go\n"
    "  --backward      what is timed is the op's backward: all the gradients that it has; its "
    "FLOPs are "
    "2.5 times the\n"
    "                  forward's\n"
    "  --training-step the forward and then the backward; and its time over that of "
    "attention/softmax, if that is\n"
    "                  among the specs\n"
    "  --rounds N      how often all is measured, 7 by default; with --explain 3\n"
    "  --json FILE     the record heed.bench/1, besides the table; - prints it in the table's "
    "place\n"
    "  --plot FILE     time against the one size that differs between the shapes, T=512, T=1024 "
    "..., as an SVG\n"
    "                  with the exponents of growth; by the program gnuplot; - prints it in the "
    "table's place\n"
    "  --explain       no case is run: the algorithm that each op chooses, and the time that the "
    "peaks predict\n"
    "  --peaks-only    no cases\n"
    "  --overhead      what the engine adds to the smallest call\n"
    "\n"
    "  --suite         every op that there is (or these ids alone) and a network, each on shapes "
    "that suit it, on all\n"
    "                  paths: first run once on a small shape, for the hash, which all machines "
    "must have alike\n"
    "  --tiny          no more than that: nothing is timed\n"
    "  --quick         then timed on middling shapes, in less than 3 minutes; the default\n"
    "  --full          then timed on large shapes\n"
    "  --model FILE    the network; models/plays.safetensors if it is there\n"
    "  --count FILE    under an emulator, with specs or with --tiny: executed instructions of one "
    "thread, by the "
    "counter\n"
    "                  that bench/machines/run sets up\n"
    "\n"
    "Under mpirun, specs of attention on each shape are run by one rank and shared by all of them: "
    "docs/ranks.md.\n"
    "Ctrl-C keeps the rounds that are whole. docs/benchmark.md tells how it is measured and how to "
    "read it.\n";

#define ROUNDS_MAX 1000
#define THREADS_UNSAID UINT32_MAX

typedef struct options {
    heed_options engine;
    const char **specs, **shape_texts;
    uint32_t n_specs, n_shapes;
    const char *isa, *json, *plot, *model, *count;
    int64_t rounds, decode;
    uint32_t dtype;
    int peaks_only, overhead, explain, suite, backward, training;
    int set; /* of the suite; -1 = not said */
    int shape_unsaid, networks; /* among the specs */
} options;

/* ---- cases ---- */

static int32_t measure_overhead(heed_engine *engine, bench_overhead *out, heed_error *error)
{
    call_shape shape;
    operands *call = calloc(1, sizeof *call);
    bench_case c = {.call = NULL};
    if (!call) return error_memory(error);
    shape_read("x=1,M=16", &shape);
    resolved *op = inspect_resolve(engine, "norm/rms", error);
    int32_t failed = op ? operands_make(call, op, &shape, HEED_F32, 1, error) : error->code;
    if (!failed) failed = judge_open(&c, engine, op, call, NULL, NULL, error);
    if (!failed) failed = rounds_overhead(&c, out, error);
    if (c.call) bench_case_close(&c);
    operands_free(call);
    free(call);
    resolve_free(op);
    return failed;
}

/* The specs and shapes that were named. */
/* A network on each of the shapes. */
static int32_t open_named_network(bench *b, const options *o, const char *word,
                                  const call_shape *shapes, heed_error *error)
{
    network_choice choice = {.isa = o->isa};
    int32_t failed = HEED_OK;
    if (model_is_file(word)) choice.file = word;
    else choice.spec = word;
    for (uint32_t s = 0; s < o->n_shapes && !failed; s++) {
        int next;
        failed = model_shape(&shapes[s], &choice.tokens, &next, error);
        choice.how = next ? NETWORK_NEXT : NETWORK_WHOLE;
        if (o->shape_unsaid && !next) choice.tokens = 0;
        if (!failed) failed = open_network(b, &o->engine, &choice, !o->count, error);
    }
    return failed;
}

static int32_t open_named(bench *b, const options *o, const call_shape *shapes, heed_error *error)
{
    int want = o->explain ? OPEN_PLAN : o->count ? OPEN_RUN : OPEN_TIME;
    int32_t failed = HEED_OK;
    if (o->count && !(b->counter = count_open(o->count, error))) return error->code;
    for (uint32_t i = 0; i < o->n_specs && !failed; i++) {
        if (model_is(o->specs[i])) {
            failed = open_named_network(b, o, o->specs[i], shapes, error);
            continue;
        }
        resolved *op = inspect_resolve(b->engine, o->specs[i], error);
        if (!op) failed = error->code;
        for (uint32_t s = 0; s < o->n_shapes && !failed; s++)
            failed = open_shape(b, op, &shapes[s], o->dtype, o->isa, want, NULL, error);
        resolve_free(op);
    }
    for (uint32_t s = 0; s < o->n_shapes && !failed; s++)
        failed = shape_given(&shapes[s], b->calls, b->n_calls, error);
    progress_end();
    return failed;
}

/* ---- the command ---- */

static int read_spec(void *to, const char *value)
{
    options *o = to;
    o->specs[o->n_specs++] = value;
    o->networks |= model_is(value);
    return 0;
}

static int read_shape(void *to, const char *value)
{
    options *o = to;
    o->shape_texts[o->n_shapes++] = value;
    return 0;
}

static int read_dtype(void *to, const char *value)
{
    return options_dtype(value, &((options *)to)->dtype);
}

static int read_rounds(void *to, const char *value)
{
    return options_int("--rounds", value, 1, ROUNDS_MAX, &((options *)to)->rounds);
}

static int read_decode(void *to, const char *value)
{
    return options_int("--decode", value, 1, INT32_MAX, &((options *)to)->decode);
}

static int read_set(options *o, int set)
{
    if (o->set >= 0 && o->set != set)
        return options_usage("--tiny, --quick and --full: only one of them");
    o->set = set;
    return 0;
}
static int read_tiny(void *to, const char *value) { return (void)value, read_set(to, SUITE_TINY); }
static int read_quick(void *to, const char *value)
{
    return (void)value, read_set(to, SUITE_QUICK);
}
static int read_full(void *to, const char *value) { return (void)value, read_set(to, SUITE_FULL); }

/* What does not go together, and what follows. */
static int check_suite(options *o)
{
    const char *alone = o->set >= 0 ? "--tiny, --quick and --full go"
                        : o->model  ? "--model goes"
                                    : NULL;
    if (o->count && o->engine.threads != 1)
        return options_usage("--count counts one thread, and --threads says otherwise");
    if (!o->suite) return alone ? options_usage("%s with --suite", alone) : 0;
    const char *other = o->n_shapes            ? "--shape"
                        : o->decode            ? "--decode"
                        : o->dtype != HEED_F32 ? "--dtype"
                        : o->explain           ? "--explain"
                        : o->plot              ? "--plot"
                        : o->peaks_only        ? "--peaks-only"
                        : o->overhead          ? "--overhead"
                        : o->backward          ? "--backward"
                        : o->training          ? "--training-step"
                                               : NULL;
    if (other) return options_usage("--suite chooses what is run, and does not go with %s", other);
    if (o->count && o->set > SUITE_TINY)
        return options_usage("--count goes with --tiny: an emulator is too slow for more");
    if (o->set < 0) o->set = o->count ? SUITE_TINY : SUITE_QUICK;
    if (o->set == SUITE_TINY && o->rounds)
        return options_usage("--tiny takes no time, and so no --rounds");
    if (!o->isa) o->isa = "all";
    return 0;
}

static int read_options(options *o, int argc, char **argv)
{
    static const option table[] = {
        {"", 1, .read = read_spec, .values = "SPEC FILE"},
        {"--shape", 1, .read = read_shape},
        {"--decode", 1, .read = read_decode},
        {"--dtype", 1, .read = read_dtype, .values = "f32 f16 bf16"},
        /* a path for the cases, not for the engine: the scalar one is needed too */
        {"--isa", 1, .at = offsetof(options, isa), .values = OPTIONS_PATHS " all"},
        {"--rounds", 1, .read = read_rounds},
        {"--json", 1, .at = offsetof(options, json), .values = "FILE"},
        {"--plot", 1, .at = offsetof(options, plot), .values = "FILE"},
        {"--backward", 0, .at = offsetof(options, backward)},
        {"--training-step", 0, .at = offsetof(options, training)},
        {"--explain", 0, .at = offsetof(options, explain)},
        {"--peaks-only", 0, .at = offsetof(options, peaks_only)},
        {"--overhead", 0, .at = offsetof(options, overhead)},
        {"--suite", 0, .at = offsetof(options, suite)},
        {"--tiny", 0, .read = read_tiny},
        {"--quick", 0, .read = read_quick},
        {"--full", 0, .read = read_full},
        {"--model", 1, .at = offsetof(options, model), .values = "FILE"},
        {"--count", 1, .at = offsetof(options, count), .values = "FILE"},
        {0},
    };
    o->engine.threads = THREADS_UNSAID;
    int status = options_parse(argc, argv, usage, table, o, &o->engine);
    if (o->engine.threads == THREADS_UNSAID) o->engine.threads = o->suite || o->count ? 1 : 0;
    if (!status) status = check_suite(o);
    if (status || o->suite) return status;
    if (o->networks && (o->dtype != HEED_F32 || o->explain))
        return options_usage("%s is for ops, and not for a network",
                             o->explain ? "--explain" : "--dtype");
    if ((o->backward || o->training) && (o->networks || o->explain || o->decode))
        return options_usage("%s is for ops that are run as a whole, and does not go with %s",
                             o->backward ? "--backward" : "--training-step",
                             o->networks ? "a network"
                             : o->decode ? "--decode"
                                         : "--explain");
    if (o->backward && o->training)
        return options_usage("--training-step has the backward in it: leave --backward out");
    if (o->explain && (o->peaks_only || o->overhead || !o->n_specs))
        return options_usage("--explain takes specs and shapes, and measures nothing of them");
    if (o->count &&
        (o->explain || o->peaks_only || o->overhead || o->plot || o->rounds || !o->n_specs))
        return options_usage("--count runs specs or --suite --tiny, and takes no time");
    if (o->plot && (o->explain || o->peaks_only || !o->n_specs))
        return options_usage("--plot shows the times of specs, and so needs specs that are run");
    if (o->plot && o->json && !strcmp(o->plot, "-") && !strcmp(o->json, "-"))
        return options_usage("--plot and --json: only one of them goes to standard output");
    if (!o->rounds) o->rounds = o->explain ? 3 : 7;
    if (o->peaks_only && o->n_specs) return options_usage("--peaks-only takes no spec");
    if (!o->peaks_only && !o->overhead && !o->n_specs)
        return options_usage("bench needs the spec of an op");
    return 0;
}

/* What ranks measure together: bench/ranks.c. */
static int check_ranks(options *o)
{
    if (!ranks_are_several()) return 0;
    if (o->suite || o->networks || o->json || o->plot || o->explain || o->peaks_only ||
        o->overhead || o->count || !o->n_specs)
        return options_usage("among ranks bench takes specs of attention, --shape, --rounds, "
                             "--dtype, --isa and --threads");
    return 0;
}

static bench_pace pace_of(const options *o)
{
    bench_pace p = o->suite ? suite_pace((uint32_t)o->set)
                            : (bench_pace){.runs = 5, .seconds = 0.2, .longest = 2.0};
    if (o->rounds) p.rounds = (uint32_t)o->rounds;
    return p;
}

static int32_t open_suite(bench *b, const options *o, heed_error *error)
{
    const char *emulator = count_emulator();
    suite_choice choice = {.set = (uint32_t)o->set,
                           .ops = o->specs,
                           .n_ops = o->n_specs,
                           .isa = o->isa,
                           .model = o->model,
                           .engine = &o->engine};
    if (emulator && o->set != SUITE_TINY)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this runs under %s, where time tells nothing: --suite --tiny, "
                         "which bench/machines/run has count instructions",
                         emulator);
    if (o->count && !(b->counter = count_open(o->count, error))) return error->code;
    b->suite = suite_name(choice.set);
    return suite_open(b, &choice, error);
}

/* How the time of each network is spread over its ops. */
static int32_t measure_parts(bench *b, heed_error *error)
{
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < b->n_cases && !failed; i++) {
        bench_case *c = &b->cases[i];
        if (!c->network || !c->seconds) continue;
        progress_show(-1, "by op, %s  %s", bench_case_spec(c), bench_case_shape(c));
        failed = network_by_op(c, b->pace.seconds, error);
    }
    progress_end();
    return failed;
}

static int32_t measure_all(bench *b, const options *o, const call_shape *shapes, heed_error *error)
{
    static bench_overhead overhead;
    peaks_meter *meter = NULL;
    int32_t failed = HEED_OK;
    if (o->overhead) {
        failed = measure_overhead(b->engine, &overhead, error);
        b->overhead = &overhead;
    }
    if (failed || (!o->n_specs && !o->peaks_only && !o->suite)) return failed;
    failed = o->suite ? open_suite(b, o, error) : open_named(b, o, shapes, error);
    if (failed || b->counter || (o->suite && o->set == SUITE_TINY)) return failed;
    if (!(meter = peaks_open(b->engine, machine_cache_bytes(), error))) return error->code;
    if (!(b->peaks = calloc(b->pace.rounds, sizeof *b->peaks))) failed = error_memory(error);
    b->buffer = peaks_buffer(meter);
    if (!failed) failed = rounds_measure(b, meter, error);
    peaks_close(meter);
    return failed || o->suite || b->asked ? failed : measure_parts(b, error);
}

/* All that can be refused before anything is measured; b->varies. */
static int32_t check_outputs(bench *b, const options *o, const call_shape *shapes,
                             heed_error *error)
{
    char *none;
    int32_t failed = o->json ? file_check(o->json, error) : HEED_OK;
    if (!failed && o->plot) failed = file_check(o->plot, error);
    if (failed) return failed;
    failed = shape_varies(shapes, o->n_shapes, b->varies, o->plot ? error : NULL);
    if (failed && !o->plot) return *b->varies = 0, HEED_OK; /* then there is no growth to tell of */
    return failed || !o->plot ? failed : plot_make(NULL, NULL, &none, NULL, error);
}

/* Nothing is written if one of them can not be made. */
static int32_t write_outputs(const bench *b, const options *o, heed_error *error)
{
    char *svg = NULL;
    size_t n = 0;
    int to_stdout = (o->json && !strcmp(o->json, "-")) || (o->plot && !strcmp(o->plot, "-"));
    int32_t failed = o->plot ? plot_make(b, o->shape_texts[0], &svg, &n, error) : HEED_OK;
    if (failed) return failed;
    if (!to_stdout) (o->explain ? explain_table : report_table)(b);
    if (o->json) failed = report_write(b, o->json, error);
    if (o->plot && !failed) failed = file_write(o->plot, svg, n, error);
    free(svg);
    return failed;
}

static int run(const options *o, const call_shape *shapes)
{
    if (ranks_are_several()) {
        const ranks_choice among = {&o->engine,  o->specs, shapes,    o->n_specs,
                                    o->n_shapes, o->dtype, o->rounds, o->isa};
        return ranks_bench(&among);
    }
    heed_error error = {0};
    bench b = {.pace = pace_of(o),
               .backward = o->training   ? BENCH_TRAINING_STEP
                           : o->backward ? BENCH_BACKWARD
                                         : 0};
    int32_t failed = check_outputs(&b, o, shapes, &error);
    if (!failed &&
        !(b.engine = inspect_engine(&o->engine, o->suite ? probe_plugins() : NULL, &error)))
        failed = error.code;
    if (!failed && (heed_lanes(b.engine) > 1 || o->suite)) inspect_pin_caller(b.engine);
    interrupt_catch();
    if (!failed) failed = measure_all(&b, o, shapes, &error);
    origin_tell(b.engine);
    if (!failed) failed = write_outputs(&b, o, &error);
    open_free(&b);
    suite_free(&b);
    free(b.peaks);
    heed_engine_free(b.engine);
    if (failed) return command_fail(&error);
    if (!b.asked) return 0;
    fprintf(stderr, "heed: interrupted: that is %u of %u rounds\n", b.pace.rounds, b.asked);
    return interrupt_status();
}

int command_bench(int argc, char **argv)
{
    options o = {.engine.size = sizeof o.engine, .dtype = HEED_F32, .set = -1};
    o.specs = calloc(2 * (size_t)argc + 1, sizeof *o.specs);
    call_shape *shapes = calloc((size_t)argc + 1, sizeof *shapes);
    if (!o.specs || !shapes) {
        free(o.specs);
        free(shapes);
        return command_fail(&(heed_error){HEED_E_MEMORY, "out of memory"});
    }
    o.shape_texts = o.specs + argc;
    ranks_begin();
    int status = read_options(&o, argc, argv);
    if (!status) status = check_ranks(&o);
    o.shape_unsaid = !o.n_shapes;
    if (!o.n_shapes) o.shape_texts[o.n_shapes++] = "T=2048";
    for (uint32_t i = 0; i < o.n_shapes && !status; i++) {
        status = shape_read(o.shape_texts[i], &shapes[i]);
        if (!shapes[i].decode) shapes[i].decode = o.decode;
    }
    if (!status) status = run(&o, shapes);
    free(o.specs);
    free(shapes);
    return status;
}
