/* SPDX-License-Identifier: MIT
 *
 * test_ranks.c: ranks that share the keys of a text give the bits of one, however many there are and
 * wherever their shares begin and end; what they send is what docs/ranks.md says; and one that fails,
 * does not come or does something else ends the work of all with a sentence.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/harness.h"
#include "op/group.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define RANKS_MOST 16

static heed_error e;

static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }
static const heed_port *port_of(const call *c, uint32_t p)
{
    return (const heed_port *)c->op->ports.data + p;
}

/* ---- ranks as threads ---- */

typedef struct member {
    const call *c;
    const char *isa; /* of this rank: they need not be alike */
    heed_group *group;
    heed_transport transport;
    heed_tensor *out; /* of the whole text, by port; of which a rank writes its rows */
    heed_error error;
    int64_t chunk;        /* of a text that is remembered */
    uint64_t sent, bytes; /* and of its pages */
    double seconds;
    int sin;      /* what this rank does wrong */
    int alone;    /* no group: heed_run */
    int straight; /* no fork in the middle */
} member;

/* Runs a function on all ranks at once, and returns the first sentence that a rank ended with, or
 * NULL. */
static const char *on_ranks(member *m, uint32_t ranks, void *(*fn)(void *))
{
    heed_transport t[RANKS_MOST];
    pthread_t thread[RANKS_MOST];
    if (heed_transport_threads(ranks, t, &e)) fail_msg("%s", e.text);
    for (uint32_t r = 0; r < ranks; r++) {
        m[r].transport = t[r], m[r].error = (heed_error){0};
        assert_int_equal(pthread_create(&thread[r], NULL, fn, &m[r]), 0);
    }
    for (uint32_t r = 0; r < ranks; r++) pthread_join(thread[r], NULL);
    for (uint32_t r = 0; r < ranks; r++)
        if (m[r].error.code) return m[r].error.text;
    return NULL;
}

/* The position of a port's axis, or -1. */
static int axis_at(const heed_port *port, char letter)
{
    int at = 0;
    for (const char *a = port->axes; *a; a++) {
        if (*a == letter) return at;
        at += *a >= 'A' && *a <= 'Z';
    }
    return -1;
}

/* Copies a rank's two blocks of rows between the text and a tensor of them alone. */
static void copy_share(const heed_tensor *all, const heed_tensor *own, int at, uint32_t rank,
                       uint32_t ranks, int gives)
{
    int64_t first[2], count[2], done = 0;
    heed_group_share(rank, ranks, all->dim[at], first, count);
    for (int b = 0; b < 2; done += count[b++]) {
        if (!count[b]) continue;
        heed_tensor there = tensor_slice(all, at, first[b], count[b]),
                    here = tensor_slice(own, at, done, count[b]);
        if (gives) tensor_copy(&there, &here);
        else tensor_copy(&here, &there);
    }
}

/* The share of one port's tensor, in memory of its own. */
static heed_tensor share_of(const call *c, uint32_t p, const heed_tensor *all, uint32_t rank,
                            uint32_t ranks, int at)
{
    heed_tensor own = *all;
    int64_t first[2], count[2];
    (void)c, (void)p;
    heed_group_share(rank, ranks, all->dim[at], first, count);
    own.dim[at] = count[0] + count[1];
    own = heed_tensor_of(NULL, own.dtype, own.rank, own.dim);
    if (heed_tensor_alloc(&own, NULL)) abort();
    return own;
}

static void *run_shared(void *arg)
{
    member *m = arg;
    const call *c = m->c;
    const uint32_t rank = m->transport.rank, ranks = m->transport.ranks;
    heed_tensor by_port[ORACLE_PORTS] = {{0}}, weights[ORACLE_PORTS];
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    memcpy(weights, c->plain, sizeof weights);
    heed_instance *i = call_try(c, m->isa, 1, weights, &m->error);
    m->group = i ? heed_group_new(harness_engine(1), &m->transport, 20, &m->error) : NULL;
    if (!m->group) return heed_instance_close(i), NULL;
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_port *port = port_of(c, p);
        const heed_tensor *all = port->role == HEED_OUTPUT ? &m->out[p] : &c->plain[p];
        const int keys = !strcmp(port->name, "k") || !strcmp(port->name, "v"),
                  at = axis_at(port, keys ? 'S' : 'T');
        if (!all->data || port->role == HEED_WEIGHT) continue;
        if (at < 0) by_port[p] = *all;
        else {
            by_port[p] = share_of(c, p, all, rank, ranks, at);
            if (port->role == HEED_INPUT) copy_share(all, &by_port[p], at, rank, ranks, 0);
        }
    }
    const uint32_t n_in = call_bindings(c, HEED_INPUT, by_port, in),
                   n_out = call_bindings(c, HEED_OUTPUT, by_port, out);
    heed_group_run(m->group, i, in, n_in, out, n_out, axis(c, 'T'), axis(c, 'S'), &m->error);
    heed_group_counted(m->group, &m->sent, NULL, &m->seconds);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_port *port = port_of(c, p);
        const int keys = !strcmp(port->name, "k") || !strcmp(port->name, "v"),
                  at = axis_at(port, keys ? 'S' : 'T');
        if (!by_port[p].data || at < 0) continue;
        if (port->role == HEED_OUTPUT) copy_share(&m->out[p], &by_port[p], at, rank, ranks, 1);
        free(by_port[p].data);
    }
    heed_group_free(m->group);
    heed_instance_close(i);
    return NULL;
}

static void compare(const call *c, heed_tensor right[ORACLE_PORTS], heed_tensor out[ORACLE_PORTS],
                    uint32_t ranks)
{
    for (uint32_t p = 0; p < c->op->ports.count; p++)
        if (right[p].data && port_of(c, p)->role == HEED_OUTPUT &&
            !tensors_equal(&right[p], &out[p]))
            fail_msg("%s [%s]: %s of %u ranks has other bits than that of one", c->how->spec,
                     c->how->axes, port_of(c, p)->name, ranks);
}

/* ---- one call ---- */

#define CASE(SPEC, AXES, WITHOUT)                                                                  \
    {                                                                                              \
        .spec = SPEC, .axes = AXES, .without = WITHOUT                                             \
    }
static const call_case cases[] = {
    CASE("attention/softmax(causal=true)", "B=1,T=3500,S=3500,H=2,G=1,D=8,E=8", "key_lengths"),
    CASE("attention/softmax", "B=2,T=37,S=5111,H=4,G=2,D=20,E=33", ""),
    CASE("attention/softmax(causal=true, window=700, sinks=3)", "B=1,T=3300,S=3300,H=2,G=2,D=8,E=8",
         "key_lengths"),
    CASE("attention/softmax(causal=true, position=alibi)", "B=1,T=1700,S=1700,H=3,G=3,D=16,E=16",
         "key_lengths"),
    CASE("attention/softmax(causal=true, prefix=1600)", "B=1,T=3200,S=3200,H=1,G=1,D=8,E=8", ""),
    CASE("attention/softmax(softcap=5)", "B=2,T=65,S=3500,H=2,G=1,D=16,E=16", "+documents"),
    CASE("attention/softmax", "B=1,T=40,S=3100,H=2,G=2,D=16,E=16", "+bias"),
    CASE("attention/softmax", "B=1,T=3,S=1,H=2,G=2,D=16,E=16", "key_lengths"),
    CASE("attention/softmax", "B=1,T=1,S=4000,H=8,G=2,D=16,E=16", "sink_logits"),
    {.spec = "attention/softmax", .axes = "B=1,T=70,S=4700,H=2,G=1,D=16,E=16", .dtype = HEED_F16},
    CASE("attention/adaptive_span(ramp=30, limit=2500)", "B=1,T=3200,S=3200,H=2,G=1,D=8,E=8", ""),
    CASE("attention/shaw", "B=1,T=3200,S=3200,H=1,G=1,D=8,E=8,R=11", ""),
    CASE("attention/window(left=900, right=5)", "B=1,T=3200,S=3200,H=1,G=1,D=8,E=8", ""),
    CASE("attention/softmax(causal=true, window=400, sinks=3)",
         "B=1,T=17000,S=17000,H=1,G=1,D=4,E=4", "key_lengths"),
    CASE("attention/window(left=90, right=1700, global=4)", "B=1,T=6300,S=6300,H=1,G=1,D=4,E=4",
         ""),
};

/* With a state that goes along the tokens: short texts that end anywhere in a chunk, fewer tokens than
 * ranks, forgetting gates, and channels that make several units of a head. */
static const call_case chains[] = {
    CASE("attention/linear(causal=true)", "B=1,T=1003,S=1003,H=4,G=2,D=20,E=40", "key_lengths"),
    CASE("attention/fast_weight(causal=true, rule=delta, read=before)",
         "B=2,T=217,S=217,H=2,G=2,D=8,E=70", "key_lengths"),
    CASE("attention/linear(causal=true)", "B=1,T=7,S=7,H=2,G=2,D=16,E=16", "key_lengths"),
    CASE("attention/fast_weight(causal=true, rule=sum, features=elu)",
         "B=2,T=333,S=333,H=2,G=2,D=8,E=33", "key_lengths"),
    CASE("attention/gated_delta(causal=true)", "B=1,T=517,S=517,H=4,G=2,D=16,E=100", "key_lengths"),
    CASE("attention/retention(causal=true)", "B=1,T=301,S=301,H=6,G=3,D=16,E=20",
         "key_lengths,gate"),
    CASE("attention/performer(causal=true, features=24)", "B=1,T=411,S=411,H=2,G=1,D=16,E=40",
         "key_lengths"),
    {.spec = "attention/gated_delta(causal=true)",
     .axes = "B=1,T=140,S=140,H=2,G=2,D=16,E=16",
     .without = "key_lengths",
     .dtype = HEED_BF16},
};

/* Holds what ranks make of these calls against one alone: at once, by run_shared, or fed `chunk` tokens
 * at a time, by feed_chain, which takes one sequence. Outputs are written by one rank or another, or
 * by all alike. */
static void check_calls(const call_case *cases, size_t n_cases, void *(*work)(void *),
                        int64_t chunk)
{
    static const uint32_t ranks[] = {3, 1, 2, 7, 16};
    for (size_t n = 0; n < n_cases; n++) {
        heed_tensor right[ORACLE_PORTS], out[ORACLE_PORTS];
        const char *paths[8];
        call c;
        call_make(&c, &cases[n]);
        const size_t n_paths = (size_t)harness_paths(c.op->id, paths);
        call_run(&c, NULL, 1, PLAIN, right);
        const size_t tried = chunk && axis(&c, 'B') != 1 ? 0 : harness_quick() ? 1 : COUNT(ranks);
        for (size_t r = 0; r < tried; r++) {
            member m[RANKS_MOST] = {{0}};
            outputs_make(&c, out);
            for (uint32_t k = 0; k < ranks[r]; k++)
                m[k] = (member){.c = &c,
                                .out = out,
                                .chunk = chunk,
                                .isa = r ? NULL : paths[(n + k) % n_paths]};
            const char *failed = on_ranks(m, ranks[r], work);
            if (failed)
                fail_msg("%s [%s], %u ranks: %s", c.how->spec, c.how->axes, ranks[r], failed);
            compare(&c, right, out, ranks[r]);
            outputs_free(out);
        }
        outputs_free(right);
        call_free(&c);
    }
}

static void shared_calls_have_the_bits_of_one(void **state)
{
    (void)state;
    check_calls(cases, COUNT(cases), run_shared, 0);
}

static void chains_have_the_bits_of_one(void **state)
{
    (void)state;
    check_calls(chains, COUNT(chains), run_shared, 0);
}

/* Sums that are too large for float32 though their mean is not are made once more, by all. */
static void large_values_have_the_bits_of_one(void **state)
{
    const call_case how = CASE("attention/softmax", "B=1,T=70,S=3333,H=2,G=1,D=16,E=16", "");
    heed_tensor right[ORACLE_PORTS], out[ORACLE_PORTS];
    call c;
    (void)state;
    call_make(&c, &how);
    const heed_tensor *v = &c.plain[call_port(&c, "v")];
    for (int64_t i = 0; i < heed_tensor_elements(v); i += 3) tensor_put(v, i, 3e38);
    call_update(&c);
    call_run(&c, NULL, 1, PLAIN, right);
    for (uint32_t ranks = 1; ranks <= 3; ranks++) {
        member m[RANKS_MOST] = {{0}};
        outputs_make(&c, out);
        for (uint32_t k = 0; k < ranks; k++) m[k].c = &c, m[k].out = out;
        const char *failed = on_ranks(m, ranks, run_shared);
        if (failed) fail_msg("%u ranks: %s", ranks, failed);
        compare(&c, right, out, ranks);
        outputs_free(out);
    }
    outputs_free(right);
    call_free(&c);
}

/* ---- a text that is remembered ---- */

/* Feeds the text `chunk` tokens at a time; in the middle it goes on with a fork, and takes some tokens
 * back. */
static void *feed_shared(void *arg)
{
    member *m = arg;
    const call *c = m->c;
    const int64_t T = axis(c, 'T'), B = axis(c, 'B');
    heed_tensor by_port[ORACLE_PORTS] = {{0}}, weights[ORACLE_PORTS];
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    heed_sequence *s[2] = {NULL, NULL};
    memcpy(weights, c->plain, sizeof weights);
    heed_instance *i = call_try(c, m->isa, 1, weights, &m->error);
    m->group = i ? heed_group_new(harness_engine(1), &m->transport, 20, &m->error) : NULL;
    for (int64_t b = 0; m->group && b < B; b++)
        s[b] = m->alone ? heed_sequence_new(i, c->oracle.axis, &m->error)
                        : heed_group_sequence(m->group, i, c->oracle.axis, &m->error);
    int once = !m->straight;
    for (int64_t t = 0, n; m->group && s[B - 1] && t < T && !m->error.code; t += n) {
        n = T - t < m->chunk ? T - t : m->chunk;
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_tensor *all = port_of(c, p)->role == HEED_OUTPUT ? &m->out[p] : &c->plain[p];
            by_port[p] = (heed_tensor){0};
            if (all->data && port_of(c, p)->role != HEED_WEIGHT)
                by_port[p] = tensor_slice(all, 1, t, n);
        }
        const uint32_t n_in = call_bindings(c, HEED_INPUT, by_port, in),
                       n_out = call_bindings(c, HEED_OUTPUT, by_port, out);
        if (m->alone) heed_run(i, in, n_in, out, n_out, s, &m->error);
        else heed_group_attend(m->group, i, in, n_in, out, n_out, s, &m->error);
        if (!once || t < T / 2 || m->error.code) continue;
        for (int64_t b = 0; b < B; b++) {
            heed_sequence *twin = heed_sequence_fork(s[b], NULL);
            if (!twin) abort();
            heed_sequence_free(s[b]), s[b] = twin;
            if (heed_sequence_truncate(twin, t, &m->error)) break;
        }
        once = 0, n = 0;
    }
    for (int64_t b = 0; b < B; b++) {
        if (s[b]) m->bytes += heed_sequence_bytes(s[b]);
        heed_sequence_free(s[b]);
    }
    if (m->group) heed_group_counted(m->group, &m->sent, NULL, NULL);
    heed_group_free(m->group);
    heed_instance_close(i);
    return NULL;
}

static void remembered_texts_have_the_bits_of_one(void **state)
{
    static const uint32_t ranks[] = {3, 1, 2, 16};
    static const call_case texts[] = {
        CASE("attention/softmax(causal=true)", "B=1,T=3500,S=3500,H=2,G=1,D=8,E=8", "key_lengths"),
        CASE("attention/softmax(causal=true, window=1000, sinks=2)",
             "B=2,T=3200,S=3200,H=1,G=1,D=8,E=8", "key_lengths"),
        CASE("attention/softmax(causal=true, cache=int8)", "B=1,T=3200,S=3200,H=4,G=1,D=8,E=8",
             "key_lengths"),
        CASE("attention/window(left=2000)", "B=1,T=3300,S=3300,H=1,G=1,D=8,E=8", "key_lengths"),
    };
    (void)state;
    for (size_t n = 0; n < COUNT(texts); n++) {
        heed_tensor right[ORACLE_PORTS];
        const char *paths[8];
        call c;
        call_make(&c, &texts[n]);
        const size_t n_paths = (size_t)harness_paths(c.op->id, paths);
        outputs_make(&c, right);
        /* what looks back so far only can not be taken back so far */
        const int straight = !strncmp(c.how->spec, "attention/window", 16);
        member one = {.c = &c, .out = right, .chunk = 1234, .alone = 1, .straight = straight};
        const char *failed = on_ranks(&one, 1, feed_shared);
        if (failed) fail_msg("%s: %s", c.how->spec, failed);
        for (size_t r = 0; r < (harness_quick() ? 1 : COUNT(ranks)); r++) {
            member m[RANKS_MOST] = {{0}};
            heed_tensor each[RANKS_MOST][ORACLE_PORTS];
            for (uint32_t k = 0; k < ranks[r]; k++) {
                outputs_make(&c, each[k]);
                m[k].c = &c, m[k].out = each[k], m[k].chunk = 611, m[k].straight = straight;
                m[k].isa = r ? NULL : paths[(n + k) % n_paths];
            }
            if ((failed = on_ranks(m, ranks[r], feed_shared)))
                fail_msg("%s [%s], %u ranks: %s", c.how->spec, c.how->axes, ranks[r], failed);
            for (uint32_t k = 0; k < ranks[r]; k++) {
                compare(&c, right, each[k], ranks[r]);
                outputs_free(each[k]);
            }
        }
        outputs_free(right);
        call_free(&c);
    }
}

/* The first row of a rank, of so many new tokens: shares of any length, none among them. */
static int64_t first_row(int64_t n, uint32_t rank, uint32_t ranks)
{
    return (int64_t)rank * rank * n / ((int64_t)ranks * ranks);
}

/* Goes on with a fork that was saved and loaded, and takes some tokens back. */
static int64_t take_back(const call *c, const heed_instance *i, heed_sequence **s, int64_t t,
                         heed_error *error)
{
    heed_sequence *twin = heed_sequence_fork(*s, error);
    const int64_t bytes = heed_sequence_save(twin, NULL, 0, error), back = t % 32;
    char *saved = malloc((size_t)bytes);
    if (heed_sequence_save(twin, saved, (uint64_t)bytes, error) != bytes) abort();
    heed_sequence_free(*s), heed_sequence_free(twin);
    *s = heed_sequence_load(i, c->oracle.axis, saved, (uint64_t)bytes, error);
    free(saved);
    if (!*s || heed_sequence_truncate(*s, t - back, error)) return 0;
    return back;
}

/* Feeds a text whose state goes from rank to rank: parts of it with shares of the rows, and between
 * them tokens that all compute. */
static void *feed_chain(void *arg)
{
    member *m = arg;
    const call *c = m->c;
    const int64_t T = axis(c, 'T');
    const uint32_t rank = m->transport.rank, ranks = m->transport.ranks;
    heed_tensor by_port[ORACLE_PORTS] = {{0}}, weights[ORACLE_PORTS];
    heed_binding in[ORACLE_PORTS], out[ORACLE_PORTS];
    memcpy(weights, c->plain, sizeof weights);
    heed_instance *i = call_try(c, m->isa, 1, weights, &m->error);
    m->group = i ? heed_group_new(harness_engine(1), &m->transport, 20, &m->error) : NULL;
    heed_sequence *s =
        m->group ? heed_group_sequence(m->group, i, c->oracle.axis, &m->error) : NULL;
    int once = 1;
    for (int64_t t = 0, n, turn = 0; s && t < T && !m->error.code; t += n, turn++) {
        int64_t at[RANKS_MOST + 1];
        const int shared = turn % 3 < 2;
        n = shared ? m->chunk : 2;
        if (n > T - t) n = T - t;
        for (uint32_t r = 0; r <= ranks; r++) at[r] = first_row(n, r, ranks);
        const int64_t from = shared ? at[rank] : 0, rows = shared ? at[rank + 1] - from : n;
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_tensor *all = port_of(c, p)->role == HEED_OUTPUT ? &m->out[p] : &c->plain[p];
            by_port[p] = (heed_tensor){0};
            if (!all->data || port_of(c, p)->role == HEED_WEIGHT) continue;
            by_port[p] = tensor_slice(all, 1, t + from, rows);
            if (shared || !rank || port_of(c, p)->role == HEED_INPUT) continue;
            by_port[p] = heed_tensor_of(NULL, all->dtype, all->rank, by_port[p].dim);
            if (heed_tensor_alloc(&by_port[p], NULL))
                abort(); /* rank 0 writes down what all have */
        }
        const uint32_t n_in = call_bindings(c, HEED_INPUT, by_port, in),
                       n_out = call_bindings(c, HEED_OUTPUT, by_port, out);
        group_attend(m->group, i, in, n_in, out, n_out, &s, shared ? at : NULL, &m->error);
        for (uint32_t p = 0; p < c->op->ports.count; p++)
            if (!shared && rank && port_of(c, p)->role == HEED_OUTPUT) free(by_port[p].data);
        if (!once || t < T / 2 || m->error.code) continue;
        once = 0, n -= take_back(c, i, &s, t + n, &m->error);
    }
    heed_sequence_free(s);
    heed_group_free(m->group);
    heed_instance_close(i);
    return NULL;
}

static void texts_of_chains_have_the_bits_of_one(void **state)
{
    (void)state;
    check_calls(chains, COUNT(chains), feed_chain, 153);
}

/* ---- what is sent, and what each rank has ---- */

enum { RECORD = 256 }; /* bytes of an agreement, to each other rank */

enum { SPAN = 1536 };

/* Keys of the others that a rank needs of a causal text: whole spans, of which one of its queries
 * sees a key at most `left` before its own, or among the first `sinks`. */
static uint64_t keys_needed(uint32_t rank, uint32_t ranks, int64_t rows, int64_t left,
                            int64_t sinks)
{
    int64_t first[2], count[2];
    uint64_t n = 0;
    heed_group_share(rank, ranks, rows, first, count);
    for (int64_t key = 0; key < rows; key++) {
        const int64_t from = key - key % SPAN, to = from + SPAN;
        int sees = 0, own = 0;
        for (int b = 0; b < 2; b++) {
            if (!count[b]) continue;
            const int64_t last = first[b] + count[b] - 1;
            sees |= from <= last && (from < sinks || to > first[b] - left);
            own |= key >= first[b] && key <= last;
        }
        n += sees && !own;
    }
    return n;
}

/* A key goes once to each other rank that has a query which sees one of its span, and to no other;
 * before, each has told the others which spans it sees. */
static void keys_are_sent_to_who_sees_them(void **state)
{
    static const struct {
        call_case how;
        int64_t left, sinks;
    } texts[] = {
        {CASE("attention/softmax(causal=true)", "B=1,T=9500,S=9500,H=2,G=2,D=8,E=16",
              "key_lengths"),
         9500, 0},
        {CASE("attention/softmax(causal=true, window=2000, sinks=5)",
              "B=1,T=9500,S=9500,H=2,G=2,D=8,E=16", "key_lengths"),
         1999, 5},
        {CASE("attention/window(left=900)", "B=1,T=9500,S=9500,H=2,G=2,D=8,E=16", "key_lengths"),
         900, 0},
    };
    const uint64_t key = 2 * (8 + 16) * sizeof(float), spans = (9500 + SPAN - 1) / SPAN;
    (void)state;
    for (size_t n = 0; n < COUNT(texts); n++)
        for (uint32_t ranks = 2; ranks <= 5; ranks += 3) {
            uint64_t sent = 0, keys = 0;
            heed_tensor out[ORACLE_PORTS];
            member m[RANKS_MOST] = {{0}};
            call c;
            call_make(&c, &texts[n].how);
            outputs_make(&c, out);
            for (uint32_t r = 0; r < ranks; r++) m[r].c = &c, m[r].out = out;
            const char *failed = on_ranks(m, ranks, run_shared);
            if (failed) fail_msg("%s", failed);
            for (uint32_t r = 0; r < ranks; r++)
                sent += m[r].sent,
                    keys += keys_needed(r, ranks, 9500, texts[n].left, texts[n].sinks);
            assert_true(keys < (ranks - 1) * (uint64_t)9500);
            assert_int_equal(sent, keys * key + (2 * RECORD + spans) * ranks * (ranks - 1));
            outputs_free(out);
            call_free(&c);
        }
}

/* A token costs a row of each head for each node that a rank has and the token sees; pages are where
 * they belong. */
static void check_token(const char *spec, uint64_t nodes)
{
    const call_case how = {
        .spec = spec, .axes = "B=1,T=6201,S=6201,H=4,G=2,D=16,E=32", .without = "key_lengths"};
    const uint64_t ranks = 2, row = 4 * (32 + 3) * sizeof(float),
                   page = 96 * 2 * 48 * sizeof(float);
    uint64_t sent[2] = {0}, pages = 0;
    heed_tensor out[2][ORACLE_PORTS];
    call c;
    call_make(&c, &how);
    for (int with = 0; with < 2;
         with++) { /* the last token as well: its chunk is one of one token */
        member m[RANKS_MOST] = {{0}};
        c.oracle.axis['T' - 'A'] = 6200 + with;
        for (uint32_t r = 0; r < ranks; r++) {
            outputs_make(&c, out[r]);
            m[r].c = &c, m[r].out = out[r], m[r].chunk = 6200, m[r].straight = 1;
        }
        const char *failed = on_ranks(m, (uint32_t)ranks, feed_shared);
        if (failed) fail_msg("%s", failed);
        for (uint32_t r = 0; r < ranks; r++) {
            sent[with] += m[r].sent, pages += with ? m[r].bytes : 0;
            outputs_free(out[r]);
        }
    }
    assert_int_equal(sent[1] - sent[0], nodes * row + 2 * RECORD);
    assert_int_equal(pages, 65 * page);
    call_free(&c);
}

static void a_token_sends_some_rows(void **state)
{
    (void)state;
    /* 5 spans: 3 nodes of rank 0, and 2 of rank 1 */
    check_token("attention/softmax(causal=true)", 5);
    /* the window begins in the fourth, and the sinks are in the first */
    check_token("attention/softmax(causal=true, window=1500)", 2);
    check_token("attention/softmax(causal=true, window=1500, sinks=4)", 3);
}

static void spans_are_dealt_out_evenly(void **state)
{
    (void)state;
    for (uint32_t ranks = 1; ranks <= 16; ranks++) {
        int64_t has[RANKS_MOST] = {0}, runs[RANKS_MOST] = {0};
        for (int64_t span = 0; span < 3000; span++) {
            const tree_node run = tree_run(span, ranks);
            const uint32_t rank = tree_rank(span, ranks);
            runs[rank] += span == run.index << run.level;
            has[rank]++;
            for (uint32_t r = 0; r < ranks; r++) { /* at every length */
                assert_true(has[r] * ranks <= span + 1 + (span / 4 + (int64_t)ranks));
                assert_true(runs[r] <= 8 + 4 * 12);
            }
        }
    }
    for (int64_t spans = 1; spans < 70; spans++)
        for (int64_t from = 0; from < spans; from++)
            for (int64_t to = from + 1; to <= spans; to++) {
                tree_node node[TREE_NODES];
                const uint32_t n = tree_cover(from, to, spans, node);
                int64_t at = from;
                for (uint32_t k = 0; k < n; k++) {
                    assert_int_equal(node[k].index << node[k].level, at);
                    at += (int64_t)1 << node[k].level;
                }
                assert_true(at == to || (to == spans && at >= to));
                assert_true(n <= 12);
            }
}

/* ---- what goes wrong ---- */

enum { ANOTHER_SPEC, DOES_NOT_COME, FAILS };

static void *do_wrong(void *arg)
{
    member *m = arg;
    heed_engine *engine = harness_engine(1);
    const int sins = m->transport.rank == 1;
    heed_group *g = heed_group_new(engine, &m->transport, 0.5, &m->error);
    if (!g) return NULL;
    const char *alike = sins && m->sin == ANOTHER_SPEC ? "softmax(causal=true)" : "softmax";
    int32_t failed = HEED_OK;
    if (sins && m->sin == FAILS) {
        m->error.code = failed = HEED_E_MEMORY;
        strcpy(m->error.text, "out of memory");
    }
    if (!sins || m->sin != DOES_NOT_COME)
        failed = heed_group_agree(g, alike, strlen(alike), failed, &m->error);
    m->error.code = failed;
    if (failed) { /* and it is the end */
        heed_error again = {0};
        if (!heed_group_agree(g, "", 0, HEED_OK, &again)) m->error.code = 0;
    }
    heed_group_free(g);
    return NULL;
}

static void all_end_with_one_that_fails(void **state)
{
    static const char *const right[] = {
        [ANOTHER_SPEC] = "rank 1 does something else than rank 0: all ranks make the same calls, "
                         "with the same specs, weights and sizes",
        [DOES_NOT_COME] = "rank 1 has not answered for ",
        [FAILS] = "rank 1: out of memory",
    };
    (void)state;
    for (int sin = ANOTHER_SPEC; sin <= FAILS; sin++) {
        member m[RANKS_MOST] = {{0}};
        for (int r = 0; r < 4; r++) m[r].sin = sin;
        on_ranks(m, 4, do_wrong);
        for (int r = 0; r < 4; r++) {
            if (r == 1 && sin == DOES_NOT_COME) continue;
            assert_true(m[r].error.code < 0);
            const char *says = r == 1 && sin == FAILS ? "out of memory" : right[sin];
            if (strncmp(m[r].error.text, says, strlen(says))) /* how long it was varies */
                fail_msg("rank %d: %s", r, m[r].error.text);
        }
    }
}

/* A rank that works longer than it would be waited for, as the others do. */
static void *work_long(void *arg)
{
    member *m = arg;
    const int late = m->transport.rank == 1;
    heed_group *g = heed_group_new(harness_engine(1), &m->transport, 0.3, &m->error);
    if (!g) return NULL;
    nanosleep(&(struct timespec){late, late ? 200000000 : 600000000}, NULL);
    heed_group_agree(g, NULL, 0, HEED_OK, &m->error);
    heed_group_free(g);
    return NULL;
}

static void who_works_is_waited_for(void **state)
{
    member m[RANKS_MOST] = {{0}};
    (void)state;
    const char *failed = on_ranks(m, 3, work_long);
    if (failed) fail_msg("%s", failed);
}

/* Messages that are asked for without waiting: each comes whole, whenever the other side copies it. */
static void *ask_again(void *arg)
{
    member *m = arg;
    const heed_transport *t = &m->transport;
    enum { BYTES = 20000 };
    unsigned char *bytes = malloc(BYTES);
    for (int n = 0; n < 1000 && !m->error.code; n++) {
        void *request;
        int32_t code = 1;
        memset(bytes, t->rank ? n : 0, BYTES);
        if (t->rank) m->error.code = t->send(t, 0, bytes, BYTES, &request);
        else m->error.code = t->receive(t, 1, bytes, BYTES, &request);
        while (!m->error.code && code == 1) code = t->wait(t, &request, 0);
        if (code || bytes[0] != (n & 255) || bytes[BYTES - 1] != (n & 255)) m->error.code = -1;
    }
    free(bytes);
    m->transport.close(&m->transport, 0);
    return NULL;
}

static void messages_are_asked_for_again_and_again(void **state)
{
    member m[RANKS_MOST] = {{0}};
    (void)state;
    on_ranks(m, 2, ask_again);
    assert_int_equal(m[0].error.code, 0);
    assert_int_equal(m[1].error.code, 0);
}

static void *speak_otherwise(void *arg)
{
    member *m = arg;
    exchange x;
    const uint32_t rank = m->transport.rank;
    m->error.code =
        exchange_begin(&x, &m->transport, 5, rank == 2 ? "heed 2" : "heed 1", &m->error);
    exchange_end(&x);
    return NULL;
}

static void another_version_is_refused(void **state)
{
    member m[RANKS_MOST] = {{0}};
    (void)state;
    on_ranks(m, 3, speak_otherwise);
    for (int r = 0; r < 3; r++)
        assert_string_equal(m[r].error.text, "rank 2 is heed 2, but rank 0 is heed 1");
}

static void what_can_not_be_shared_is_refused(void **state)
{
    heed_transport t;
    (void)state;
    assert_int_equal(heed_transport_threads(1, &t, &e), 0);
    heed_group *g = heed_group_new(harness_engine(1), &t, 1, &e);
    heed_instance *rope = heed_instance_open(harness_engine(1), "position/rope", NULL, &e);
    if (!g || !rope) fail_msg("%s", e.text);
    assert_null(heed_group_sequence(g, rope, NULL, &e));
    assert_string_equal(e.text,
                        "position/rope has no heed.partial/1, by which ranks share the keys "
                        "of a text; it runs on one");
    heed_instance_close(rope);
    heed_group_free(g);
    assert_int_equal(heed_transport_threads(0, &t, &e), HEED_E_ARGUMENT);
    assert_null(heed_group_new(harness_engine(1), NULL, 1, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_calls_have_the_bits_of_one),
        cmocka_unit_test(large_values_have_the_bits_of_one),
        cmocka_unit_test(remembered_texts_have_the_bits_of_one),
        cmocka_unit_test(chains_have_the_bits_of_one),
        cmocka_unit_test(texts_of_chains_have_the_bits_of_one),
        cmocka_unit_test(keys_are_sent_to_who_sees_them),
        cmocka_unit_test(a_token_sends_some_rows),
        cmocka_unit_test(spans_are_dealt_out_evenly),
        cmocka_unit_test(all_end_with_one_that_fails),
        cmocka_unit_test(who_works_is_waited_for),
        cmocka_unit_test(messages_are_asked_for_again_and_again),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(what_can_not_be_shared_is_refused),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_end();
    return failed;
}
