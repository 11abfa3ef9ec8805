/* SPDX-License-Identifier: MIT
 *
 * test_recurrent.c: attention in linear time. Each op against its own formula, token by token, on
 * the shapes that hurt, with the same bits on all paths, at 1, 2, 3 and 7 threads and in every
 * layout; any split of a text into calls, forks, truncations and saved states go on with the bits
 * of the whole; what is remembered does not grow. What the ops are equal to stands in
 * test_recurrent_equal.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/variant.h"

enum { TEXTS = 3, OF_CORE = 32 };
enum { IN_ORDER = 1, AT_ONCE = 2 /* all keys, without a mask */, BOTH };

/* An op with its settings. */
static const struct member {
    const char *id, *settings;
    const char *axes, *with; /* axes of its own, and optional weights and inputs */
    int forms, tokens;       /* keys are the call's own tokens, for each head */
    int chunk;               /* tokens that a truncation can go back into; 0: it is the engine's */
    float size;              /* of inputs: a delta rule with long keys explodes */
} members[] = {
#define CORE OF_CORE, 1
#define SHORT OF_CORE, 0.08f
    {"attention/linear", "", "", "", BOTH, 0, CORE},
    {"attention/linear", "features=relu, eps=0.001", "", "", BOTH, 0, CORE},
    {"attention/linear", "features=identity, normalise=false", "", "", BOTH, 0, CORE},
    {"attention/linear", "features=dpfp, nu=2", "", "", BOTH, 0, CORE},
    {"attention/linear", "features=dpfp, nu=5, normalise=false", "", "", BOTH, 0, CORE},
    {"attention/fast_weight", "", "", "+beta", BOTH, 0, CORE},
    {"attention/fast_weight", "features=dpfp, nu=3, read=before", "", "", BOTH, 0, CORE},
    {"attention/fast_weight", "features=elu, beta=given, eps=0.01", "", "+beta", BOTH, 0, CORE},
    {"attention/fast_weight", "features=relu, rule=sum, eta=0.5, scale=3", "", "+beta", BOTH, 0,
     CORE},
    {"attention/fast_weight",
     "features=identity, sum_normalise=false, rule=sum, read=before, beta=given", "", "+beta",
     BOTH, 0, CORE},
    {"attention/fast_weight", "features=identity, sum_normalise=false, eta=0.75", "", "+beta",
     BOTH, 0, SHORT},
    {"attention/gated_delta", "", "", "+beta,+gate", BOTH, 0, CORE},
    {"attention/gated_delta", "scale=0.7, beta=given", "", "+beta", BOTH, 0, CORE},
    {"attention/gated_delta", "normalise_qk=false", "", "+gate", BOTH, 0, SHORT},
    {"attention/gated_delta", "gate=softplus", "", "+beta,+gate,+a_log,+dt_bias", BOTH, 0, CORE},
    {"attention/retention", "", "", "", BOTH, 0, CORE},
    {"attention/retention", "decay=0.75, scale=1", "", "", BOTH, 0, CORE},
    {"attention/retention", "decay=1", "", "", BOTH, 0, CORE},
    {"attention/retention", "", "", "+gate", BOTH, 0, CORE},
    {"attention/performer", "features=24", ",P=24", "+projection", BOTH, 0, CORE},
    {"attention/performer", "features=130", ",P=130", "+projection", BOTH, 0, OF_CORE, 2},
    {"attention/performer", "kernel=relu, features=17", ",P=17", "+projection", BOTH, 0, CORE},
    {"attention/performer", "kernel=hyperbolic, features=20", ",P=20", "+projection", BOTH, 0,
     CORE},
    {"attention/performer", "stabiliser=0.001, features=33", ",P=33", "+projection", IN_ORDER, 0,
     CORE},
    {"attention/performer", "features=37, seed=5", ",P=37", "", BOTH, 0, CORE},
    {"attention/performer", "features=9, scaling=sqrt, redraw=7, kernel=relu", ",P=9", "", BOTH, 0,
     CORE},
    {"attention/linformer", "", ",J=5,C=1100,W=1", "+f", AT_ONCE, 0, 0, 1},
    {"attention/linformer", "scale=0.1", ",J=33,C=1103,W=G", "", AT_ONCE, 0, 0, 1},
    {"attention/lightweight_conv", "", ",K=5", "", BOTH, 1, 0, 1},
    {"attention/lightweight_conv", "softmax=false", ",K=34", "+gate,+offset", BOTH, 1, 0, 1},
    {"attention/dynamic_conv", "", ",K=3", "+generator", BOTH, 1, 0, 1},
    {"attention/dynamic_conv", "", ",K=8", "+generator,+generator_offset,+gate,+offset", BOTH, 1,
     0, 0.3f},
    {"attention/dynamic_conv", "softmax=false", ",K=17", "+taps,+gate", BOTH, 1, 0, 1},
    {"attention/flash_linear", "chunk=20", "",
     "+q_gain,+q_offset,+k_gain,+k_offset,+linear_q_gain,+linear_q_offset,+linear_k_gain,"
     "+linear_k_offset", BOTH, 1, 0, 1},
    {"attention/flash_linear", "chunk=64", "", "", BOTH, 1, 0, 1},
    {"attention/flash_linear", "", "", "+k_offset", BOTH, 1, 0, 1},
    {"attention/retention", "gate=sigmoid, tau=4", "", "+gate", BOTH, 0, CORE},
};

static heed_error e;
static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }
static const heed_port *port_of(const call *c, uint32_t p)
{
    return (const heed_port *)c->op->ports.data + p;
}

typedef struct shape {
    int B, T, S, H, G, D, E;
} shape;

static call_case case_of(const struct member *m, int causal, const char *without, uint32_t dtype,
                         uint64_t seed, shape s)
{
    static char text[8][3][200];
    static int next;
    char(*to)[200] = text[next++ % 8];
    const char *comma = *m->settings && causal ? ", " : "";
    if (m->tokens) s.S = s.T, s.G = s.H;
    snprintf(to[0], sizeof *to, "%s(%s%s%s)", m->id, m->settings, comma,
             causal ? "causal=true" : "");
    snprintf(to[1], sizeof *to, "B=%d,T=%d,S=%d,H=%d,G=%d,D=%d,E=%d%s", s.B, s.T, s.S, s.H, s.G,
             s.D, s.E, m->axes);
    char *each = strstr(to[1], "W=G");
    if (each) each[2] = (char)('0' + s.G);
    snprintf(to[2], sizeof *to, "%s%s%s", without, *without && *m->with ? "," : "", m->with);
    return (call_case){to[0], to[1], to[2], dtype, m->size, seed};
}

static int has_port(const call *c, const char *name)
{
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        if (!strcmp(c->port[p], name)) return c->plain[p].data != NULL;
    return 0;
}

static void same(const call *c, const heed_tensor *a, const heed_tensor *b, const char *what)
{
    if (!outputs_equal(c, a, b))
        fail_msg("%s [%s], %s: other bits", c->how->spec, c->how->axes, what);
}

/* ---- against the formula, and all paths, threads and layouts against each other ---- */

static void test_formulas(void **state)
{
    static const shape shapes[] = {
        {1, 1, 1, 1, 1, 1, 1},         {2, 2, 2, 2, 1, 3, 8},        {1, 31, 31, 3, 3, 8, 17},
        {1, 32, 32, 4, 2, 16, 16},     {3, 33, 33, 2, 2, 17, 3},     {1, 63, 63, 8, 2, 40, 40},
        {1, 64, 64, 1, 1, 64, 64},     {1, 65, 65, 6, 3, 80, 17},    {2, 95, 95, 2, 1, 64, 128},
        {1, 0, 0, 2, 1, 8, 8},         {1, 100, 100, 1, 1, 130, 80}, {1, 96, 96, 5, 5, 3, 1},
        {1, 257, 257, 2, 1, 128, 130},
    };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t s = 0; s < COUNT(shapes); s++) {
            const size_t turn = m + s;
            if (!(members[m].forms & IN_ORDER) || harness_skips(turn, 4)) continue;
            if (shapes[s].T > 99 ? turn % 10 : shapes[s].T > 60 ? turn % 5 : 0) continue;
            const uint32_t dtype = (m + s) % 5 == 3   ? HEED_BF16
                                   : (m + s) % 5 == 1 ? HEED_F16
                                                      : HEED_F32;
            call_case how =
                case_of(&members[m], 1, s % 2 ? "key_lengths" : "", dtype, 100 * m + s, shapes[s]);
            if (turn % 3 && shapes[s].T > 2) harness_glance(&how);
            else harness_sweep(&how);
        }
}

/* Over all keys at once, as many as there are; no key at all gives zeros. */
static void test_all_keys(void **state)
{
    static const shape shapes[] = {
        {1, 1, 1, 1, 1, 1, 1},       {2, 5, 0, 2, 1, 8, 8},    {1, 0, 7, 1, 1, 8, 8},
        {2, 33, 65, 4, 2, 17, 3},    {1, 100, 3, 2, 2, 8, 40}, {1, 65, 257, 2, 1, 17, 32},
        {1, 130, 1100, 1, 1, 8, 32},
    };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t s = 0; s < COUNT(shapes); s++) {
            if (!(members[m].forms & AT_ONCE) || harness_skips(m + s, 3)) continue;
            const uint32_t dtype = (m + s) % 4 == 3 ? HEED_BF16 : HEED_F32;
            call_case how =
                case_of(&members[m], 0, s % 2 ? "" : "key_lengths", dtype, 100 * m + s, shapes[s]);
            if ((m + s) % 4) harness_glance(&how);
            else harness_sweep(&how);
        }
}

/* The bound must notice one key that is skipped, values 1e-5 off, and a strength or a gate of one
 * token that is. */
static void test_of_the_test(void **state)
{
    static const char *const faults[] = {"", "key_lengths", "v", "beta", "gate"};
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t f = 0; f < COUNT(faults); f++) {
            if (f > 2 && !strstr(members[m].with, faults[f])) continue;
            const int causal = members[m].forms & IN_ORDER;
            call_case how =
                case_of(&members[m], causal, "", HEED_F32, m, (shape){1, 65, 65, 2, 2, 24, 24});
            heed_tensor out[ORACLE_PORTS];
            call c;
            call_make(&c, &how);
            tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 40);
            call_update(&c);
            call_run(&c, NULL, 1, PLAIN, out);
            const int p = f ? call_port(&c, faults[f]) : 0;
            for (int64_t i = 0; f == 2 && i < heed_tensor_elements(&c.plain[p]); i++)
                c.d[p][i] *= 1 + 1e-5;
            if (f == 1) c.d[p][0]--;
            if (f > 2) c.d[p][2 * 30] += 1e-2, c.d[p][2 * 30 + 1] += 1e-2;
            const double ratio = call_judge(&c, out);
            if ((f == 0) != (ratio <= 1))
                fail_msg("%s: fault \"%s\" is at %.3g of the bound", how.spec, faults[f], ratio);
            outputs_free(out);
            call_free(&c);
        }
}

/* Keys beyond the length are never read: NaNs there are in no output, but in what their own tokens
 * ask for. */
static void test_lengths(void **state)
{
    static const char *const of_key[] = {"k", "v", "beta", "gate", "taps", "q"};
    static const int lengths[] = {47, 0};
    enum { T = 90 };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (int form = IN_ORDER; form <= AT_ONCE; form++) {
            if (!(members[m].forms & form)) continue;
            call_case how = case_of(&members[m], form == IN_ORDER, "", HEED_F32, m,
                                    (shape){2, T, T, 2, 1, 9, 20});
            const char *paths[8];
            heed_tensor right[ORACLE_PORTS], out[ORACLE_PORTS];
            call c;
            call_make(&c, &how);
            for (int b = 0; b < 2; b++)
                tensor_put(&c.plain[call_port(&c, "key_lengths")], b, lengths[b]);
            const int n = harness_paths(c.op->id, paths);
            call_run(&c, paths[0], 1, PLAIN, right);
            for (size_t o = 0; o < COUNT(of_key) - !members[m].tokens; o++) {
                if (!has_port(&c, of_key[o])) continue;
                const heed_tensor *t = &c.plain[call_port(&c, of_key[o])];
                for (int64_t i = 0; i < heed_tensor_elements(t); i++)
                    if (i / t->stride[1] % T >= lengths[i / t->stride[0]]) tensor_put(t, i, NAN);
            }
            for (int p = 0; p < n; p++) {
                call_run(&c, paths[p], 2, PLAIN, out);
                const heed_tensor *x = &right[call_port(&c, "out")],
                                  *y = &out[call_port(&c, "out")];
                for (int64_t i = 0; i < heed_tensor_elements(x); i++) {
                    const int64_t t = i / x->stride[1] % T, b = i / x->stride[0];
                    if (members[m].tokens && t >= lengths[b]) continue;
                    if (tensor_get(x, i) != tensor_get(y, i))
                        fail_msg("%s on %s: NaNs beyond the length make %g of token %d's %g",
                                 how.spec, paths[p], tensor_get(y, i), (int)t, tensor_get(x, i));
                    if (b && tensor_get(y, i) != 0)
                        fail_msg("%s on %s: %g of no keys", how.spec, paths[p], tensor_get(y, i));
                }
                outputs_free(out);
            }
            outputs_free(right);
            call_free(&c);
        }
}

/* ---- a text in parts ---- */

/* The next n tokens of `rows` texts of the call, from row `first` on, row r from token at[r] on. */
static int32_t read_on(const call *c, const heed_instance *i, heed_sequence *const *s,
                       int64_t first, int64_t rows, const int64_t *at, int64_t n,
                       const heed_tensor out[ORACLE_PORTS])
{
    heed_tensor piece[ORACLE_PORTS] = {0};
    int32_t failed = 0;
    for (int way = 0; way < 2; way++) { /* in, and back */
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
            if (!all->data) continue;
            if (port_of(c, p)->role == HEED_WEIGHT) {
                piece[p] = *all;
                continue;
            }
            if (!way) {
                piece[p] = *all;
                piece[p].dim[0] = rows, piece[p].dim[1] = n;
                piece[p] = heed_tensor_of(NULL, all->dtype, all->rank, piece[p].dim);
                if (heed_tensor_alloc(&piece[p], NULL)) fail_msg("no memory");
            }
            for (int64_t r = 0; r < rows; r++) {
                const heed_tensor text = tensor_slice(all, 0, first + r, 1),
                                  there = tensor_slice(&text, 1, at[r], n);
                const heed_tensor here = tensor_slice(&piece[p], 0, r, 1);
                if (port_of(c, p)->role == HEED_OUTPUT) {
                    if (way && !failed) tensor_copy(&there, &here);
                } else if (!way) {
                    tensor_copy(&here, &there);
                }
            }
            if (way) free(piece[p].data);
        }
        if (!way) failed = call_with(c, i, piece, s, &e);
    }
    return failed;
}

static void read_all(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from,
                     int64_t to, int64_t n, const heed_tensor out[ORACLE_PORTS])
{
    for (int64_t t = from; t < to; t += n) {
        const int64_t at[TEXTS] = {t, t, t};
        if (read_on(c, i, s, 0, axis(c, 'B'), at, to - t < n ? to - t : n, out))
            fail_msg("%s [%s], token %d: %s", c->how->spec, c->how->axes, (int)t, e.text);
    }
}

static void sequences_new(const call *c, const heed_instance *i, heed_sequence **s)
{
    for (int64_t b = 0; b < axis(c, 'B'); b++)
        if (!(s[b] = heed_sequence_new(i, c->oracle.axis, &e))) fail_msg("%s", e.text);
}

static void sequences_free(const call *c, heed_sequence **s)
{
    for (int64_t b = 0; b < axis(c, 'B'); b++) heed_sequence_free(s[b]);
}

/* A text's tokens from `cut` on are those of another one. */
static void other_end(const call *c, const call *other, int64_t cut)
{
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_tensor *x = &c->plain[p], *y = &other->plain[p];
        if (!x->data || port_of(c, p)->role == HEED_OUTPUT) continue;
        const int input = port_of(c, p)->role == HEED_INPUT;
        const heed_tensor from = input ? tensor_slice(x, 1, 0, cut) : *x,
                          to = input ? tensor_slice(y, 1, 0, cut) : *y;
        tensor_copy(&to, &from);
    }
}

/* In pieces of random sizes and token by token, on all paths, the bits of the call without a state.
 */
static void test_splits(void **state)
{
    static const shape shapes[] = {{2, 150, 150, 4, 2, 9, 20}, {1, 131, 131, 2, 2, 40, 65}};
    static const uint32_t threads[] = {1, 2, 3, 7};
    static const int longest[] = {1, 5, 40, 90, 150};
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t k = 0; k < COUNT(shapes); k++) {
            const uint32_t dtype = m % 4 == 3 ? HEED_F16 : HEED_F32;
            if (!(members[m].forms & IN_ORDER)) continue;
            call_case how = case_of(&members[m], 1, "key_lengths", dtype, m + k, shapes[k]);
            const char *paths[8];
            heed_tensor whole[ORACLE_PORTS], parts[ORACLE_PORTS];
            uint64_t seed = 77 * m + k;
            call c;
            call_make(&c, &how);
            const int n_paths = harness_paths(c.op->id, paths);
            call_run(&c, paths[0], 1, PLAIN, whole);
            for (int p = 0; p < n_paths; p++)
                for (size_t l = 0; l < COUNT(longest); l++) {
                    if (harness_skips(m + k + l + (size_t)p, 5) || (m + k + l + (size_t)p) % 2) continue;
                    heed_sequence *s[TEXTS];
                    heed_instance *i =
                        call_open(&c, paths[p], threads[(l + (size_t)p) % COUNT(threads)]);
                    sequences_new(&c, i, s);
                    outputs_make(&c, parts);
                    for (int64_t t = 0, n; t < shapes[k].T; t += n) {
                        n = 1 + (int64_t)(harness_random(&seed) % (uint64_t)longest[l]);
                        if (n > shapes[k].T - t) n = shapes[k].T - t;
                        read_all(&c, i, s, t, t + n, n, parts);
                    }
                    if (!outputs_equal(&c, whole, parts))
                        fail_msg("%s [%s] on %s, in pieces of up to %d: other bits than the whole",
                                 how.spec, how.axes, paths[p], longest[l]);
                    for (int64_t b = 0; b < shapes[k].B; b++)
                        assert_int_equal(heed_sequence_length(s[b]), shapes[k].T);
                    sequences_free(&c, s);
                    outputs_free(parts);
                    heed_instance_close(i);
                }
            outputs_free(whole);
            call_free(&c);
        }
}

/* Without a mask the last part of a text sees all keys that were read, as in a call of all. */
static void test_last_part(void **state)
{
    enum { T = 75, LAST = 50 };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        if (!(members[m].forms & AT_ONCE) || !members[m].chunk) continue;
        call_case how =
            case_of(&members[m], 0, "key_lengths", HEED_F32, m, (shape){1, T, T, 2, 1, 9, 20});
        heed_tensor whole[ORACLE_PORTS], out[ORACLE_PORTS];
        heed_sequence *s;
        double largest = 0;
        call c;
        call_make(&c, &how);
        call_run(&c, NULL, 1, PLAIN, whole);
        heed_instance *i = call_open(&c, NULL, 2);
        sequences_new(&c, i, &s);
        outputs_make(&c, out);
        read_all(&c, i, &s, 0, T, LAST, out);
        const heed_tensor *x = &whole[call_port(&c, "out")], *y = &out[call_port(&c, "out")];
        for (int64_t n = 0; n < heed_tensor_elements(x); n++)
            largest = fmax(largest, fabs(tensor_get(x, n)));
        for (int64_t n = LAST * x->stride[1]; n < heed_tensor_elements(x); n++)
            if (!(fabs(tensor_get(x, n) - tensor_get(y, n)) <= 1e-5 * largest))
                fail_msg("%s: the last part has %.8g for %.8g", how.spec, tensor_get(y, n),
                         tensor_get(x, n));
        heed_sequence_free(s);
        heed_instance_close(i);
        outputs_free(whole), outputs_free(out);
        call_free(&c);
    }
}

/* Texts that stand at other tokens are read in one call, each as if alone. */
static void test_batch(void **state)
{
    static const int64_t start[TEXTS] = {0, 7, 45};
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        if (!(members[m].forms & IN_ORDER)) continue;
        call_case how = case_of(&members[m], 1, "key_lengths", HEED_F32, m,
                                (shape){TEXTS, 120, 120, 4, 2, 10, 18});
        const char *paths[8];
        heed_tensor whole[ORACLE_PORTS], out[ORACLE_PORTS];
        call c;
        call_make(&c, &how);
        const int n_paths = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, whole);
        for (int p = 0; p < n_paths; p++) {
            if (harness_skips(m + (size_t)p, 2)) continue;
            heed_sequence *s[TEXTS];
            heed_instance *i = call_open(&c, paths[p], 1 + (uint32_t)p);
            sequences_new(&c, i, s);
            outputs_make(&c, out);
            int64_t at[TEXTS] = {0}, none = 0;
            for (int b = 0; b < TEXTS; b++, none = 0)
                if (start[b] && read_on(&c, i, s + b, b, 1, &none, at[b] = start[b], out))
                    fail_msg("%s", e.text);
            for (int64_t n = 25; at[TEXTS - 1] < 120; n = 120 - at[TEXTS - 1]) {
                if (read_on(&c, i, s, 0, TEXTS, at, n, out)) fail_msg("%s", e.text);
                for (int b = 0; b < TEXTS; b++) at[b] += n;
            }
            for (int b = 0; b < TEXTS; b++) /* and alone again */
                if (at[b] < 120 && read_on(&c, i, s + b, b, 1, at + b, 120 - at[b], out))
                    fail_msg("%s", e.text);
            same(&c, whole, out, "texts at other tokens in one call");
            sequences_free(&c, s);
            outputs_free(out);
            heed_instance_close(i);
        }
        outputs_free(whole);
        call_free(&c);
    }
}

/* ---- forks, truncations, saved states ---- */

static heed_sequence *saved_and_loaded(const call *c, const heed_instance *i, heed_sequence *s)
{
    const int64_t bytes = heed_sequence_save(s, NULL, 0, &e);
    void *blob = bytes > 0 ? malloc((size_t)bytes) : NULL;
    if (bytes < 0 || heed_sequence_save(s, blob, (uint64_t)bytes, &e) != bytes)
        fail_msg("%s: %s", c->how->spec, e.text);
    heed_sequence *loaded = heed_sequence_load(i, c->oracle.axis, blob, (uint64_t)bytes, &e);
    if (!loaded) fail_msg("%s: %s", c->how->spec, e.text);
    assert_int_equal(heed_sequence_length(loaded), heed_sequence_length(s));
    heed_sequence_free(s);
    free(blob);
    return loaded;
}

/* How far a text was read, in which pieces, and how much of it is kept. */
static const struct cut {
    int64_t read, piece, kept;
} cuts[] = {
    {70, 70, 69}, {70, 1, 65},  {70, 9, 64},   {64, 64, 64}, {97, 97, 96}, {33, 5, 32},
    {31, 31, 1},  {95, 40, 64}, {96, 1, 95},   {64, 64, 63}, {64, 1, 33},  {70, 70, 63},
    {70, 7, 40},  {70, 70, 31}, {100, 100, 2}, {100, 3, 63}, {70, 70, 0},
};

/* What is kept of a text goes on with another end as if nothing else had been read; its fork goes
 * on with its own; and what can not be forgotten is refused by a sentence that tells to fork, with
 * nothing lost. */
static void test_history(void **state)
{
    enum { T = 140 };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        const shape is = {1, T, T, 2, 1, 7, 20};
        if (!(members[m].forms & IN_ORDER)) continue;
        call_case how = case_of(&members[m], 1, "key_lengths", HEED_F32, m, is);
        const char *paths[8];
        heed_tensor whole[ORACLE_PORTS], right[ORACLE_PORTS], out[ORACLE_PORTS],
            forked[ORACLE_PORTS];
        call c;
        call_make(&c, &how);
        const int n_paths = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, whole);
        for (size_t k = 0; k < COUNT(cuts); k++) {
            if (harness_skips(m + k, 4) || (m + k) % 2) continue;
            const struct cut cut = cuts[k];
            const int p = (int)((m + k) % (size_t)n_paths), chunk = members[m].chunk;
            call_case then = case_of(&members[m], 1, "key_lengths", HEED_F32, m + 1000, is);
            char what[100];
            call d;
            call_make(&d, &then);
            other_end(&c, &d, cut.kept);
            call_run(&d, paths[0], 1, PLAIN, right);
            heed_instance *i = call_open(&c, paths[p], 1 + (uint32_t)(k % 3));
            heed_sequence *s, *fork;
            sequences_new(&c, i, &s);
            outputs_make(&c, out), outputs_make(&c, forked);
            read_all(&c, i, &s, 0, cut.read, cut.piece, out);
            assert_non_null(fork = heed_sequence_fork(s, &e));
            if (k % 2) s = saved_and_loaded(&c, i, s);
            const int64_t boundary = chunk ? cut.read / chunk * chunk : cut.read;
            const int may_not = chunk && cut.kept && cut.kept < boundary - chunk;
            const int must = !cut.kept || cut.kept >= boundary;
            const int32_t failed = heed_sequence_truncate(s, cut.kept, &e);
            snprintf(what, sizeof what, "%s, read to %d, cut to %d", paths[p], (int)cut.read,
                     (int)cut.kept);
            if (failed ? must : may_not)
                fail_msg("%s, %s: %s", how.spec, what, failed ? e.text : "not refused");
            if (failed && (!strstr(e.text, "fork the sequence") ||
                           !strstr(e.text, chunk ? "recurrent state" : "keeps the last")))
                fail_msg("%s, %s: \"%s\"", how.spec, what, e.text);
            if (!failed) {
                assert_int_equal(heed_sequence_length(s), cut.kept);
                if (k % 4 < 2) s = saved_and_loaded(&c, i, s);
                read_all(&d, i, &s, cut.kept, T, 1 + 13 * (int64_t)(k % 3), out);
                for (uint32_t o = 0; o < c.op->ports.count; o++) { /* what was before the cut */
                    if (!out[o].data) continue;
                    const heed_tensor to = tensor_slice(&out[o], 1, 0, cut.kept);
                    const heed_tensor from = tensor_slice(&right[o], 1, 0, cut.kept);
                    tensor_copy(&to, &from);
                }
                same(&d, right, out, what);
            } else {
                assert_int_equal(heed_sequence_length(s), cut.read);
                read_all(&c, i, &s, cut.read, T, 17, out);
                same(&c, whole, out, what);
            }
            read_all(&c, i, &fork, cut.read, T, 20, forked);
            for (uint32_t o = 0; o < c.op->ports.count; o++) {
                if (!out[o].data) continue;
                const heed_tensor x = tensor_slice(&whole[o], 1, cut.read, T - cut.read);
                const heed_tensor y = tensor_slice(&forked[o], 1, cut.read, T - cut.read);
                if (!tensors_equal(&x, &y))
                    fail_msg("%s, %s: its fork has other bits", how.spec, what);
            }
            heed_sequence_free(s), heed_sequence_free(fork);
            heed_instance_close(i);
            outputs_free(right), outputs_free(out), outputs_free(forked);
            call_free(&d);
        }
        outputs_free(whole);
        call_free(&c);
    }
}

/* What is remembered has as many bytes behind one token as behind hundreds, or as a window's pages
 * have, and goes on from path to path. */
static void test_size(void **state)
{
    enum { T = 300 };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        if (!(members[m].forms & IN_ORDER)) continue;
        call_case how =
            case_of(&members[m], 1, "key_lengths", HEED_F32, m, (shape){1, T, T, 2, 1, 6, 17});
        const char *paths[8];
        heed_tensor whole[ORACLE_PORTS], out[ORACLE_PORTS];
        heed_sequence *s;
        uint64_t bytes = 0;
        call c;
        call_make(&c, &how);
        const int n_paths = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, whole);
        outputs_make(&c, out);
        heed_instance *i = call_open(&c, paths[0], 1);
        sequences_new(&c, i, &s);
        for (int64_t t = 0; t < T; t += 50) {
            read_all(&c, i, &s, t, t + 1, 1, out);
            if (t == (members[m].chunk ? 0 : T / 2)) bytes = heed_sequence_bytes(s);
            if (bytes && members[m].chunk) assert_int_equal(heed_sequence_bytes(s), bytes);
            heed_instance *next =
                call_open(&c, paths[t / 50 % n_paths], 2); /* each 50 tokens on another path */
            s = saved_and_loaded(&c, next, s);
            heed_instance_close(i);
            i = next;
            read_all(&c, i, &s, t + 1, t + 50, 49, out);
        }
        same(&c, whole, out, "from path to path");
        assert_true(bytes > 0 && heed_sequence_bytes(s) <=
                                     (members[m].chunk ? 1 : 2) * bytes); /* or a page to spare */
        heed_sequence_free(s);
        heed_instance_close(i);
        outputs_free(whole), outputs_free(out);
        call_free(&c);
    }
}

/* ---- who sees what ---- */

/* Other numbers, then NaN, from token j on: outputs before keep their bits, those from j on of the
 * same text change. */
static void test_causality(void **state)
{
    static const char *const moved[] = {"q", "k", "v"};
    enum { T = 100 };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        if (!(members[m].forms & IN_ORDER)) continue;
        call_case how =
            case_of(&members[m], 1, "key_lengths", HEED_F32, m, (shape){2, T, T, 2, 1, 8, 8});
        const char *paths[8];
        call c;
        call_make(&c, &how);
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
            const int64_t j = 1 + 33 * p;
            call_run(&c, paths[p], 2, PLAIN, before);
            for (int nan = 0; nan < 2; nan++) {
                for (size_t k = 0; k < COUNT(moved); k++) {
                    if (!has_port(&c, moved[k])) continue;
                    const heed_tensor *t = &c.plain[call_port(&c, moved[k])];
                    for (int64_t i = 0; i < t->stride[0]; i++) /* of the first text */
                        if (i / t->stride[1] >= j)
                            tensor_put(t, i, nan ? NAN : tensor_get(t, i) / 2 - 0.05);
                }
                call_run(&c, paths[p], 2, PLAIN, after);
                const heed_tensor *x = &before[call_port(&c, "out")],
                                  *y = &after[call_port(&c, "out")];
                int changed = 0;
                for (int64_t i = 0; i < heed_tensor_elements(x); i++) {
                    const double a = tensor_get(x, i), b = tensor_get(y, i);
                    if (i < x->stride[0] && i / x->stride[1] >= j) changed |= !(a == b);
                    else if (!(a == b))
                        fail_msg("%s on %s: output %d was %g, is %g", how.spec, paths[p], (int)i, a,
                                 b);
                }
                assert_true(changed);
                outputs_free(after);
            }
            outputs_free(before);
            call_free(&c);
            call_make(&c, &how);
        }
        call_free(&c);
    }
}

/* Keys as long as 1e30 and as short as 1e-40 crash nothing; texts beside them, and tokens before,
 * keep their bits. */
static void test_extremes(void **state)
{
    static const double extremes[] = {1e30, -3e38, 1e-40, -1e-45, 0};
    enum { T = 70, AT = 40 };
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        if (!(members[m].forms & IN_ORDER)) continue;
        call_case how =
            case_of(&members[m], 1, "key_lengths", HEED_F32, m, (shape){2, T, T, 2, 1, 8, 20});
        const char *paths[8];
        heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS], first[ORACLE_PORTS];
        call c;
        call_make(&c, &how);
        const int n = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, before);
        for (size_t x = 0; x < COUNT(extremes); x++) {
            const char *key = has_port(&c, "k") ? "k" : has_port(&c, "q") ? "q" : "v";
            const heed_tensor *k = &c.plain[call_port(&c, key)],
                              *out = &before[call_port(&c, "out")];
            for (int64_t i = AT * k->stride[1]; i < (AT + 3) * k->stride[1]; i++)
                tensor_put(k, i, i % 3 ? extremes[x] : -extremes[x]);
            for (int p = 0; p < n; p++) {
                call_run(&c, paths[p], 2, PLAIN, after);
                const heed_tensor *y = &after[call_port(&c, "out")];
                for (int64_t i = 0; i < heed_tensor_elements(y); i++)
                    if ((i >= y->stride[0] || i / y->stride[1] < AT) &&
                        tensor_get(y, i) != tensor_get(out, i))
                        fail_msg("%s on %s: keys of %g reach output %d", how.spec, paths[p],
                                 extremes[x], (int)i);
                if (p == 0) memcpy(first, after, sizeof first);
                else same(&c, first, after, paths[p]), outputs_free(after);
            }
            outputs_free(first);
        }
        outputs_free(before);
        call_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas),    cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_of_the_test), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_splits), cmocka_unit_test(test_last_part),      cmocka_unit_test(test_batch),
        cmocka_unit_test(test_history),     cmocka_unit_test(test_size),
        cmocka_unit_test(test_causality),   cmocka_unit_test(test_extremes),
    };
    return variant_main(NULL, 0, tests, COUNT(tests));
}
