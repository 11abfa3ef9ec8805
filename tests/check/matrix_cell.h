/* SPDX-License-Identifier: MIT
 *
 * matrix_cell.h: one cell of heed matrix: a small network of one choice of each factor, and what
 * becomes of it.
 */
#ifndef HEED_CHECK_MATRIX_CELL_H
#define HEED_CHECK_MATRIX_CELL_H

#include "inspect.h"

enum { BY_ATTENTION, BY_POSITION, BY_NORM, BY_WIRING, BY_FEEDFORWARD, BY_PLACE, BY_ROUTE, FACTORS };
enum { CHOICES = 64, CHOICE_TEXT = 160 }; /* of a factor, and of one with its settings */

/* What a network varies in: a key of its spec, with the values that there are. */
typedef struct factor {
    const char *key, *kind; /* kind NULL: not an op */
    uint32_t n, usual;      /* `usual`: the choice where another factor is varied */
    const char *id[CHOICES];
    char spec[CHOICES][CHOICE_TEXT];     /* with what a small network must be told */
    char unmasked[CHOICES][CHOICE_TEXT]; /* of attentions: the same without a mask */
} factor;

/* In order from what is wanted to what is not. */
enum { CELL_WORKS, CELL_NEAR, CELL_WHOLE, CELL_REFUSED, CELL_FAILS, CELL_RESULTS };

typedef struct cell {
    uint32_t choice[FACTORS];
    uint32_t result;
    char *reason; /* one sentence; NULL where it works */
} cell;

/* All factors, from the ops that are loaded. */
void matrix_factors(const heed_engine *engine, factor f[FACTORS]);
const char *matrix_name(const factor *f, uint32_t choice); /* without its kind */
/* The cell's network, to `text`. */
void matrix_spec(const factor f[FACTORS], const cell *c, char *text, size_t n);
/* Opens it and runs it whole, in parts and by single tokens, in a child process: its result and
 * reason. 1: the user has interrupted it, 0 else. */
int matrix_run(heed_engine *engine, const factor f[FACTORS], cell *c);

#endif
