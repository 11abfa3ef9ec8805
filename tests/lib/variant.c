/* SPDX-License-Identifier: MIT
 *
 * variant.c: the checks of variant.h.
 */
#include "variant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }

static const heed_port *port_of(const call *c, uint32_t p)
{
    return (const heed_port *)c->op->ports.data + p;
}

/* ---- the checks: each of one row ---- */

/* The call of a row with axes of its own, else with these. */
static call_case case_of(const variant_row *row, const char *axes, const char *setting,
                         const char *without, uint64_t seed)
{
    const int own = row->axes && *row->axes && *row->axes != ',';
    return variant_case(row, own ? row->axes : axes, setting, own ? "" : without, seed);
}

static const char *const no_setting[] = {"", NULL};

static void same(const call *c, const heed_tensor *a, const heed_tensor *b, const char *what,
                 const char *path)
{
    if (!outputs_equal(c, a, b))
        fail_msg("%s [%s], %s on %s: other bits", c->how->spec, c->how->axes, what, path);
}

/* A case of its own where the row has one; else the shapes, and the settings in turn. */
static void check_formula(const variant_row *row, size_t r)
{
    call_case how = case_of(row, "", "", "", r);
    harness_sweep(&how);
}

static void check_shapes(const variant_row *row, size_t r)
{
    static const char *const shapes[] = {
        "B=1,T=1,S=1,H=1,G=1,D=1,E=1",       "B=2,T=17,S=17,H=4,G=2,D=16,E=8",
        "B=1,T=65,S=65,H=3,G=3,D=9,E=31",    "B=1,T=0,S=5,H=2,G=2,D=8,E=8",
        "B=2,T=5,S=0,H=2,G=1,D=8,E=8",       "B=1,T=130,S=130,H=2,G=2,D=8,E=5",
        "B=1,T=31,S=150,H=6,G=2,D=17,E=16",  "B=2,T=3,S=129,H=4,G=1,D=15,E=17",
        "B=1,T=290,S=290,H=1,G=1,D=16,E=16", "B=1,T=97,S=97,H=12,G=4,D=5,E=3",
    };
    static const char *const square[] = {
        "B=1,T=1,H=1,G=1,D=1,E=1",     "B=1,T=17,H=2,G=1,D=16,E=16",  "B=2,T=3,H=4,G=2,D=15,E=17",
        "B=1,T=65,H=3,G=3,D=33,E=31",  "B=1,T=0,H=2,G=2,D=8,E=8",     "B=1,T=127,H=2,G=2,D=8,E=65",
        "B=3,T=15,H=6,G=2,D=2,E=1",    "B=1,T=49,H=5,G=5,D=17,E=127", "B=0,T=4,H=1,G=1,D=4,E=4",
        "B=1,T=300,H=2,G=2,D=20,E=64", "B=1,T=97,H=1,G=1,D=64,E=40",  "B=2,T=193,H=4,G=2,D=24,E=16",
    };
    const char *const *settings = row->settings ? row->settings : no_setting;
    const size_t n = row->one_axis ? COUNT(square) : COUNT(shapes);
    for (size_t i = 0; i < n; i++)
        for (size_t s = 0; settings[s]; s++) {
            /* Of many settings each shape meets some; an emulator looks at fewer shapes. */
            if (row->settings && ((i + r + s) % 3 || (i + s) % 2)) continue;
            if (harness_skips(r + i + s, row->settings ? 2 : 3)) continue;
            const char *without = !row->settings ? (r + i) % 2 ? "key_lengths" : "lse"
                                  : i % 3 == 1   ? "+documents,key_lengths"
                                                 : "key_lengths";
            call_case how = variant_case(row, (row->one_axis ? square : shapes)[i], settings[s],
                                         without, 100 * r + 10 * i + s);
            if (row->settings) how.dtype = s % 3 ? HEED_F32 : i % 2 ? HEED_F16 : HEED_BF16;
            else if ((r + i) % 4 == 3) how.dtype = HEED_BF16;
            if (i % 4 == 3 && row->size != 0) how.size = row->size;
            else how.size = 1;
            if (row->settings) harness_glance(&how);
            else harness_sweep(&how);
        }
}

static void check_faults(const variant_row *row, size_t r)
{
    call_case how = case_of(row, "B=1,T=65,S=65,H=2,G=2,D=64,E=64", "", "", r);
    for (int fault = 0; fault < 3; fault++) {
        call c;
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 40);
        call_update(&c);
        call_run(&c, NULL, 1, PLAIN, out);
        const int q = call_port(&c, "q");
        if (fault == 1) c.d[call_port(&c, "key_lengths")][0]--;
        for (int64_t i = 0; fault == 2 && i < heed_tensor_elements(&c.plain[q]); i++)
            c.d[q][i] *= 1 + 1e-5;
        const double ratio = call_judge(&c, out);
        if ((fault == 0) != (ratio <= 1))
            fail_msg("%s: fault %d is at %.3g of the bound", how.spec, fault, ratio);
        outputs_free(out);
        call_free(&c);
    }
}

static void phases_of(const call_case *how, size_t turn, int all)
{
    static const int64_t chunks[] = {1, 5, 16, 95, 96, 97, 131, 1 << 20};
    const char *paths[8];
    heed_tensor whole[ORACLE_PORTS], parts[ORACLE_PORTS];
    call c;
    call_make(&c, how);
    const int n = harness_paths(c.op->id, paths);
    call_run(&c, paths[0], 1, PLAIN, whole);
    for (size_t k = 0; k < COUNT(chunks); k++)
        for (int p = 0; p < n; p++) {
            if (harness_skips(k + turn, 3) || (!all && (k + (size_t)p + turn) % 2)) continue;
            if (chunks[k] <= 5 && p == 0 && turn % 2) continue; /* slow */
            heed_sequence *twin[VARIANT_BATCH] = {NULL};
            heed_instance *i = call_open(&c, paths[p], 1 + (uint32_t)p);
            const int64_t T = axis(&c, 'T');
            char what[40];
            outputs_make(&c, parts);
            variant_feed_all(&c, i, twin, chunks[k], parts);
            snprintf(what, sizeof what, "chunks of %d", (int)chunks[k]);
            same(&c, whole, parts, what, paths[p]);
            if (chunks[k] < T) variant_must_feed(&c, i, twin, chunks[k], T - chunks[k], parts);
            same(&c, whole, parts, "a fork", paths[p]);
            for (int b = 0; b < VARIANT_BATCH; b++) heed_sequence_free(twin[b]);
            outputs_free(parts);
            heed_instance_close(i);
        }
    outputs_free(whole);
    call_free(&c);
}

static void check_phases(const variant_row *row, size_t r)
{
    static const char *const lengths[] = {"B=1,T=1,H=4,G=2,D=12,E=20", "B=2,T=95,H=4,G=2,D=12,E=20",
                                          "B=1,T=97,H=4,G=2,D=12,E=20",
                                          "B=2,T=210,H=4,G=2,D=12,E=20"};
    if (!row->causal) {
        call_case how = case_of(row, "B=2,T=320,S=320,H=4,G=2,D=6,E=5", "", "key_lengths", r);
        phases_of(&how, r, 1);
        return;
    }
    size_t n = 0;
    while (row->causal[n]) n++;
    for (size_t l = 0; l < COUNT(lengths); l++) {
        call_case how = variant_case(row, lengths[l], row->causal[l % n], "key_lengths", l);
        how.dtype = l == 3 ? HEED_F16 : HEED_F32;
        phases_of(&how, l + r, 0);
    }
}

/* Tokens from `at` on are changed, in each input that has them: outputs before keep their bits, and
 * some behind do not, unless it is token 0, which may be in no pattern. */
static void change_from(call *c, int64_t at, const char *path)
{
    heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
    int changed = 0;
    call_run(c, path, 2, PLAIN, before);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_tensor *t = &c->plain[p];
        if (port_of(c, p)->role != HEED_INPUT || !t->data || t->rank < 3) continue;
        for (int64_t i = 0; i < heed_tensor_elements(t); i++)
            if (i / t->stride[1] % t->dim[1] >= at) tensor_put(t, i, tensor_get(t, i) + 1.5);
    }
    call_run(c, path, 2, PLAIN, after);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        if (!before[p].data || before[p].rank < 3) continue;
        for (int64_t b = 0; b < axis(c, 'B'); b++) {
            const size_t row = before[p].bytes / (size_t)axis(c, 'B');
            const size_t early = row / (size_t)axis(c, 'T') * (size_t)at;
            const char *x = (char *)before[p].data + (size_t)b * row;
            const char *y = (char *)after[p].data + (size_t)b * row;
            assert_memory_equal(x, y, early);
            changed |= memcmp(x + early, y + early, row - early) != 0;
        }
    }
    if (at) assert_true(changed);
    outputs_free(before);
    outputs_free(after);
}

static void check_causal(const variant_row *row, size_t r)
{
    static const int64_t from[] = {134, 67, 57, 0};
    if (harness_skips(r, 1)) return;
    call_case how = case_of(row, "B=1,T=201,S=201,H=2,G=1,D=8,E=8", "", "key_lengths", r);
    const char *paths[8];
    call c;
    call_make(&c, &how);
    const int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++)
        for (size_t k = 0; k < COUNT(from); k++)
            if (from[k] < axis(&c, 'T')) change_from(&c, from[k], paths[p]);
    call_free(&c);
}

static void check_batch(const variant_row *row, size_t r)
{
    static const uint32_t threads[] = {1, 2, 3, 7};
    for (size_t s = 0; row->settings[s]; s++) {
        call c;
        const char *paths[8];
        heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
        call_case how =
            variant_case(row, "B=3,T=70,H=4,G=2,D=9,E=17", row->settings[s], "key_lengths", r);
        call_make(&c, &how);
        const int n = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, first);
        for (int p = 0; p < n; p++)
            for (size_t t = (size_t)p % 2; t < COUNT(threads); t += 2) {
                heed_error e;
                heed_instance *i = call_open(&c, paths[p], threads[t]);
                outputs_make(&c, other);
                for (int b = 0; b < 3; b++) {
                    heed_tensor one[ORACLE_PORTS] = {0};
                    for (uint32_t k = 0; k < c.op->ports.count; k++)
                        one[k] =
                            port_of(&c, k)->role == HEED_WEIGHT
                                ? c.plain[k]
                                : tensor_slice(other[k].data ? &other[k] : &c.plain[k], 0, b, 1);
                    if (call_with(&c, i, one, NULL, &e)) fail_msg("%s", e.text);
                }
                same(&c, first, other, "sequences of the batch alone", paths[p]);
                heed_instance_close(i);
                outputs_free(other);
            }
        outputs_free(first);
        call_free(&c);
    }
}

/* A NaN in token j's value of head g, channel e reaches that channel, of the heads of g, of the
 * queries from j on, and leaves the bits of all other outputs. */
static void check_values(const variant_row *row, size_t r)
{
    enum { L = 126, H = 4, E = 8 };
    static uint64_t seed = 9;
    call c;
    const char *paths[8];
    call_case how =
        variant_case(row, "B=1,T=126,H=4,G=2,D=8,E=8", row->causal[0], "key_lengths,lse", r);
    call_make(&c, &how);
    const int n = harness_paths(c.op->id, paths), out = call_port(&c, "out"),
              v = call_port(&c, "v"), G = (int)c.plain[v].dim[2];
    for (int p = 0; p < n; p++) {
        heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
        call_run(&c, paths[p], 1, PLAIN, before);
        for (int poke = 0; poke < 4; poke++) {
            const uint64_t draw = harness_random(&seed);
            const int j = (int)(draw % L), g = (int)(draw >> 8 & 1023) % G,
                      e = (int)(draw >> 16 & 7), at = (j * G + g) * E + e;
            const double was = tensor_get(&c.plain[v], at);
            tensor_put(&c.plain[v], at, NAN);
            if (poke % 2) variant_chunks(&c, paths[p], 2, 7, after);
            else call_run(&c, paths[p], 2, PLAIN, after);
            for (int64_t i = 0; i < L * H * E; i++) {
                const float x = ((float *)before[out].data)[i], y = ((float *)after[out].data)[i];
                const int head = i / E % H / (H / G) == g,
                          reached = i / E / H >= j && head && i % E == e;
                if (reached ? !isnan(y) : memcmp(&x, &y, sizeof x) != 0)
                    fail_msg("%s: a NaN in value %d, head %d, channel %d: output %d was %g, is %g",
                             how.spec, j, g, e, (int)i, (double)x, (double)y);
            }
            tensor_put(&c.plain[v], at, was);
            outputs_free(after);
        }
        outputs_free(before);
    }
    call_free(&c);
}

static void check_nans(const variant_row *row, size_t r)
{
    const char *paths[8];
    heed_tensor out[ORACLE_PORTS];
    call c;
    call_case how = case_of(row, "", "", "", r);
    call_make(&c, &how);
    variant_fill(&c, row);
    const heed_tensor *t = &c.plain[call_port(&c, row->port)], *y = &out[call_port(&c, "out")];
    for (int64_t i = row->at; i < heed_tensor_elements(t); i += row->step) tensor_put(t, i, NAN);
    call_update(&c);
    const int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        int64_t reached = 0;
        call_run(&c, paths[p], 1, PLAIN, out);
        if (!(call_judge(&c, out) <= 1))
            fail_msg("%s [%s] on %s: a NaN in %s reaches other outputs than in the formula",
                     how.spec, how.axes, paths[p], row->port);
        for (int64_t i = 0; i < heed_tensor_elements(y); i++)
            reached += isnan(tensor_get(y, i)) != 0;
        if (reached == heed_tensor_elements(y))
            fail_msg("%s [%s]: NaNs in %s reach all outputs", how.spec, how.axes, row->port);
        outputs_free(out);
    }
    call_free(&c);
}

static void check_equals(const variant_row *row, size_t r)
{
    static const char *const ports[] = {"out", "lse"};
    const char *paths[8];
    call c, d;
    call_case how = case_of(row, "B=2,T=173,S=173,H=4,G=2,D=24,E=20", "", "key_lengths", r);
    call_case other = how;
    other.spec = row->to, other.seed++;
    call_make(&c, &how);
    call_make(&d, &other);
    variant_fill(&c, row);
    for (uint32_t p = 0; p < c.op->ports.count; p++)
        for (uint32_t o = 0; o < d.op->ports.count; o++)
            if (c.plain[p].data && d.plain[o].data && port_of(&c, p)->role == HEED_INPUT &&
                !strcmp(port_of(&c, p)->name, port_of(&d, o)->name))
                tensor_copy(&d.plain[o], &c.plain[p]);
    const int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_run(&c, paths[p], 2, PLAIN, x);
        call_run(&d, paths[p], 1, PLAIN, y);
        for (size_t k = 0; k < COUNT(ports); k++) {
            const heed_tensor *a = &x[call_port(&c, ports[k])], *b = &y[call_port(&d, ports[k])];
            if (memcmp(a->data, b->data, a->bytes))
                fail_msg("%s is not %s on %s: %s", how.spec, other.spec, paths[p], ports[k]);
        }
        outputs_free(x);
        outputs_free(y);
    }
    call_free(&c);
    call_free(&d);
}

void variant_golden(const call *c, int64_t at, const double right[4])
{
    const char *paths[8];
    const int n = harness_paths(c->op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor out[ORACLE_PORTS];
        call_run(c, paths[p], 1, PLAIN, out);
        const heed_tensor *y = &out[call_port(c, "out")];
        for (int i = 0; i < 4; i++)
            if (!(fabs(tensor_get(y, at + i) - right[i]) <= 2e-6))
                fail_msg("%s on %s: element %d is %.7f, not %.6f", c->how->spec, paths[p],
                         (int)at + i, tensor_get(y, at + i), right[i]);
        outputs_free(out);
    }
}

static void check_golden(const variant_row *row, size_t r)
{
    call c;
    call_case how = case_of(row, "B=1,T=4,S=4,H=1,G=1,D=4,E=4", "", "key_lengths", r);
    call_make(&c, &how);
    variant_fill(&c, row);
    variant_golden(&c, row->row * axis(&c, 'E'), row->right);
    call_free(&c);
}

void variant_cost(const call *c, double pairs)
{
    heed_binding in[ORACLE_PORTS];
    heed_cost cost = {.size = sizeof cost};
    heed_error e;
    uint32_t n = 0;
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        if (c->plain[p].data && port_of(c, p)->role == HEED_INPUT)
            in[n++] = (heed_binding){port_of(c, p)->name, (heed_tensor *)&c->plain[p]};
    heed_instance *i = call_open(c, NULL, 1);
    if (heed_estimate(i, in, n, &cost, &e)) fail_msg("%s: %s", c->how->spec, e.text);
    const double flops = 2 * pairs * (double)(axis(c, 'D') + axis(c, 'E'));
    if (cost.flops != flops) fail_msg("%s: %.0f flops, but %.0f", c->how->spec, cost.flops, flops);
    if (cost.executed < cost.flops) fail_msg("%s executes less than it has to", c->how->spec);
    heed_instance_close(i);
}

/* With equal scores lse is the logarithm of the number of keys that a query sees. */
static void check_cost(const variant_row *row, size_t r)
{
    call_case how = case_of(row, "B=2,T=250,S=250,H=4,G=2,D=6,E=10", "", "key_lengths", r);
    heed_tensor out[ORACLE_PORTS];
    double pairs = 0;
    call c;
    call_make(&c, &how);
    variant_put(&c, "q", 0);
    call_run(&c, NULL, 1, PLAIN, out);
    const heed_tensor *lse = &out[call_port(&c, "lse")];
    for (int64_t n = 0; n < heed_tensor_elements(lse); n++) pairs += round(exp(tensor_get(lse, n)));
    variant_cost(&c, pairs);
    outputs_free(out);
    call_free(&c);
}

void variant_says(const char *spec, const heed_error *e, const char *words)
{
    if (e->code >= 0 || !strstr(e->text, words))
        fail_msg("%s: \"%s\" is not said in \"%s\"", spec, words, e->text);
}

void variant_no_open(const char *spec, const heed_opening *opening, const char *words)
{
    heed_error e = {0};
    assert_null(heed_instance_open(harness_engine(1), spec, opening, &e));
    variant_says(spec, &e, words);
}

static void check_refused(const variant_row *row, size_t r)
{
    heed_error e = {0};
    heed_binding weights[ORACLE_PORTS];
    heed_tensor out[ORACLE_PORTS];
    heed_opening opening = {.size = sizeof opening, .weights = weights};
    call c;
    if (!row->axes) {
        variant_no_open(row->spec, NULL, row->to);
        return;
    }
    call_case how = case_of(row, "", "", "", r);
    call_make(&c, &how);
    for (uint32_t p = 0; p < c.op->ports.count; p++)
        if (port_of(&c, p)->role == HEED_WEIGHT && c.plain[p].data)
            weights[opening.n_weights++] = (heed_binding){port_of(&c, p)->name, &c.plain[p]};
    heed_instance *i = heed_instance_open(harness_engine(1), how.spec, &opening, &e);
    if (i) {
        heed_tensor by_port[ORACLE_PORTS];
        outputs_make(&c, out);
        for (int p = 0; p < ORACLE_PORTS; p++) by_port[p] = out[p].data ? out[p] : c.plain[p];
        if (!call_with(&c, i, by_port, NULL, &e))
            fail_msg("%s [%s] is not refused", how.spec, how.axes);
        outputs_free(out);
        heed_instance_close(i);
    }
    variant_says(how.spec, &e, row->to);
    call_free(&c);
}

/* ---- all of them ---- */

static const struct check {
    uint32_t bit;
    const char *name;
    void (*check)(const variant_row *row, size_t r);
} checks[] = {
    {FORMULA, "formula", check_formula}, {SHAPES, "shapes", check_shapes},
    {FAULTS, "faults", check_faults},    {PHASES, "phases", check_phases},
    {CAUSAL, "causal", check_causal},    {BATCH, "batch", check_batch},
    {VALUES, "values", check_values},    {NANS, "nans", check_nans},
    {EQUALS, "equals", check_equals},    {GOLDEN, "golden", check_golden},
    {COST, "cost", check_cost},          {REFUSED, "refused", check_refused},
};

static const variant_row *all_rows;
static size_t all_count;

static void test_check(void **state)
{
    const struct check *c = *state;
    for (size_t r = 0; r < all_count; r++)
        if (all_rows[r].checks & c->bit) c->check(&all_rows[r], r);
}

static int end(void **state)
{
    (void)state;
    harness_end();
    return 0;
}

int variant_main(const variant_row *rows, size_t n_rows, const struct CMUnitTest *own, size_t n_own)
{
    struct CMUnitTest tests[COUNT(checks) + 20];
    uint32_t asked = 0;
    size_t n = 0;
    all_rows = rows, all_count = n_rows;
    for (size_t r = 0; r < n_rows; r++) asked |= rows[r].checks;
    for (size_t k = 0; k < COUNT(checks); k++)
        if (asked & checks[k].bit)
            tests[n++] =
                (struct CMUnitTest){checks[k].name, test_check, NULL, NULL, (void *)&checks[k]};
    for (size_t k = 0; k < n_own; k++) tests[n++] = own[k];
    return _cmocka_run_group_tests("variant", tests, n, NULL, end);
}
