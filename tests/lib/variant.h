/* SPDX-License-Identifier: MIT
 *
 * variant.h: what variants of attention are asked, as rows of a table. A row names an op, a call of
 * it, and the checks that this call has to pass; a program is its rows, and the few tests that
 * concern its op alone:
 *
 *     static const variant_row rows[] = {
 *         {FORMULA, "attention/mine(causal=true)", "B=1,T=65,S=65,H=4,G=2,D=16,E=24", "key_lengths"},
 *         {REFUSED, "attention/mine(left=0)", .to = "left"},
 *     };
 *     int main(void) { return variant_main(rows, COUNT(rows), NULL, 0); }
 */
#ifndef HEED_VARIANT_H
#define HEED_VARIANT_H

#include "harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A row names what it has and leaves the rest 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum {
    FORMULA = 1,    /* the oracle's bound; the same bits on all paths, threads and layouts */
    SHAPES = 2,     /* FORMULA, for each of the shapes that hurt */
    FAULTS = 4,     /* the bound notices a key that is skipped, and a scale that is 1e-5 off */
    PHASES = 8,     /* causal: in chunks, token by token and behind a fork, the bits of the whole */
    CAUSAL = 16,    /* outputs before a token that is changed keep their bits */
    BATCH = 32,     /* each sequence of a batch alone has its bits */
    VALUES = 64,    /* a NaN in a value reaches its channel, from its token on, and nothing else */
    NANS = 128,     /* NaNs in a port reach what they reach in the oracle, which is not all */
    EQUALS = 256,   /* another op has the same out and lse, bit by bit */
    GOLDEN = 512,   /* four numbers of a row of out, within 2e-6 */
    COST = 1024,    /* what a call is said to cost is what its queries see */
    REFUSED = 2048  /* refused, by the spec or in the call, with a sentence that has some words */
};

typedef struct variant_row {
    uint32_t checks;
    const char *spec;
    const char *axes;    /* all of them; or, beginning with a comma or empty, those besides B T S H
                          * G D E, which each check then chooses: a number, an axis, the sum of an
                          * axis and a number, or the quotient of two, rounded up: ",C=T+5,U=C/A".
                          * NULL, of REFUSED: the spec alone is opened */
    const char *without; /* as in call.h */
    uint32_t dtype;
    float size;          /* 0 = 1 */
    const char *fill;    /* numbers of ports: all 0.1, "span=0.1", or stream 3 of the generator,
                          * from element 8 on, "q:3+8"; separated by spaces */
    void (*set)(call *c); /* what fill can not say */
    const char *to;      /* EQUALS: the other spec; REFUSED: the words */
    const char *port;    /* NANS: NaNs in it, in every `step`th element from `at` on */
    int64_t at, step;
    int row;             /* GOLDEN */
    double right[4];
    int one_axis;        /* queries and keys are one sequence: shapes where T is S */
    const char *const *settings; /* texts that end the spec, one for each call in turn; ends with NULL */
    const char *const *causal;   /* the same, for PHASES and VALUES */
} variant_row;

/* Runs a cmocka test for each check that a row asks for, and the op's own tests. For main. */
int variant_main(const variant_row *rows, size_t n_rows, const struct CMUnitTest *own,
                 size_t n_own);

/* ---- for the tests of one op ---- */

/* The call of a row, with axes "B=2,T=5,...", setting "(causal=true)" and more of `without`. The
 * texts live until the seventh call after it. */
call_case variant_case(const variant_row *row, const char *axes, const char *setting,
                       const char *without, uint64_t seed);
/* The row's numbers in a call. */
void variant_fill(call *c, const variant_row *row);
/* All elements of a port; and element i of stream s of the generator of golden values. */
void variant_put(const call *c, const char *port, double value);
double variant_g(uint32_t s, uint32_t i);
/* For NANS in "bias" of 40 keys, as .set: queries 20 to 31 of head 0 have NaNs 11 keys back and at
 * the next one, where their op sees nothing. */
void variant_nan_unseen(call *c);
/* `out` of a call, from element `at` on: four numbers within 2e-6 of these, on all paths. */
void variant_golden(const call *c, int64_t at, const double right[4]);
/* One run on tokens [from, from + n) of the call, appended to the sequences; the same where a
 * failure fails the test; and the whole call, `chunk` tokens at a time, on fresh sequences. */
enum { VARIANT_BATCH = 4 };
int32_t variant_feed(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from,
                     int64_t n, heed_tensor out[ORACLE_PORTS], heed_error *error);
void variant_must_feed(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from,
                       int64_t n, heed_tensor out[ORACLE_PORTS]);
void variant_chunks(const call *c, const char *isa, uint32_t threads, int64_t chunk,
                    heed_tensor out[ORACLE_PORTS]);
/* All tokens in chunks, with a fork of each sequence, made after the first chunk, in `twin`. */
void variant_feed_all(const call *c, const heed_instance *i, heed_sequence **twin, int64_t chunk,
                      heed_tensor out[ORACLE_PORTS]);
/* What a call of these inputs is said to cost: the products of that many pairs of query and key. */
void variant_cost(const call *c, double pairs);
/* The error has these words. */
void variant_says(const char *spec, const heed_error *e, const char *words);
/* An opening that refuses. */
void variant_no_open(const char *spec, const heed_opening *opening, const char *words);

#endif
