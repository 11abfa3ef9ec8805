/* SPDX-License-Identifier: MIT
 *
 * checks.c: the table of what is verified, and the checks that compare whole runs.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check/checks.h"
#include "check/codec.h"
#include "check/exact.h"
#include "check/grad.h"
#include "check/kept.h"
#include "check/rows.h"
#include "check/score.h"
#include "check/state.h"

static int has_oracle(const subject *s) { return call_oracle(&s->c) != NULL; }
static int has_paths(const subject *s) { return s->n_paths > 1; }
static int has_cost(const subject *s)
{
    return s->entry->op.get_extension && s->entry->op.get_extension(HEED_COST_ID);
}

static void check_call(subject *s);
static void check_bound(subject *s);
static void check_paths(subject *s);
static void check_threads(subject *s);
static void check_layouts(subject *s);
static void check_repeats(subject *s);
static void check_place(subject *s);
static void check_cost(subject *s);
static int has_place(const subject *s);

const check checks[] = {
    {"call",
     "opens and runs, or refuses with a sentence; writes its outputs in whole and nothing else", 1,
     NULL, check_call},
    {"bound",
     "stays within 4 times the error of the oracle's float32 loop, plus one unit in the last place",
     1, has_oracle, check_bound},
    {"paths", "gives the same bits on every path", 1, has_paths, check_paths},
    {"threads", "gives the same bits with 1, 2, 3 and 7 threads", 3, NULL, check_threads},
    {"tiles",
     "gives the same bits when tiles run in any order on any lane; their number is the shapes'", 2,
     NULL, check_tiles},
    {"layouts", "gives the same bits for misaligned and strided tensors, and stays inside of them",
     1, NULL, check_layouts},
    {"repeats", "gives the same bits for inputs with stride 0", 3, NULL, check_repeats},
    {"in place", "gives the same bits where an output is the input whose memory it may be", 2,
     has_place, check_place},
    {"exact", "keeps to the bytes that it measured; its instance and inputs stay as they are", 1,
     NULL, check_exact},
    {"stack", "takes no more of the stack than 16 KiB", 3, has_stack, check_stack},
    {"alone", "gives a row of the batch the bits that it gives it alone", 2, has_row_alone,
     check_alone},
    {"nan", "lets a NaN or Inf reach the rows that see it, and no other", 1, NULL, check_nan},
    {"causal", "gives no row anything of what comes after it, not a bit", 1, has_causality,
     check_causal},
    {"masked", "gives rows that see no key zeros and a log-sum-exp of -inf", 1, has_mask,
     check_masked},
    {"forms", "agrees with itself on a whole text, chunks of it, and token by token", 1, has_forms,
     check_forms},
    {"history", "remembers the same in a fork, whose pages are copies, and after a cut", 1,
     has_state, check_history},
    {"saved",
     "goes on from saved bytes, on any path, as if it had not stopped; any bytes may be in them", 2,
     has_state, check_saved},
    {"failure",
     "says so where its host stops it; what was remembered before a call that fails stays", 2, NULL,
     check_failure},
    {"score",
     "changes tiles of scores alike on every path, whole and in parts, within their padding", 4,
     has_score, check_score},
    {"codec",
     "stores rows alike in any order and parts, on every path, within its block; finite ones stay "
     "so",
     4, has_codec, check_codec},
    {"cost", "tells finite costs that are not negative", 4, has_cost, check_cost},
    {"backward",
     "gives the same bits of gradients on every path with 1, 2, 3 and 7 threads; NaNs stay", 2,
     has_backward, check_backward},
    {"slope", "gives gradients that tell how the oracle's outputs change along a random way", 3,
     has_slope, check_slope},
};
const uint32_t check_count = sizeof checks / sizeof *checks;

/* ---- checks ---- */

static void same(subject *s, heed_tensor out[ORACLE_PORTS], const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void same(subject *s, heed_tensor out[ORACLE_PORTS], const char *format, ...)
{
    char how[120];
    va_list list;
    va_start(list, format);
    vsnprintf(how, sizeof how, format, list);
    va_end(list);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (s->first[p].data && subject_port(s, p)->role == HEED_OUTPUT &&
            !tensors_equal(&s->first[p], &out[p]))
            harness_fail("%s has other bits %s than %s with one thread: %s",
                         subject_port(s, p)->name, how, s->paths[0],
                         tensors_difference(subject_port(s, p)->name, &out[p], &s->first[p]));
    outputs_free(out);
}

static void check_call(subject *s)
{
    heed_tensor out[ORACLE_PORTS];
    call_run(&s->c, s->paths[0], 1, PLAIN, out);
    same(s, out, "in a second run");
}

static void check_bound(subject *s)
{
    judged where;
    double ratio = call_judge_element(&s->c, s->first, &where);
    if (!(ratio <= 1))
        harness_fail("the error is %.3g of its bound: %s", ratio, judged_text(&where));
}

static void check_paths(subject *s)
{
    heed_tensor out[ORACLE_PORTS];
    for (int p = 1; p < s->n_paths; p++) {
        call_run(&s->c, s->paths[p], 1, PLAIN, out);
        same(s, out, "on %s", s->paths[p]);
    }
}

static void check_threads(subject *s)
{
    static const uint32_t counts[] = {2, 3, 7};
    heed_tensor out[ORACLE_PORTS];
    for (uint32_t i = 0; i < 3; i++) {
        const char *path = s->paths[(s->how.seed + i) % (uint64_t)s->n_paths];
        call_run(&s->c, path, counts[i], PLAIN, out);
        same(s, out, "on %s with %u threads", path, counts[i]);
    }
}

static void check_layouts(subject *s)
{
    static const char *const names[] = {"", "strided", "misaligned"};
    heed_tensor out[ORACLE_PORTS];
    for (int p = 0; p < s->n_paths; p++)
        for (int layout = STRIDED; layout < LAYOUTS; layout++) {
            call_run(&s->c, s->paths[p], 1, layout, out);
            same(s, out, "on %s with %s tensors", s->paths[p], names[layout]);
        }
}

/* An output of one path on tensors where they lie; out[port] is contiguous, to be freed. */
static void run_on(subject *s, const char *path, heed_tensor by_port[ORACLE_PORTS],
                   heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_instance *i = call_try(&s->c, path, 1, by_port, &e);
    if (!i) harness_fail("%s", e.text);
    outputs_make(&s->c, out);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (subject_port(s, p)->role == HEED_OUTPUT) by_port[p] = out[p];
    if (call_with(&s->c, i, by_port, NULL, &e)) harness_fail("%s", e.text);
    heed_instance_close(i);
}

/* Each input in turn has the same numbers all along one of its axes, once written out and once with
 * stride 0. */
static void check_repeats(subject *s)
{
    uint64_t seed = s->seed;
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        heed_tensor *t = &s->c.plain[p];
        if (subject_port(s, p)->role != HEED_INPUT || !t->data || !t->rank ||
            !heed_tensor_elements(t))
            continue;
        /* a list of blocks names none twice */
        const int once_only = !strcmp(subject_port(s, p)->name, "key_blocks");
        int axis = (int)(harness_random(&seed) % (uint64_t)(t->rank - once_only));
        heed_tensor kept = *t, full[ORACLE_PORTS], once[ORACLE_PORTS], a[ORACLE_PORTS],
                    b[ORACLE_PORTS];
        if (heed_tensor_alloc(&kept, NULL)) harness_fail("no memory");
        tensor_copy(&kept, t);
        heed_tensor one = tensor_slice(t, axis, 0, 1);
        for (int64_t i = 1; i < t->dim[axis]; i++) {
            heed_tensor to = tensor_slice(t, axis, i, 1);
            tensor_copy(&to, &one);
        }
        memcpy(full, s->c.plain, sizeof full);
        memcpy(once, s->c.plain, sizeof once);
        once[p].stride[axis] = 0;
        const char *path = s->paths[harness_random(&seed) % (uint64_t)s->n_paths];
        run_on(s, path, full, a);
        run_on(s, path, once, b);
        if (!outputs_equal(&s->c, a, b))
            harness_fail("%s: other bits where axis %d of %s has stride 0 than where its numbers "
                         "are written out: %s",
                         path, axis, subject_port(s, p)->name, outputs_difference(&s->c, b, a));
        outputs_free(a);
        outputs_free(b);
        tensor_copy(t, &kept);
        free(kept.data);
    }
}

/* The input that an output may be: call.c has the rule. */
static int place_of(const subject *s, uint32_t output)
{
    if (!(subject_port(s, output)->flags & HEED_PORT_IN_PLACE) || !s->first[output].data) return -1;
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (subject_port(s, p)->role == HEED_INPUT &&
            !memcmp(&s->entry->axes[p], &s->entry->axes[output], sizeof *s->entry->axes))
            return s->c.plain[p].data && s->c.plain[p].dtype == s->first[output].dtype ? (int)p
                                                                                       : -1;
    return -1;
}

static int has_place(const subject *s)
{
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (place_of(s, p) >= 0) return 1;
    return 0;
}

static void check_place(subject *s)
{
    for (uint32_t o = 0; o < s->c.op->ports.count; o++) {
        int in = place_of(s, o);
        if (in < 0) continue;
        for (int p = 0; p < s->n_paths; p++) {
            heed_error e;
            heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
            memcpy(by_port, s->c.plain, sizeof by_port);
            outputs_make(&s->c, out);
            for (uint32_t i = 0; i < s->c.op->ports.count; i++)
                if (subject_port(s, i)->role == HEED_OUTPUT) by_port[i] = out[i];
            tensor_copy(&out[o], &s->c.plain[in]);
            by_port[in] = out[o];
            heed_instance *i = call_open(&s->c, s->paths[p], 2);
            if (call_with(&s->c, i, by_port, NULL, &e)) harness_fail("%s", e.text);
            heed_instance_close(i);
            same(s, out, "on %s with %s in the memory of %s", s->paths[p], subject_port(s, o)->name,
                 subject_port(s, (uint32_t)in)->name);
        }
    }
}

static void check_cost(subject *s)
{
    heed_error e;
    heed_binding in[ORACLE_PORTS];
    heed_tensor once[ORACLE_PORTS];
    heed_instance *i = call_open(&s->c, NULL, 1);
    call_once(&s->c, s->c.plain, once);
    heed_cost c;
    if (heed_estimate(i, in, call_bindings(&s->c, HEED_INPUT, once, in), &c, &e))
        harness_fail("%s", e.text);
    const struct { const char *name; double value;
    } told[] = {{"flops", c.flops},
                {"bytes", c.bytes},
                {"state_bytes", c.state_bytes},
                {"receptive_field", c.receptive_field},
                {"executed", c.executed}};
    for (size_t k = 0; k < sizeof told / sizeof *told; k++)
        if (!isfinite(told[k].value) || told[k].value < 0)
            harness_fail("heed.cost/1 tells %s = %g", told[k].name, told[k].value);
    heed_instance_close(i);
}
