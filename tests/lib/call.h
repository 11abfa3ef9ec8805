/* SPDX-License-Identifier: MIT
 *
 * call.h: what tests of ops share: tensors in awkward places, one call on any path at any thread count, the oracle's
 * view of the same call, and the comparison that the bounds are about. Whoever links it says what a failure does.
 */
#ifndef HEED_CALL_H
#define HEED_CALL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <heed/heed.h>

#include "oracle/shipped.h"

#define INNER_MAX 6      /* weights of an op that is a param */
#define ORACLE_PORTS 40  /* an op's 32, these, past_k and past_v */
#define ORACLE_PARAMS 64

/* Ends the test with a sentence. Whoever links this says how: harness.c for cmocka, check/ for heed check. */
void harness_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A plugin that is loaded before those of HEED_PLUGINS, or NULL. To be set before the first engine is made. */
extern const char *harness_plugin;
/* What heed check has found that must not be loaded; NULL in a test. */
extern const struct load_care *harness_care;
/* Oracles that are asked before the shipped ones (of heed_oracle), or NULL. */
extern const heed_table *harness_oracles;

/* An engine with that many threads, kept for the whole program; fails the test if it can not be made. */
heed_engine *harness_engine(uint32_t threads);
void harness_end(void);

/* The paths this machine can run for an op ("scalar" first); missing ones are printed as skipped, once. */
int harness_paths(const char *id, const char *names[8]);

/* How tensors lie in memory. The same numbers must give the same bits. All end at an unreadable page. */
enum { PLAIN, STRIDED, SHIFTED, LAYOUTS };

/* A call of one op: the sizes of its axes, and what differs from the plain case. */
typedef struct call_case {
    const char *spec;     /* "norm/rms(eps=1e-5)" */
    const char *axes;     /* "B=2,T=17,M=64"; leading axes of "..." as "x=3x5" */
    const char *without;  /* optional ports left out, "gain,bias". Attention's inputs that shape its scores, key_lengths
                           * excepted, are left out unless "+documents" is here; "+bias:BH" has its axes B and H once */
    uint32_t dtype;       /* of float inputs and weights */
    float size;           /* inputs are normal numbers times this; 0 = 1 */
    uint64_t seed;
} call_case;

/* Tensors of a call, by the op's port table. Inputs are made by call_make and stay; outputs belong to call_run. */
typedef struct call {
    const call_case *how;
    const heed_op *op;
    uint32_t ports;                  /* the op's, and behind them the weights of the op that is a param */
    const heed_port *inner[INNER_MAX];
    char inner_name[INNER_MAX][48];
    heed_tensor plain[ORACLE_PORTS]; /* contiguous values; data NULL = absent */
    heed_oracle_call oracle;         /* the same for the oracle, in the arrays that follow: a call is not to be moved */
    const char *port[ORACLE_PORTS];
    double *d[ORACLE_PORTS];
    float *f[ORACLE_PORTS];
    const char *key[ORACLE_PARAMS];
    double value[ORACLE_PARAMS];
    heed_mask mask;
    int coded; /* a cache is not float32: with a state the op sees what its codec makes of k and v */
    int untold;                      /* the oracle does not know all that the result follows from */
} call;

void call_make(call *c, const call_case *how);
void call_free(call *c);
int call_port(const call *c, const char *name); /* index */
/* The oracle takes over what a test has written into plain[]. */
void call_update(call *c);
/* Tells the oracle of keys and values [B, P, G, ...] that a state holds already: they stand before k and v. */
void call_after(call *c, const heed_tensor *k, const heed_tensor *v);
/* Runs on a path, with that many threads and that layout; outputs, contiguous, into out[port].data (malloc'ed). */
void call_run(const call *c, const char *isa, uint32_t threads, int layout, heed_tensor out[ORACLE_PORTS]);
void outputs_free(heed_tensor out[ORACLE_PORTS]);

/* The same in parts, for tests that look at single runs: the op, on a path (NULL: the best) and with that many threads,
 * and one run of it on tensors by port, where they lie (data NULL: absent). Answers what heed_run answers. */
heed_instance *call_open(const call *c, const char *isa, uint32_t threads);
heed_instance *call_try(const call *c, const char *isa, uint32_t threads, heed_tensor by_port[ORACLE_PORTS],
                        heed_error *error); /* the same, NULL where it is refused */
int32_t call_with(const call *c, const heed_instance *i, heed_tensor by_port[ORACLE_PORTS],
                  heed_sequence *const *sequences, heed_error *error);
/* What call_with is made of: the bindings of one role; and the tensors, where the axes that the case has once are 1. */
uint32_t call_bindings(const call *c, uint32_t role, heed_tensor by_port[ORACLE_PORTS], heed_binding to[ORACLE_PORTS]);
void call_once(const call *c, const heed_tensor by_port[ORACLE_PORTS], heed_tensor once[ORACLE_PORTS]);
/* Contiguous outputs of the call's shapes, zeroed; outputs_free. */
void outputs_make(const call *c, heed_tensor out[ORACLE_PORTS]);

/* One tensor of a shape, in memory of its own between what can not be read; unplace. */
typedef struct placed {
    heed_tensor view;
    void *map;
    size_t map_bytes;
    unsigned char *inside; /* what can be touched; all of it has the same bytes at first */
    size_t inside_bytes;
} placed;
placed place(const heed_tensor *shape, int layout);
void unplace(placed *p);
/* Whether an element has the bytes of memory that was never written. */
int placed_untouched(const heed_tensor *t, int64_t i);
/* Where something beside the elements was written, or -1. The elements are forgotten. */
int64_t placed_stray(placed *p);
/* Element i, counted over all axes. */
char *tensor_at(const heed_tensor *t, int64_t i);

/* A view of [from, from + n) of one axis. */
heed_tensor tensor_slice(const heed_tensor *t, int axis, int64_t from, int64_t n);
/* Copies elements between two views of the same shape and dtype. */
void tensor_copy(const heed_tensor *to, const heed_tensor *from);
/* Element i of a contiguous tensor; a float is rounded to the tensor's dtype. */
double tensor_get(const heed_tensor *t, int64_t i);
void tensor_put(const heed_tensor *t, int64_t i, double value);
/* 1 if the elements, or those of all outputs, have the same bits; NaNs count as equal. */
int tensors_equal(const heed_tensor *a, const heed_tensor *b);
int outputs_equal(const call *c, const heed_tensor *a, const heed_tensor *b);
/* "out[0, 3, 1] is 1.5, not 1.25": the first element of an output whose bits differ, into a buffer that the next call
 * overwrites; "" if none does. */
const char *tensors_difference(const char *name, const heed_tensor *is, const heed_tensor *right);
const char *outputs_difference(const call *c, const heed_tensor *is, const heed_tensor *right);

/* The op's oracle, or NULL. */
const heed_oracle *call_oracle(const call *c);
/* Worst error over bound for the outputs: <= 1 passes. The bound of an element is 4 x the largest error of the naive
 * float32 loop on the same data (and on more draws, where the outputs are few), which is taken as half a unit in the
 * last place at least, plus one unit. */
double call_judge(call *c, const heed_tensor *out);
/* One element of an output, what it should be, and how far from that it may be. */
typedef struct judged {
    const char *port;
    const heed_tensor *tensor;
    int64_t element;
    double right, bound;
} judged;
/* The same, and the element whose error is the worst; its port is NULL where every one is exact. */
double call_judge_element(call *c, const heed_tensor *out, judged *worst);
/* "out[0, 3, 1] is 1.5, but must be within 1e-07 of 1.25", into a buffer that the next call overwrites. */
const char *judged_text(const judged *j);

/* Deterministic normal numbers. */
float harness_normal(uint64_t *seed);
uint64_t harness_random(uint64_t *seed);

/* 0: all shapes. Fewer and smaller ones: 1 in a sanitizer's build; under an emulator what HEED_TEST_QUICK says, 1, or N
 * for an Nth of those of the longest tests. */
int harness_quick(void);
/* Whether case n of a test is left out: 0 of all, else of `every` (times N) one is looked at. */
int harness_skips(size_t n, int every);

#endif
